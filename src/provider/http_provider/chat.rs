//! Pass-through of chat completions: posts the caller's body to the server's Chat Completions API, and hands on what it answers.
//!
//! Servers whose own API is another one (Anthropic, Gemini, Ollama, OpenAI's Responses) have a Chat Completions API beside it.

use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::{HttpProvider, call_headers, extra_body, memory};
use crate::long_work::run_long;
use crate::net::{self, Frames, Framing, Incoming, Url};
use crate::provider::answer::Answer;
use crate::provider::chat::ChatRequest;
use crate::provider::failure::{Failure, FailureKind};
use crate::provider::openai::OpenAi;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::provider::rate_limit_headers::quota_from_headers;
use crate::provider::stream_decoder::{decode_message, is_noise};
use crate::provider::wire_format::WireFormat;
use crate::types::Mode;

impl HttpProvider {
    /// Makes one call. The answer has the text and the usage of the completion.
    pub(super) async fn pass_through(&self, chat: &ChatRequest<'_>) -> Result<Answer, Failure> {
        let url = self.chat_url(chat.model)?;
        memory::for_request(chat.memory, |memory| memory.encoding(chat.text.len(), 0))?;
        let body = serde_json::to_vec(&chat.to_body()).unwrap_or_default();
        let body = match chat.extra_body {
            Some(fields) => extra_body::merge(body, fields),
            None => body,
        };
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
            return Err(self.chat_failure(chat, &headers, Some(status), &error));
        }
        let decoded = if chat.is_streamed {
            self.hand_on_stream(chat, incoming).await?
        } else {
            let body = self.read_completion(chat, incoming).await?;
            let piece = chat
                .memory
                .and_then(|memory| memory.decoding_piece(body.len()));
            let decoded = run_long(piece, || wire().decode(&body)).await;
            if decoded.is_ok() {
                chat.messages.receive(self.message_without_keys(body));
            }
            decoded
        };
        match decoded {
            Ok(partial) => Ok(partial.into_answer(Mode::Text, quota_from_headers(&headers))),
            Err(DecodeError::Malformed(reason)) => Err(self.broken(&reason)),
            Err(DecodeError::ErrorBody(error)) => {
                Err(self.chat_failure(chat, &headers, error.status, &error))
            }
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
            body.extend_from_slice(&bytes);
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
        while partial.state != StreamState::Ended {
            let bytes = self.next_bytes(&mut incoming).await?;
            let Some(bytes) = bytes else {
                frames.end();
                if let Err(error) = self.hand_on(&mut frames, chat, &mut partial) {
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
            if let Err(error) = self.hand_on(&mut frames, chat, &mut partial) {
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
        incoming.finish().await;
        Ok(Ok(partial))
    }

    /// Decodes and hands on the chunks that have arrived.
    fn hand_on(
        &self,
        frames: &mut Frames,
        chat: &ChatRequest<'_>,
        partial: &mut PartialAnswer,
    ) -> Result<(), DecodeError> {
        while partial.state != StreamState::Ended
            && let Some(message) = frames.message()
        {
            if is_noise(&message) {
                continue;
            }
            decode_message(&wire(), &message, partial)?;
            if partial.state != StreamState::Ended {
                chat.messages.receive(self.message_without_keys(message));
            }
        }
        Ok(())
    }

    /// Replaces API keys in a message of the provider.
    fn message_without_keys(&self, message: Vec<u8>) -> Vec<u8> {
        let has_key = |key: &&str| memchr::memmem::find(&message, key.as_bytes()).is_some();
        let all = self.keys();
        let keys: Vec<_> = all.long_keys().filter(has_key).collect();
        if keys.is_empty() {
            return message;
        }
        let text = String::from_utf8_lossy(&message).into_owned();
        let text = keys
            .iter()
            .fold(text, |text, key| text.replace(key, "****"));
        text.into_bytes()
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
        let keys = self.keys();
        let own = keys.headers.get(key)?;
        let (name, prefix) = self.wire.chat_key_header();
        let name = HeaderName::from_static(name);
        if name == self.key_header {
            return Some((name, own.clone()));
        }
        let secret = keys.secrets.get(key)?.expose_secret();
        let mut value = HeaderValue::try_from([prefix, secret].concat()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// Returns the format of the chunks, which is the same for all servers.
fn wire() -> OpenAi {
    OpenAi::for_host("")
}
