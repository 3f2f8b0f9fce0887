//! Chat completion that is passed through to a provider as the caller wrote it.

use serde_json::{Map, Value};

use futures_util::future::BoxFuture;

use super::call_memory::CallMemory;
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

/// Chat completion in the format of OpenAI's API.
#[derive(Clone, Copy)]
pub struct ChatRequest<'a> {
    /// Name of the model at the provider; replaces that of the body.
    pub model: &'a str,
    /// Body as the caller sent it.
    pub body: &'a Map<String, Value>,
    /// Fields that are added to the body.
    pub extra_body: Option<&'a Map<String, Value>>,
    /// True if the answer is to be streamed.
    pub is_streamed: bool,
    /// Texts of the messages and tools, which are most of the body.
    pub text: &'a str,
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
    /// Returns the body to post. A stream is asked for its usage, which limits and costs need.
    #[must_use]
    pub fn to_body(&self) -> Map<String, Value> {
        let mut body = self.body.clone();
        body.insert("model".to_owned(), self.model.into());
        body.insert("stream".to_owned(), self.is_streamed.into());
        if self.is_streamed {
            let options = body
                .entry("stream_options")
                .or_insert_with(|| Value::Object(Map::new()));
            if !options.is_object() {
                *options = Value::Object(Map::new());
            }
            if let Some(options) = options.as_object_mut() {
                options.insert("include_usage".to_owned(), true.into());
            }
        } else {
            body.shift_remove("stream_options");
        }
        body
    }
}
