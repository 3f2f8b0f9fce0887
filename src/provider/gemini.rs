//! Wire format of Google's Gemini API, whole (`generateContent`) and streamed
//! (`streamGenerateContent`).
//!
//! Source: <https://ai.google.dev/api/generate-content>, read 2026-11.

mod request;
mod response;

use std::borrow::Cow;

use super::extra_body;
use super::genai_names::GenAiNames;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::request::Request;
use super::request_shape::RequestShape;
use super::wire_format::{WireFormat, encode_path_segment, version_prefix};
use crate::types::{Dialect, Mode};
use schema_dialect::dialects::{GEMINI_FUNCTION, GEMINI_JSON_SCHEMA};

/// Gemini API of one server.
#[derive(Debug, Clone, Copy)]
pub struct Gemini {
    /// Path segment of the API version, empty if the base URL ends with it.
    version: &'static str,
}

impl Gemini {
    /// Returns the format of the server at a base URL with this path, with or without an API
    /// version.
    #[must_use]
    pub fn for_base_path(base_path: &str) -> Self {
        let has_version = ["v1beta/", "v1/"]
            .iter()
            .any(|version| version_prefix(base_path, version).is_empty());
        Self {
            version: if has_version { "" } else { "v1beta/" },
        }
    }
}

impl WireFormat for Gemini {
    fn genai_names(&self) -> GenAiNames {
        GenAiNames {
            provider: "gcp.gemini",
            operation: "generate_content",
        }
    }

    fn path(&self, model: &str, stream: bool) -> Option<Cow<'static, str>> {
        let (kind, name) = match model.split_once('/') {
            Some((kind @ ("models" | "tunedModels"), name)) => (kind, name),
            _ => ("models", model),
        };
        let method = if stream {
            "streamGenerateContent?alt=sse"
        } else {
            "generateContent"
        };
        Some(
            format!(
                "{}{kind}/{}:{method}",
                self.version,
                encode_path_segment(name)?
            )
            .into(),
        )
    }

    /// <https://ai.google.dev/gemini-api/docs/openai>, read 2026-11.
    fn chat_path(&self, _: &str) -> Option<Cow<'static, str>> {
        Some(format!("{}openai/chat/completions", self.version).into())
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonSchema => &GEMINI_JSON_SCHEMA,
            Mode::Tools => &GEMINI_FUNCTION,
            Mode::JsonObject => &Dialect::OBJECT,
        }
    }

    fn reserved_fields(&self) -> &'static [&'static str] {
        extra_body::GENERATE_CONTENT
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
