//! Decodes Gemini's error bodies (`google.rpc.Status`), and the phrases with which the API rejects
//! unsupported features.

use std::time::Duration;

use serde_json::Value;

use crate::provider::error_body::{
    ErrorClass, UpstreamErrorBody, error_message, error_object, http_status_of,
};
use crate::provider::unsupported_feature::ErrorPatterns;

/// Maximum `retryDelay` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Decodes the body of an error response.
pub fn decode_error(body: &[u8]) -> UpstreamErrorBody {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = error_object(&value);
    let delay = details(error).find_map(|detail| detail.get("retryDelay")?.as_str());
    UpstreamErrorBody {
        message: error_message(error, body),
        class: error_class(error),
        status: http_status_of(error.get("code")),
        retry_after: delay.and_then(parse_duration),
    }
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    let details = error.get("details").and_then(Value::as_array);
    details.into_iter().flatten()
}

fn error_class(error: &Value) -> ErrorClass {
    let is_invalid_key = |detail: &Value| {
        detail
            .get("reason")
            .is_some_and(|reason| reason == "API_KEY_INVALID")
    };
    let is_daily = |violation: &Value| {
        violation
            .get("quotaId")
            .and_then(Value::as_str)
            .is_some_and(|id| id.contains("PerDay"))
    };
    let mut violations = details(error)
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten();
    if details(error).any(is_invalid_key) {
        ErrorClass::InvalidKey
    } else if violations.any(is_daily) {
        ErrorClass::QuotaExhausted
    } else {
        ErrorClass::Status
    }
}

/// Parses a duration in the JSON form of protocol buffers: `34.07s`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// Phrases from issue threads, 2026-11.
pub const ERROR_PATTERNS: ErrorPatterns = ErrorPatterns {
    schema: &["schema"],
    json_schema: &[
        "json mode",
        "response_mime_type",
        "responsemimetype",
        "response mime type",
    ],
    tools: &["function", "tool"],
    json_object: &[
        "json mode",
        "response_mime_type",
        "responsemimetype",
        "response mime type",
    ],
    required_for_500: &[],
};
