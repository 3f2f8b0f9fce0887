//! The wire format of OpenAI's Responses.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses>, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::dialects::{COMPATIBLE, OPENAI_STRICT};
use super::prompt::Message;
use super::request_parts::{RequestParts, TOOL, TOOL_DESCRIPTION, json, schema_name};
use super::unsupported_feature::ErrorPatterns;
use super::{
    DecodeError, Finish, PartialAnswer, Request, RequestShape, StreamEnd, Unsupported,
    UpstreamErrorBody, WireFormat, error_body, openai,
};
use crate::types::{Dialect, Mode, Usage};

/// Responses.
#[derive(Debug, Clone, Copy)]
pub struct Responses {
    /// OpenAI's own models see the schema; other servers only constrain by it.
    pub shows_schema: bool,
}

impl Responses {
    /// The quirks of the server behind a host name.
    #[must_use]
    pub fn at(host: &str) -> Self {
        Self {
            shows_schema: openai::is_own(host),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    /// Nothing is kept for a next turn.
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema {
        name: String,
        strict: bool,
        schema: &'a RawValue,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'static str,
        description: &'static str,
        strict: bool,
        parameters: &'a RawValue,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice {
    Function { name: &'static str },
}

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
    output: Option<Vec<Item>>,
    incomplete_details: Option<Incomplete>,
    error: Option<Value>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    Message {
        content: Vec<Part>,
    },
    FunctionCall {
        arguments: String,
    },
    /// Reasoning, above all.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    input_tokens_details: Option<InputTokens>,
    output_tokens_details: Option<OutputTokens>,
}

#[derive(Deserialize)]
struct InputTokens {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputTokens {
    reasoning_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.output_text.delta")]
    Text { delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { delta: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { delta: String },
    #[serde(
        rename = "response.completed",
        alias = "response.incomplete",
        alias = "response.failed"
    )]
    Ended { response: Response },
    #[serde(rename = "error")]
    Error,
    #[serde(other)]
    Other,
}

impl Tokens {
    fn usage(self) -> Usage {
        let cached = self
            .input_tokens_details
            .and_then(|details| details.cached_tokens);
        let reasoning = self
            .output_tokens_details
            .and_then(|details| details.reasoning_tokens);
        Usage::new(self.input_tokens, self.output_tokens).with_details(cached, reasoning)
    }
}

impl Response {
    /// What it holds.
    fn draft(self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        if let Some(error) = self.error.filter(|error| !error.is_null()) {
            return Err(DecodeError::Error(openai::said(&error, body)));
        }
        let mut draft = PartialAnswer {
            usage: self.usage.map(Tokens::usage),
            end: StreamEnd::Over,
            ..PartialAnswer::default()
        };
        let reason = self.incomplete_details.and_then(|details| details.reason);
        draft.finish = Some(match (self.status.as_deref(), reason.as_deref()) {
            (Some("completed"), _) => Finish::Stop,
            (None, _) => Finish::Unknown,
            (Some("incomplete"), Some("content_filter")) => Finish::filtered(),
            (Some("incomplete"), _) => Finish::Length,
            (Some(status), _) => {
                return Err(DecodeError::Format(format!(
                    "the response is {status}, not completed"
                )));
            }
        });
        for item in self
            .output
            .ok_or_else(|| DecodeError::Format("the response has no output".to_owned()))?
        {
            match item {
                Item::Message { content } => content.into_iter().for_each(|part| match part {
                    Part::OutputText { text } => draft.content.push_str(&text),
                    Part::Refusal { refusal } => draft.refusal.push_str(&refusal),
                    Part::Other => {}
                }),
                Item::FunctionCall { arguments } if draft.arguments.is_empty() => {
                    draft.arguments = arguments
                }
                Item::FunctionCall { .. } | Item::Other => {}
            }
        }
        Ok(draft)
    }
}

fn no_response(error: &serde_json::Error) -> DecodeError {
    DecodeError::Format(format!("the answer is not a response: {error}"))
}

impl WireFormat for Responses {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some("responses".into())
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonObject => &Dialect::OBJECT,
            Mode::JsonSchema | Mode::Tools if self.shows_schema => &OPENAI_STRICT,
            Mode::JsonSchema | Mode::Tools => &COMPATIBLE,
        }
    }

    fn encode(&self, request: &Request<'_>, form: RequestShape) -> Vec<u8> {
        let shows = |mode| self.shows_schema && matches!(mode, Mode::JsonSchema | Mode::Tools);
        let RequestParts {
            root,
            strict,
            messages,
        } = RequestParts::new(request, form, shows);
        let format = match form.mode {
            Mode::JsonSchema => Some(Format::JsonSchema {
                name: schema_name(request),
                strict,
                schema: root,
            }),
            Mode::JsonObject => Some(Format::JsonObject),
            Mode::Auto | Mode::Tools | Mode::Text => None,
        };
        let is_tool = form.mode == Mode::Tools;
        json(&Body {
            model: request.model,
            input: messages,
            temperature: (!form.lessons.has(Unsupported::Temperature))
                .then_some(request.temperature),
            max_output_tokens: request.max_output_tokens,
            text: format.map(|format| Text { format }),
            tools: is_tool.then_some([Tool::Function {
                name: TOOL,
                description: TOOL_DESCRIPTION,
                strict,
                parameters: root,
            }]),
            tool_choice: is_tool.then_some(Choice::Function { name: TOOL }),
            parallel_tool_calls: is_tool.then_some(false),
            store: false,
            stream: form.stream,
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let response: Response =
            serde_json::from_slice(body).map_err(|error| no_response(&error))?;
        response.draft(body)
    }

    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError> {
        match serde_json::from_slice(message).map_err(|error| no_response(&error))? {
            Event::Text { delta } => draft.content.push_str(&delta),
            Event::Refusal { delta } => draft.refusal.push_str(&delta),
            Event::Arguments { delta } => draft.arguments.push_str(&delta),
            Event::Ended { response } => {
                let whole = response.draft(message)?;
                // What was heard piece by piece is the same, and has been told already.
                let heard = std::mem::replace(draft, whole);
                if !heard.content.is_empty() {
                    draft.content = heard.content;
                }
                if !heard.arguments.is_empty() {
                    draft.arguments = heard.arguments;
                }
            }
            Event::Error => return Err(DecodeError::Error(self.decode_error(message))),
            Event::Other => {}
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        openai::said(error_body::error_in(&value), body)
    }

    fn vocabulary(&self) -> &'static ErrorPatterns {
        &openai::VOCABULARY
    }
}

#[cfg(test)]
mod tests;
