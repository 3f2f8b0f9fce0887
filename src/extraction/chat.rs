//! Chat completion that is passed through to a provider as the caller wrote it, and the provider's messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::provider::{ChatRequest, Request};

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

    /// Returns true if the answer is streamed.
    pub(super) const fn is_streamed(&self) -> bool {
        self.is_streamed
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
            trace_context: call.trace_context,
            key: call.key,
            on_message,
            memory: call.memory,
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

    /// Returns true if a message has arrived, whether it was taken or not.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().has_begun
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
