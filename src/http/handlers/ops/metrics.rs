//! `GET /metrics`: Prometheus metrics. Gauges of limits, breakers, retry budgets and cache are set when they are scraped.

use axum::Extension;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::super::super::problem::ApiError;
use super::super::super::state::{AppState, State};
use super::limits::kind_name;
use crate::config::MetricsAccess;
use crate::telemetry::{self, Metrics};
use crate::types::{Code, Error};
use throttle::{BreakerState, CallerId, OutageReason};

/// Get metrics
///
/// Returns metrics in the Prometheus text format. With API keys, an operator's key is needed, or none with the setting
/// `server.metrics_access = "open"`.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "server", responses((status = 200, description = "Prometheus text format", body = String)))]
pub async fn metrics(
    state: State,
    Extension(caller): Extension<CallerId>,
) -> Result<Response, ApiError> {
    let is_operator = state.extractor.permissions().is_operator(caller);
    if !is_operator && state.metrics_access == MetricsAccess::Operator {
        let detail = "this API key may not read the metrics; send the key of a caller with `role = \"operator\"`, or set \
                      `server.metrics_access` to \"open\"";
        return Err(Error::new(Code::Forbidden, detail).into());
    }
    set_limit_gauges(&state);
    set_breaker_gauges(&state);
    set_outage_gauges(&state);
    set_retry_gauges(&state);
    set_cache_gauges(&state);
    let is_store_ready = state.jobs.not_ready_reason().is_none();
    telemetry::store_gauge().set(if is_store_ready { 1.0 } else { 0.0 });
    let text = state
        .metrics
        .as_ref()
        .map(Metrics::render)
        .unwrap_or_default();
    let text = if is_operator {
        text
    } else {
        telemetry::without_callers(&text)
    };
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

fn set_limit_gauges(state: &AppState) {
    for limit in state.extractor.limits().snapshots(None) {
        let scope = limit.scope.as_deref().unwrap_or("all");
        let [in_use, available, waiting] = telemetry::limit_gauges(kind_name(limit.kind), scope);
        in_use.set(as_gauge(limit.in_use));
        waiting.set(as_gauge(limit.waiting));
        available.set(limit.available.map_or(f64::INFINITY, as_gauge));
    }
}

fn set_breaker_gauges(state: &AppState) {
    let breakers = state.extractor.limits().breakers().into_iter();
    for breaker in breakers.filter(|breaker| breaker.is_configured) {
        telemetry::breaker_gauge(&breaker.model).set(match breaker.state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 0.5,
            BreakerState::Open => 1.0,
        });
    }
}

/// Sets the number of outages by provider and reason. A gauge that was set once is kept at zero when the outage is over.
fn set_outage_gauges(state: &AppState) {
    let outages = state.extractor.outages(None);
    for provider in state.extractor.models().providers.keys() {
        for reason in OutageReason::ALL {
            let own = outages
                .iter()
                .filter(|outage| outage.provider == *provider && outage.reason == reason);
            telemetry::outage_gauge(provider, reason.as_str()).set(as_gauge(own.count() as u64));
        }
    }
}

fn set_retry_gauges(state: &AppState) {
    for budget in state.extractor.limits().retry_budgets() {
        let (used, limit) = telemetry::retry_gauges(&budget.provider);
        used.set(f64::from(budget.used));
        limit.set(f64::from(budget.limit));
    }
}

fn set_cache_gauges(state: &AppState) {
    if let Some(cache) = state.extractor.cache() {
        let (entries, bytes) = telemetry::cache_gauges();
        entries.set(as_gauge(cache.entries));
        bytes.set(as_gauge(cache.size_bytes));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and exact up to 53 bits"
)]
const fn as_gauge(value: u64) -> f64 {
    value as f64
}
