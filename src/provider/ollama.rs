//! Wire format of Ollama's own API (`POST /api/chat`), whole and streamed as NDJSON lines.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md> and `api/types.go` there, read
//! 2026-11.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::Finish;
use super::content::{push_content, push_parsed_arguments};
use super::error_body::{decode_error_node, has_error_words};
use super::extra_body;
use super::finish_reason::apply_finish_reason;
use super::genai_names::GenAiNames;
use super::lenient_json::{JsonText, Members, not_read};
use super::partial_answer::{DecodeError, PartialAnswer, StreamState};
use super::prompt::Message;
use super::request::Request;
use super::request_parts::{RequestParts, TOOL_DESCRIPTION, TOOL_NAME, to_json};
use super::request_shape::{RequestShape, Unsupported};
use super::wire_format::{WireFormat, version_prefix};
use crate::net::Framing;
use crate::types::{Dialect, Mode, Usage};
use schema_dialect::dialects::LLAMA_CPP;

/// Chat API of one Ollama server.
#[derive(Debug, Clone, Copy)]
pub struct Ollama {
    path: &'static str,
}

impl Ollama {
    /// Returns the format of the server at a base URL with this path, with or without `api`.
    #[must_use]
    pub fn for_base_path(base_path: &str) -> Self {
        Self {
            path: if version_prefix(base_path, "api/").is_empty() {
                "chat"
            } else {
                "api/chat"
            },
        }
    }
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: Vec<Message>,
    stream: bool,
    /// False: a text longer than the model's context is rejected. Truncated silently, it would give
    /// a wrong answer.
    truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    options: Options,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Keyword(&'static str),
    Schema(&'a RawValue),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'static str,
    description: &'static str,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
}

impl WireFormat for Ollama {
    fn genai_names(&self) -> GenAiNames {
        GenAiNames::chat("ollama")
    }

    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some(self.path.into())
    }

    /// <https://docs.ollama.com/api/openai-compatibility>, read 2026-11.
    fn chat_path(&self, _: &str) -> Option<Cow<'static, str>> {
        // A base URL that ends with `api` is left upwards.
        let path = if self.path == "chat" {
            "../v1/chat/completions"
        } else {
            "v1/chat/completions"
        };
        Some(path.into())
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonSchema => &LLAMA_CPP,
            Mode::Tools | Mode::JsonObject => &Dialect::OBJECT,
        }
    }

    fn reserved_fields(&self) -> &'static [&'static str] {
        extra_body::OLLAMA
    }

    fn encode(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        // `format` only constrains the output, so the prompt must contain the schema.
        let RequestParts { root, messages, .. } =
            RequestParts::new(request, shape, |mode| mode == Mode::Tools);
        let function = Function {
            name: TOOL_NAME,
            description: TOOL_DESCRIPTION,
            parameters: root,
        };
        to_json(&ChatRequest {
            model: request.model,
            messages,
            stream: shape.stream,
            truncate: false,
            format: match shape.mode {
                Mode::JsonSchema => Some(Format::Schema(root)),
                Mode::JsonObject => Some(Format::Keyword("json")),
                Mode::Auto | Mode::Tools | Mode::Text => None,
            },
            // Ollama cannot force a tool call.
            tools: (shape.mode == Mode::Tools).then_some([Tool::Function { function }]),
            options: Options {
                temperature: (!shape.unsupported.has(Unsupported::Temperature))
                    .then_some(request.temperature),
                seed: request
                    .seed
                    .filter(|_| !shape.unsupported.has(Unsupported::Seed)),
                num_predict: request.max_output_tokens.or(shape.output_limit),
            },
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let mut partial = PartialAnswer::default();
        self.decode_event(body, &mut partial)?;
        match partial.state {
            StreamState::Incomplete => {
                let reason = not_read("an Ollama response", "it is not `done`", body);
                Err(DecodeError::Malformed(reason))
            }
            StreamState::AnswerComplete | StreamState::Ended => Ok(partial),
        }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decode_event(&self, message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
        if message.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let text = JsonText::parse(message).map_err(|error| {
            DecodeError::Malformed(not_read("an Ollama response", error, message))
        })?;
        let chunk = text.members();
        let is_error = chunk.get("error").is_meaningful()
            || chunk.get("message").is_null() && has_error_words(&chunk);
        if is_error {
            return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
                text.root(),
            ))));
        }
        apply_message(&chunk.get("message").members(), partial);
        if chunk.get("done").is_true() {
            apply_done(&chunk, partial)?;
        }
        Ok(())
    }
}

fn apply_message(message: &Members<'_>, partial: &mut PartialAnswer) {
    push_content(message.get("content"), partial);
    partial.push_reasoning(&message.get("thinking").string().unwrap_or_default());
    if let Some(call) = message.get("tool_calls").items().first() {
        push_parsed_arguments(call.get("function").get("arguments"), partial);
    }
}

fn apply_done(chunk: &Members<'_>, partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    partial.finish = Some(Finish::Unknown);
    if let Some(reason) = chunk.get("done_reason").string() {
        apply_finish_reason(&reason, None, partial)?;
    }
    partial.state = StreamState::Ended;
    // Old versions omit the count of a prompt that is cached.
    let input = chunk.get("prompt_eval_count").count().unwrap_or_default();
    let output = chunk.get("eval_count").count();
    partial.usage = output.map(|output| Usage::new(input, output));
    Ok(())
}

#[cfg(test)]
mod tests;
