//! Authentication: bearer API keys, signed links to a job's events, and the paths that need neither.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;

use super::super::event_links;
use super::super::state::AppState;
use super::host_check::check_host;
use crate::config::MetricsAccess;
use crate::types::{Code, Error};
use throttle::CallerId;

/// Marker of a request that has a valid signature in place of a key; among the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct SignedLink;

/// Determines the caller of a request, and adds it to the request's extensions.
///
/// # Errors
/// `unauthorized` without a valid key; `forbidden` for an invalid signature or, without keys, an unknown host name.
pub fn authenticate(state: &AppState, request: &mut Request) -> Result<CallerId, Error> {
    let caller = caller_of(state, request)?;
    if event_links::verify(state, request.uri()).is_some_and(|verified| verified.is_ok()) {
        request.extensions_mut().insert(SignedLink);
    }
    request.extensions_mut().insert(caller);
    Ok(caller)
}

fn caller_of(state: &AppState, request: &Request) -> Result<CallerId, Error> {
    if state.keys.is_empty() {
        if !is_probe(request.uri().path()) {
            check_host(request, &state.hosts)?;
        }
        return Ok(CallerId::default());
    }
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let authorization = headers.next().and_then(|header| header.to_str().ok());
    if headers.next().is_some() {
        let detail = "the request has several `Authorization` headers; send one";
        return Err(Error::new(Code::Unauthorized, detail));
    }
    if let Some(caller) = authorization
        .and_then(bearer_token)
        .and_then(|key| state.keys.caller(key))
    {
        return Ok(caller);
    }
    if needs_no_key(state, request.uri().path()) {
        return Ok(CallerId::default());
    }
    if authorization.is_none()
        && let Some(verified) = event_links::verify(state, request.uri())
    {
        return verified.map(|()| CallerId::default());
    }
    let detail = match authorization {
        None => "the `Authorization` header is missing; send `Authorization: Bearer <API key>`",
        Some(_) => {
            "the API key in `Authorization` is unknown; send `Authorization: Bearer <API key>` with a configured key"
        }
    };
    Err(Error::new(Code::Unauthorized, detail))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns true for paths that need no key, including the assets of the web page and of the documentation page, and open metrics.
pub fn needs_no_key(state: &AppState, path: &str) -> bool {
    let has_open_metrics = state.metrics_access == MetricsAccess::Open;
    matches!(
        path,
        "/" | "/healthz" | "/readyz" | "/version" | "/openapi.json" | "/docs"
    ) || path.starts_with("/docs/")
        || path.starts_with("/ui/")
        || (has_open_metrics && path == "/metrics")
}

/// Returns true for the paths of health probes, which call the server by its IP address.
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}
