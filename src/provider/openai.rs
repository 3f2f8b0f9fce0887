//! The wire format of OpenAI's Chat Completions, and of everything that speaks it: vLLM, Ollama, llama.cpp's server,
//! LM Studio, Groq, Together, Azure OpenAI.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json as value};

use super::dialects::{AZURE_STRICT, COMPATIBLE, OPENAI_STRICT};
use super::prompt::Message;
use super::request_parts::{RequestParts, TOOL, TOOL_DESCRIPTION, json, schema_name};
use super::unsupported_feature::ErrorPatterns;
use super::wire_format::{after, segment};
use super::{
    DecodeError, ErrorClass, Finish, PartialAnswer, Request, RequestShape, StreamEnd, Unsupported,
    UpstreamErrorBody, WireFormat, error_body,
};
use crate::types::{Dialect, Mode, Usage};

/// Chat Completions; what differs between its speakers is data.
#[derive(Debug, Clone)]
pub struct OpenAi {
    /// OpenAI's own models see the schema of `response_format` and of a tool; other servers only constrain by it.
    pub shows_schema: bool,
    /// OpenAI's newer models refuse `max_tokens`; most other servers know nothing else.
    pub completion_tokens: bool,
    pub door: Endpoint,
}

/// Where it is reached, and how the key is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// As OpenAI's own.
    Plain,
    /// Azure's, with the model in the body: <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>, read 2026-11.
    AzureV1,
    /// Azure's, with the deployment in the path: <https://learn.microsoft.com/azure/ai-foundry/openai/reference>, read 2026-11.
    AzureDeployments {
        /// What stands before the deployment's name.
        before: &'static str,
        api_version: String,
    },
}

/// Whether a host's models are OpenAI's own.
pub fn is_own(host: &str) -> bool {
    host == "api.openai.com" || AZURE.iter().any(|domain| host.ends_with(domain))
}

/// Domains of Azure's.
const AZURE: [&str; 3] = [
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
];

impl OpenAi {
    /// The quirks of the server behind a host name.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let own = is_own(host);
        Self {
            shows_schema: own,
            completion_tokens: own,
            door: Endpoint::Plain,
        }
    }

    /// Azure, at a base URL with this path.
    #[must_use]
    pub fn azure(base_path: &str, api_version: &str) -> Self {
        let door = if after(base_path, "openai/v1/").is_empty() {
            Endpoint::AzureV1
        } else {
            let before = if after(base_path, "openai/").is_empty() {
                "deployments/"
            } else {
                "openai/deployments/"
            };
            Endpoint::AzureDeployments {
                before,
                api_version: api_version.to_owned(),
            }
        };
        Self {
            shows_schema: true,
            completion_tokens: true,
            door,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: String,
    strict: bool,
    schema: &'a RawValue,
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
    strict: bool,
    parameters: &'a RawValue,
}

/// A whole completion, or a chunk of one.
#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Reply,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Reply {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    index: u64,
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    arguments: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptTokens>,
    completion_tokens_details: Option<CompletionTokens>,
}

#[derive(Deserialize)]
struct PromptTokens {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionTokens {
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    fn usage(self) -> Usage {
        let cached = self
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        let reasoning = self
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens);
        Usage::new(self.prompt_tokens, self.completion_tokens).with_details(cached, reasoning)
    }
}

impl Completion {
    fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let completion: Self = serde_json::from_slice(body).map_err(|error| {
            DecodeError::Format(format!("the answer is not a chat completion: {error}"))
        })?;
        match completion.error {
            Some(error) if !error.is_null() => Err(DecodeError::Error(said(&error, body))),
            _ => Ok(completion),
        }
    }

    /// Adds what it holds.
    fn add_to(self, draft: &mut PartialAnswer) {
        if let Some(tokens) = self.usage {
            draft.usage = Some(tokens.usage());
        }
        let Some(Choice {
            message,
            finish_reason,
        }) = self.choices.into_iter().flatten().next()
        else {
            return;
        };
        draft.content.push_str(&message.content.unwrap_or_default());
        draft.refusal.push_str(&message.refusal.unwrap_or_default());
        let called = message
            .tool_calls
            .into_iter()
            .flatten()
            .next()
            .filter(|call| call.index == 0);
        draft.arguments.push_str(
            &called
                .and_then(|call| call.function.arguments)
                .unwrap_or_default(),
        );
        let Some(reason) = finish_reason else { return };
        draft.end = StreamEnd::Whole;
        draft.finish = Some(match reason.as_str() {
            "content_filter" => Finish::filtered(),
            "length" | "model_length" => Finish::Length,
            "stop" | "eos" | "eos_token" => Finish::Stop,
            // `tool_calls` too: some servers say so of a call that ran into its limit.
            _ => Finish::Unknown,
        });
    }
}

/// What an error object says, or the whole `body` if it is none. Responses has the same.
pub fn said(error: &Value, body: &[u8]) -> UpstreamErrorBody {
    let message = error_body::error_message(error, body);
    let codes = [error.get("code"), error.get("type")]
        .map(|code| code.and_then(Value::as_str).unwrap_or_default());
    let is = |names: &[&str]| codes.iter().any(|code| names.contains(code));
    let meaning = if is(&USED_UP) {
        ErrorClass::Exhausted
    } else if is(&DECLINED) {
        ErrorClass::Declined
    } else if message.starts_with("Request too large") {
        ErrorClass::TooLarge
    } else {
        ErrorClass::Status
    };
    let named = STATUSES
        .iter()
        .find(|(name, _)| codes.contains(name))
        .map(|(_, status)| *status);
    UpstreamErrorBody {
        message,
        meaning,
        status: error_body::http_status_of(error.get("code")).or(named),
        retry_after: None,
    }
}

/// Codes of a key that is used up: <https://platform.openai.com/docs/guides/error-codes>, read 2026-11.
const USED_UP: [&str; 3] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
];
/// Codes of a filter for texts: Azure's <https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter> and OpenAI's own
/// (read 2026-11).
const DECLINED: [&str; 2] = ["content_filter", "content_policy_violation"];
/// What the codes and types of an error within a stream would have been as a status.
const STATUSES: [(&str, u16); 7] = [
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
    ("invalid_request_error", 400),
    ("BadRequestError", 400),
    ("server_error", 500),
    ("internal_error", 500),
    ("overloaded_error", 503),
];

impl WireFormat for OpenAi {
    fn path(&self, model: &str, _: bool) -> Option<Cow<'static, str>> {
        match &self.door {
            Endpoint::Plain | Endpoint::AzureV1 => Some("chat/completions".into()),
            Endpoint::AzureDeployments {
                before,
                api_version,
            } => Some(
                format!(
                    "{before}{}/chat/completions?api-version={api_version}",
                    segment(model)?
                )
                .into(),
            ),
        }
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        match self.door {
            Endpoint::Plain => ("authorization", "Bearer "),
            Endpoint::AzureV1 | Endpoint::AzureDeployments { .. } => ("api-key", ""),
        }
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonObject => &Dialect::OBJECT,
            Mode::JsonSchema | Mode::Tools if self.shows_schema => match self.door {
                Endpoint::Plain => &OPENAI_STRICT,
                Endpoint::AzureV1 | Endpoint::AzureDeployments { .. } => &AZURE_STRICT,
            },
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
        let completion_tokens =
            self.completion_tokens != form.lessons.has(Unsupported::OutputLimit);
        let (response_format, tools) = match form.mode {
            Mode::JsonSchema => {
                let json_schema = JsonSchema {
                    name: schema_name(request),
                    strict,
                    schema: root,
                };
                (Some(ResponseFormat::JsonSchema { json_schema }), None)
            }
            Mode::JsonObject => (Some(ResponseFormat::JsonObject), None),
            Mode::Tools => {
                let function = Function {
                    name: TOOL,
                    description: TOOL_DESCRIPTION,
                    strict,
                    parameters: root,
                };
                (None, Some([Tool::Function { function }]))
            }
            Mode::Auto | Mode::Text => (None, None),
        };
        let body = Body {
            model: request.model,
            messages,
            temperature: (!form.lessons.has(Unsupported::Temperature))
                .then_some(request.temperature),
            seed: request
                .seed
                .filter(|_| !form.lessons.has(Unsupported::Seed)),
            max_tokens: request.max_output_tokens.filter(|_| !completion_tokens),
            max_completion_tokens: request.max_output_tokens.filter(|_| completion_tokens),
            response_format,
            tool_choice: tools
                .is_some()
                .then(|| value!({"type": "function", "function": {"name": TOOL}})),
            tools,
            stream: form.stream.then_some(true),
            stream_options: (form.stream && !form.lessons.has(Unsupported::StreamUsage)).then_some(
                StreamOptions {
                    include_usage: true,
                },
            ),
        };
        json(&body)
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let completion = Completion::read(body)?;
        if completion.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(DecodeError::Format("the answer has no choices".to_owned()));
        }
        let mut draft = PartialAnswer::default();
        completion.add_to(&mut draft);
        Ok(draft)
    }

    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError> {
        match message.trim_ascii() {
            b"[DONE]" => draft.end = StreamEnd::Over,
            chunk => Completion::read(chunk)?.add_to(draft),
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        said(error_body::error_in(&value), body)
    }

    fn vocabulary(&self) -> &'static ErrorPatterns {
        &VOCABULARY
    }
}

/// OpenAI, vLLM, llama.cpp, Ollama, Groq (from their sources and issue threads, 2026-11). llama-cpp-python and older llama.cpp
/// servers answer 500 to a mode that they do not know.
pub const VOCABULARY: ErrorPatterns = ErrorPatterns {
    schema: &[
        "invalid schema",
        "schema conversion",
        "invalid json schema",
        "provided json schema",
        "grammar",
        "samplers",
        "transform json schema",
        "required for format",
    ],
    json_schema: &[
        "response_format",
        "response format",
        "text.format",
        "json_schema",
        "structured output",
        "guided",
    ],
    tools: &["tool", "function"],
    json_object: &[
        "response_format",
        "response format",
        "text.format",
        "json_object",
        "json mode",
    ],
    in_a_500: &[
        "response_format",
        "json_schema",
        "json schema",
        "tools param",
        "param: tools",
    ],
};

#[cfg(test)]
mod tests;
