//! Errors in OpenAI's shape, on the paths of OpenAI's API.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::contract::{Problem, http_status, to_json};
use crate::types::{Code, Error, FieldError, Usage};

/// Shape of the errors of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// RFC 9457.
    Problem,
    /// OpenAI's `{"error": …}` alone.
    OpenAi,
    /// RFC 9457 with OpenAI's `error` as one more member, for a path that both APIs have.
    Both,
}

/// First segments of the paths of OpenAI's API below `/v1`, apart from `models`.
const OPENAI_PATHS: [&str; 19] = [
    "chat",
    "responses",
    "completions",
    "embeddings",
    "moderations",
    "audio",
    "images",
    "videos",
    "files",
    "uploads",
    "batches",
    "fine_tuning",
    "assistants",
    "threads",
    "vector_stores",
    "conversations",
    "realtime",
    "evals",
    "containers",
];

impl ErrorShape {
    /// Returns the shape of the errors of a path.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let Some(below) = path.strip_prefix("/v1/") else {
            return if misses_prefix(path) {
                Self::OpenAi
            } else {
                Self::Problem
            };
        };
        let first = below.split('/').next().unwrap_or_default();
        if first == "models" {
            Self::Both
        } else if OPENAI_PATHS.contains(&first) || below.starts_with("v1/") {
            Self::OpenAi
        } else {
            Self::Problem
        }
    }
}

/// Returns true for a path of OpenAI's API whose base URL lacks `/v1`.
fn misses_prefix(path: &str) -> bool {
    matches!(
        path.trim_end_matches('/'),
        "/chat/completions" | "/completions" | "/responses" | "/embeddings" | "/models"
    )
}

/// Returns the detail of the error for an unknown path of OpenAI's API.
#[must_use]
pub fn unknown_path(path: &str) -> String {
    const KNOWN: &str = "of OpenAI's API there are POST /v1/chat/completions, POST /v1/responses, GET /v1/models and GET /v1/models/{model}";
    if misses_prefix(path) {
        return format!("no route for {path}: the base URL must end with /v1; {KNOWN}");
    }
    if path.starts_with("/v1/v1/") {
        return format!("no route for {path}: /v1 is given twice, shorten the base URL; {KNOWN}");
    }
    if path.starts_with("/v1/responses/") {
        return format!("no route for {path}: responses are not stored; {KNOWN}");
    }
    format!("no route for {path}; {KNOWN}")
}

/// Error in OpenAI's shape. Fields after `code` are extractd's own.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiError)]
pub struct OpenAiError<'a> {
    /// Description of the error, and how to resolve it.
    message: &'a str,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error`, `insufficient_quota` or
    /// `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Field of the request that the error is about, such as `messages[0].content`.
    param: Option<String>,
    /// OpenAI's code where it has one; else that of the API's problems.
    code: &'a str,
    /// Invalid fields of the request; or the validation errors of the answer.
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
    /// Tokens that the attempts used, and their cost.
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

/// Body of an error in OpenAI's shape.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiErrorBody)]
pub struct ErrorBody<'a> {
    pub error: OpenAiError<'a>,
}

impl<'a> OpenAiError<'a> {
    /// Creates the error of the request with this ID.
    pub fn new(error: &'a Error, request_id: &'a str, usage: Option<Usage>) -> Self {
        let attempted = error.attempted.as_deref();
        Self {
            message: &error.detail,
            kind: kind(error),
            param: param(error),
            code: code(error),
            errors: &error.errors,
            attempts: attempted.map(|attempted| attempted.attempts),
            raw: attempted.and_then(|attempted| attempted.raw.as_deref()),
            candidate: attempted.and_then(|attempted| attempted.candidate.as_deref()),
            usage,
            upstream_status: error.upstream_status,
            retry_after_ms: error
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            request_id,
        }
    }

    /// Returns the fields of the event `error` of a response, which has no others.
    pub fn event_fields(&self) -> Value {
        json!({"code": self.code, "message": self.message, "param": self.param})
    }
}

/// Returns the status of an error as OpenAI's API has it.
fn status(error: &Error) -> u16 {
    match error.code {
        Code::InvalidRequest | Code::InvalidSchema if is_unknown_model(error) => 404,
        Code::InvalidRequest | Code::InvalidSchema => 400,
        // The provider rejects the request itself.
        Code::UpstreamError => match error.upstream_status {
            Some(status @ (400 | 404 | 413)) => status,
            Some(422) => 400,
            _ => http_status(error.code),
        },
        code => http_status(code),
    }
}

/// Returns true if the request names a model that is not known here.
fn is_unknown_model(error: &Error) -> bool {
    matches!(error.errors.as_slice(), [field] if field.pointer == "/model" && error.detail.contains("is not known"))
}

fn kind(error: &Error) -> &'static str {
    match status(error) {
        401 => "authentication_error",
        403 => "permission_error",
        429 if is_budget(error) => "insufficient_quota",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

/// Returns true if a caller's budget, rather than a rate, is used up.
fn is_budget(error: &Error) -> bool {
    error.code == Code::QuotaExceeded && error.detail.contains("budget")
}

fn code(error: &Error) -> &'static str {
    match error.code {
        Code::Unauthorized => "invalid_api_key",
        Code::QuotaExceeded if is_budget(error) => "insufficient_quota",
        Code::QuotaExceeded => "rate_limit_exceeded",
        _ if is_unknown_model(error) => "model_not_found",
        Code::UpstreamError if error.upstream_status == Some(404) => "model_not_found",
        Code::NotFound => "unknown_url",
        code => code.as_str(),
    }
}

/// Returns the first invalid field in OpenAI's notation: `messages[0].content` for `/messages/0/content`.
fn param(error: &Error) -> Option<String> {
    if error.attempted.is_some() {
        return None;
    }
    let pointer = error.errors.first()?.pointer.strip_prefix('/')?;
    let mut param = String::new();
    for segment in pointer.split('/') {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            param.extend(["[", &segment, "]"]);
        } else {
            if !param.is_empty() {
                param.push('.');
            }
            param.push_str(&segment);
        }
    }
    Some(param)
}

/// Returns true if OpenAI's clients, which repeat a request after each 5xx, should not.
const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::ExtractionFailed
            | Code::ModelRefused
            | Code::OutputTruncated
            | Code::UpstreamUnauthorized
            | Code::Internal
    )
}

/// Returns the response for an error on a path with this shape.
pub fn respond(
    error: &Error,
    request_id: &str,
    allow: Option<&HeaderValue>,
    usage: Option<Usage>,
    shape: ErrorShape,
) -> Response {
    let own = OpenAiError::new(error, request_id, usage);
    let (code, media_type, body) = if shape == ErrorShape::Both {
        let mut problem = serde_json::to_value(Problem::new(error, request_id).with_usage(usage))
            .unwrap_or_default();
        if let Some(problem) = problem.as_object_mut() {
            let error = json!({"message": own.message, "type": own.kind, "param": own.param, "code": own.code});
            problem.insert("error".to_owned(), error);
        }
        let media_type = "application/problem+json";
        (http_status(error.code), media_type, to_json(&problem))
    } else {
        let body = to_json(&ErrorBody { error: own });
        (status(error), "application/json", body)
    };
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
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
    if is_final(error.code) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_its_shape() {
        for (path, shape) in [
            ("/v1/chat/completions", ErrorShape::OpenAi),
            ("/v1/embeddings", ErrorShape::OpenAi),
            ("/chat/completions", ErrorShape::OpenAi),
            ("/v1/v1/models", ErrorShape::OpenAi),
            ("/v1/models", ErrorShape::Both),
            ("/v1/models/a/b", ErrorShape::Both),
            ("/v1/extract", ErrorShape::Problem),
            ("/v1/jobs", ErrorShape::Problem),
            ("/", ErrorShape::Problem),
        ] {
            assert_eq!(ErrorShape::of_path(path), shape, "{path}");
        }
    }

    #[test]
    fn a_pointer_is_written_as_openai_does() {
        let written = |pointer: &str| param(&Error::invalid(pointer, "wrong"));
        assert_eq!(
            written("/messages/0/content/1").as_deref(),
            Some("messages[0].content[1]")
        );
        assert_eq!(written("/a~1b").as_deref(), Some("a/b"));
        assert_eq!(written(""), None);
    }

    #[test]
    fn a_provider_that_rejects_the_request_is_the_callers_error() {
        let rejected = |upstream_status| {
            let error = Error::new(Code::UpstreamError, "rejected");
            status(&Error {
                upstream_status,
                ..error
            })
        };
        assert_eq!(rejected(Some(400)), 400);
        assert_eq!(rejected(Some(500)), 502);
        assert_eq!(rejected(None), 502);
    }
}
