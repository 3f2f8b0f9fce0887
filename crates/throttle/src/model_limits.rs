//! A model at a provider, as the limits know it: how many ask it, how it fares, what its calls take.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::breaker::Breaker;
use crate::money::Price;
use crate::observer::ModelObserver;
use crate::raii_counter::RaiiCounter;
use crate::token_estimator::{TokenEstimate, TokenEstimator};
use crate::types::{PoolId, TokenUsage, UsageReport};

/// Models with metrics of their own.
pub(crate) const MAX_LABELS: u64 = 100;

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
    pub(crate) id: u64,
    /// Where its items wait: in the queue that its provider's models share, or, with a limit of its own, in one of its own.
    pub(crate) queue: usize,
    pub(crate) pool: PoolId,
    pub(crate) limits: ModelLimits,
    pub(crate) in_flight: RaiiCounter,
    observer: Box<dyn ModelObserver>,
    state: Mutex<ModelState>,
}

#[derive(Debug)]
pub(crate) struct ModelState {
    pub breaker: Breaker,
    pub estimate: TokenEstimator,
}

impl Model {
    /// Creates the model. `limits` is what the configuration says of it.
    pub(crate) fn new(
        id: u64,
        pool: PoolId,
        queue: usize,
        limits: ModelLimits,
        observer: Box<dyn ModelObserver>,
        now: Instant,
    ) -> Self {
        let state = ModelState {
            breaker: Breaker::new(now),
            estimate: TokenEstimator::default(),
        };
        Self {
            id,
            queue,
            pool,
            limits,
            in_flight: RaiiCounter::default(),
            observer,
            state: Mutex::new(state),
        }
    }

    /// What has been learned about it.
    pub(crate) fn state(&self) -> MutexGuard<'_, ModelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first models are those of the configuration.
    pub(crate) const fn has_metrics(&self) -> bool {
        self.id <= MAX_LABELS
    }

    /// A call has ended.
    pub(crate) fn record_usage(&self, spent: UsageReport) {
        let usage = if let UsageReport::Tokens(usage) = spent {
            usage
        } else {
            TokenUsage::default()
        };
        self.observer.call_ended(
            usage,
            self.limits
                .price
                .map(|price| price.cost(usage))
                .unwrap_or_default(),
        );
    }

    #[must_use]
    pub const fn price(&self) -> Option<Price> {
        self.limits.price
    }

    #[must_use]
    pub const fn pool(&self) -> PoolId {
        self.pool
    }

    /// What a call takes whose prompt was text_tokens at so many tokens; nothing where nobody counts them.
    pub(crate) fn estimate(&self, text_tokens: u64, max_output: Option<u32>) -> TokenEstimate {
        if text_tokens == 0 {
            return TokenEstimate::default();
        }
        self.state().estimate.estimate(text_tokens, max_output)
    }
}
