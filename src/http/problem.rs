//! Error responses: the body of RFC 9457 with its HTTP status and headers (`Retry-After`, `Allow`, `WWW-Authenticate`).

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::contract::{Problem, http_status, to_json};
use crate::types::{Code, Error, Usage};

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(http_status(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Error of a handler. The middleware turns it into the response, because only the middleware knows the request's ID.
#[derive(Debug, Clone)]
pub struct ApiError(pub Box<Error>);

/// Tokens that a failed extraction used, beside its [`ApiError`] in the response's extensions.
#[derive(Debug, Clone, Copy)]
pub struct FailureUsage(pub Usage);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(Box::new(error))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(self.0.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the response for an error. `allow` is the `Allow` header of the router's own response, if it set one; `usage` is what a
/// failed extraction used.
pub fn respond(
    error: &Error,
    request_id: &str,
    allow: Option<&HeaderValue>,
    usage: Option<FailureUsage>,
) -> Response {
    let usage = usage.map(|FailureUsage(usage)| usage);
    let body = to_json(&Problem::new(error, request_id).with_usage(usage));
    let mut response = (status(error.code), body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(wait) = error.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow.clone());
    }
    if error.code == Code::Unauthorized {
        headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    response
}
