//! Decodes Anthropic's error bodies, and the phrases with which the API rejects unsupported
//! features.

use serde_json::Value;

use crate::provider::error_body::{ErrorClass, UpstreamErrorBody, error_message, error_object};
use crate::provider::unsupported_feature::ErrorPatterns;

/// Decodes the body of an error response, or an `error` event.
pub fn decode_error(body: &[u8]) -> UpstreamErrorBody {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = error_object(&value);
    let message = error_message(error, body);
    let kind = error
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_exhausted = kind == "billing_error" || message.contains("credit balance is too low");
    let class = if is_exhausted {
        ErrorClass::QuotaExhausted
    } else {
        ErrorClass::Status
    };
    let status = STATUS_BY_TYPE
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, status)| *status);
    UpstreamErrorBody {
        message,
        class,
        status,
        retry_after: None,
    }
}

/// HTTP statuses of error types, for errors within a stream:
/// <https://platform.claude.com/docs/en/api/errors>, read 2026-11.
const STATUS_BY_TYPE: [(&str, u16); 10] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// Phrases from issue threads, 2026-11.
pub const ERROR_PATTERNS: ErrorPatterns = ErrorPatterns {
    schema: &[
        "format.schema",
        "input_schema",
        "schema is",
        "too complex",
        "invalid schema",
        "json schema",
    ],
    json_schema: &[
        "output_config",
        "output_format",
        "output format",
        "structured output",
    ],
    tools: &["tool"],
    json_object: &[],
    required_for_500: &[],
};
