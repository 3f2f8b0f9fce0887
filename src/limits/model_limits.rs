//! A model at a provider, as the limits know it: how many ask it, how it fares, what its calls take.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::breaker::Breaker;
use super::raii_counter::RaiiCounter;
use super::token_estimator::{TokenEstimate, TokenEstimator};
use super::{PoolId, UsageReport};
use crate::telemetry::CallMeters;
use crate::types::{Price, Usage};

/// Models with metrics of their own.
pub(super) const MAX_LABELS: u64 = 100;

/// What is configured of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelLimits {
    /// Calls in flight; `None`: as many as its provider's limit allows.
    pub max_in_flight: Option<usize>,
    /// `None`: its calls cost nothing that is known.
    pub price: Option<Price>,
}

/// A model at a provider. [`super::Limits::model`] gives the one that all who ask it share.
#[derive(Debug)]
pub struct Model {
    pub(super) id: u64,
    /// Where its items wait: in the queue that its provider's models share, or, with a limit of its own, in one of its own.
    pub(super) queue: usize,
    pub(super) pool: PoolId,
    pub(super) terms: ModelLimits,
    pub(super) in_flight: RaiiCounter,
    meters: CallMeters,
    state: Mutex<ModelState>,
}

#[derive(Debug)]
pub(super) struct ModelState {
    pub breaker: Breaker,
    pub estimate: TokenEstimator,
}

impl Model {
    /// `label` is `provider/model`, for the metrics.
    pub(super) fn new(
        id: u64,
        pool: PoolId,
        queue: usize,
        terms: ModelLimits,
        label: &str,
        now: Instant,
    ) -> Self {
        let known = ModelState {
            breaker: Breaker::new(now),
            estimate: TokenEstimator::default(),
        };
        Self {
            id,
            queue,
            pool,
            terms,
            in_flight: RaiiCounter::default(),
            meters: CallMeters::new(label),
            state: Mutex::new(known),
        }
    }

    /// What has been learned about it.
    pub(super) fn known(&self) -> MutexGuard<'_, ModelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first models are those of the configuration.
    pub(super) const fn has_metrics(&self) -> bool {
        self.id <= MAX_LABELS
    }

    /// A call has ended.
    pub(super) fn record_usage(&self, spent: UsageReport) {
        let usage = if let UsageReport::Tokens(usage) = spent {
            usage
        } else {
            Usage::default()
        };
        self.meters.ended(
            usage,
            self.terms
                .price
                .map(|price| price.cost_of(usage))
                .unwrap_or_default(),
        );
    }

    #[must_use]
    pub const fn price(&self) -> Option<Price> {
        self.terms.price
    }

    #[must_use]
    pub const fn pool(&self) -> PoolId {
        self.pool
    }

    /// What a call takes whose prompt was guessed at so many tokens; nothing where nobody counts them.
    pub(super) fn estimate(&self, guessed: u64, max_output: Option<u32>) -> TokenEstimate {
        if guessed == 0 {
            return TokenEstimate::default();
        }
        self.known().estimate.estimate(guessed, max_output)
    }
}
