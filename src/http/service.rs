//! The server itself: health, limits, models, metrics, version.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::State;
use super::guard::no_query;
use super::problem::{Failed, Problem};
use crate::extract::Route;
use crate::limits::{Kind, Reading};
use crate::model::Mode;
use crate::telemetry;

/// Alive.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server takes work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// Takes work; 503 with the reasons when it does not.
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses((status = 200, body = Readiness), (status = 503, description = "Takes no work", body = Readiness)))]
pub async fn readyz(state: State) -> Response {
    let mut reasons = Vec::new();
    if state.lifecycle.draining.is_cancelled() {
        reasons.push("the server is shutting down".to_owned());
    }
    reasons.extend(state.extractor.models().default.provider.unready());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, body = String)))]
pub async fn metrics(state: State) -> Response {
    for reading in state.extractor.limits().readings() {
        let (in_use, waiting) = telemetry::limit_gauges(kind(reading.kind), reading.scope.as_deref().unwrap_or("all"));
        in_use.set(as_gauge(reading.in_use));
        waiting.set(as_gauge(reading.waiting));
    }
    let text = state.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and exact up to 53 bits")]
const fn as_gauge(value: u64) -> f64 {
    value as f64
}

/// What is running.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    /// The optional parts that are built in.
    features: Vec<&'static str>,
}

/// The version.
#[utoipa::path(get, path = "/version", tag = "server", responses((status = 200, body = Version)))]
pub async fn version() -> Json<Version> {
    let features = if cfg!(feature = "local") { vec!["local"] } else { Vec::new() };
    Json(Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION"), features })
}

/// A model that can be asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Model {
    /// What goes into a spec's `model`.
    id: String,
    object: &'static str,
    /// When the server started, in seconds of Unix time.
    created: u64,
    owned_by: String,
    provider: String,
    /// Answers requests that name no model.
    default: bool,
    /// How it can be asked for structure, the best first.
    modes: Vec<Mode>,
    /// What there is to know before using it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// The models, in the shape of OpenAI's list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// Lists the configured models. Any other model of a configured provider is `provider/model`.
#[utoipa::path(get, path = "/v1/models", tag = "server",
    responses((status = 200, body = ModelList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn models(state: State, uri: Uri) -> Result<Json<ModelList>, Failed> {
    no_query(&uri)?;
    let models = state.extractor.models();
    let created = state.started_at.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let default = models.default.label();
    let model = |id: String, route: &Route| Model {
        default: route.label() == default,
        id,
        object: "model",
        created,
        owned_by: route.provider_name.clone(),
        provider: route.provider_name.clone(),
        modes: route.provider.modes().to_vec(),
        note: route.provider.note(),
    };
    let mut data: Vec<_> = models.named.iter().map(|(name, route)| model(name.clone(), route)).collect();
    if !data.iter().any(|model| model.default) {
        data.insert(0, model(default.clone(), &models.default));
    }
    Ok(Json(ModelList { object: "list", data }))
}

/// A limit as it stands.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Limit {
    name: String,
    #[schema(example = "concurrency")]
    kind: &'static str,
    /// `all`, or the provider that it belongs to.
    scope: String,
    /// `null`: unlimited.
    limit: Option<u64>,
    in_use: u64,
    /// `null`: unlimited.
    available: Option<u64>,
    waiting: u64,
}

/// Every limit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitList {
    limits: Vec<Limit>,
}

/// The limits as they stand now.
#[utoipa::path(get, path = "/v1/limits", tag = "server",
    responses((status = 200, body = LimitList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn limits(state: State, uri: Uri) -> Result<Json<LimitList>, Failed> {
    no_query(&uri)?;
    let limits = state.extractor.limits().readings().into_iter().map(limit).collect();
    Ok(Json(LimitList { limits }))
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Concurrency => "concurrency",
        Kind::RequestsPerMinute => "requests_per_minute",
        Kind::Queue => "queue",
    }
}

fn limit(reading: Reading) -> Limit {
    let kind = kind(reading.kind);
    let scope = reading.scope.unwrap_or_else(|| "all".to_owned());
    Limit {
        name: if scope == "all" { kind.to_owned() } else { format!("{scope}/{kind}") },
        kind,
        scope,
        limit: reading.limit,
        in_use: reading.in_use,
        available: reading.available,
        waiting: reading.waiting,
    }
}
