//! One item: prompt, permit, call, parse, validate, and ask again with what was wrong. Many items: a stream of inputs to a
//! stream of outcomes, in the order in which they are done.
//!
//! A single is a batch of one. Knows nothing of HTTP, of stores, or of who listens.

mod batch;
mod judge;
mod one;
mod plan;
mod retry;

use std::sync::Arc;
use std::time::Duration;

pub use batch::{Inputs, Outcomes, run, single};
pub use one::{BLANK, is_blank};
pub use plan::{Models, Plan, Provided, Route};

use crate::limits::{CallerId, Lane, Limits, Overloaded};
use crate::model::{Code, Error};
use crate::schema::{Cache, Registry};
use crate::telemetry::ExtractMeters;

/// How often and how long an item is tried.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Tries of one call that failed, the first included.
    pub max_tries: u32,
    /// How long a single waits for a key that its provider has paused.
    pub max_wait: Duration,
    /// The same for an item of a batch.
    pub max_batch_wait: Duration,
}

/// What every extraction shares.
#[derive(Debug)]
pub struct Extractor {
    config: Config,
    models: Models,
    limits: Limits,
    registry: Arc<Registry>,
    schemas: Cache,
    meters: ExtractMeters,
}

/// Whether a request has one item or many; decides how long it waits for a paused key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Single,
    Batch,
}

impl Extractor {
    #[must_use]
    pub fn new(config: Config, models: Models, limits: Limits, registry: Arc<Registry>) -> Self {
        Self { config, models, limits, registry, schemas: Cache::default(), meters: ExtractMeters::new() }
    }

    #[must_use]
    pub const fn models(&self) -> &Models {
        &self.models
    }

    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// A place for a request of `items` items (`None`: not known yet), at most `concurrency` of them at a time.
    ///
    /// # Errors
    /// `overloaded` when the waiting room is full.
    pub fn admit(&self, caller: CallerId, plan: &Plan, items: Option<usize>, concurrency: Option<usize>) -> Result<Lane, Error> {
        // Twice what can be in flight, so that a free slot always finds an item that waits.
        let window = self.limits.max_concurrency().saturating_mul(2);
        let wanted = window.min(concurrency.unwrap_or(usize::MAX)).min(items.unwrap_or(usize::MAX));
        self.limits.admit(caller, plan.route().pool, wanted).map_err(|full: Overloaded| {
            let detail = format!("the waiting room is full: {full}; try again in a moment, or send less at a time");
            Error::new(Code::Overloaded, detail).retry_after(full.retry_after)
        })
    }
}
