//! Outages as operators and callers see them: which provider at which address, since when, and why.

use std::sync::Arc;
use std::time::SystemTime;

use super::extractor::Extractor;
use super::models::ModelEndpoint;
use super::prepared_request::PreparedRequest;
use crate::types::{FallbackCondition, clock};
use throttle::{CallerId, Limits, OutageReason, OutageSnapshot};

/// Outage of a provider's key, or of a key with one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Name of the provider in the configuration.
    pub provider: String,
    /// Scheme, host and port of the provider.
    pub address: Option<String>,
    /// Name of the model at the provider; `None`: the outage holds for all models.
    pub model: Option<String>,
    /// False if a caller has made up the model's name.
    pub is_configured: bool,
    /// Number of the key, from 1; `None`: the provider has one key or none.
    pub key: Option<usize>,
    pub reason: OutageReason,
    /// Message of the provider.
    pub detail: Arc<str>,
    pub since: SystemTime,
    /// Time until a probe is let through.
    pub retry_in: std::time::Duration,
}

impl Outage {
    fn new(snapshot: OutageSnapshot, address: Option<String>) -> Self {
        Self {
            address,
            model: snapshot.model,
            is_configured: snapshot.is_configured,
            key: snapshot.key,
            reason: snapshot.report.reason,
            detail: snapshot.report.detail,
            since: clock::now()
                .checked_sub(snapshot.lasted)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            retry_in: snapshot.retry_in,
            provider: snapshot.provider,
        }
    }
}

impl Extractor {
    /// Returns the current outages. With `viewer`, leaves out those that hold for other callers only.
    #[must_use]
    pub fn outages(&self, viewer: Option<CallerId>) -> Vec<Outage> {
        let outages = self.limits.outages(viewer).into_iter().map(|snapshot| {
            let entry = self.models.providers.get(&snapshot.provider);
            let address = entry.and_then(|entry| entry.provider.address());
            Outage::new(snapshot, address)
        });
        outages.collect()
    }

    /// Returns the outage that keeps all items of a caller's request from being called, if there is one.
    pub(super) fn outage_of(&self, request: &PreparedRequest, caller: CallerId) -> Option<Outage> {
        let (endpoint, snapshot) = request.outage(&self.limits, caller)?;
        Some(Outage::new(snapshot, endpoint.provider.address()))
    }
}

impl PreparedRequest {
    /// Returns the first target and its outage, if outages keep every target from being called for the caller.
    pub(super) fn outage(
        &self,
        limits: &Limits,
        caller: CallerId,
    ) -> Option<(&ModelEndpoint, OutageSnapshot)> {
        let first = &self.first.endpoint;
        let outage = limits.outage(&first.limits, caller)?;
        let condition = match outage.report.reason {
            OutageReason::UnknownModel => FallbackCondition::UnknownModel,
            _ => FallbackCondition::Unavailable,
        };
        let fallback = self
            .fallback
            .iter()
            .filter(|_| self.falls_back_on(condition));
        for target in fallback {
            limits.outage(&target.endpoint.limits, caller)?;
        }
        Some((first, outage))
    }
}
