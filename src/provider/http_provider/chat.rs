//! Pass-through of chat completions: posts the caller's body to the server's Chat Completions API, and hands on what it answers.
//!
//! Servers whose own API is another one (Anthropic, Gemini, Ollama, OpenAI's Responses) have a Chat Completions API beside it.

use http::{HeaderName, HeaderValue};

use super::held_chunks::HeldChunks;
use super::{HttpProvider, call_headers, memory};
use crate::long_work::{LONG_TEXT_BYTES, append_off_worker, run_long, run_off_worker};
use crate::net::{self, Frames, Framing, Incoming, Url};
use crate::provider::answer::Answer;
use crate::provider::chat::ChatRequest;
use crate::provider::failure::{Failure, FailureKind};
use crate::provider::openai::OpenAi;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::provider::stream_decoder::{decode_message, is_noise};
use crate::provider::wire_format::WireFormat;
use crate::types::Mode;

impl HttpProvider {
    /// Makes one call. The answer has the text and the usage of the completion.
    pub(super) async fn pass_through(&self, chat: &ChatRequest<'_>) -> Result<Answer, Failure> {
        let url = self.chat_url(chat.model)?;
        let bytes = chat.written_bytes();
        memory::for_request(chat.memory, |memory| memory.sending(bytes, 0))?;
        // Without a turn: the call's time runs, and its slot is held.
        let body = run_off_worker(bytes >= LONG_TEXT_BYTES, || chat.to_json());
        memory::for_request(chat.memory, |memory| memory.sending(body.len(), 0))?;
        let mut incoming = self
            .client
            .post(
                &url,
                call_headers(self.chat_key(chat.key), chat.trace_context),
                body,
            )
            .await
            .map_err(|error| self.transport_failure(&error))?;
        let headers = std::mem::take(&mut incoming.headers);
        if !incoming.status.is_success() {
            let status = incoming.status.as_u16();
            let body = self.read_error_body(incoming, chat.memory).await?;
            let error = wire().decode_error(&body);
            return Err(self
                .chat_failure(chat, &headers, Some(status), &error)
                .await);
        }
        let decoded = if chat.is_streamed {
            self.hand_on_stream(chat, incoming).await?
        } else {
            let body = self.read_completion(chat, incoming).await?;
            let piece = chat.memory.and_then(|memory| memory.long_piece(body.len()));
            let decoded = run_long(piece, || wire().decode(&body)).await;
            if decoded.is_ok() {
                let is_long = body.len() >= LONG_TEXT_BYTES;
                let message = run_off_worker(is_long, || self.secrets().mask_message(body));
                chat.messages.receive(message);
            }
            decoded
        };
        match decoded {
            Ok(partial) => Ok(self.answer(partial, Mode::Text, &headers)),
            Err(DecodeError::Malformed(reason)) => Err(self.broken(&reason)),
            Err(DecodeError::ErrorBody(error)) => Err(self
                .chat_failure(chat, &headers, error.status, &error)
                .await),
        }
    }

    /// Reads a whole completion.
    async fn read_completion(
        &self,
        chat: &ChatRequest<'_>,
        mut incoming: Incoming,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next_bytes(&mut incoming).await? {
            append_off_worker(body.len(), body.capacity(), bytes.len(), || {
                body.extend_from_slice(&bytes);
            });
            memory::for_answer(chat.memory, |memory| memory.received(body.len()))?;
            if body.len() > net::MAX_ANSWER_BYTES {
                let error = net::Error::TooLarge(net::MAX_ANSWER_BYTES);
                return Err(self.transport_failure(&error));
            }
        }
        Ok(body)
    }

    /// Hands on each chunk of a stream as it arrives. The outer error is a transport failure.
    async fn hand_on_stream(
        &self,
        chat: &ChatRequest<'_>,
        mut incoming: Incoming,
    ) -> Result<Result<PartialAnswer, DecodeError>, Failure> {
        let mut frames = Frames::new(Framing::Events);
        let mut partial = PartialAnswer::default();
        let mut held_chunks = HeldChunks::new(self.secrets());
        while partial.state != StreamState::Ended {
            let bytes = self.next_bytes(&mut incoming).await?;
            let Some(bytes) = bytes else {
                frames.end();
                if let Err(error) = hand_on(&mut frames, chat, &mut partial, &mut held_chunks) {
                    return Ok(Err(error));
                }
                break;
            };
            if let Err(error) = frames.push(&bytes) {
                return Err(self.transport_failure(&error));
            }
            // A message is copied out of what is buffered.
            let held = partial.size() + 2 * frames.buffered_bytes();
            memory::for_answer(chat.memory, |memory| memory.received(held))?;
            if let Err(error) = hand_on(&mut frames, chat, &mut partial, &mut held_chunks) {
                return Ok(Err(error));
            }
            chat.messages.room().await;
            if partial.size() > net::MAX_ANSWER_BYTES {
                let error = net::Error::TooLarge(net::MAX_ANSWER_BYTES);
                return Err(self.transport_failure(&error));
            }
        }
        if partial.finish.is_none() && partial.state == StreamState::Incomplete {
            return Err(self.broken("the stream ended before the answer was complete"));
        }
        receive_all(held_chunks.take(), chat);
        incoming.finish().await;
        Ok(Ok(partial))
    }

    fn broken(&self, reason: &str) -> Failure {
        let detail = format!("response of {}: {}", self.address, self.redact(reason));
        Failure::new(FailureKind::Broken, detail)
    }

    fn chat_url(&self, model: &str) -> Result<Url, Failure> {
        let path = self.wire.chat_path(model).ok_or_else(|| {
            let detail = format!(
                "{} has no Chat Completions API for this model; check `model`",
                self.address
            );
            Failure::new(FailureKind::Unusable, detail)
        })?;
        Ok(self.url_of(&path))
    }

    /// Returns the header of an API key, which for the Chat Completions API of other servers is not that of their own API.
    fn chat_key(&self, key: usize) -> Option<(HeaderName, HeaderValue)> {
        let secrets = self.secrets();
        let own = secrets.key_header(key)?;
        let (name, prefix) = self.wire.chat_key_header();
        let name = HeaderName::from_static(name);
        if name == self.key_header {
            return Some((name, own.clone()));
        }
        let mut value = HeaderValue::try_from([prefix, secrets.key(key)?].concat()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// Returns the format of the chunks, which is the same for all servers.
fn wire() -> OpenAi {
    OpenAi::for_host("")
}

/// Decodes and hands on the chunks that have arrived.
fn hand_on(
    frames: &mut Frames,
    chat: &ChatRequest<'_>,
    partial: &mut PartialAnswer,
    held_chunks: &mut HeldChunks,
) -> Result<(), DecodeError> {
    while partial.state != StreamState::Ended
        && let Some(message) = frames.message()
    {
        if is_noise(&message) {
            continue;
        }
        let size = partial.size();
        decode_message(&wire(), &message, partial)?;
        (chat.messages).record_text(partial.size().saturating_sub(size));
        if partial.state != StreamState::Ended {
            receive_all(held_chunks.push(message, partial)?, chat);
        }
    }
    Ok(())
}

fn receive_all(chunks: Vec<Vec<u8>>, chat: &ChatRequest<'_>) {
    for chunk in chunks {
        chat.messages.receive(chunk);
    }
}
