//! The public entry: [`Limits`], cheap to clone, shared by everything that calls providers.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::admission::Admission;
use crate::caller_id::CallerId;
use crate::caller_quota::{Quota, QuotaStatus};
use crate::hold::HoldSnapshot;
use crate::memory::MemoryLedger;
use crate::model_limits::{Model, ModelLimits};
use crate::observer::Observer;
use crate::shared::Shared;
use crate::snapshot::{
    BreakerSnapshot, BudgetSnapshot, LimitSnapshot, OutageSnapshot, RetryBudgetSnapshot,
};
use crate::types::{AdmissionRequest, Config, Pool, PoolId, Refused};

/// All limits of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Shared>);

impl Limits {
    /// Creates the limits and starts the timer's thread, which ends with the last clone.
    ///
    /// # Errors
    /// If the operating system provides no thread.
    pub fn new(
        config: Config,
        pools: Vec<Pool>,
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<Self> {
        Shared::start(config, pools, observer).map(Self)
    }

    /// Returns a model that the configuration names, shared by all requests for it. The `limits` of the first call count.
    #[must_use]
    pub fn configured_model(&self, pool: PoolId, name: &str, limits: ModelLimits) -> Arc<Model> {
        self.0
            .lock()
            .model(pool, name, Some(limits), Instant::now())
    }

    /// Returns the model of this name, shared by all requests for it. A name that is not configured has no limits and no metrics
    /// of its own, and is forgotten once it is not used and there are many: callers may make up any number of names.
    #[must_use]
    pub fn model(&self, pool: PoolId, name: &str) -> Arc<Model> {
        self.0.lock().model(pool, name, None, Instant::now())
    }

    /// Replaces the callers and their quotas. Balances of callers that remain are kept.
    #[expect(
        clippy::disallowed_methods,
        reason = "budgets start anew at midnight UTC"
    )]
    pub fn set_callers(&self, callers: Vec<(CallerId, Quota)>) {
        self.0.memory.set_has_several_callers(callers.len() > 1);
        self.0
            .change(|state, now| state.set_callers(callers, now, SystemTime::now()));
    }

    /// Returns the name under which a caller's resources are stored. Empty if no callers are configured.
    #[must_use]
    pub fn owner(&self, caller: CallerId) -> String {
        self.0
            .lock()
            .callers
            .get(&caller)
            .map(|caller| caller.quota.owner.clone())
            .unwrap_or_default()
    }

    /// Returns the caller whose resources are stored under `owner`, if it is still configured.
    #[must_use]
    pub fn caller_of(&self, owner: &str) -> Option<CallerId> {
        if owner.is_empty() {
            return Some(CallerId::default());
        }
        let state = self.0.lock();
        let found = state
            .callers
            .iter()
            .find(|(_, caller)| caller.quota.owner == owner && !caller.is_retired);
        found.map(|(id, _)| *id)
    }

    /// Admits a request, if the waiting room has a place for it.
    ///
    /// This is decided once: items of an admitted request are never refused for lack of room. They wait for it.
    ///
    /// # Errors
    /// [`Refused`] when there is no room for a single item.
    pub fn admit(&self, caller: CallerId, asked: &AdmissionRequest) -> Result<Admission, Refused> {
        let mut state = self.0.lock();
        let request = state.admit(caller, asked, Instant::now())?;
        let counts_tokens = state.counts_tokens(caller);
        drop(state);
        Ok(Admission::new(
            Arc::clone(&self.0),
            asked,
            caller,
            request,
            counts_tokens,
        ))
    }

    /// Returns true if several callers are configured, so that they have shares.
    #[must_use]
    pub fn has_several_callers(&self) -> bool {
        self.0.lock().has_several_callers()
    }

    /// Returns the memory budget of the process.
    #[must_use]
    pub fn memory(&self) -> &MemoryLedger {
        &self.0.memory
    }

    /// Returns the maximum number of calls in flight.
    #[must_use]
    pub fn max_concurrency(&self) -> usize {
        self.0.config.max_concurrency
    }

    /// Returns every limit as it stands now. With `viewer`, leaves out the limits of other callers.
    #[must_use]
    pub fn snapshots(&self, viewer: Option<CallerId>) -> Vec<LimitSnapshot> {
        let memory = self.0.memory.snapshot();
        let state = self.0.lock();
        let mut snapshots = state.limits(viewer, Instant::now());
        state.append_memory(&memory, viewer, &mut snapshots);
        snapshots
    }

    /// Returns the circuit breakers of the models that were called so far.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerSnapshot> {
        self.0.lock().breakers(Instant::now())
    }

    /// Returns the current outages of keys and models. With `viewer`, leaves out those that hold for other callers only.
    #[must_use]
    pub fn outages(&self, viewer: Option<CallerId>) -> Vec<OutageSnapshot> {
        self.0.lock().outages(viewer, Instant::now())
    }

    /// Makes the probes of all outages of a provider due at once, because its keys have changed.
    pub fn probe_outages(&self, pool: PoolId) {
        self.0.change(|state, now| state.probe_outages(pool, now));
    }

    /// If every call of the caller to the model fails, returns the outage that is probed first. An outage lasts until a probe succeeds.
    #[must_use]
    pub fn outage(&self, model: &Model, caller: CallerId) -> Option<OutageSnapshot> {
        self.0.lock().outage(model, caller, Instant::now())
    }

    /// Returns what holds the calls that wait now, for each model with such calls.
    #[must_use]
    pub fn holds(&self) -> Vec<HoldSnapshot> {
        self.0.lock().holds(Instant::now())
    }

    /// Returns the retry budget of each provider.
    #[must_use]
    pub fn retry_budgets(&self) -> Vec<RetryBudgetSnapshot> {
        self.0.lock().retry_budgets(Instant::now())
    }

    /// Returns the budget of each caller that has one. With `viewer`, leaves out those of other callers.
    #[must_use]
    pub fn caller_budgets(&self, viewer: Option<CallerId>) -> Vec<BudgetSnapshot> {
        self.0.lock().caller_budgets(viewer, Instant::now())
    }

    /// Returns a caller's quota and how much of it is left, or `None` if it has no quota.
    #[must_use]
    pub fn quota_status(&self, caller: CallerId) -> Option<QuotaStatus> {
        let state = self.0.lock();
        state
            .callers
            .get(&caller)
            .filter(|own| !own.is_gone())
            .map(|own| own.quota_status(Instant::now()))
    }
}
