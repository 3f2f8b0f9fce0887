//! The wire format of Ollama's own API.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md> and `api/types.go` there, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::dialects::LLAMA_CPP;
use super::prompt::Message;
use super::request_parts::{RequestParts, TOOL, TOOL_DESCRIPTION, json};
use super::unsupported_feature::ErrorPatterns;
use super::wire_format::after;
use super::{
    DecodeError, ErrorClass, Finish, PartialAnswer, Request, RequestShape, StreamEnd, Unsupported,
    UpstreamErrorBody, WireFormat, error_body,
};
use crate::net::Framing;
use crate::types::{Dialect, Mode, Usage};

/// `/api/chat`.
#[derive(Debug, Clone, Copy)]
pub struct Ollama {
    path: &'static str,
}

impl Ollama {
    /// The server at a base URL with this path.
    #[must_use]
    pub fn at(base_path: &str) -> Self {
        Self {
            path: if after(base_path, "api/").is_empty() {
                "chat"
            } else {
                "api/chat"
            },
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    stream: bool,
    /// A text that is longer than the model's context is refused: cut in silence, it would give a wrong answer.
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
    Word(&'static str),
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

/// A whole answer, or a line of one.
#[derive(Deserialize)]
struct Chunk {
    message: Option<Reply>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Reply {
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

    fn subset(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonSchema => &LLAMA_CPP,
            Mode::Tools | Mode::JsonObject => &Dialect::OBJECT,
        }
    }

    fn encode(&self, request: &Request<'_>, form: RequestShape) -> Vec<u8> {
        // `format` only constrains; the model has to be told.
        let RequestParts { root, messages, .. } =
            RequestParts::new(request, form, |mode| mode == Mode::Tools);
        let function = Function {
            name: TOOL,
            description: TOOL_DESCRIPTION,
            parameters: root,
        };
        json(&Body {
            model: request.model,
            messages,
            stream: form.stream,
            truncate: false,
            format: match form.mode {
                Mode::JsonSchema => Some(Format::Schema(root)),
                Mode::JsonObject => Some(Format::Word("json")),
                Mode::Auto | Mode::Tools | Mode::Text => None,
            },
            // There is no way to force a call.
            tools: (form.mode == Mode::Tools).then_some([Tool::Function { function }]),
            options: Options {
                temperature: (!form.lessons.has(Unsupported::Temperature))
                    .then_some(request.temperature),
                seed: request
                    .seed
                    .filter(|_| !form.lessons.has(Unsupported::Seed)),
                num_predict: request.max_output_tokens,
            },
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let mut draft = PartialAnswer::default();
        self.decode_event(body, &mut draft)?;
        match draft.end {
            StreamEnd::Open => Err(DecodeError::Format("the answer is not done".to_owned())),
            StreamEnd::Whole | StreamEnd::Over => Ok(draft),
        }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError> {
        let chunk: Chunk = serde_json::from_slice(message)
            .map_err(|error| DecodeError::Format(format!("the answer is not Ollama's: {error}")))?;
        if chunk.error.is_some() {
            return Err(DecodeError::Error(self.decode_error(message)));
        }
        if let Some(reply) = chunk.message {
            draft.content.push_str(&reply.content);
            let called = reply
                .tool_calls
                .into_iter()
                .flatten()
                .next()
                .filter(|_| draft.arguments.is_empty());
            draft.arguments.push_str(
                called
                    .as_ref()
                    .map_or("", |call| call.function.arguments.get()),
            );
        }
        if chunk.done {
            draft.end = StreamEnd::Over;
            draft.finish = Some(match chunk.done_reason.as_deref() {
                Some("length") => Finish::Length,
                Some("stop") => Finish::Stop,
                _ => Finish::Unknown,
            });
            // A prompt that it had already read is not counted again by old versions.
            draft.usage = chunk
                .eval_count
                .map(|output| Usage::new(chunk.prompt_eval_count.unwrap_or_default(), output));
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        UpstreamErrorBody {
            message: error_body::error_message(error_body::error_in(&value), body),
            meaning: ErrorClass::Status,
            status: None,
            retry_after: None,
        }
    }

    fn vocabulary(&self) -> &'static ErrorPatterns {
        &VOCABULARY
    }
}

/// From its source and issue threads, 2026-11.
const VOCABULARY: ErrorPatterns = ErrorPatterns {
    schema: &["grammar", "json schema", "invalid format"],
    json_schema: &["format"],
    tools: &["tool"],
    json_object: &["format"],
    in_a_500: &["grammar", "json schema"],
};

#[cfg(test)]
mod tests;
