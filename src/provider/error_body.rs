//! Error bodies of LLM APIs: finds the error object and its message, and classifies the error.

use std::time::Duration;

use serde_json::Value;

/// Decoded error body of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamErrorBody {
    /// Message of the provider, not yet redacted.
    pub message: String,
    pub class: ErrorClass,
    /// HTTP status that the error's code stands for, used for errors within a 200 response; `None`:
    /// unknown.
    pub status: Option<u16>,
    /// Wait that the body asks for; `None`: not given.
    pub retry_after: Option<Duration>,
}

/// Class of an error, where its code says more than the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorClass {
    /// The HTTP status says it all.
    #[default]
    Status,
    /// The API key's quota or credit is exhausted; waiting does not help.
    QuotaExhausted,
    /// The request alone exceeds a minute's token quota; waiting does not help.
    RequestTooLarge,
    /// A content filter rejected the input or the answer.
    ContentFiltered,
    /// The API key is invalid.
    InvalidKey,
}

/// Maximum number of bytes taken from an error body that is not JSON.
///
/// Far more than is passed on to callers, so that no secret is cut in two before redaction finds
/// it.
const MAX_RAW_ERROR_BYTES: usize = 64 * 1024;

/// Returns the error object of a body: its member `error`, that of its first array element, or the
/// body itself.
#[must_use]
pub fn error_object(body: &Value) -> &Value {
    let body = body.get(0).unwrap_or(body);
    body.get("error").unwrap_or(body)
}

/// Returns the message of an error object, or the text of the whole `body` if the object has none.
#[must_use]
pub fn error_message(error: &Value, body: &[u8]) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let message = text(error.get("message"))
        .or_else(|| text(Some(error)))
        .or_else(|| {
            error
                .get("detail")
                .map(|detail| text(Some(detail)).unwrap_or_else(|| detail.to_string()))
        })
        .unwrap_or_else(|| {
            String::from_utf8_lossy(body.get(..MAX_RAW_ERROR_BYTES).unwrap_or(body))
                .trim()
                .to_owned()
        });
    if message.is_empty() {
        "(no message)".to_owned()
    } else {
        message
    }
}

/// Returns an error code as an HTTP status, if it is a number from 400 to 599.
#[must_use]
pub fn http_status_of(code: Option<&Value>) -> Option<u16> {
    code.and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code))
}
