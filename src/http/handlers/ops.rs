//! Operational endpoints: health, readiness and version; with models, limits and metrics in submodules.

pub mod limits;
pub mod metrics;
pub mod models;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::super::state::State;

/// Liveness probe
///
/// Returns 200 while the process runs.
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "server", responses((status = 200, description = "The process runs", body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness of the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// True if the server accepts work.
    ready: bool,
    /// Reasons why the server does not accept work. Empty if it does.
    reasons: Vec<String>,
}

/// Readiness probe
///
/// Returns 200 if the server accepts work; else 503 with the reasons.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "server",
    responses((status = 200, description = "Accepts work", body = Readiness),
        (status = 503, description = "Does not accept work", body = Readiness)))]
pub async fn readyz(state: State) -> Response {
    let mut reasons = Vec::new();
    if state.lifecycle.draining.is_cancelled() {
        reasons.push("the server is shutting down".to_owned());
    }
    reasons.extend(
        state
            .extractor
            .models()
            .default
            .first
            .provider
            .not_ready_reason(),
    );
    reasons.extend(state.jobs.not_ready_reason());
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// Version of the server.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    /// Optional features compiled into the server.
    features: Vec<&'static str>,
}

/// Get the version
#[utoipa::path(get, path = "/version", operation_id = "get_version", tag = "server", responses((status = 200, description = "Name, version and features", body = Version)))]
pub async fn version() -> Json<Version> {
    let features = if cfg!(feature = "local") {
        vec!["local"]
    } else {
        Vec::new()
    };
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        features,
    })
}
