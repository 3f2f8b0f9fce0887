//! `GET /v1/limits`: concurrency and rate limits, circuit breakers, outages, retry budgets, spending budgets and the cache.

use std::sync::Arc;

use axum::http::Uri;
use axum::{Extension, Json};
use serde::Serialize;

use super::super::super::problem::ApiError;
use super::super::super::query::no_query;
use super::super::super::state::State;
use crate::contract::{millis, rfc3339_of};
use crate::extraction::Outage;
use crate::types::Usd;
use throttle::{
    BreakerSnapshot, BreakerState, BudgetSnapshot, CallerId, HoldSnapshot, LimitKind,
    LimitSnapshot, RetryBudgetSnapshot,
};

/// Current state of one limit.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
// Another name in the document: generated code fails on a class `Limit` with a member `limit`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = LimitState)]
pub struct Limit {
    name: String,
    #[schema(example = "concurrency")]
    kind: &'static str,
    /// Owner of the limit: `all`, a provider, one of its keys (`provider#1`), a model (`provider/model`), or a caller
    /// (`caller:name`). Of the memory also its use: `request_bodies`, `inputs`, `responses`, `schemas`, `cache` or `process`.
    scope: String,
    /// Maximum. `null` if unlimited.
    limit: Option<u64>,
    in_use: u64,
    /// Remaining capacity. `null` if unlimited.
    available: Option<u64>,
    /// Number of waiting items.
    waiting: u64,
}

impl From<LimitSnapshot> for Limit {
    fn from(snapshot: LimitSnapshot) -> Self {
        let kind = kind_name(snapshot.kind);
        let name = match &snapshot.scope {
            Some(scope) if scope != "all" => format!("{scope}/{kind}"),
            _ => kind.to_owned(),
        };
        Self {
            name,
            kind,
            scope: snapshot.scope.unwrap_or_else(|| "all".to_owned()),
            limit: snapshot.limit,
            in_use: snapshot.in_use,
            available: snapshot.available,
            waiting: snapshot.waiting,
        }
    }
}

/// Circuit breaker of one model. While it is open, the model is not called, except for probes: if only one caller's calls failed, by the others at once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BreakerView {
    /// Model, as `provider/model`.
    model: String,
    /// `closed`, `open` or `half_open`.
    #[schema(example = "closed")]
    state: &'static str,
    /// Time until a probe of any caller is let through, in milliseconds. Present while the breaker is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in_ms: Option<f64>,
}

impl From<BreakerSnapshot> for BreakerView {
    fn from(snapshot: BreakerSnapshot) -> Self {
        Self {
            model: snapshot.model,
            state: match snapshot.state {
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            },
            retry_in_ms: snapshot.retry_in.map(millis),
        }
    }
}

/// Outage of a provider: every call with a key, or to a model, fails. No call is made but a probe from time to time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OutageView {
    provider: String,
    /// Scheme, host and port of the provider.
    address: Option<String>,
    /// Name of the model at the provider. `null` if the outage holds for all models.
    model: Option<String>,
    /// Number of the key, from 1. `null` if the provider has one key or none.
    key: Option<usize>,
    /// `key_refused`, `access_denied`, `quota_exhausted`, `unknown_model` or `not_found`.
    #[schema(example = "key_refused")]
    reason: &'static str,
    /// Message of the provider.
    #[schema(value_type = String)]
    detail: Arc<str>,
    since: String,
    /// Time until a probe is let through, in milliseconds.
    retry_in_ms: f64,
}

impl From<Outage> for OutageView {
    fn from(outage: Outage) -> Self {
        Self {
            provider: outage.provider,
            address: outage.address,
            model: outage.model,
            key: outage.key,
            reason: outage.reason.as_str(),
            detail: outage.detail,
            since: rfc3339_of(outage.since),
            retry_in_ms: millis(outage.retry_in),
        }
    }
}

/// Limit that holds the calls that wait for one model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HoldView {
    /// Model, as `provider/model`.
    model: String,
    /// Number of waiting calls.
    waiting: u64,
    /// Limit that holds the first of them: a limit's `name`, or `MODEL/pause` or `PROVIDER/pause` (the provider answered 429), `MODEL/breaker`,
    /// `MODEL/trial` (few calls go out before a model's first answer), `caller/quota` or
    /// `caller/concurrency_share` (the free slots are left to other callers).
    #[schema(example = "openai/requests_per_minute")]
    limit: String,
    /// Time until the limit lets a call through, in milliseconds. Absent if another call has to end first.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in_ms: Option<f64>,
}

impl From<HoldSnapshot> for HoldView {
    fn from(snapshot: HoldSnapshot) -> Self {
        Self {
            limit: snapshot.reason.limit_name(&snapshot.model),
            model: snapshot.model,
            waiting: snapshot.waiting as u64,
            retry_in_ms: snapshot.retry_in.map(millis),
        }
    }
}

/// Retry budget of one provider, over the last ten seconds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetryView {
    provider: String,
    /// Number of retries in the window.
    used: u32,
    /// Maximum number of retries in the window.
    allowed: u32,
}

impl From<RetryBudgetSnapshot> for RetryView {
    fn from(snapshot: RetryBudgetSnapshot) -> Self {
        Self {
            provider: snapshot.provider,
            used: snapshot.used,
            allowed: snapshot.limit,
        }
    }
}

/// Spending budget of one caller for the current day (UTC).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BudgetView {
    caller: String,
    #[schema(value_type = f64)]
    limit_usd: Usd,
    /// Amount spent, including the reservations of calls in flight.
    #[schema(value_type = f64)]
    spent_usd: Usd,
}

impl From<BudgetSnapshot> for BudgetView {
    fn from(snapshot: BudgetSnapshot) -> Self {
        Self {
            caller: snapshot.name,
            limit_usd: snapshot.limit,
            spent_usd: snapshot.spent,
        }
    }
}

/// Size of the result cache.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CacheView {
    entries: u64,
    size_bytes: u64,
}

/// Current state of all limits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitList {
    limits: Vec<Limit>,
    /// Circuit breakers of the configured models and, for an operator, of all models called so far.
    breakers: Vec<BreakerView>,
    /// Keys and models with which every call of the caller fails; for an operator, of any caller.
    outages: Vec<OutageView>,
    /// Limit that holds the waiting calls of each model that has some.
    holds: Vec<HoldView>,
    retries: Vec<RetryView>,
    budgets: Vec<BudgetView>,
    /// Absent if no cache is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheView>,
}

/// Get limits
///
/// Returns the current state of all limits, circuit breakers, outages and budgets. A key that is no operator's sees its own
/// limits and budget, and the breakers, outages and holds of configured models.
#[utoipa::path(get, path = "/v1/limits", operation_id = "get_limits", tag = "server",
    responses((status = 200, description = "The current state of all limits", body = LimitList)))]
pub async fn limits(
    state: State,
    Extension(caller): Extension<CallerId>,
    uri: Uri,
) -> Result<Json<LimitList>, ApiError> {
    no_query(&uri)?;
    let limits = state.extractor.limits();
    let is_operator = state.extractor.permissions().is_operator(caller);
    let viewer = (!is_operator).then_some(caller);
    // Names that other callers have made up, and what providers say of them, are those callers' matter.
    let sees_model = |is_configured: bool| is_operator || is_configured;
    let snapshots = limits.snapshots(viewer).into_iter();
    let breakers = limits.breakers().into_iter();
    let outages = state.extractor.outages(viewer).into_iter();
    let holds = limits.holds().into_iter();
    let retries = limits.retry_budgets().into_iter();
    let budgets = limits.caller_budgets(viewer).into_iter();
    Ok(Json(LimitList {
        limits: snapshots.map(Limit::from).collect(),
        breakers: breakers
            .filter(|breaker| sees_model(breaker.is_configured))
            .map(BreakerView::from)
            .collect(),
        outages: outages
            .filter(|outage| sees_model(outage.is_configured))
            .map(OutageView::from)
            .collect(),
        holds: holds
            .filter(|hold| sees_model(hold.is_configured))
            .map(HoldView::from)
            .collect(),
        retries: retries.map(RetryView::from).collect(),
        budgets: budgets.map(BudgetView::from).collect(),
        cache: state.extractor.cache().map(|cache| CacheView {
            entries: cache.entries,
            size_bytes: cache.size_bytes,
        }),
    }))
}

/// Returns the name of a kind of limit, as in JSON and in metrics.
pub const fn kind_name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Concurrency => "concurrency",
        LimitKind::RequestsPerMinute => "requests_per_minute",
        LimitKind::TokensPerMinute => "tokens_per_minute",
        LimitKind::Queue => "queue",
        LimitKind::MemoryBytes => "memory_bytes",
    }
}
