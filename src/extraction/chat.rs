//! Chat completion that is passed through to a provider as the caller wrote it: under the same limits, retries and fallbacks as
//! an extraction, but without a prompt, validation and cache of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::item::ItemRun;
use super::{Extractor, PreparedRequest, RequestClass};
use crate::provider::{ChatRequest, Request};
use crate::types::{CacheUse, Error, Mode, SchemaSource, Spec, Success};

/// Chat completion in the format of OpenAI's API, and the provider's answer.
#[derive(Debug)]
pub struct Chat {
    body: Map<String, Value>,
    is_streamed: bool,
    messages: Arc<ChatMessages>,
}

impl Chat {
    /// Creates a chat completion from the caller's body.
    #[must_use]
    pub fn new(body: Map<String, Value>, is_streamed: bool) -> Self {
        Self {
            body,
            is_streamed,
            messages: Arc::default(),
        }
    }

    /// Returns the provider's messages: the whole completion, or the chunks of a stream.
    #[must_use]
    pub const fn messages(&self) -> &Arc<ChatMessages> {
        &self.messages
    }

    /// Returns the request of a call with the settings of `call`.
    pub(super) fn request<'r>(
        &'r self,
        call: &Request<'r>,
        text: &'r str,
        on_message: &'r (dyn Fn(&[u8]) + Send + Sync),
    ) -> ChatRequest<'r> {
        ChatRequest {
            model: call.model,
            body: &self.body,
            extra_body: call.extra_body,
            is_streamed: self.is_streamed,
            text,
            traceparent: call.traceparent,
            key: call.key,
            on_message,
        }
    }
}

/// Messages of a provider that the client has not taken yet. Their size is bounded by that of one answer.
#[derive(Debug, Default)]
pub struct ChatMessages {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    has_begun: bool,
}

impl ChatMessages {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message.
    pub(super) fn push(&self, message: &[u8]) {
        let mut queue = self.lock();
        queue.has_begun = true;
        queue.waiting.push_back(Bytes::copy_from_slice(message));
        drop(queue);
        self.arrived.notify_one();
    }

    /// Takes the next message that has arrived.
    #[must_use]
    pub fn pop(&self) -> Option<Bytes> {
        self.lock().waiting.pop_front()
    }

    /// Waits until a message arrives. One reader may wait at a time.
    ///
    /// # Cancel safety
    /// No message is lost.
    pub async fn arrived(&self) {
        if self.lock().waiting.is_empty() {
            self.arrived.notified().await;
        }
    }
}

impl Extractor {
    /// Prepares a chat completion. Of `spec`, the model, the limits and the extra fields count.
    ///
    /// # Errors
    /// `invalid_request`, with pointers into the spec.
    pub async fn prepare_chat(
        &self,
        mut spec: Spec,
        chat: Chat,
        traceparent: Option<String>,
    ) -> Result<PreparedRequest, Error> {
        spec.schema = RawValue::from_string("{}".to_owned())
            .ok()
            .map(SchemaSource::Inline);
        spec.cache = CacheUse::Off;
        spec.mode = Mode::Text;
        let mut request = self
            .prepare(spec, RequestClass::Single, traceparent)
            .await?;
        request.chat = Some(Arc::new(chat));
        Ok(request)
    }
}

impl PreparedRequest {
    /// Returns true if a client may have received a part of the answer.
    pub(super) fn has_sent_messages(&self) -> bool {
        self.chat
            .as_ref()
            .is_some_and(|chat| chat.messages.lock().has_begun)
    }
}

impl ItemRun<'_> {
    /// Passes the request's chat completion through. The answer is among the [`ChatMessages`].
    pub(super) async fn pass_through(&mut self, text: &str) -> Result<Success, Error> {
        self.attempts = 1;
        self.call(text, None, None).await?;
        Ok(Success {
            data: Value::Null,
            model: self.model_label(),
            repairs: Vec::new(),
            cached: false,
        })
    }
}
