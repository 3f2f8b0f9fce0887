//! State shared by all handlers, and the server's lifecycle. Imports no handler.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api_keys::ApiKeys;
use crate::config;
use crate::extraction::{Extractor, shutting_down};
use crate::jobs::Jobs;
use crate::net::Client;
use crate::telemetry::{Metrics, Traces};
use crate::types::Error;

/// Shutdown signals and task trackers of the server. Shutdown has two stages: drain, then abort.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Token cancelled when the server drains: `/readyz` fails, and new work is rejected.
    pub draining: CancellationToken,
    /// Token cancelled when work still in flight has to end at once.
    pub ended: CancellationToken,
    /// Requests that extract or create jobs. Draining waits for them.
    pub work: TaskTracker,
    /// Connections, their requests and watchdogs. The process waits for them before it exits.
    pub tasks: TaskTracker,
}

/// Dependencies and settings of [`router`](super::router()).
#[derive(Debug)]
pub struct Parts {
    pub extractor: Arc<Extractor>,
    pub jobs: Jobs,
    /// Validity of a signed link.
    pub link_ttl: Duration,
    /// Client that delivers webhooks, and therefore checks their URLs.
    pub webhooks: Client,
    pub server: config::Server,
    pub limits: config::Limits,
    pub keys: Arc<ApiKeys>,
    pub lifecycle: Lifecycle,
    /// Renderer of `/metrics`. `None`: the page is empty.
    pub metrics: Option<Metrics>,
    pub traces: Traces,
}

/// State of every handler.
#[derive(Debug)]
pub struct AppState {
    pub extractor: Arc<Extractor>,
    pub jobs: Jobs,
    pub link_ttl: Duration,
    pub webhooks: Client,
    pub keys: Arc<ApiKeys>,
    /// Host names that are answered while no API keys are configured, beside the loopback.
    pub hosts: Vec<String>,
    pub max_body_bytes: usize,
    pub max_line_bytes: usize,
    pub max_ordered_bytes: usize,
    /// Maximum pause of a client that uploads inputs.
    pub idle_timeout: Duration,
    /// Keys that may read the metrics.
    pub metrics_access: config::MetricsAccess,
    pub lifecycle: Lifecycle,
    pub metrics: Option<Metrics>,
    pub traces: Traces,
    pub started_at: SystemTime,
}

/// Extractor of the shared state in handlers.
pub type State = axum::extract::State<Arc<AppState>>;

impl AppState {
    /// Creates the state from its parts; the server counts as started now.
    pub fn new(parts: Parts) -> Self {
        Self {
            extractor: parts.extractor,
            jobs: parts.jobs,
            link_ttl: parts.link_ttl,
            webhooks: parts.webhooks,
            keys: parts.keys,
            hosts: parts.server.hosts,
            max_body_bytes: parts.server.max_body_bytes,
            max_line_bytes: parts.server.max_line_bytes,
            max_ordered_bytes: parts.limits.max_ordered_bytes,
            idle_timeout: parts.server.idle_timeout,
            metrics_access: parts.server.metrics_access,
            lifecycle: parts.lifecycle,
            metrics: parts.metrics,
            traces: parts.traces,
            started_at: crate::types::clock::now(),
        }
    }

    /// Rejects new work while the server drains.
    ///
    /// # Errors
    /// `shutting_down`.
    pub fn reject_if_draining(&self) -> Result<(), Error> {
        if self.lifecycle.draining.is_cancelled() {
            Err(shutting_down())
        } else {
            Ok(())
        }
    }
}
