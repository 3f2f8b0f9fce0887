//! Stream of a chat completion: chunks as Server-Sent Events, ended by `[DONE]`.
//!
//! An extraction's text is sent while the model writes it, as far as it is valid; see [`LiveText`]. Chunks of a completion that is
//! passed through are sent as they arrive.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::Iter;
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::super::request_body::{BodyMemory, do_work};
use super::super::response_stream::streaming_response;
use super::completion::{Chunks, Identity, ReadyAnswer};
use super::error::{ErrorBody, OpenAiError};
use super::live_text::LiveText;
use super::pass_through;
use super::responses::events::ResponseEvents;
use super::rest_of_answer::RestOfAnswer;
use super::schema_choice::AnswerForm;
use crate::contract::append_json;
use crate::extraction::{
    ChatMessages, CheckedVersions, Outcomes, PreparedRequest, shutting_down, writing_piece,
};
use crate::long_work::{LONG_TEXT_BYTES, run_off_worker};
use crate::turn;
use crate::types::{Error, Input, ItemOutcome, Outcome};
use throttle::MemoryReservation;

/// Maximum wait for the first event before the status is sent: an error until then has a status of its own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time without a byte after which a comment is sent, so that proxies keep the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Size from which a part of an answer that is sent once it is valid is complete, in bytes: one is written at a time.
const PART_BYTES: usize = 16 * 1024;
/// Units of a task's turn that a part takes: at most sixteen follow each other.
const PART_UNITS: u32 = 8;

/// Inputs of a completion: exactly one.
pub type OneInput = Iter<std::array::IntoIter<Input, 1>>;

/// Parts of a request that its stream needs.
pub struct StreamRequest {
    pub prepared: Arc<PreparedRequest>,
    pub identity: Identity,
    pub request_id: Arc<str>,
    pub include_usage: bool,
    pub feed: Feed,
    pub form: AnswerForm,
    /// Translator of the chunks; `None`: they are sent as they are.
    pub responses: Option<ResponseEvents>,
    pub resources: Resources,
}

/// Source of the events while the model writes.
pub enum Feed {
    /// Chunks of the provider.
    Messages(Arc<ChatMessages>),
    /// Versions of the object that may be sent.
    Versions(CheckedVersions),
    /// Nothing before the answer is valid.
    Silent,
}

/// Resources that a stream holds until it ends.
pub struct Resources {
    pub memory: BodyMemory,
    /// Memory of the rest of the answer that is sent once it is valid; empty.
    pub answer_memory: MemoryReservation,
    pub work: TaskTrackerToken,
    pub server_ends: WaitForCancellationFutureOwned,
}

enum Event {
    Message(Bytes),
    Version(Value),
    Ended(Box<Outcome>),
    ServerEnds,
    Quiet,
}

/// Writer of one stream.
struct ChatStream {
    outcomes: Outcomes<OneInput>,
    prepared: Arc<PreparedRequest>,
    identity: Identity,
    request_id: Arc<str>,
    include_usage: bool,
    feed: Feed,
    chunks: Chunks,
    form: AnswerForm,
    live: LiveText,
    responses: Option<ResponseEvents>,
    /// Outcome that waits until the messages before it are sent.
    ended: Option<Box<Outcome>>,
    rest: Option<RestOfAnswer>,
    answer_memory: MemoryReservation,
    server_ends: Pin<Box<WaitForCancellationFutureOwned>>,
    is_done: bool,
    _memory: BodyMemory,
    _work: TaskTrackerToken,
}

/// Returns the response of a streamed completion, once its first event is known.
///
/// # Errors
/// The error of a completion that fails before its first chunk.
pub async fn respond(
    request: StreamRequest,
    outcomes: Outcomes<OneInput>,
) -> Result<Response, Error> {
    let mut stream = ChatStream::new(request, outcomes);
    let first = stream.next_event(HEAD_TIMEOUT).await;
    let mut out = BytesMut::new();
    if let Event::Ended(outcome) = &first
        && let Some(error) = failure(outcome, stream.is_pass_through())
    {
        return Err(error);
    }
    stream.write(first, &mut out).await;
    let body = futures_util::stream::once(std::future::ready(Ok::<_, Infallible>(out.freeze())))
        .chain(stream.into_bytes());
    Ok(streaming_response(
        "text/event-stream",
        Body::from_stream(body),
    ))
}

/// Returns the error of an outcome without an answer.
fn failure(outcome: &Outcome, is_pass_through: bool) -> Option<Error> {
    match &outcome.ending {
        ItemOutcome::Failed(error) if is_pass_through => Some(error.clone()),
        _ if is_pass_through => None,
        _ => ReadyAnswer::failure(outcome),
    }
}

impl ChatStream {
    fn new(request: StreamRequest, outcomes: Outcomes<OneInput>) -> Self {
        Self {
            outcomes,
            prepared: request.prepared,
            chunks: Chunks::new(
                request.identity.clone(),
                request.form.clone(),
                request.include_usage,
            ),
            identity: request.identity,
            request_id: request.request_id,
            include_usage: request.include_usage,
            feed: request.feed,
            form: request.form,
            live: LiveText::default(),
            responses: request.responses,
            ended: None,
            rest: None,
            answer_memory: request.resources.answer_memory,
            server_ends: Box::pin(request.resources.server_ends),
            is_done: false,
            _memory: request.resources.memory,
            _work: request.resources.work,
        }
    }

    const fn is_pass_through(&self) -> bool {
        matches!(self.feed, Feed::Messages(_))
    }

    fn into_bytes(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut stream| async move {
            let mut out = BytesMut::new();
            while out.is_empty() {
                if stream.is_done {
                    return None;
                }
                if let Some(rest) = stream.rest.take() {
                    stream.write_rest(rest, &mut out).await;
                    continue;
                }
                let event = stream.next_event(KEEP_ALIVE_INTERVAL).await;
                stream.write(event, &mut out).await;
            }
            Some((Ok(out.freeze()), stream))
        })
    }

    /// Waits for the next event, for at most this long.
    async fn next_event(&mut self, limit: Duration) -> Event {
        loop {
            if let Some(message) = self.feed.waiting_message() {
                return Event::Message(message);
            }
            if let Some(outcome) = self.ended.take() {
                return Event::Ended(outcome);
            }
            tokio::select! {
                biased;
                () = &mut self.server_ends => return Event::ServerEnds,
                arrived = self.feed.arrived() => if let Some(version) = arrived {
                    return Event::Version(version);
                },
                outcome = self.outcomes.next() => match outcome {
                    Some(outcome) => self.ended = Some(Box::new(outcome)),
                    None => return Event::ServerEnds,
                },
                () = tokio::time::sleep(limit) => return Event::Quiet,
            }
        }
    }

    /// Appends what the client receives for an event.
    async fn write(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Quiet => out.extend_from_slice(b": waiting\n\n"),
            Event::ServerEnds => self.fail(&shutting_down(), out),
            Event::Message(message) => self.write_message(&message, out),
            Event::Version(version) => {
                if let Some(text) = self.live.advance(&version) {
                    let chunks = self.chunks.text(&text);
                    self.append_all(&chunks, out);
                }
            }
            Event::Ended(outcome) => self.write_end(outcome, out).await,
        }
    }

    fn write_message(&mut self, message: &[u8], out: &mut BytesMut) {
        run_off_worker(message.len() >= LONG_TEXT_BYTES, || {
            let chunk = pass_through::chunk(&self.identity, message, self.include_usage);
            if let Some(chunk) = chunk {
                self.append(&chunk, out);
            }
        });
    }

    async fn write_end(&mut self, outcome: Box<Outcome>, out: &mut BytesMut) {
        if let Some(error) = failure(&outcome, self.is_pass_through()) {
            return self.fail(&error, out);
        }
        if self.is_pass_through() {
            return self.finish(out).await;
        }
        match self.rest_of(outcome).await {
            Ok(rest) => self.write_rest(rest, out).await,
            Err(error) => self.fail(&error, out),
        }
    }

    /// Returns what is not sent yet of an extraction's answer.
    ///
    /// # Errors
    /// If the answer contradicts the text that was sent.
    async fn rest_of(&mut self, mut outcome: Box<Outcome>) -> Result<RestOfAnswer, Error> {
        let live = std::mem::take(&mut self.live);
        let (form, chunks) = (self.form.clone(), self.chunks.clone());
        let prepared = Arc::clone(&self.prepared);
        if let Some(reserved) = outcome.take_reservation() {
            self.answer_memory = reserved;
        }
        let piece = writing_piece(&outcome, self.answer_memory.caller());
        let work = move || RestOfAnswer::new(&outcome, &form, live, &chunks, &prepared.warnings());
        let rest = do_work(piece, work).await.flatten()?;
        // The answer is paid for, and took as much while it was read; or it was reserved before.
        self.answer_memory.record(rest.bytes());
        Ok(rest)
    }

    /// Appends a part of the rest of an answer; after the last one the end of the stream.
    async fn write_rest(&mut self, mut rest: RestOfAnswer, out: &mut BytesMut) {
        tokio::select! {
            biased;
            () = &mut self.server_ends => return self.fail(&shutting_down(), out),
            () = poll_fn(|cx| turn::poll_take(cx, PART_UNITS)) => {}
        }
        let mut is_last = rest.answer.is_refusal;
        if is_last {
            let chunk = self.chunks.refusal(&rest.answer.text);
            self.append(&chunk, out);
        } else {
            // The first chunk, even of an answer without text.
            let chunks = self.chunks.text("");
            self.append_all(&chunks, out);
        }
        while !is_last && !self.is_done && out.len() < PART_BYTES {
            let piece = rest.next_piece();
            is_last = piece.is_empty();
            let chunks = self.chunks.text(piece);
            self.append_all(&chunks, out);
        }
        if is_last {
            self.append_all(&rest.last, out);
            drop(rest);
            // What is left of it is the part that is sent next.
            self.answer_memory.shrink(0);
            if !self.is_done {
                self.finish(out).await;
            }
        } else if !self.is_done {
            self.rest = Some(rest);
        }
    }

    /// Appends the end of the stream.
    async fn finish(&mut self, out: &mut BytesMut) {
        self.is_done = true;
        let Some(mut events) = self.responses.take() else {
            out.extend_from_slice(b"data: [DONE]\n\n");
            return;
        };
        let (piece, mut end) = (events.end_piece(), std::mem::take(out));
        let work = move || {
            events.end(&mut end);
            (events, end)
        };
        match do_work(piece, work).await {
            Ok((events, end)) => {
                // Its memory is held until this part is taken.
                self.responses = Some(events);
                *out = end;
            }
            Err(error) => self.fail(&error, out),
        }
    }

    /// Appends a chunk, or the events that it is translated to. Nothing follows an error.
    fn append(&mut self, chunk: &str, out: &mut BytesMut) {
        if self.is_done {
            return;
        }
        let Some(events) = &mut self.responses else {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(chunk.as_bytes());
            out.extend_from_slice(b"\n\n");
            return;
        };
        if let Err(error) = events.chunk(chunk, out) {
            self.fail(&error, out);
        }
    }

    fn append_all(&mut self, chunks: &[String], out: &mut BytesMut) {
        for chunk in chunks {
            self.append(chunk, out);
        }
    }

    /// Appends an error, which ends the stream.
    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        let error = OpenAiError::new(error, &self.request_id, None);
        match &mut self.responses {
            Some(events) => events.fail(&error, out),
            None => append(&ErrorBody { error }, out),
        }
        self.is_done = true;
    }
}

impl Feed {
    /// Takes a message of the provider that has arrived.
    fn waiting_message(&self) -> Option<Bytes> {
        match self {
            Self::Messages(messages) => messages.pop(),
            Self::Versions(_) | Self::Silent => None,
        }
    }

    /// Waits for the next version of the object, which it returns, or for a message of the provider: `None` once one has arrived.
    async fn arrived(&mut self) -> Option<Value> {
        match self {
            Self::Messages(messages) => {
                messages.arrived().await;
                None
            }
            Self::Versions(versions) => versions.next().await,
            Self::Silent => std::future::pending().await,
        }
    }
}

fn append(value: &impl serde::Serialize, out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    append_json(out, value);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
