//! Errors as clients see them: `application/problem+json` (RFC 9457), with the status and title of each error code.

use serde::Serialize;
use serde_json::Value;

use crate::types::{Code, Error, FieldError, Usage};

/// Returns the HTTP status of an error code.
#[must_use]
pub const fn http_status(code: Code) -> u16 {
    match code {
        Code::InvalidJson => 400,
        Code::Unauthorized => 401,
        Code::Forbidden => 403,
        Code::NotFound => 404,
        Code::MethodNotAllowed => 405,
        Code::Conflict => 409,
        Code::Gone => 410,
        Code::PayloadTooLarge => 413,
        Code::UnsupportedMediaType => 415,
        Code::InvalidRequest | Code::InvalidSchema | Code::IdempotencyMismatch => 422,
        Code::QuotaExceeded => 429,
        Code::Internal => 500,
        Code::ExtractionFailed
        | Code::ModelRefused
        | Code::OutputTruncated
        | Code::UpstreamError
        | Code::UpstreamUnauthorized => 502,
        Code::Overloaded | Code::UpstreamRateLimited | Code::ShuttingDown => 503,
        Code::Timeout => 504,
    }
}

const fn title(code: Code) -> &'static str {
    match code {
        Code::InvalidJson => "Invalid JSON",
        Code::InvalidRequest => "Invalid request",
        Code::InvalidSchema => "Unusable JSON Schema",
        Code::Unauthorized => "API key required",
        Code::Forbidden => "Forbidden",
        Code::NotFound => "Not found",
        Code::Gone => "Gone",
        Code::MethodNotAllowed => "Method not allowed",
        Code::Conflict => "Conflict with the current state",
        Code::IdempotencyMismatch => "Idempotency key used for a different request",
        Code::PayloadTooLarge => "Payload too large",
        Code::UnsupportedMediaType => "Unsupported content type",
        Code::QuotaExceeded => "Quota exceeded",
        Code::Overloaded => "Overloaded",
        Code::ExtractionFailed => "No valid answer from the model",
        Code::ModelRefused => "Model refused",
        Code::OutputTruncated => "Model output truncated",
        Code::UpstreamError => "Provider error",
        Code::UpstreamRateLimited => "Provider rate limit exceeded",
        Code::UpstreamUnauthorized => "Provider rejected its API key",
        Code::Timeout => "Timeout",
        Code::ShuttingDown => "Shutting down",
        Code::Internal => "Internal error",
    }
}

/// An error, in the form of RFC 9457 (Problem Details for HTTP APIs).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem<'a> {
    /// URI that identifies the error code.
    #[serde(rename = "type")]
    #[schema(example = "https://extractd.dev/problems/invalid-schema")]
    kind: String,
    /// Short summary of the error code.
    title: &'static str,
    /// HTTP status. For a batch item: the status that a single extraction would have returned.
    status: u16,
    code: Code,
    /// Description of this error, and how to resolve it.
    detail: &'a str,
    /// Invalid fields, each with a JSON Pointer to its location.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    /// Number of attempts: the first call and its validation retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Text of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    /// Best invalid answer that parsed as JSON; `errors` refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a Value>,
    /// Tokens that the attempts used, and their cost. In the problem of a single extraction; other results have `usage` beside
    /// their `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// HTTP status returned by the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    /// Minimum delay before the request is sent again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// ID of the request, as in the `x-request-id` header.
    request_id: &'a str,
}

impl<'a> Problem<'a> {
    /// Creates the body for an error of the request with this ID.
    #[must_use]
    pub fn new(error: &'a Error, request_id: &'a str) -> Self {
        let attempted = error.attempted.as_deref();
        Self {
            kind: format!(
                "https://extractd.dev/problems/{}",
                error.code.as_str().replace('_', "-")
            ),
            title: title(error.code),
            status: http_status(error.code),
            code: error.code,
            detail: &error.detail,
            errors: &error.errors,
            attempts: attempted.map(|attempted| attempted.attempts),
            raw: attempted.and_then(|attempted| attempted.raw.as_deref()),
            candidate: attempted.and_then(|attempted| attempted.candidate.as_deref()),
            usage: None,
            upstream_status: error.upstream_status,
            retry_after_ms: error
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            request_id,
        }
    }

    /// Adds the usage of the failed attempts.
    #[must_use]
    pub fn with_usage(self, usage: Option<Usage>) -> Self {
        Self { usage, ..self }
    }
}
