//! Decodes OpenAI's error bodies, and the phrases with which compatible servers reject unsupported
//! features.

use serde_json::Value;

use crate::provider::error_body::{
    ErrorClass, UpstreamErrorBody, error_message, error_object, http_status_of,
};
use crate::provider::unsupported_feature::ErrorPatterns;

/// Decodes the body of an error response.
pub fn decode_error(body: &[u8]) -> UpstreamErrorBody {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    decode_error_object(error_object(&value), body)
}

/// Decodes an error object; `body`, which contains it, is the message of an error without one. Chat
/// Completions and Responses share it.
pub fn decode_error_object(error: &Value, body: &[u8]) -> UpstreamErrorBody {
    let message = error_message(error, body);
    let codes = [error.get("code"), error.get("type")]
        .map(|code| code.and_then(Value::as_str).unwrap_or_default());
    let has_code = |names: &[&str]| codes.iter().any(|code| names.contains(code));
    let class = if has_code(&QUOTA_EXHAUSTED_CODES) {
        ErrorClass::QuotaExhausted
    } else if has_code(&CONTENT_FILTER_CODES) {
        ErrorClass::ContentFiltered
    } else if message.starts_with("Request too large") {
        ErrorClass::RequestTooLarge
    } else {
        ErrorClass::Status
    };
    let status = STATUS_BY_CODE
        .iter()
        .find(|(name, _)| codes.contains(name))
        .map(|(_, status)| *status);
    UpstreamErrorBody {
        message,
        class,
        status: http_status_of(error.get("code")).or(status),
        retry_after: None,
    }
}

/// Error codes of an exhausted quota: <https://platform.openai.com/docs/guides/error-codes>, read
/// 2026-11.
const QUOTA_EXHAUSTED_CODES: [&str; 3] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
];
/// Error codes of a content filter: Azure's
/// <https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter> and OpenAI's own
/// (read 2026-11).
const CONTENT_FILTER_CODES: [&str; 2] = ["content_filter", "content_policy_violation"];
/// HTTP statuses of error codes and types, for errors within a stream.
const STATUS_BY_CODE: [(&str, u16); 7] = [
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
    ("invalid_request_error", 400),
    ("BadRequestError", 400),
    ("server_error", 500),
    ("internal_error", 500),
    ("overloaded_error", 503),
];

/// Phrases of OpenAI's API, vLLM, llama.cpp, Ollama and Groq (from their sources and issue threads,
/// 2026-11). llama-cpp-python and older llama.cpp servers answer 500 to a mode that they do not
/// know.
pub const ERROR_PATTERNS: ErrorPatterns = ErrorPatterns {
    schema: &[
        "invalid schema",
        "schema conversion",
        "invalid json schema",
        "provided json schema",
        "grammar",
        "samplers",
        "transform json schema",
        "required for format",
    ],
    json_schema: &[
        "response_format",
        "response format",
        "text.format",
        "json_schema",
        "structured output",
        "guided",
    ],
    tools: &["tool", "function"],
    json_object: &[
        "response_format",
        "response format",
        "text.format",
        "json_object",
        "json mode",
    ],
    required_for_500: &[
        "response_format",
        "json_schema",
        "json schema",
        "tools param",
        "param: tools",
    ],
};
