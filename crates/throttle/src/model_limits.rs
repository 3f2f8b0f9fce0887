//! A model at a provider: its concurrency limit, circuit breaker, token estimates and price.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::breaker::{self, Breaker};
use crate::caller_id::CallerId;
use crate::caller_quota::Charge;
use crate::hold::{Hold, HoldHistory};
use crate::model_pauses::ModelPauses;
use crate::money::{Price, Usd};
use crate::observer::ModelObserver;
use crate::outage::Availability;
use crate::raii_counter::RaiiCounter;
use crate::token_estimator::TokenEstimators;
use crate::trial::Trial;
use crate::types::{PoolId, TokenUsage, UsageReport};

/// Configured limits of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelLimits {
    /// Maximum number of calls in flight; `None`: the provider's limit.
    pub max_in_flight: Option<usize>,
    /// Price of its tokens; `None` if unknown.
    pub price: Option<Price>,
}

/// A model at a provider, shared by all requests for it (`Limits::model`).
#[derive(Debug)]
pub struct Model {
    pub(crate) id: u64,
    /// Name at the provider.
    pub(crate) name: String,
    /// Index of its queue at the provider: the shared one, or its own if the model has a limit.
    pub(crate) queue: usize,
    pub(crate) pool: PoolId,
    pub(crate) limits: ModelLimits,
    /// True if the configuration names the model. Other models are named by callers.
    pub(crate) is_configured: bool,
    pub(crate) in_flight: RaiiCounter,
    observer: Box<dyn ModelObserver>,
    state: Mutex<ModelState>,
}

#[derive(Debug)]
pub(crate) struct ModelState {
    pub breaker: Breaker,
    pub estimators: TokenEstimators,
    /// Availability of the model with each key that has failed with it, by the key's index.
    pub availability: BTreeMap<usize, Availability>,
    pub pauses: ModelPauses,
    pub trial: Trial,
    pub holds: HoldHistory,
}

impl ModelState {
    /// Returns true if a pause, an outage or the circuit breaker keeps calls from going out.
    pub fn is_held_back(&self, now: Instant) -> bool {
        let is_proven = |key: &Availability| key.proven(None, now).next().is_some();
        self.pauses.does_any_last(now)
            || self.availability.values().any(is_proven)
            || self.breaker.state(now) != breaker::State::Closed
    }
}

impl Model {
    /// Creates the model. `limits` is what the configuration says of it; `None`: a caller has made up the name.
    pub(crate) fn new(
        id: u64,
        name: String,
        pool: PoolId,
        queue: usize,
        limits: Option<ModelLimits>,
        observer: Box<dyn ModelObserver>,
    ) -> Self {
        let state = ModelState {
            breaker: Breaker::default(),
            estimators: TokenEstimators::default(),
            availability: BTreeMap::new(),
            pauses: ModelPauses::default(),
            trial: Trial::default(),
            holds: HoldHistory::default(),
        };
        Self {
            id,
            name,
            queue,
            pool,
            limits: limits.unwrap_or_default(),
            is_configured: limits.is_some(),
            in_flight: RaiiCounter::default(),
            observer,
            state: Mutex::new(state),
        }
    }

    /// Returns its number if it has a limit of calls in flight of its own.
    pub(crate) fn limited_id(&self) -> Option<u64> {
        self.limits.max_in_flight.map(|_| self.id)
    }

    /// Locks the circuit breaker and the token estimates.
    pub(crate) fn state(&self) -> MutexGuard<'_, ModelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a call that ended to the observer.
    pub(crate) fn record_usage(&self, spent: UsageReport) {
        let usage = match spent {
            UsageReport::Tokens(usage) => usage,
            UsageReport::Nothing | UsageReport::Unknown => TokenUsage::default(),
        };
        self.observer.call_ended(usage, self.cost(usage));
    }

    /// Returns what a call of this usage is charged to its caller, without the request itself.
    pub(crate) fn charge(&self, usage: TokenUsage) -> Charge {
        Charge {
            requests: 0,
            tokens: usage.total(),
            cost: self.cost(usage),
        }
    }

    /// Returns the cost of a call; zero if the price is unknown.
    fn cost(&self, usage: TokenUsage) -> Usd {
        self.limits
            .price
            .map(|price| price.cost(usage))
            .unwrap_or_default()
    }

    /// Returns the price of the model's tokens; `None` if unknown.
    #[must_use]
    pub const fn price(&self) -> Option<Price> {
        self.limits.price
    }

    /// Returns what held the calls of this model between two times, in order and without gaps.
    #[must_use]
    pub fn holds_between(&self, from: Instant, to: Instant) -> Vec<Hold> {
        self.state().holds.between(from, to)
    }

    /// Returns true if the configuration names the model. Other models are named by callers.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Returns the model's provider.
    #[must_use]
    pub const fn pool(&self) -> PoolId {
        self.pool
    }

    /// Estimates the tokens of a caller's call from the estimate of its prompt. Returns zero where tokens
    /// are not counted.
    pub(crate) fn estimate(
        &self,
        caller: CallerId,
        text_tokens: u64,
        max_output: Option<u32>,
    ) -> TokenUsage {
        if text_tokens == 0 {
            return TokenUsage::default();
        }
        let state = self.state();
        state.estimators.estimate(caller, text_tokens, max_output)
    }
}
