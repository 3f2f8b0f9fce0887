//! Chat completion that is passed through to a provider as the caller wrote it.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::call_memory::CallMemory;
use super::extra_body::{self, RawFields, raw_fields};
use super::request::fields_bytes;
use crate::types::TraceContext;

/// Receiver of the provider's messages: the whole completion, or the chunks of a stream one by one.
pub trait MessageSink: Send + Sync {
    /// Takes a message.
    fn receive(&self, message: Vec<u8>);

    /// Records that this many more bytes of the answer's text have arrived.
    fn record_text(&self, bytes: usize);

    /// Waits until so few messages wait for the client that more of a stream may be read.
    fn room(&self) -> BoxFuture<'_, ()>;
}

/// Memory that each field takes beside its text, in bytes.
const FIELD_BYTES: usize = 128;

/// Fields of a chat completion as the caller sent them, each with its exact bytes: as values, they could take a hundred times their text.
#[derive(Debug, Default)]
pub struct ChatBody {
    fields: IndexMap<String, Box<RawValue>>,
    bytes: usize,
}

impl ChatBody {
    /// Creates a body of these fields.
    #[must_use]
    pub fn new(fields: IndexMap<String, Box<RawValue>>) -> Self {
        let sizes = fields
            .iter()
            .map(|(name, value)| name.len() + value.get().len() + FIELD_BYTES);
        Self {
            bytes: sizes.sum(),
            fields,
        }
    }

    /// Returns the memory of the fields, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns all fields, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), &**value))
    }
}

/// Chat completion in the format of OpenAI's API.
#[derive(Clone, Copy)]
pub struct ChatRequest<'a> {
    /// Name of the model at the provider; replaces that of the body.
    pub model: &'a str,
    /// Body as the caller sent it.
    pub body: &'a ChatBody,
    /// Fields that are added to the body.
    pub extra_body: Option<&'a Map<String, Value>>,
    /// True if the answer is to be streamed.
    pub is_streamed: bool,
    /// Trace context of the call.
    pub trace_context: Option<&'a TraceContext>,
    /// Index of the API key to call with, from 0.
    pub key: usize,
    /// Receiver of the provider's messages. Those of a failed call must be discarded.
    pub messages: &'a dyn MessageSink,
    /// Memory of the completion; `None`: not counted.
    pub memory: Option<&'a CallMemory>,
}

impl ChatRequest<'_> {
    /// Returns the memory that [`to_json`](Self::to_json) takes, in bytes.
    pub(super) fn written_bytes(&self) -> usize {
        // Those that are added are written twice.
        self.body.bytes() + self.extra_body.map_or(0, fields_bytes) * 2 + self.model.len()
    }

    /// Returns the body to post. A stream is asked for its usage, which limits and costs need.
    pub(super) fn to_json(self) -> Vec<u8> {
        let mut fields: RawFields<'_> = self
            .body
            .iter()
            .map(|(name, value)| (name.into(), Cow::Borrowed(value)))
            .collect();
        set(&mut fields, "model", &self.model);
        set(&mut fields, "stream", &self.is_streamed);
        if self.is_streamed {
            let given = self.body.fields.get("stream_options");
            let mut options = given
                .and_then(|given| raw_fields(given.get()))
                .unwrap_or_default();
            set(&mut options, "include_usage", &true);
            set(&mut fields, "stream_options", &options);
        } else {
            fields.shift_remove("stream_options");
        }
        if let Some(extra) = self.extra_body {
            extra_body::add(&mut fields, extra);
        }
        let mut body = Vec::with_capacity(self.body.bytes());
        // Fields that are JSON can be written, and memory has no errors.
        drop(serde_json::to_writer(&mut body, &fields));
        body
    }
}

/// Sets a field in its place, or at the end.
fn set(fields: &mut RawFields<'_>, name: &'static str, value: &impl Serialize) {
    if let Ok(value) = to_raw_value(value) {
        fields.insert(name.into(), Cow::Owned(value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::test_fixture::IgnoreMessages;

    fn written(body: &str, extra_body: Option<&Map<String, Value>>, is_streamed: bool) -> String {
        let body = ChatBody::new(serde_json::from_str(body).unwrap());
        let chat = ChatRequest {
            model: "theirs",
            body: &body,
            extra_body,
            is_streamed,
            trace_context: None,
            key: 0,
            messages: &IgnoreMessages,
            memory: None,
        };
        let json = chat.to_json();
        assert!(chat.written_bytes() >= json.capacity());
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn the_callers_fields_keep_their_bytes_and_their_places() {
        let deep = "[".repeat(300) + &"]".repeat(300);
        let body = format!(
            r#"{{"x":{deep},"stream_options":{{"a": 1.50}},"model":"ours","y": 1e400,"z":{{"a":1}}}}"#
        );
        let extra = json!({"y": 1, "z": {"a": 2, "b": 3}, "top_p": 0.5});
        assert_eq!(
            written(&body, extra.as_object(), true),
            format!(
                r#"{{"x":{deep},"stream_options":{{"a":1.50,"include_usage":true}},"model":"theirs","y":1e400,"z":{{"a":1,"b":3}},"stream":true,"top_p":0.5}}"#
            )
        );
        assert_eq!(
            written(r#"{"stream_options":1,"stream":1}"#, None, false),
            r#"{"stream":false,"model":"theirs"}"#
        );
        let options = r#"{"stream_options":1}"#;
        assert_eq!(
            written(options, None, true),
            r#"{"stream_options":{"include_usage":true},"model":"theirs","stream":true}"#
        );
    }
}
