//! Wire format of OpenAI's Responses API, whole and streamed. Error bodies are those of Chat
//! Completions.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses>, read 2026-11.

mod request;
mod response;

use std::borrow::Cow;

use super::extra_body;
use super::openai;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::request::Request;
use super::request_shape::RequestShape;
use super::wire_format::WireFormat;
use crate::types::{Dialect, Mode};
use schema_dialect::dialects::{COMPATIBLE, OPENAI_STRICT};

/// Responses API of one server.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiResponses {
    /// True if the server shows the schema to the model, as OpenAI's own does. Others only
    /// constrain the output by it.
    shows_schema: bool,
}

impl OpenAiResponses {
    /// Returns the format of the server at this host: OpenAI's own, or a compatible one.
    #[must_use]
    pub fn for_host(host: &str) -> Self {
        Self {
            shows_schema: openai::is_openai_host(host),
        }
    }
}

impl WireFormat for OpenAiResponses {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some("responses".into())
    }

    fn chat_path(&self, _: &str) -> Option<Cow<'static, str>> {
        Some("chat/completions".into())
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonObject => &Dialect::OBJECT,
            Mode::JsonSchema | Mode::Tools if self.shows_schema => &OPENAI_STRICT,
            Mode::JsonSchema | Mode::Tools => &COMPATIBLE,
        }
    }

    fn reserved_fields(&self) -> &'static [&'static str] {
        extra_body::RESPONSES
    }

    fn encode(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        request::encode(request, shape, self.shows_schema)
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        response::decode(body)
    }

    fn decode_event(&self, message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
        response::decode_event(message, partial)
    }
}

#[cfg(test)]
mod tests;
