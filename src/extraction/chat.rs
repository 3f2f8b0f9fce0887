//! Chat completion that is passed through to a provider as the caller wrote it, and the provider's messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::provider::{ChatBody, ChatRequest, MessageSink, Request};
use throttle::{MemoryPool, PooledMemory, ReceivedText};

/// Chat completion in the format of OpenAI's API, and the provider's answer.
#[derive(Debug)]
pub struct Chat {
    body: ChatBody,
    is_streamed: bool,
    messages: Arc<ChatMessages>,
}

impl Chat {
    /// Creates a chat completion from the caller's body.
    #[must_use]
    pub fn new(body: ChatBody, is_streamed: bool) -> Self {
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

    /// Returns the receiver of a call's messages, with the memory of the request's results and the counter of the answer's text.
    pub(super) fn sink<'r>(&'r self, memory: &'r MemoryPool, received: ReceivedText) -> Sink<'r> {
        Sink {
            messages: &self.messages,
            memory,
            received,
        }
    }

    /// Returns the request of a call with the settings of `call`.
    pub(super) fn request<'r>(
        &'r self,
        call: &Request<'r>,
        messages: &'r dyn MessageSink,
    ) -> ChatRequest<'r> {
        ChatRequest {
            model: call.model,
            body: &self.body,
            extra_body: call.extra_body,
            is_streamed: self.is_streamed,
            trace_context: call.trace_context,
            key: call.key,
            messages,
            memory: call.memory,
        }
    }
}

/// Size of the waiting messages of a stream from which no more of it is read, in bytes: 1 MiB, some 4,000 tokens.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// Receiver of a call's messages.
pub(super) struct Sink<'a> {
    messages: &'a ChatMessages,
    memory: &'a MemoryPool,
    received: ReceivedText,
}

impl MessageSink for Sink<'_> {
    fn receive(&self, message: Vec<u8>) {
        self.messages.push(message, self.memory);
    }

    fn record_text(&self, bytes: usize) {
        self.received.add(bytes);
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.messages.room())
    }
}

/// Messages of a provider that the client has not taken yet.
#[derive(Debug, Default)]
pub struct ChatMessages {
    queue: Mutex<Queue>,
    begun: Notify,
    arrived: Notify,
    taken: Notify,
}

#[derive(Debug)]
struct Message {
    json: Vec<u8>,
    bytes: usize,
    _memory: PooledMemory,
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Message>,
    /// Size of the waiting messages, in bytes.
    bytes: usize,
    /// Time from which the provider has been waited for: that of its last message, or of the room for another one; `None`: no message
    /// has arrived.
    waiting_since: Option<Instant>,
}

impl Queue {
    /// Returns true if so many messages wait for the client that no more are read.
    const fn is_full(&self) -> bool {
        self.bytes > MAX_WAITING_BYTES
    }
}

impl ChatMessages {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message, which holds memory until it is dropped.
    fn push(&self, mut json: Vec<u8>, memory: &MemoryPool) {
        json.shrink_to_fit();
        let bytes = json.len() + size_of::<Message>();
        let message = Message {
            json,
            bytes,
            _memory: memory.hold(bytes),
        };
        let mut queue = self.lock();
        let is_first = queue.waiting_since.replace(Instant::now()).is_none();
        queue.bytes += bytes;
        queue.waiting.push_back(message);
        drop(queue);
        self.arrived.notify_one();
        if is_first {
            self.begun.notify_one();
        }
    }

    /// Waits until no more than [`MAX_WAITING_BYTES`] wait.
    async fn room(&self) {
        while self.lock().is_full() {
            self.taken.notified().await;
        }
    }

    /// Returns true if a message has arrived, whether it was taken or not.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().waiting_since.is_some()
    }

    /// Waits until a message has arrived, whether it was taken or not. One task may wait at a time.
    pub(super) async fn begun(&self) {
        if !self.has_begun() {
            self.begun.notified().await;
        }
    }

    /// Returns the time for which the provider has sent nothing although more was read; `None` if no message has arrived.
    pub(super) fn silence(&self) -> Option<Duration> {
        let queue = self.lock();
        let since = queue.waiting_since?;
        if queue.is_full() {
            // The client is waited for.
            return Some(Duration::ZERO);
        }
        Some(since.elapsed())
    }

    /// Takes the next message that has arrived, with its memory.
    #[must_use]
    pub fn pop(&self) -> Option<Bytes> {
        let mut queue = self.lock();
        let message = queue.waiting.pop_front()?;
        let was_full = queue.is_full();
        queue.bytes -= message.bytes;
        if was_full && !queue.is_full() {
            queue.waiting_since = Some(Instant::now());
        }
        drop(queue);
        self.taken.notify_one();
        Some(Bytes::from_owner(message))
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;

    #[tokio::test]
    async fn messages_that_wait_are_counted_and_bounded() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let memory = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let chat = Chat::new(ChatBody::default(), true);
        let sink = chat.sink(&memory, ReceivedText::default());
        let mut sent = 0;
        while sink.room().now_or_never().is_some() {
            sink.receive(vec![b'x'; 250]);
            sent += 1;
            assert!(sent < 10_000, "the messages are not bounded");
        }
        assert!(ledger.snapshot().held >= MAX_WAITING_BYTES);
        let room = sink.room();
        let taken = async {
            for _ in 0..sent {
                chat.messages().arrived().await;
                assert_eq!(chat.messages().pop().map(|json| json.len()), Some(250));
            }
        };
        let all = futures_util::future::join(room, taken);
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, all).await.unwrap();
        assert_eq!((memory.held(), ledger.snapshot().held), (0, 0));
    }

    #[tokio::test]
    async fn the_provider_is_silent_only_while_it_is_read() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let memory = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let chat = Chat::new(ChatBody::default(), true);
        let messages = chat.messages();
        assert_eq!(messages.silence(), None);
        assert!(messages.begun().now_or_never().is_none());
        let silent_for = Duration::from_millis(20);
        let sink = || chat.sink(&memory, ReceivedText::default());
        sink().receive(vec![b'x'; 250]);
        messages.begun().await;
        std::thread::sleep(silent_for);
        assert!(messages.silence() >= Some(silent_for));
        sink().receive(vec![b'x'; MAX_WAITING_BYTES]);
        std::thread::sleep(silent_for);
        assert_eq!(messages.silence(), Some(Duration::ZERO));
        let full = Instant::now();
        assert!(messages.pop().is_some() && messages.pop().is_some());
        assert!(
            messages
                .silence()
                .is_some_and(|silence| silence <= full.elapsed())
        );
        messages.begun().await;
    }
}
