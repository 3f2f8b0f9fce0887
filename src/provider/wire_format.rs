//! Trait [`WireFormat`]: pure mappings between our requests and answers and the JSON of one LLM
//! API.
//!
//! A wire format encodes requests, decodes responses, stream events and error bodies, and knows its
//! URL paths and headers. It must not know transport: `http_provider` sends the bytes.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error_body::{self, UpstreamErrorBody};
use super::genai_names::GenAiNames;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::request::Request;
use super::request_shape::RequestShape;
use crate::net::Framing;
use crate::types::{Dialect, Mode};

/// Wire format of one LLM API.
pub trait WireFormat: Send + Sync + std::fmt::Debug {
    /// Returns the path below the base URL, with its query, to which a call is posted.
    ///
    /// A model name in the path is one percent-encoded segment. `None`: the name cannot be a path
    /// segment.
    fn path(&self, model: &str, stream: bool) -> Option<Cow<'static, str>>;

    /// Returns the name of the header that carries the API key, and the prefix of its value.
    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    /// Returns the path of the server's Chat Completions API below the base URL. `None`: the server has none, or the model's name
    /// cannot be a path segment.
    fn chat_path(&self, model: &str) -> Option<Cow<'static, str>>;

    /// Returns the name of the header that carries the API key of [`WireFormat::chat_path`], and the prefix of its value.
    fn chat_key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    /// Returns the names of the API in traces.
    fn genai_names(&self) -> GenAiNames {
        GenAiNames::chat("openai")
    }

    /// Returns the headers of every call. Configured headers override them.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Returns the supported output modes, best first.
    fn modes(&self) -> &'static [Mode];

    /// Returns the JSON Schema dialect of a mode.
    fn dialect(&self, mode: Mode) -> &'static Dialect;

    /// Returns the fields of the body that the service may set, as dotted paths. No extra field may override them.
    fn reserved_fields(&self) -> &'static [&'static str];

    /// Encodes a request as the body to post.
    fn encode(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8>;

    /// Decodes the body of a 200 response that is not streamed.
    ///
    /// # Errors
    /// If the body is malformed or contains an error.
    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError>;

    /// Returns how a stream is split into the messages of [`WireFormat::decode_event`].
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// Decodes one message of a stream and adds it to the answer.
    ///
    /// # Errors
    /// If the message is malformed or contains an error.
    fn decode_event(&self, message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError>;

    /// Decodes the body of a response whose status is not 200.
    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        error_body::decode_error(body)
    }
}

/// Percent-encodes a model name as one path segment, so that it cannot lead to another path.
///
/// Returns `None` for an empty name and for dot segments
/// (<https://url.spec.whatwg.org/#double-dot-path-segment>).
#[must_use]
pub fn encode_path_segment(model: &str) -> Option<String> {
    const ENCODED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    (!matches!(model, "" | "." | "..")).then(|| utf8_percent_encode(model, &ENCODED).to_string())
}

/// Returns `version`, or nothing if the base URL's path already ends with it: base URLs are written
/// with and without.
#[must_use]
pub fn version_prefix(base_path: &str, version: &'static str) -> &'static str {
    let (path, suffix) = (
        base_path.trim_end_matches('/'),
        version.trim_end_matches('/'),
    );
    let has_version = path
        .strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    if has_version { "" } else { version }
}
