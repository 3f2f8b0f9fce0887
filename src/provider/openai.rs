//! The wire format of OpenAI's Chat Completions, and of everything that speaks it: vLLM, Ollama, llama.cpp's server,
//! LM Studio, Groq, Together, Azure's `/openai/v1`.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::prompt::{self, Message, Shown};
use super::{Draft, End, Finish, Form, Lesson, Meaning, Request, Said, Wire, Wrong};
use crate::model::{Mode, Subset, Usage};

/// Chat Completions; what differs between its speakers is data.
#[derive(Debug, Clone, Copy)]
pub struct OpenAi {
    /// OpenAI's own models see the schema of `response_format` and of a tool; other servers only constrain by it.
    pub shows_schema: bool,
    /// OpenAI's newer models refuse `max_tokens`; most other servers know nothing else.
    pub completion_tokens: bool,
}

impl OpenAi {
    /// The quirks of the server behind a host name.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let own = host == "api.openai.com" || host.ends_with(".openai.azure.com");
        Self { shows_schema: own, completion_tokens: own }
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

const TOOL: &str = "extract";

/// So much is read of an error that is no JSON: far more than is passed on, so that no secret is cut in two before it is found.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// OpenAI allows letters, digits, `_` and `-`, up to 64.
fn name(schema: &Value) -> String {
    let title = schema.get("title").and_then(Value::as_str).unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = title.chars().take(64).map(allowed).collect();
    if name.is_empty() { "extraction".to_owned() } else { name }
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
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl Completion {
    fn read(body: &[u8]) -> Result<Self, Wrong> {
        let completion: Self = serde_json::from_slice(body)
            .map_err(|error| Wrong::Format(format!("the answer is not a chat completion: {error}")))?;
        match completion.error {
            Some(error) if !error.is_null() => Err(Wrong::Error(said(&error, body))),
            _ => Ok(completion),
        }
    }

    /// Adds what it holds.
    fn add_to(self, draft: &mut Draft) {
        if let Some(tokens) = self.usage {
            draft.usage = Some(Usage::new(tokens.prompt_tokens, tokens.completion_tokens));
        }
        let Some(Choice { message, finish_reason }) = self.choices.into_iter().flatten().next() else { return };
        draft.content.push_str(&message.content.unwrap_or_default());
        draft.refusal.push_str(&message.refusal.unwrap_or_default());
        let called = message.tool_calls.into_iter().flatten().next().filter(|call| call.index == 0);
        draft.arguments.push_str(&called.and_then(|call| call.function.arguments).unwrap_or_default());
        let Some(reason) = finish_reason else { return };
        draft.end = End::Whole;
        draft.finish = Some(match reason.as_str() {
            "content_filter" => Finish::Refusal("the provider's content filter stopped the answer".to_owned()),
            "length" => Finish::Length,
            _ => Finish::Stop,
        });
    }
}

/// What an error object says, or the whole `body` if it is none.
fn said(error: &Value, body: &[u8]) -> Said {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let message = text(error.get("message"))
        .or_else(|| text(Some(error)))
        .or_else(|| error.get("detail").map(|detail| text(Some(detail)).unwrap_or_else(|| detail.to_string())))
        .unwrap_or_else(|| String::from_utf8_lossy(body.get(..MAX_TEXT_BYTES).unwrap_or(body)).trim().to_owned());
    let message = if message.is_empty() { "(no message)".to_owned() } else { message };
    let codes = [error.get("code"), error.get("type")].map(|code| code.and_then(Value::as_str).unwrap_or_default());
    let is = |names: &[&str]| codes.iter().any(|code| names.contains(code));
    let meaning = if is(&USED_UP) {
        Meaning::Exhausted
    } else if is(&DECLINED) {
        Meaning::Declined
    } else if message.starts_with("Request too large") {
        Meaning::TooLarge
    } else {
        Meaning::Status
    };
    let numbered = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let named = STATUSES.iter().find(|(name, _)| codes.contains(name)).map(|(_, status)| *status);
    let status = numbered.filter(|status| (400..600).contains(status)).or(named);
    Said { message, meaning, status, retry_after: None }
}

/// Codes of a key that is used up: <https://platform.openai.com/docs/guides/error-codes>, read 2026-11.
const USED_UP: [&str; 3] = ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];
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

impl Wire for OpenAi {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some("chat/completions".into())
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Subset {
        match mode {
            Mode::Auto | Mode::Text => &Subset::WHOLE,
            Mode::JsonSchema | Mode::Tools | Mode::JsonObject => &Subset::OBJECT,
        }
    }

    fn encode(&self, request: &Request<'_>, form: Form) -> Vec<u8> {
        let asked = request.schema.forms.of(form.mode);
        let root = asked.map_or(request.schema.raw, |asked| &asked.raw);
        let is_shown = self.shows_schema && matches!(form.mode, Mode::JsonSchema | Mode::Tools);
        let shown = Shown { schema: (!is_shown).then(|| root.get()), wrapped: asked.is_some_and(|asked| asked.wrapped) };
        let completion_tokens = self.completion_tokens != form.lessons.has(Lesson::TokensName);
        let strict = asked.is_some_and(|asked| asked.strict);
        let (response_format, tools) = match form.mode {
            Mode::JsonSchema => {
                let json_schema = JsonSchema { name: name(request.schema.value), strict, schema: root };
                (Some(ResponseFormat::JsonSchema { json_schema }), None)
            }
            Mode::JsonObject => (Some(ResponseFormat::JsonObject), None),
            Mode::Tools => {
                let description = "Takes the extracted data.";
                let function = Function { name: TOOL, description, strict, parameters: root };
                (None, Some([Tool::Function { function }]))
            }
            Mode::Auto | Mode::Text => (None, None),
        };
        let body = Body {
            model: request.model,
            messages: prompt::messages(request, shown),
            temperature: (!form.lessons.has(Lesson::Temperature)).then_some(request.temperature),
            seed: request.seed.filter(|_| !form.lessons.has(Lesson::Seed)),
            max_tokens: request.max_output_tokens.filter(|_| !completion_tokens),
            max_completion_tokens: request.max_output_tokens.filter(|_| completion_tokens),
            response_format,
            tool_choice: tools.is_some().then(|| json!({"type": "function", "function": {"name": TOOL}})),
            tools,
            stream: form.stream.then_some(true),
            stream_options: (form.stream && !form.lessons.has(Lesson::StreamUsage))
                .then_some(StreamOptions { include_usage: true }),
        };
        // Only a map with keys that are no strings, or a failing writer, could make this fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    fn decode(&self, body: &[u8]) -> Result<Draft, Wrong> {
        let completion = Completion::read(body)?;
        if completion.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(Wrong::Format("the answer has no choices".to_owned()));
        }
        let mut draft = Draft::default();
        completion.add_to(&mut draft);
        Ok(draft)
    }

    fn hear(&self, message: &[u8], draft: &mut Draft) -> Result<(), Wrong> {
        match message.trim_ascii() {
            b"[DONE]" => draft.end = End::Over,
            chunk => Completion::read(chunk)?.add_to(draft),
        }
        Ok(())
    }

    fn complaint(&self, body: &[u8]) -> Said {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        said(value.get("error").unwrap_or(&value), body)
    }

    fn lesson(&self, status: u16, said: &Said, form: Form) -> Option<Lesson> {
        let message = said.message.to_ascii_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| message.contains(word));
        // llama-cpp-python and older llama.cpp servers answer 500 to a mode that they do not know.
        if status == 500 && !names(&["response_format", "json_schema", "json schema", "tools param", "param: tools"]) {
            return None;
        }
        let mode: &[&str] = match form.mode {
            Mode::JsonSchema => &["response_format", "response format", "json_schema", "structured output", "guided"],
            Mode::Tools => &["tool", "function"],
            Mode::JsonObject => &["response_format", "response format", "json_object", "json mode"],
            Mode::Auto | Mode::Text => &[],
        };
        if form.stream && names(&["stream_options", "include_usage"]) {
            Some(Lesson::StreamUsage)
        } else if form.stream && names(&["stream"]) {
            Some(Lesson::Stream)
        } else if matches!(form.mode, Mode::JsonSchema | Mode::Tools) && names(&REFUSED_SCHEMA) {
            Some(Lesson::Schema)
        } else if names(mode) {
            Some(Lesson::Mode)
        } else if names(&["max_tokens", "max_completion_tokens"]) && names(&UNKNOWN_FIELD) {
            Some(Lesson::TokensName)
        } else if names(&["temperature"]) {
            Some(Lesson::Temperature)
        } else if names(&["seed"]) {
            Some(Lesson::Seed)
        } else {
            None
        }
    }
}

/// How servers say that a mode is fine and this schema is not: OpenAI, vLLM, llama.cpp, Ollama (from their sources and issue
/// threads, 2026-11).
const REFUSED_SCHEMA: [&str; 8] = [
    "invalid schema",
    "schema conversion",
    "invalid json schema",
    "provided json schema",
    "grammar",
    "samplers",
    "transform json schema",
    "required for format",
];

/// How servers say that they do not know a field.
const UNKNOWN_FIELD: [&str; 7] =
    ["unsupported", "not supported", "unknown", "unrecognized", "instead", "extra inputs", "not permitted"];

#[cfg(test)]
mod tests;
