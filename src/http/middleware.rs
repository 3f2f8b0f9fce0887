//! Middleware of every route: request ID, authentication, host check, problem bodies, rate limit headers, timing, panics.

mod auth;
mod host_check;
mod panic;
mod problem_body;
mod rate_limit_headers;
mod request_id;
mod server_span;
mod timing;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

pub use auth::{SignedLink, is_probe};
pub use request_id::RequestId;

use super::chat::error::ErrorShape;
use super::open_connections::OpenRequest;
use super::problem::ApiError;
use super::request_memory::no_response_memory;
use super::response_memory;
use super::state::AppState;
use crate::contract::millis;
use crate::long_work::run_long;
use crate::telemetry;
use crate::types::{Code, Error};
use throttle::{CallerId, RETRY_SOON};

/// Authenticates a request, calls the route, and completes the response's body and headers.
pub async fn handle(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = RequestId::from_headers(request.headers());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map(MatchedPath::as_str);
    let span = server_span::start(&state.traces, &mut request, route, &request_id);
    let shape = ErrorShape::of_path(request.uri().path());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    request.extensions_mut().insert(request_id.clone());
    let authenticated = auth::authenticate(&state, &mut request).and_then(|caller| {
        count_open(&state, &request, caller)?;
        Ok(caller)
    });
    let caller = authenticated.as_ref().ok().copied();
    let response = match authenticated {
        // Caught here rather than in a layer of its own, which would box every request and body once more.
        Ok(_) => AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(panic::response),
        Err(error) => ApiError::from(error).into_response(),
    };
    panic::log(&response, &request_id);
    let with_body =
        |response| problem_body::add(response, &request_id, shape, &method, uri.path(), route);
    let piece = caller.and_then(|caller| problem_body::piece(&response, caller));
    let response = run_long(piece, || with_body(response)).await;
    // After an error has its body, which is counted too.
    let mut response = match (caller, route) {
        (Some(caller), Some(route)) => count_memory(&state, caller, &method, route, response)
            .unwrap_or_else(|refused| with_body(refused.into_response())),
        _ => response,
    };
    request_id.add_header(&mut response);
    timing::add_header(&mut response, started.elapsed());
    // The default caller has no key, and therefore no quota.
    if let Some(caller) = caller.filter(|caller| *caller != CallerId::default())
        && let Some(quota) = state.extractor.limits().quota_status(caller)
    {
        rate_limit_headers::add(response.headers_mut(), &quota);
    }
    let path = route.unwrap_or("none");
    let status = response.status().as_u16();
    telemetry::count_request(path, status);
    tracing::debug!(%method, path, status, request_id = %request_id.0, elapsed_ms = millis(started.elapsed()), "request completed");
    server_span::complete(span, response)
}

/// Counts a request of a connection for its caller while it is open. A request that needs no key is nobody's; one with a signed link is
/// counted by its handler, for the job's caller. The calls of `/mcp`'s tools have no connection of their own.
///
/// # Errors
/// `quota_exceeded` if the caller has its share of open requests.
fn count_open(state: &AppState, request: &Request, caller: CallerId) -> Result<(), Error> {
    let extensions = request.extensions();
    let is_nobodys =
        extensions.get::<SignedLink>().is_some() || auth::needs_no_key(state, request.uri().path());
    match extensions.get::<OpenRequest>() {
        Some(open) if !is_nobodys => count_for(open, state, caller),
        _ => Ok(()),
    }
}

/// Counts an open request for a caller, in place of the one before.
///
/// # Errors
/// `quota_exceeded` if the caller has its share of open requests.
pub fn count_for(open: &OpenRequest, state: &AppState, caller: CallerId) -> Result<(), Error> {
    let is_shared = state.extractor.limits().has_several_callers();
    open.count_for(caller, is_shared).map_err(|refused| {
        let detail = format!("{refused}; end some of them, or wait for them, and retry in 1 s");
        Error::new(Code::QuotaExceeded, detail).retry_after(RETRY_SOON)
    })
}

/// Counts the memory of a response until it is sent. The web page and the API documents are kept once, shared by all responses.
///
/// # Errors
/// `overloaded` if there is no memory for a response that may be refused.
fn count_memory(
    state: &AppState,
    caller: CallerId,
    method: &Method,
    route: &str,
    response: Response,
) -> Result<Response, ApiError> {
    // What shows that there is no memory is answered even so.
    let shows_memory = matches!(route, "/v1/limits" | "/metrics");
    if !shows_memory && !route.starts_with("/v1/") && route != "/mcp" {
        return Ok(response);
    }
    // A GET can be repeated.
    let may_be_refused = method == Method::GET && !shows_memory;
    let ledger = state.extractor.limits().memory();
    response_memory::count(ledger, caller, may_be_refused, response)
        .map_err(|refused| no_response_memory(&refused).into())
}
