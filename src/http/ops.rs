//! The server itself: health, limits, models, metrics, version.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::State;
use super::guard::no_query;
use super::problem::ApiError;
use crate::contract::{Problem, millis};
use crate::extraction::ModelEndpoint;
use crate::telemetry;
use crate::types::{Mode, Usd};
use throttle::{BreakerSnapshot, BreakerState, LimitKind, LimitSnapshot, RetryBudgetSnapshot};

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
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            ready: reasons.is_empty(),
            reasons,
        }),
    )
        .into_response()
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, body = String)))]
pub async fn metrics(state: State) -> Response {
    for reading in state.extractor.limits().snapshots() {
        let [in_use, available, waiting] = telemetry::limit_gauges(
            kind(reading.kind),
            reading.scope.as_deref().unwrap_or("all"),
        );
        in_use.set(as_gauge(reading.in_use));
        waiting.set(as_gauge(reading.waiting));
        available.set(reading.available.map_or(f64::INFINITY, as_gauge));
    }
    telemetry::store_gauge().set(if state.jobs.not_ready_reason().is_none() {
        1.0
    } else {
        0.0
    });
    let breakers = state.extractor.limits().breakers();
    for BreakerSnapshot { model, state, .. } in
        breakers.into_iter().filter(|reading| reading.has_metrics)
    {
        telemetry::breaker_gauge(&model).set(match state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 0.5,
            BreakerState::Open => 1.0,
        });
    }
    for RetryBudgetSnapshot {
        provider,
        used,
        limit,
    } in state.extractor.limits().retry_budgets()
    {
        let (used_gauge, limit_gauge) = telemetry::retry_gauges(&provider);
        used_gauge.set(f64::from(used));
        limit_gauge.set(f64::from(limit));
    }
    if let Some(reading) = state.extractor.cache() {
        let (entries, bytes) = telemetry::cache_gauges();
        entries.set(as_gauge(reading.entries));
        bytes.set(as_gauge(reading.size_bytes));
    }
    let text = state
        .metrics
        .as_ref()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and exact up to 53 bits"
)]
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
pub async fn models(state: State, uri: Uri) -> Result<Json<ModelList>, ApiError> {
    no_query(&uri)?;
    let models = state.extractor.models();
    let created = state
        .started_at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let default = models.default.first.label();
    let model = |id: String, route: &ModelEndpoint| Model {
        default: route.label() == default,
        id,
        object: "model",
        created,
        owned_by: route.provider_name.clone(),
        provider: route.provider_name.clone(),
        modes: route.provider.modes().to_vec(),
        note: route.provider.note(),
    };
    let mut data: Vec<_> = models
        .named
        .iter()
        .map(|(name, choice)| model(name.clone(), &choice.first))
        .collect();
    if !data.iter().any(|model| model.default) {
        data.insert(0, model(default.clone(), &models.default.first));
    }
    Ok(Json(ModelList {
        object: "list",
        data,
    }))
}

/// A limit as it stands.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Limit {
    name: String,
    #[schema(example = "concurrency")]
    kind: &'static str,
    /// `all`, or what it belongs to: a provider, one of its keys (`provider#1`), a model (`provider/model`), a caller
    /// (`caller:name`).
    scope: String,
    /// `null`: unlimited.
    limit: Option<u64>,
    in_use: u64,
    /// `null`: unlimited.
    available: Option<u64>,
    waiting: u64,
}

/// The circuit breaker of one model: while it is open, nothing is asked of the model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BreakerView {
    /// `provider/model`.
    model: String,
    #[schema(example = "closed")]
    state: &'static str,
    /// While it is open: when a call is let through to see whether it is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in_ms: Option<f64>,
}

/// The retry budget of one provider, over the last ten seconds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetryView {
    provider: String,
    used: u32,
    allowed: u32,
}

/// The budget of one caller, today (UTC).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BudgetView {
    caller: String,
    #[schema(value_type = f64)]
    limit_usd: Usd,
    /// What is reserved for calls in flight counts.
    #[schema(value_type = f64)]
    spent_usd: Usd,
}

/// How full the cache of results is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CacheView {
    entries: u64,
    size_bytes: u64,
}

/// Every limit, and how the providers fare.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitList {
    limits: Vec<Limit>,
    /// Of the models that were asked so far, and of the configured ones.
    breakers: Vec<BreakerView>,
    retries: Vec<RetryView>,
    budgets: Vec<BudgetView>,
    /// Left out where no cache is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheView>,
}

/// The limits as they stand now.
#[utoipa::path(get, path = "/v1/limits", tag = "server",
    responses((status = 200, body = LimitList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn limits(state: State, uri: Uri) -> Result<Json<LimitList>, ApiError> {
    no_query(&uri)?;
    let all = state.extractor.limits();
    let breakers = all.breakers().into_iter().map(|reading| BreakerView {
        model: reading.model,
        state: match reading.state {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        },
        retry_in_ms: reading.retry_in.map(millis),
    });
    let retries = all.retry_budgets().into_iter().map(
        |RetryBudgetSnapshot {
             provider,
             used,
             limit,
         }| RetryView {
            provider,
            used,
            allowed: limit,
        },
    );
    let budgets = all
        .caller_budgets()
        .into_iter()
        .map(|(caller, limit_usd, spent_usd)| BudgetView {
            caller,
            limit_usd,
            spent_usd,
        });
    let cache = state.extractor.cache();
    Ok(Json(LimitList {
        limits: all.snapshots().into_iter().map(limit).collect(),
        breakers: breakers.collect(),
        retries: retries.collect(),
        budgets: budgets.collect(),
        cache: cache.map(|reading| CacheView {
            entries: reading.entries,
            size_bytes: reading.size_bytes,
        }),
    }))
}

const fn kind(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Concurrency => "concurrency",
        LimitKind::RequestsPerMinute => "requests_per_minute",
        LimitKind::TokensPerMinute => "tokens_per_minute",
        LimitKind::Queue => "queue",
    }
}

fn limit(reading: LimitSnapshot) -> Limit {
    let kind = kind(reading.kind);
    let scope = reading.scope.unwrap_or_else(|| "all".to_owned());
    Limit {
        name: if scope == "all" {
            kind.to_owned()
        } else {
            format!("{scope}/{kind}")
        },
        kind,
        scope,
        limit: reading.limit,
        in_use: reading.in_use,
        available: reading.available,
        waiting: reading.waiting,
    }
}
