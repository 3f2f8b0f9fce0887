//! Provider for tests, whose calls are made all at one time.

use std::sync::Arc;
use std::time::Instant;

use super::ProviderLimits;
use super::call_end::{KeyChange, OtherCallers};
use crate::api_key_limits::KeySet;
use crate::breaker::Health;
use crate::call_slots::CallSlots;
use crate::caller_id::CallerId;
use crate::grant::{CallCharge, GrantRequest, HeldResources, Refusal};
use crate::hold::HoldReason;
use crate::model_limits::{Model, ModelLimits};
use crate::observer::Ignore;
use crate::outage::{OutageReason, OutageReport};
use crate::permit_request::Priority;
use crate::types::{CallReport, KeyQuota, Pause, Pool, PoolId, TokenUsage};

pub const ANYONE: CallerId = CallerId(0);

pub fn pool(keys: Vec<KeyQuota>) -> Pool {
    Pool {
        name: "test".to_owned(),
        keys,
        max_in_flight: None,
        is_adaptive: false,
        has_trial: false,
    }
}

/// A provider with the models of its configuration, and calls that are made all at one time.
pub struct Provider {
    pub limits: ProviderLimits,
    pub model: Arc<Model>,
    pub slots: CallSlots,
    held: Vec<HeldResources>,
    pub others: OtherCallers,
    pub now: Instant,
}

pub fn model(id: u64, limits: Option<ModelLimits>) -> Arc<Model> {
    Arc::new(Model::new(
        id,
        id.to_string(),
        PoolId(0),
        0,
        limits,
        Box::new(Ignore),
    ))
}

impl Provider {
    pub fn new(pool: Pool) -> Self {
        let now = Instant::now();
        Self {
            limits: ProviderLimits::new(pool, 10, now),
            model: model(1, Some(ModelLimits::default())),
            slots: CallSlots::new(10),
            held: Vec::new(),
            others: OtherCallers::default(),
            now,
        }
    }

    pub fn with_keys(keys: Vec<KeyQuota>) -> Self {
        Self::new(pool(keys))
    }

    fn request(model: &Arc<Model>) -> GrantRequest<'_> {
        GrantRequest {
            model,
            caller: ANYONE,
            priority: Priority::First,
            is_first_call: true,
            estimate: TokenUsage::default(),
            refused: KeySet::default(),
        }
    }

    /// Lets a call go out with other keys than those that are refused. Returns its key.
    pub fn call_without(&mut self, refused: KeySet) -> Result<usize, Refusal> {
        let request = GrantRequest {
            refused,
            ..Self::request(&self.model)
        };
        let granted = self.limits.grant(&request, None, &self.slots, self.now);
        granted.map(|(held, key)| {
            self.held.push(held);
            key
        })
    }

    pub fn call(&mut self) -> Result<usize, Refusal> {
        self.call_without(KeySet::default())
    }

    /// Gives back what all calls hold, without a report.
    pub fn end_calls(&mut self) {
        self.held.clear();
    }

    /// Ends a call that has just begun.
    pub fn end(&mut self, key: usize, report: &CallReport, is_overload: bool) -> KeyChange {
        self.end_of(ANYONE, key, report, is_overload)
    }

    pub fn end_of(
        &mut self,
        caller: CallerId,
        key: usize,
        report: &CallReport,
        is_overload: bool,
    ) -> KeyChange {
        let request = GrantRequest {
            caller,
            ..Self::request(&self.model)
        };
        let charge = CallCharge::new(key, &request, 0, self.now);
        let now = self.now;
        self.limits
            .record_call(&charge, 0, report, is_overload, self.others, now)
    }

    pub fn fail(&mut self, key: usize, reason: OutageReason) {
        self.fail_of(ANYONE, key, reason);
    }

    pub fn fail_of(&mut self, caller: CallerId, key: usize, reason: OutageReason) {
        let report = OutageReport {
            reason,
            detail: "no".into(),
            input: 1,
            is_doubtful: reason.is_doubtful(),
        };
        let report = CallReport {
            outage: Some(report),
            ..CallReport::new(Health::Neutral)
        };
        self.end_of(caller, key, &report, false);
    }

    pub fn pause(&mut self, until: Instant, pauses_key: bool) -> KeyChange {
        let report = CallReport {
            pause: Some(Pause::Until(until)),
            pauses_key,
            ..CallReport::new(Health::Neutral)
        };
        self.end(0, &report, false)
    }

    /// Returns what holds the model's next call, which cannot go out.
    pub fn hold(&mut self) -> HoldReason {
        self.call().unwrap_err();
        self.model.state().holds.latest().unwrap().0
    }
}
