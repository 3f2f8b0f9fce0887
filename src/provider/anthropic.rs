//! The wire format of Anthropic's Messages.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages>, `…/build-with-claude/streaming`, `…/structured-outputs` and
//! `…/handling-stop-reasons` there, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::dialects::{ANTHROPIC_STRICT, ANTHROPIC_TOOLS};
use super::prompt::Message;
use super::request_parts::{RequestParts, TOOL, TOOL_DESCRIPTION, json};
use super::unsupported_feature::ErrorPatterns;
use super::wire_format::after;
use super::{
    DecodeError, ErrorClass, Finish, PartialAnswer, Request, RequestShape, StreamEnd, Unsupported,
    UpstreamErrorBody, WireFormat, error_body,
};
use crate::types::{Dialect, Mode, Usage};

/// Messages.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic {
    path: &'static str,
}

impl Anthropic {
    /// The server at a base URL with this path.
    #[must_use]
    pub fn at(base_path: &str) -> Self {
        Self {
            path: if after(base_path, "v1/").is_empty() {
                "messages"
            } else {
                "v1/messages"
            },
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    system: String,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice>,
    stream: bool,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonSchema { schema: &'a RawValue },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    description: &'static str,
    input_schema: &'a RawValue,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice {
    Tool {
        name: &'static str,
        disable_parallel_tool_use: bool,
    },
}

/// The most tokens of an answer, by how a model's name begins: the field is required, and this is what each model has. Any other
/// takes the last. <https://platform.claude.com/docs/en/about-claude/models/overview> and its page of retired models, read 2026-11.
const MAX_TOKENS: [(&str, u32); 8] = [
    ("claude-3-5-", 8_192),
    ("claude-3-7-", 64_000),
    ("claude-3-", 4_096),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-2025", 32_000),
    ("claude-", 64_000),
    ("", 8_192),
];
/// So many does every model have.
const LEAST_MAX_TOKENS: u32 = 4_096;

fn max_tokens(request: &Request<'_>, form: RequestShape) -> u32 {
    let known = || {
        MAX_TOKENS
            .iter()
            .find(|(name, _)| request.model.starts_with(name))
            .map_or(LEAST_MAX_TOKENS, |(_, most)| *most)
    };
    let default = || {
        if form.lessons.has(Unsupported::OutputLimit) {
            LEAST_MAX_TOKENS
        } else {
            known()
        }
    };
    request.max_output_tokens.unwrap_or_else(default)
}

#[derive(Deserialize)]
struct Reply {
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct StopDetails {
    explanation: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        input: Value,
    },
    /// Thinking, above all.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stopped,
        usage: Option<Tokens>,
    },
    MessageStop,
    Error,
    /// Pings, the beginnings and ends of blocks, and what is yet to be invented.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stopped {
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
}

impl Tokens {
    /// Adds to what is known: a stream says first what was read, and at its end what was written.
    fn add_to(&self, draft: &mut PartialAnswer) {
        let known = draft.usage.unwrap_or_default();
        let read = self.input_tokens.map(|input| {
            let cached = self.cache_read_input_tokens.unwrap_or_default();
            (
                input + self.cache_creation_input_tokens.unwrap_or_default() + cached,
                cached,
            )
        });
        let known_cached = known.cached_input_tokens.map_or(0, std::num::NonZero::get);
        let (input, cached) = read.unwrap_or((known.input_tokens, known_cached));
        let output = self.output_tokens.unwrap_or(known.output_tokens);
        draft.usage = Some(Usage::new(input, output).with_details(Some(cached), None));
    }
}

fn stop(reason: Option<String>, details: Option<StopDetails>, draft: &mut PartialAnswer) {
    let Some(reason) = reason else { return };
    draft.end = StreamEnd::Whole;
    draft.finish = Some(match reason.as_str() {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => {
            let words = details.and_then(|details| details.explanation);
            Finish::Refusal(
                words.unwrap_or_else(|| "the provider's classifiers stopped the answer".to_owned()),
            )
        }
        "end_turn" | "tool_use" | "stop_sequence" => Finish::Stop,
        // `pause_turn` belongs to tools that the server runs, and no such tool is offered.
        _ => Finish::Unknown,
    });
    if reason == "tool_use" && draft.arguments.is_empty() {
        draft.arguments.push_str("{}");
    }
}

fn no_message(error: &serde_json::Error) -> DecodeError {
    DecodeError::Format(format!("the answer is not a message: {error}"))
}

impl WireFormat for Anthropic {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some(self.path.into())
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

    fn subset(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text | Mode::JsonObject => &Dialect::WHOLE,
            Mode::JsonSchema => &ANTHROPIC_STRICT,
            Mode::Tools => &ANTHROPIC_TOOLS,
        }
    }

    fn encode(&self, request: &Request<'_>, form: RequestShape) -> Vec<u8> {
        let shows = |mode| matches!(mode, Mode::JsonSchema | Mode::Tools);
        let RequestParts { root, messages, .. } = RequestParts::new(request, form, shows);
        let mut messages = messages.into_iter();
        let system = messages
            .next()
            .map(|message| message.content)
            .unwrap_or_default();
        let is_tool = form.mode == Mode::Tools;
        json(&Body {
            model: request.model,
            max_tokens: max_tokens(request, form),
            // Its scale ends at 1.
            temperature: (!form.lessons.has(Unsupported::Temperature))
                .then_some(request.temperature.min(1.0)),
            system,
            messages: messages.collect(),
            output_config: (form.mode == Mode::JsonSchema).then_some(OutputConfig {
                format: Format::JsonSchema { schema: root },
            }),
            tools: is_tool.then_some([Tool {
                name: TOOL,
                description: TOOL_DESCRIPTION,
                input_schema: root,
            }]),
            tool_choice: is_tool.then_some(Choice::Tool {
                name: TOOL,
                disable_parallel_tool_use: true,
            }),
            stream: form.stream,
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let reply: Reply = match serde_json::from_slice(body) {
            Ok(reply) => reply,
            Err(_) if is_error(body) => return Err(DecodeError::Error(self.decode_error(body))),
            Err(error) => return Err(no_message(&error)),
        };
        let mut draft = PartialAnswer::default();
        if let Some(tokens) = reply.usage {
            tokens.add_to(&mut draft);
        }
        for block in reply.content {
            match block {
                Block::Text { text } => draft.content.push_str(&text),
                Block::ToolUse { input } if draft.arguments.is_empty() => {
                    draft.arguments = input.to_string()
                }
                Block::ToolUse { .. } | Block::Other => {}
            }
        }
        stop(reply.stop_reason, reply.stop_details, &mut draft);
        Ok(draft)
    }

    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError> {
        match serde_json::from_slice(message).map_err(|error| no_message(&error))? {
            Event::MessageStart { message } => {
                if let Some(tokens) = message.usage {
                    tokens.add_to(draft);
                }
            }
            Event::ContentBlockDelta {
                delta: Delta::Text { text },
            } => draft.content.push_str(&text),
            Event::ContentBlockDelta {
                delta: Delta::InputJson { partial_json },
            } => draft.arguments.push_str(&partial_json),
            Event::MessageDelta { delta, usage } => {
                if let Some(tokens) = usage {
                    tokens.add_to(draft);
                }
                stop(delta.stop_reason, delta.stop_details, draft);
            }
            Event::MessageStop => draft.end = StreamEnd::Over,
            Event::Error => return Err(DecodeError::Error(self.decode_error(message))),
            Event::ContentBlockDelta {
                delta: Delta::Other,
            }
            | Event::Other => {}
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = error_body::error_in(&value);
        let message = error_body::error_message(error, body);
        let kind = error
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_used_up = kind == "billing_error" || message.contains("credit balance is too low");
        let meaning = if is_used_up {
            ErrorClass::Exhausted
        } else {
            ErrorClass::Status
        };
        let status = STATUSES
            .iter()
            .find(|(name, _)| *name == kind)
            .map(|(_, status)| *status);
        UpstreamErrorBody {
            message,
            meaning,
            status,
            retry_after: None,
        }
    }

    fn vocabulary(&self) -> &'static ErrorPatterns {
        &VOCABULARY
    }
}

fn is_error(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("error").is_some())
}

/// <https://platform.claude.com/docs/en/api/errors>, read 2026-11.
const STATUSES: [(&str, u16); 10] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// From issue threads, 2026-11.
const VOCABULARY: ErrorPatterns = ErrorPatterns {
    schema: &[
        "format.schema",
        "input_schema",
        "schema is",
        "too complex",
        "invalid schema",
        "json schema",
    ],
    json_schema: &[
        "output_config",
        "output_format",
        "output format",
        "structured output",
    ],
    tools: &["tool"],
    json_object: &[],
    in_a_500: &[],
};

#[cfg(test)]
mod tests;
