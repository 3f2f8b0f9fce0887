//! Extraction: structured data from text. One item is prompt, permit, call, parse, validate, and a validation retry with the
//! errors as feedback. Many items are a stream of inputs to a stream of outcomes, in completion order.
//!
//! A single is a batch of one. Knows nothing of HTTP, of stores, or of the consumers of outcomes.

mod attempts;
mod batch;
mod cache;
mod cache_key;
mod call_log;
mod chat;
mod copied_values;
mod failed_call;
mod input_memory;
mod item;
mod models;
mod outages;
mod partial_stream;
mod pass_through;
mod prepare;
mod prepared_request;
mod retry_policy;
mod routing;
mod single_flight;
mod straggler_detector;
mod submission;
mod targets;
mod tracer;
mod upstream_call;
mod validate_answer;

use std::sync::Arc;
use std::time::Duration;

pub use batch::{Inputs, Outcomes};
pub use cache::{CacheConfig, CacheStats};
pub use chat::{Chat, ChatMessages};
pub use input_memory::{InputMemory, WaitedTooLong};
pub use item::{BLANK, is_blank};
pub use models::{ModelEndpoint, ModelRoute, Models, ProviderEntry};
pub use outages::Outage;
pub use partial_stream::{PartialEvent, PartialStream};
pub use prepared_request::PreparedRequest;
pub use submission::{AdmittedRequest, Submission, shutting_down};

use crate::schema::{self, Registry};
use crate::telemetry::ExtractMeters;
use crate::types::Success;
use throttle::Limits;

/// Retry and wait limits of items, and the result cache.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Maximum number of calls to one target that fail in a row, the first included.
    pub max_tries: u32,
    /// The same for items of jobs.
    pub max_job_tries: u32,
    /// Maximum wait of a single for a rate-limited provider.
    pub max_wait: Duration,
    /// Maximum wait of a batch's item for a rate-limited provider.
    pub max_batch_wait: Duration,
    /// Result cache; `None`: results are not cached.
    pub cache: Option<CacheConfig>,
    /// True if equal items of different callers share a result.
    pub has_shared_results: bool,
    /// True if all callers share the schemas that are stored over HTTP.
    pub has_shared_schemas: bool,
}

/// Extraction engine of the process, shared by all requests.
#[derive(Debug)]
pub struct Extractor {
    config: Config,
    models: Models,
    limits: Limits,
    registry: Arc<Registry>,
    schemas: schema::Cache,
    cache: Option<cache::Cache>,
    flights: single_flight::SingleFlight,
    call_log: call_log::CallLog,
    meters: ExtractMeters,
}

/// Class of a request: decides how long its items wait for a provider, and their priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestClass {
    Single,
    Batch,
    /// Items of a job wait without limit, because no client waits for them.
    Job,
}

impl Extractor {
    /// Creates an engine with empty caches.
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
            call_log: call_log::CallLog::default(),
            meters: ExtractMeters::new(),
        }
    }

    /// Returns the models that requests can name.
    #[must_use]
    pub const fn models(&self) -> &Models {
        &self.models
    }

    /// Returns the limits of providers and callers.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the registered schemas.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns the fill level of the result cache; `None` if there is no cache.
    #[must_use]
    pub fn cache(&self) -> Option<CacheStats> {
        self.cache.as_ref().map(cache::Cache::stats)
    }

    /// Returns the cached result of an equal item, and counts the lookup.
    fn cached(&self, key: &cache_key::CacheKey) -> Option<Success> {
        let success = self.cache.as_ref()?.get(key);
        self.meters.cache_lookup(success.is_some());
        success
    }
}
