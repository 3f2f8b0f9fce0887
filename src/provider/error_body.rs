//! What a provider says when it refuses, wherever in a body it says so.

use std::time::Duration;

use serde_json::Value;

/// What a provider said when it refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamErrorBody {
    pub message: String,
    pub meaning: ErrorClass,
    /// The HTTP status that it would have had, for an error within a 200; `None` if that cannot be told.
    pub status: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a refusal means, whatever its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorClass {
    /// What its status says.
    #[default]
    Status,
    /// The quota of the key is used up; waiting does not help.
    Exhausted,
    /// The request alone is more than a minute's quota; waiting does not help.
    TooLarge,
    /// It is the text, or what the model would say to it, that the provider does not want.
    Declined,
    /// The key is not accepted.
    BadKey,
}

/// So much is read of an error that is no JSON: far more than is passed on, so that no secret is cut in two before it is found.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The object that says what went wrong, in a body that may have it as `error`, in a list, or be it.
#[must_use]
pub fn error_in(body: &Value) -> &Value {
    let body = body.get(0).unwrap_or(body);
    body.get("error").unwrap_or(body)
}

/// The words of an error, or all of `body` if it has none.
#[must_use]
pub fn error_message(error: &Value, body: &[u8]) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let words = text(error.get("message"))
        .or_else(|| text(Some(error)))
        .or_else(|| {
            error
                .get("detail")
                .map(|detail| text(Some(detail)).unwrap_or_else(|| detail.to_string()))
        })
        .unwrap_or_else(|| {
            String::from_utf8_lossy(body.get(..MAX_TEXT_BYTES).unwrap_or(body))
                .trim()
                .to_owned()
        });
    if words.is_empty() {
        "(no message)".to_owned()
    } else {
        words
    }
}

/// A code that is an HTTP status of an error.
#[must_use]
pub fn http_status_of(code: Option<&Value>) -> Option<u16> {
    code.and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code))
}
