//! Errors as callers see them: `application/problem+json` (RFC 9457), and the one table of status codes.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::types::{Code, Error, FieldError};

/// The HTTP status of each code.
pub const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidJson => StatusCode::BAD_REQUEST,
        Code::InvalidRequest | Code::InvalidSchema | Code::IdempotencyMismatch => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Gone => StatusCode::GONE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Conflict => StatusCode::CONFLICT,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::ExtractionFailed
        | Code::ModelRefused
        | Code::OutputTruncated
        | Code::UpstreamError
        | Code::UpstreamUnauthorized => StatusCode::BAD_GATEWAY,
        Code::Overloaded | Code::UpstreamRateLimited | Code::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn title(code: Code) -> &'static str {
    match code {
        Code::InvalidJson => "The body is not JSON",
        Code::InvalidRequest => "The request is not as described",
        Code::InvalidSchema => "The schema cannot be used",
        Code::Unauthorized => "A key is required",
        Code::Forbidden => "Not allowed",
        Code::NotFound => "Not found",
        Code::Gone => "No longer there",
        Code::MethodNotAllowed => "Method not allowed",
        Code::Conflict => "In conflict with what is there",
        Code::IdempotencyMismatch => "The idempotency key belongs to another request",
        Code::PayloadTooLarge => "Too large",
        Code::UnsupportedMediaType => "The content type is not supported",
        Code::QuotaExceeded => "The quota is used up",
        Code::Overloaded => "Overloaded",
        Code::ExtractionFailed => "No valid answer",
        Code::ModelRefused => "The model declined",
        Code::OutputTruncated => "The answer was cut off",
        Code::UpstreamError => "The provider failed",
        Code::UpstreamRateLimited => "The provider's rate limit is used up",
        Code::UpstreamUnauthorized => "The provider refused the key",
        Code::Timeout => "Out of time",
        Code::ShuttingDown => "Shutting down",
        Code::Internal => "Internal error",
    }
}

/// An error as JSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem<'a> {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "https://extractd.dev/problems/invalid-schema")]
    kind: String,
    /// The kind in a few words.
    title: &'static str,
    /// The HTTP status; within a batch, the one that a single extraction would have had.
    status: u16,
    code: Code,
    /// One sentence that says what is wrong and what to do.
    detail: &'a str,
    /// Each single fault, with a JSON Pointer to its place.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    /// How often the model was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// The last answer's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    /// The nearest answer as JSON, where one parsed: `errors` are of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a Value>,
    /// The provider's HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    /// When it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The request that it belongs to, as in `x-request-id`.
    request_id: &'a str,
}

impl<'a> Problem<'a> {
    pub fn new(error: &'a Error, request_id: &'a str) -> Self {
        let attempted = error.attempted.as_deref();
        Self {
            kind: format!(
                "https://extractd.dev/problems/{}",
                error.code.as_str().replace('_', "-")
            ),
            title: title(error.code),
            status: status(error.code).as_u16(),
            code: error.code,
            detail: &error.detail,
            errors: &error.errors,
            attempts: attempted.map(|attempted| attempted.attempts),
            raw: attempted.and_then(|attempted| attempted.raw.as_deref()),
            candidate: attempted.and_then(|attempted| attempted.candidate.as_ref()),
            upstream_status: error.upstream_status,
            retry_after_ms: error
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            request_id,
        }
    }
}

/// What a handler ends with when it fails. The guard makes the response of it, for it knows the request's id.
#[derive(Debug, Clone)]
pub struct ApiError(pub Box<Error>);

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

/// The response for an error. Keeps `Allow`, which only the router knows.
pub fn respond(error: &Error, request_id: &str, allow: Option<&HeaderValue>) -> Response {
    // A problem has only string keys.
    let body = serde_json::to_vec(&Problem::new(error, request_id)).unwrap_or_default();
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
