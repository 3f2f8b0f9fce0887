//! Wire format of Ollama's own API (`POST /api/chat`), whole and streamed as NDJSON lines.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md> and `api/types.go` there, read
//! 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::Finish;
use super::dialects::LLAMA_CPP;
use super::error_body::{ErrorClass, UpstreamErrorBody, error_message, error_object};
use super::extra_body;
use super::partial_answer::{DecodeError, PartialAnswer, StreamState};
use super::prompt::Message;
use super::request::Request;
use super::request_parts::{RequestParts, TOOL_DESCRIPTION, TOOL_NAME, to_json};
use super::request_shape::{RequestShape, Unsupported};
use super::unsupported_feature::ErrorPatterns;
use super::wire_format::{WireFormat, version_prefix};
use crate::net::Framing;
use crate::types::{Dialect, Mode, Usage};

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

/// Whole response, or a line of a streamed one.
#[derive(Deserialize)]
struct Chunk {
    message: Option<ChunkMessage>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkMessage {
    #[serde(default)]
    content: String,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    arguments: Box<RawValue>,
}

impl WireFormat for Ollama {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some(self.path.into())
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
                num_predict: request.max_output_tokens,
            },
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let mut partial = PartialAnswer::default();
        self.decode_event(body, &mut partial)?;
        match partial.state {
            StreamState::Incomplete => Err(DecodeError::Malformed(
                "the Ollama response is not `done`".to_owned(),
            )),
            StreamState::AnswerComplete | StreamState::Ended => Ok(partial),
        }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decode_event(&self, message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
        let chunk: Chunk = serde_json::from_slice(message).map_err(|error| {
            DecodeError::Malformed(format!("the body is not an Ollama response: {error}"))
        })?;
        if chunk.error.is_some() {
            return Err(DecodeError::ErrorBody(self.decode_error(message)));
        }
        if let Some(message) = chunk.message {
            partial.content.push_str(&message.content);
            let call = message
                .tool_calls
                .into_iter()
                .flatten()
                .next()
                .filter(|_| partial.arguments.is_empty());
            partial.arguments.push_str(
                call.as_ref()
                    .map_or("", |call| call.function.arguments.get()),
            );
        }
        if chunk.done {
            partial.state = StreamState::Ended;
            partial.finish = Some(match chunk.done_reason.as_deref() {
                Some("length") => Finish::Length,
                Some("stop") => Finish::Stop,
                _ => Finish::Unknown,
            });
            // Old versions omit the count of a prompt that is cached.
            partial.usage = chunk
                .eval_count
                .map(|output| Usage::new(chunk.prompt_eval_count.unwrap_or_default(), output));
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        UpstreamErrorBody {
            message: error_message(error_object(&value), body),
            class: ErrorClass::Status,
            status: None,
            retry_after: None,
        }
    }

    fn error_patterns(&self) -> &'static ErrorPatterns {
        &ERROR_PATTERNS
    }
}

/// Phrases from Ollama's source and issue threads, 2026-11.
const ERROR_PATTERNS: ErrorPatterns = ErrorPatterns {
    schema: &["grammar", "json schema", "invalid format"],
    json_schema: &["format"],
    tools: &["tool"],
    json_object: &["format"],
    required_for_500: &["grammar", "json schema"],
};

#[cfg(test)]
mod tests;
