//! Request IDs (`x-request-id`): the client's own if it is valid, else a generated one.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use super::super::ids::new_id;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of a client's request ID, in characters.
const MAX_CHARS: usize = 128;

/// ID of a request; among the request's extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// Returns the client's ID if it is valid: 1 to 128 letters, digits and `-_.:/+=@`. Else generates one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let sent = headers
            .get(REQUEST_ID)
            .filter(|id| is_valid(id.as_bytes()))
            .and_then(|id| id.to_str().ok());
        Self(sent.map_or_else(|| new_id("req").into(), Into::into))
    }

    /// Adds the ID to a response.
    pub fn add_header(&self, response: &mut Response) {
        let value = HeaderValue::try_from(&*self.0).unwrap_or(HeaderValue::from_static("req"));
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte))
}
