//! The wire format of OpenAI's Chat Completions, and of everything that speaks it: vLLM, Ollama, llama.cpp's server,
//! LM Studio, Groq, Together, Azure's `/openai/v1`.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-11.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::prompt::{self, Message, Shown};
use super::remote::{Form, Lesson, Said};
use super::subsets::{COMPATIBLE, OPENAI_STRICT};
use super::{Answer, Finish, Left, Request, Wire};
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

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    arguments: String,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl Wire for OpenAi {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Subset {
        match mode {
            Mode::Auto | Mode::Text => &Subset::WHOLE,
            Mode::JsonObject => &Subset::OBJECT,
            Mode::JsonSchema | Mode::Tools if self.shows_schema => &OPENAI_STRICT,
            Mode::JsonSchema | Mode::Tools => &COMPATIBLE,
        }
    }

    fn encode(&self, request: &Request<'_>, form: Form) -> Vec<u8> {
        let asked = request.schema.forms.of(form.mode);
        let root = asked.map_or(request.schema.raw, |asked| &asked.raw);
        let is_shown = self.shows_schema && matches!(form.mode, Mode::JsonSchema | Mode::Tools);
        let shown = Shown { schema: (!is_shown).then(|| root.get()), form: asked.map(AsRef::as_ref) };
        let completion_tokens = self.completion_tokens != form.other_tokens_name;
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
            temperature: form.temperature.then_some(request.temperature),
            seed: request.seed.filter(|_| form.seed),
            max_tokens: request.max_output_tokens.filter(|_| !completion_tokens),
            max_completion_tokens: request.max_output_tokens.filter(|_| completion_tokens),
            response_format,
            tool_choice: tools.is_some().then(|| json!({"type": "function", "function": {"name": TOOL}})),
            tools,
        };
        // Only a map with keys that are no strings, or a failing writer, could make this fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    fn decode(&self, _: &Request<'_>, form: Form, body: &[u8]) -> Result<Answer, String> {
        let completion: Completion =
            serde_json::from_slice(body).map_err(|error| format!("the answer is not a chat completion: {error}"))?;
        let usage = completion.usage.map(|tokens| Usage::new(tokens.prompt_tokens, tokens.completion_tokens));
        let choice = completion.choices.into_iter().next().ok_or("the answer has no choices")?;
        let called = choice.message.tool_calls.and_then(|calls| calls.into_iter().next());
        let text = called.map(|call| call.function.arguments).or(choice.message.content).unwrap_or_default();
        let finish = match (choice.message.refusal, choice.finish_reason.as_deref()) {
            (Some(refusal), _) if !refusal.is_empty() => Finish::Refusal(refusal),
            (_, Some("content_filter")) => Finish::Refusal("the provider's content filter stopped the answer".to_owned()),
            (_, Some("length")) => Finish::Length,
            _ => Finish::Stop,
        };
        Ok(Answer { text, finish, usage, mode: form.mode, left: Left::default() })
    }

    fn complaint(&self, body: &[u8]) -> Said {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = value.get("error").unwrap_or(&value);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let message = text(error.get("message"))
            .or_else(|| text(Some(error)))
            .or_else(|| value.get("detail").map(|detail| text(Some(detail)).unwrap_or_else(|| detail.to_string())))
            .unwrap_or_else(|| String::from_utf8_lossy(body.get(..MAX_TEXT_BYTES).unwrap_or(body)).trim().to_owned());
        let message = if message.is_empty() { "(no message)".to_owned() } else { message };
        // https://platform.openai.com/docs/guides/error-codes, read 2026-11.
        let used_up = ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];
        let codes = [error.get("code"), error.get("type")].map(|code| code.and_then(Value::as_str).unwrap_or_default());
        let too_large = message.starts_with("Request too large");
        Said { message, exhausted: codes.iter().any(|code| used_up.contains(code)), too_large }
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
        if matches!(form.mode, Mode::JsonSchema | Mode::Tools) && names(&REFUSED_SCHEMA) {
            Some(Lesson::Schema)
        } else if names(mode) {
            Some(Lesson::Mode)
        } else if names(&["max_tokens", "max_completion_tokens"]) && names(&UNKNOWN_FIELD) {
            Some(Lesson::TokensName)
        } else if form.temperature && names(&["temperature"]) {
            Some(Lesson::Temperature)
        } else if form.seed && names(&["seed"]) {
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
