//! Wire format of Anthropic's Messages API (Claude), whole and streamed.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages>, `…/build-with-claude/streaming`,
//! `…/structured-outputs` and `…/handling-stop-reasons` there, read 2026-11.

mod request;
mod response;

use std::borrow::Cow;

use super::extra_body;
use super::genai_names::GenAiNames;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::request::Request;
use super::request_shape::RequestShape;
use super::wire_format::{WireFormat, version_prefix};
use crate::types::{Dialect, Mode};
use schema_dialect::dialects::{ANTHROPIC_STRICT, ANTHROPIC_TOOLS};

/// Messages API of one server.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic {
    path: &'static str,
}

impl Anthropic {
    /// Returns the format of the server at a base URL with this path, with or without `v1`.
    #[must_use]
    pub fn for_base_path(base_path: &str) -> Self {
        Self {
            path: if version_prefix(base_path, "v1/").is_empty() {
                "messages"
            } else {
                "v1/messages"
            },
        }
    }
}

impl WireFormat for Anthropic {
    fn genai_names(&self) -> GenAiNames {
        GenAiNames::chat("anthropic")
    }

    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some(self.path.into())
    }

    /// <https://platform.claude.com/docs/en/api/openai-sdk>, read 2026-11.
    fn chat_path(&self, _: &str) -> Option<Cow<'static, str>> {
        let prefix = self.path.strip_suffix("messages").unwrap_or_default();
        Some([prefix, "chat/completions"].concat().into())
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-api-key", "")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::Text]
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text | Mode::JsonObject => &Dialect::WHOLE,
            Mode::JsonSchema => &ANTHROPIC_STRICT,
            Mode::Tools => &ANTHROPIC_TOOLS,
        }
    }

    fn reserved_fields(&self) -> &'static [&'static str] {
        extra_body::MESSAGES
    }

    fn encode(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        request::encode(request, shape)
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
