//! Responses, made of chat completions.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::body::Fields;
use super::super::pass_through::{on_one_line, unreadable};
use crate::provider::{JsonText, Node};
use crate::types::{Code, Error};

/// Maximum number of items of a response: its texts, refusals and calls. Providers' answers have few.
pub const MAX_ITEMS: usize = 1024;

/// Room for a response beside its output and its echo, in bytes.
const ENVELOPE_BYTES: usize = 4096;
/// Maximum size of an echo, in bytes: 1 MiB. A stream has it three times, and it may come with any request.
const MAX_ECHO_BYTES: usize = 1024 * 1024;
/// Maximum length of a setting that is repeated, in bytes, unless it is one of [`LONG_SETTINGS`]: 64 KiB.
const MAX_SETTING_BYTES: usize = 64 * 1024;
/// Settings that may be long in an ordinary request: a prompt, a schema, and functions with their schemas.
const LONG_SETTINGS: [&str; 3] = ["instructions", "text", "tools"];
/// Number of copies of an echo for which memory is reserved: the first two events of a stream are written together.
const ECHO_COPIES: usize = 2;
/// Step in which the memory of an echo is reserved, in bytes. What is below a step is the share of an ordinary response.
const ECHO_STEP_BYTES: usize = 64 * 1024;

/// Fields of a response that repeat those of its request, with their defaults.
const REPEATED: [(&str, &str); 14] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("store", "false"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// Settings of a request that its response repeats, as JSON texts without line breaks.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Echo {
    settings: IndexMap<&'static str, Box<RawValue>>,
    /// Size of all settings, in bytes.
    #[serde(skip)]
    bytes: usize,
}

impl Echo {
    /// Takes the settings of a request. One that is too long is repeated as its default: nothing checks those without an effect here,
    /// and each event about the whole response has all of them.
    #[must_use]
    pub fn new(request: &Fields) -> Self {
        let mut echo = Self::default();
        for (name, default) in REPEATED {
            let max_bytes = if LONG_SETTINGS.contains(&name) {
                MAX_ECHO_BYTES
            } else {
                MAX_SETTING_BYTES
            };
            let max_bytes = max_bytes.min(MAX_ECHO_BYTES - echo.bytes.min(MAX_ECHO_BYTES));
            let sent = request.get(name).map(RawValue::get);
            let sent = sent.filter(|json| name != "store" && json.len() <= max_bytes);
            let json = on_one_line(sent.unwrap_or(default).to_owned());
            echo.bytes += json.len();
            if let Ok(json) = RawValue::from_string(json) {
                echo.settings.insert(name, json);
            }
        }
        echo
    }

    /// Returns the size of the settings, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the memory to reserve for what is written of it at a time, in bytes; 0 for an ordinary one.
    #[must_use]
    pub const fn reserved_bytes(&self) -> usize {
        self.bytes * ECHO_COPIES / ECHO_STEP_BYTES * ECHO_STEP_BYTES
    }
}

/// Item of a response's output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem<'a> {
    /// Message of the assistant.
    Message {
        id: String,
        status: &'a str,
        role: &'static str,
        content: &'a [Part<'a>],
    },
    FunctionCall {
        id: String,
        status: &'a str,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
}

/// Part of a message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    OutputText {
        text: &'a str,
        annotations: [(); 0],
        logprobs: [(); 0],
    },
    Refusal {
        refusal: &'a str,
    },
}

impl<'a> Part<'a> {
    /// Creates a part with text.
    pub const fn text(text: &'a str) -> Self {
        Self::OutputText {
            text,
            annotations: [],
            logprobs: [],
        }
    }
}

impl<'a> OutputItem<'a> {
    /// Creates a message of the assistant. `id` is that of the completion.
    pub fn message(id: &str, status: &'a str, content: &'a [Part<'a>]) -> Self {
        Self::Message {
            id: message_id(id),
            status,
            role: "assistant",
            content,
        }
    }
}

/// Returns the ID of a completion's message.
pub fn message_id(id: &str) -> String {
    format!("msg_{}", suffix(id))
}

/// Returns the ID of a completion's call of a function.
pub fn call_item_id(id: &str, index: u64) -> String {
    format!("fc_{}_{index}", suffix(id))
}

/// Returns what distinguishes the ID of a completion from that of others.
fn suffix(id: &str) -> &str {
    id.split_once(['_', '-']).map_or(id, |(_, suffix)| suffix)
}

/// Response with its output, of which each item is written as JSON.
#[derive(Debug, Serialize)]
pub struct Response<'a, I> {
    id: String,
    object: &'static str,
    created_at: &'a Value,
    status: &'a str,
    error: (),
    incomplete_details: Value,
    model: &'a Value,
    output: &'a [I],
    usage: &'a Value,
    #[serde(flatten)]
    echo: &'a Echo,
    #[serde(skip_serializing_if = "Option::is_none")]
    extractd: Option<&'a RawValue>,
}

/// Parts of a completion that its response has as they are.
#[derive(Debug)]
pub struct Common {
    /// ID of the completion.
    pub id: String,
    created: Value,
    model: Value,
}

impl Common {
    /// Takes the parts of a completion, or of a chunk, whose identity is complete and short.
    pub fn new(completion: Node<'_>) -> Self {
        let completion = completion.members();
        let value =
            |name: &str| serde_json::from_str(completion.get(name).json()).unwrap_or_default();
        Self {
            id: completion
                .get("id")
                .string()
                .unwrap_or_default()
                .into_owned(),
            created: value("created"),
            model: value("model"),
        }
    }

    /// Returns the response with this output.
    pub fn response<'a, I>(
        &'a self,
        echo: &'a Echo,
        status: &'a str,
        output: &'a [I],
        usage: &'a Value,
        extractd: Option<&'a RawValue>,
    ) -> Response<'a, I> {
        let incomplete_details = if status == "incomplete" {
            json!({"reason": "max_output_tokens"})
        } else {
            Value::Null
        };
        Response {
            id: format!("resp_{}", suffix(&self.id)),
            object: "response",
            created_at: &self.created,
            status,
            error: (),
            incomplete_details,
            model: &self.model,
            output,
            usage,
            echo,
            extractd,
        }
    }
}

/// Returns the response of a whole completion. Both are JSON texts.
///
/// # Errors
/// `upstream_error` if the completion has too many parts.
pub fn of_completion(echo: &Echo, completion: &[u8]) -> Result<Vec<u8>, Error> {
    let text = JsonText::parse(completion).map_err(|error| unreadable(&error))?;
    let common = Common::new(text.root());
    let completion_members = text.members();
    let choices = completion_members.get("choices").first_items(1);
    let choice = choices
        .first()
        .map(|choice| choice.members())
        .unwrap_or_default();
    let reason = choice.get("finish_reason").string();
    let status = status(&reason.unwrap_or_default());
    let message = choice.get("message").members();
    let (content, refusal) = (
        message.get("content").string(),
        message.get("refusal").string(),
    );
    let parts = match (&content, &refusal) {
        (_, Some(refusal)) => vec![Part::Refusal { refusal }],
        (Some(content), None) if !content.is_empty() => vec![Part::text(content)],
        _ => Vec::new(),
    };
    let calls = message.get("tool_calls").first_items(MAX_ITEMS);
    let calls: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let call = call.members();
            let function = call.get("function").members();
            [
                call.get("id"),
                function.get("name"),
                function.get("arguments"),
            ]
            .map(|part| part.string().unwrap_or_default())
        })
        .collect();
    let mut output = Vec::with_capacity(1 + calls.len());
    if !parts.is_empty() {
        output.push(OutputItem::message(&common.id, status, &parts));
    }
    output.extend(
        (0..).zip(&calls).map(
            |(index, [call_id, name, arguments])| OutputItem::FunctionCall {
                id: call_item_id(&common.id, index),
                status,
                call_id,
                name,
                arguments,
            },
        ),
    );
    if output.len() >= MAX_ITEMS {
        return Err(too_many_items());
    }
    let usage = usage(completion_members.get("usage"));
    let details = serde_json::from_str(completion_members.get("extractd").json()).ok();
    let response = common.response(echo, status, &output, &usage, details);
    let mut json = Vec::with_capacity(completion.len() + echo.bytes() + ENVELOPE_BYTES);
    drop(serde_json::to_writer(&mut json, &response));
    Ok(json)
}

/// Returns the error for an answer with too many parts.
pub fn too_many_items() -> Error {
    let detail = format!(
        "the provider's answer has {MAX_ITEMS} texts, refusals and calls or more, and a response has fewer; ask another model"
    );
    Error::new(Code::UpstreamError, detail)
}

/// Returns the status for a finish reason.
#[must_use]
pub fn status(finish_reason: &str) -> &'static str {
    if finish_reason == "length" {
        "incomplete"
    } else {
        "completed"
    }
}

/// Returns the usage in the form of responses.
pub fn usage(usage: Node<'_>) -> Value {
    if usage.is_null() {
        return Value::Null;
    }
    let usage = usage.members();
    let count = |name: &str| usage.get(name).count().unwrap_or_default();
    let detail = |object: &str, name: &str| usage.get(object).get(name).count().unwrap_or_default();
    json!({
        "input_tokens": count("prompt_tokens"),
        "input_tokens_details": {"cached_tokens": detail("prompt_tokens_details", "cached_tokens"), "cache_write_tokens": 0},
        "output_tokens": count("completion_tokens"),
        "output_tokens_details": {"reasoning_tokens": detail("completion_tokens_details", "reasoning_tokens")},
        "total_tokens": count("total_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(completion: &str) -> Result<Value, Error> {
        let request = Fields::parse(
            br#"{"metadata": {"a":
            1.50}, "store": true, "user": null}"#,
        );
        let echo = Echo::new(&request.unwrap());
        let json = of_completion(&echo, completion.as_bytes())?;
        Ok(serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn a_completion_is_a_response_with_the_settings_of_its_request() {
        let completion = json!({
            "id": "chatcmpl_1", "created": 7, "model": "m", "extractd": {"attempts": 1},
            "choices": [{"finish_reason": "length", "message": {"content": "a\nb", "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            ]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        });
        let response = response(&completion.to_string()).unwrap();
        assert_eq!(response["id"], "resp_1");
        assert_eq!(response["created_at"].to_string(), "7");
        assert_eq!(response["model"], "m");
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["error"], Value::Null);
        assert_eq!(
            response["incomplete_details"]["reason"],
            "max_output_tokens"
        );
        let text =
            json!({"type": "output_text", "text": "a\nb", "annotations": [], "logprobs": []});
        let message = json!({"type": "message", "id": "msg_1", "status": "incomplete", "role": "assistant", "content": [text]});
        let call = json!({
            "type": "function_call", "id": "fc_1_0", "status": "incomplete", "call_id": "c", "name": "f", "arguments": "{\"a\": 1}",
        });
        assert_eq!(response["output"], json!([message, call]));
        assert_eq!(response["usage"]["input_tokens"], 3);
        assert_eq!(response["metadata"].to_string(), r#"{"a":1.50}"#);
        assert_eq!(response["store"], false);
        assert_eq!(response["user"], Value::Null);
        assert_eq!(response["tool_choice"], "auto");
        assert_eq!(response["extractd"]["attempts"], 1);
    }

    #[test]
    fn an_echo_is_bounded_whatever_is_sent() {
        let echo = |request: &Value| {
            let echo = Echo::new(&Fields::parse(request.to_string().as_bytes()).unwrap());
            let json = serde_json::to_string(&echo).unwrap();
            assert!(
                json.len() < MAX_ECHO_BYTES + ENVELOPE_BYTES,
                "{}",
                json.len()
            );
            // Beside its values it has only names.
            assert!((echo.bytes()..echo.bytes() + 400).contains(&json.len()));
            (serde_json::from_str::<Value>(&json).unwrap(), echo)
        };
        let long = "x".repeat(100_000);
        let (repeated, small) = echo(&json!({
            "truncation": long, "user": long, "metadata": {"a": long}, "top_p": 0.5,
        }));
        assert_eq!(repeated["truncation"], "disabled");
        assert_eq!(repeated["user"], Value::Null);
        assert_eq!(repeated["metadata"], json!({}));
        assert_eq!(repeated["top_p"], 0.5);
        assert_eq!(small.reserved_bytes(), 0);
        // Instructions and tools are often long, and are repeated up to the limit of the whole.
        let prompt = long.repeat(6);
        let (repeated, large) = echo(&json!({"instructions": prompt, "tools": [prompt]}));
        assert_eq!(repeated["instructions"], *prompt);
        assert_eq!(repeated["tools"], json!([]));
        assert!(large.reserved_bytes() > 1_100_000);
        let (repeated, _) = echo(&json!({"instructions": long.repeat(20)}));
        assert_eq!(repeated["instructions"], Value::Null);
    }

    #[test]
    fn a_refusal_stands_alone_and_no_content_is_no_message() {
        let output = |message: &str| {
            let completion = format!(r#"{{"choices": [{{"message": {message}}}]}}"#);
            let response = response(&completion).unwrap();
            assert_eq!(response["usage"], Value::Null);
            response["output"].clone()
        };
        let refused = output(r#"{"content": "a", "refusal": "No."}"#);
        let part = json!([{"type": "refusal", "refusal": "No."}]);
        assert_eq!(refused[0]["content"], part);
        assert_eq!(refused.as_array().map(Vec::len), Some(1));
        assert_eq!(output(r#"{"content": ""}"#), json!([]));
        assert_eq!(output("null"), json!([]));
    }

    #[test]
    fn an_answer_of_very_many_calls_is_no_response() {
        let completion = |calls: usize| {
            let calls = vec![json!({}); calls];
            json!({"choices": [{"message": {"tool_calls": calls}}]}).to_string()
        };
        let most = response(&completion(MAX_ITEMS - 1)).unwrap();
        assert_eq!(most["output"].as_array().map(Vec::len), Some(MAX_ITEMS - 1));
        let refused = response(&completion(100_000)).unwrap_err();
        assert_eq!(refused.code, Code::UpstreamError);
    }
}
