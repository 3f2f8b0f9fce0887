//! Trace context of a request (W3C Trace Context, `traceparent`), which is forwarded to providers.

use axum::http::HeaderMap;

/// Returns the `traceparent` header if it is valid for version 00: four hexadecimal parts of 2, 32, 16 and 2 digits.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    let is_hex = parts
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths == [2, 32, 16, 2] && is_hex).then(|| text.to_owned())
}
