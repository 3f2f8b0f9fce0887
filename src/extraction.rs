//! One item: prompt, permit, call, parse, validate, and ask again with what was wrong. Many items: a stream of inputs to a
//! stream of outcomes, in the order in which they are done.
//!
//! A single is a batch of one. Knows nothing of HTTP, of stores, or of who listens.

mod batch;
mod cache;
mod item;
mod partial_stream;
mod prepared_request;
mod retry_policy;
mod routing;
mod single_flight;
mod straggler_detector;
mod upstream_call;
mod validate_answer;

use std::sync::Arc;
use std::time::Duration;

pub use batch::{Inputs, Outcomes, run, single};
pub use cache::{CacheConfig, CacheStats};
pub use item::{BLANK, is_blank};
pub use partial_stream::{PartialEvent, PartialStream};
pub use prepared_request::{ModelEndpoint, ModelRoute, Models, PreparedRequest, ProviderEntry};

use crate::limits::{Admission, AdmissionRequest, CallerId, Class, Limits, Refused};
use crate::schema::{self, Registry};
use crate::telemetry::ExtractMeters;
use crate::types::{Code, Error, Success};

/// How often and how long an item is tried.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Tries of one call that failed, the first included.
    pub max_tries: u32,
    /// The same for an item of a job.
    pub max_job_tries: u32,
    /// How long a single waits for a key that its provider has paused.
    pub max_wait: Duration,
    /// The same for an item of a batch.
    pub max_batch_wait: Duration,
    /// `None`: no result is kept.
    pub cache: Option<CacheConfig>,
}

/// What every extraction shares.
#[derive(Debug)]
pub struct Extractor {
    config: Config,
    models: Models,
    limits: Limits,
    registry: Arc<Registry>,
    schemas: schema::Cache,
    cache: Option<cache::Cache>,
    flights: single_flight::SingleFlight,
    meters: ExtractMeters,
}

/// Whether a request has one item or many, or is a job; decides how long it waits for a paused key, and who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestClass {
    Single,
    Batch,
    /// Nobody waits for it: it has all the time there is.
    Job,
}

impl Extractor {
    #[must_use]
    pub fn new(config: Config, models: Models, limits: Limits, registry: Arc<Registry>) -> Self {
        Self {
            config,
            models,
            limits,
            registry,
            schemas: schema::Cache::default(),
            cache: config.cache.map(cache::Cache::new),
            flights: single_flight::SingleFlight::default(),
            meters: ExtractMeters::new(),
        }
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

    /// How full the cache of results is; `None`: there is none.
    #[must_use]
    pub fn cache(&self) -> Option<CacheStats> {
        self.cache.as_ref().map(cache::Cache::stats)
    }

    /// An equal item's result, if one is kept.
    fn cached(&self, key: &single_flight::Key) -> Option<Success> {
        let found = self.cache.as_ref()?.get(key);
        self.meters.cache_lookup(found.is_some());
        found
    }

    /// A place for a request of `items` items (`None`: not known yet), at most `concurrency` of them at a time.
    ///
    /// # Errors
    /// `overloaded` when the waiting room is full; `quota_exceeded` when the caller's own is, or its budget is used up.
    pub fn admit(
        &self,
        caller: CallerId,
        plan: &PreparedRequest,
        items: Option<usize>,
        concurrency: Option<usize>,
    ) -> Result<Admission, Error> {
        // Twice what can be in flight, so that a free slot always finds an item that waits.
        let window = self.limits.max_concurrency().saturating_mul(2);
        let wanted = window
            .min(concurrency.unwrap_or(usize::MAX))
            .min(items.unwrap_or(usize::MAX));
        let load = AdmissionRequest {
            class: if plan.kind == RequestClass::Job {
                Class::Job
            } else {
                Class::Direct
            },
            pool: plan.route().limits.pool(),
            items: wanted.max(1),
            is_single: items == Some(1) && plan.kind != RequestClass::Job,
            has_price: plan.has_price(),
        };
        self.limits
            .admit(caller, &load)
            .map_err(|refused| refusal(&refused))
    }
}

fn refusal(refused: &Refused) -> Error {
    match *refused {
        Refused::Overloaded { retry_after, .. } => {
            let detail = format!(
                "the waiting room is full: {refused}; try again in a moment, or send less at a time"
            );
            Error::new(Code::Overloaded, detail).retry_after(retry_after)
        }
        Refused::QuotaUsedUp { retry_after } => {
            let detail = "this caller's quota is used up, and as many of its items are waiting for it as may; try again later, or \
                          send less at a time";
            Error::new(Code::QuotaExceeded, detail).retry_after(retry_after)
        }
        Refused::NoPrice => {
            let detail = "this caller has a budget, and the configuration does not say what the model costs; name a configured \
                          model with a price";
            Error::new(Code::Forbidden, detail)
        }
        Refused::Broke { retry_after } => {
            let detail =
                "this caller's budget for today is used up; it begins anew at midnight UTC";
            Error::new(Code::QuotaExceeded, detail).retry_after(retry_after)
        }
    }
}
