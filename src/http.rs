//! The HTTP side: routes, strict JSON, NDJSON and SSE framing, problems, keys, the reference. The only place that knows
//! axum or a status code; how an item is extracted is not known here.

mod batch;
mod connection;
mod content_negotiation;
mod extract;
mod guard;
mod index;
mod jobs;
mod json_array_writer;
mod json_body;
mod ndjson_reader;
mod openapi;
mod ops;
mod problem;
mod query;
mod request_body;
mod response_stream;
mod responses;
mod schemas;
mod stall_watchdog;
mod streams;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::cors::{AllowHeaders, AllowMethods, Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use connection::serve;
pub use jobs::form as job_form;
pub use openapi::document;

use crate::config;
use crate::extraction::Extractor;
use crate::jobs::Jobs;
use crate::net::Reach;
pub use guard::Keys;

/// The life of the server, from the outside in: first no new work, then no work at all.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when the server drains: `/readyz` says so, and no new work is taken.
    pub draining: CancellationToken,
    /// Cancelled when what is still in flight has to end at once.
    pub ended: CancellationToken,
    /// The requests that do work.
    pub work: TaskTracker,
    /// What has to end before the process: connections and their watchers.
    pub tasks: TaskTracker,
}

/// What the routes are made of.
#[derive(Debug)]
pub struct Parts {
    pub extractor: Arc<Extractor>,
    pub jobs: Jobs,
    /// Signs links to the events of jobs.
    pub link_secret: [u8; 32],
    /// How long such a link holds.
    pub link_ttl: Duration,
    /// Where webhooks may lead.
    pub webhooks: Reach,
    pub server: config::Server,
    pub limits: config::Limits,
    pub keys: Arc<Keys>,
    pub lifecycle: Lifecycle,
    pub metrics: Option<PrometheusHandle>,
}

/// What every handler may use.
#[derive(Debug)]
struct Shared {
    extractor: Arc<Extractor>,
    jobs: Jobs,
    link_secret: [u8; 32],
    link_ttl: Duration,
    webhooks: Reach,
    keys: Arc<Keys>,
    hosts: Vec<String>,
    max_body_bytes: usize,
    max_line_bytes: usize,
    max_ordered_bytes: usize,
    /// Room for request bodies in memory, in KiB.
    room: Arc<Semaphore>,
    lifecycle: Lifecycle,
    metrics: Option<PrometheusHandle>,
    started_at: SystemTime,
}

type State = axum::extract::State<Arc<Shared>>;

/// How long a browser may remember what a cross-origin request may do.
const CORS_MAX_AGE: Duration = Duration::from_secs(3600);

/// Every route: the table of contents.
fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(openapi::skeleton())
        .routes(routes!(extract::extract))
        .routes(routes!(batch::extract_batch))
        .routes(routes!(jobs::create_job, jobs::list_jobs))
        .routes(routes!(jobs::show_job, jobs::delete_job))
        .routes(routes!(jobs::results::job_results))
        .routes(routes!(jobs::events::job_events))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(jobs::retry_job))
        .routes(routes!(schemas::list))
        .routes(routes!(schemas::get, schemas::put, schemas::delete))
        .routes(routes!(ops::models))
        .routes(routes!(ops::limits))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::version))
}

/// The whole service as one tower service.
pub fn router(parts: Parts) -> Router {
    let cors = cors(&parts.server.cors_origins);
    let shared = Arc::new(Shared {
        jobs: parts.jobs,
        link_secret: parts.link_secret,
        link_ttl: parts.link_ttl,
        webhooks: parts.webhooks,
        keys: parts.keys,
        hosts: parts.server.hosts,
        max_body_bytes: parts.server.max_body_bytes,
        max_line_bytes: parts.server.max_line_bytes,
        max_ordered_bytes: parts.limits.max_ordered_bytes,
        room: Arc::new(Semaphore::new(
            request_body::kibibytes(parts.limits.max_queue_bytes) as usize,
        )),
        extractor: parts.extractor,
        lifecycle: parts.lifecycle,
        metrics: parts.metrics,
        started_at: SystemTime::now(),
    });
    let (router, document) = routes().split_for_parts();
    let router = router
        .merge(openapi::reference(&document))
        .route("/", axum::routing::get(index::index))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&shared))
        .layer(axum::middleware::from_fn_with_state(shared, guard::guard));
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        // A bare `*` would not cover `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(CORS_MAX_AGE);
    if origins.iter().any(|origin| origin == "*") {
        return Some(layer.allow_origin(Any));
    }
    let origins: Vec<_> = origins
        .iter()
        .filter_map(|origin| origin.parse::<axum::http::HeaderValue>().ok())
        .collect();
    Some(layer.allow_origin(origins))
}

/// A piece of a body that was made here.
type Chunk = Bytes;

/// Parsers of request bodies and queries, without the HTTP server. The fuzz harness drives them.
pub mod readers {
    pub use super::json_body::parse;
    pub use super::ndjson_reader::NdjsonReader;
    pub use super::query::batch;

    /// NDJSON that comes in these pieces.
    pub fn lines(pieces: &[Vec<u8>], max_line_bytes: usize) -> NdjsonReader {
        let pieces: Vec<_> = pieces
            .iter()
            .cloned()
            .map(Ok::<_, std::io::Error>)
            .collect();
        let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
        NdjsonReader::new(
            body.into_data_stream(),
            max_line_bytes,
            std::sync::Arc::default(),
        )
    }
}
