//! Extraction engine: configuration, models, limits and caches that all requests of the process share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

use super::cache::{Cache, CacheConfig, CacheStats, CachedSuccess};
use super::cache_key::CacheKey;
use super::call_log::CallLog;
use super::models::Models;
use super::permissions::Permissions;
use super::single_flight::SingleFlight;
use crate::schema::{self, Registry};
use crate::telemetry::{ExtractMeters, Traces};
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
    pub(super) config: Config,
    pub(super) models: Models,
    pub(super) limits: Limits,
    pub(super) registry: Arc<Registry>,
    pub(super) permissions: Permissions,
    pub(super) schemas: schema::Cache,
    pub(super) cache: Option<Cache>,
    pub(super) flights: SingleFlight,
    pub(super) call_log: CallLog,
    pub(super) meters: ExtractMeters,
    pub(super) traces: Traces,
    /// Tasks of the calls that probe open circuit breakers.
    pub(super) probes: TaskTracker,
}

impl Extractor {
    /// Creates an engine with empty caches.
    #[must_use]
    pub fn new(
        config: Config,
        models: Models,
        limits: Limits,
        registry: Arc<Registry>,
        traces: Traces,
    ) -> Self {
        Self {
            config,
            models,
            schemas: schema::Cache::new(limits.memory()),
            limits,
            registry,
            permissions: Permissions::default(),
            cache: config.cache.map(Cache::new),
            flights: SingleFlight::default(),
            call_log: CallLog::default(),
            meters: ExtractMeters::new(),
            traces,
            probes: TaskTracker::new(),
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

    /// Returns the rights of the callers.
    #[must_use]
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Returns the registered schemas.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns the fill level of the result cache; `None` if there is no cache.
    #[must_use]
    pub fn cache(&self) -> Option<CacheStats> {
        let cache = self.cache.as_ref();
        cache.map(|cache| cache.stats(Instant::now()))
    }

    /// Returns the cached result of an equal item, and counts the lookup.
    pub(super) fn cached(&self, key: &CacheKey) -> Option<Arc<CachedSuccess>> {
        let success = self.cache.as_ref()?.get(key, Instant::now());
        self.meters.cache_lookup(success.is_some());
        success
    }
}
