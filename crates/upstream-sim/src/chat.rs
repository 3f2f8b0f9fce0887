//! The chat-completions wire form, seen from the provider: what a request asks for, and how an answer is put into a response.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A request, borrowed from its body. Fields that a simulated model has no use for are skipped.
#[derive(Deserialize)]
pub struct ChatRequest<'a> {
    /// The model asked for.
    #[serde(borrow, default)]
    pub model: Cow<'a, str>,
    /// The conversation.
    #[serde(borrow, default)]
    pub messages: Vec<Message<'a>>,
    #[serde(borrow)]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
}

/// One message of it.
#[derive(Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    /// A string or parts, as sent.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl<'a> ChatRequest<'a> {
    /// Reads a request's body.
    ///
    /// # Errors
    /// If it is not a chat-completions request.
    pub fn parse(body: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    /// Returns the user's messages as plain text, the last one first.
    pub fn user_texts(&self) -> impl Iterator<Item = String> {
        let asked = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.role == "user");
        asked.filter_map(|message| message.content.map(|content| plain(content.get())))
    }

    /// Returns the schema of the answer, as sent: of `response_format`, else of the first tool; `None` when it was given in
    /// words or not at all.
    pub fn schema(&self) -> Option<&'a str> {
        let format = self
            .response_format
            .as_ref()
            .and_then(|format| format.json_schema.as_ref());
        let asked = format.and_then(|format| format.schema);
        asked
            .or_else(|| self.function().and_then(|function| function.parameters))
            .map(RawValue::get)
    }

    /// Returns the name of the tool to call; `None` when the answer is to be the message's content.
    pub fn tool(&self) -> Option<&str> {
        self.function().map(|function| function.name.as_ref())
    }

    fn function(&self) -> Option<&Function<'a>> {
        self.tools
            .as_ref()
            .and_then(|tools| tools.first())
            .map(|tool| &tool.function)
    }
}

/// Returns a message's content, a string or parts, as plain text.
fn plain(content: &str) -> String {
    if content.starts_with('"') {
        return serde_json::from_str(content).unwrap_or_default();
    }
    let parts: Vec<Part> = serde_json::from_str(content).unwrap_or_default();
    parts
        .iter()
        .filter_map(|part| part.text.as_deref())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Answer of the model, for a response.
pub struct ChatAnswer<'a> {
    /// The answer's text.
    pub content: &'a str,
    /// The tool that it calls with it; `None`: it is the message's content.
    pub tool: Option<&'a str>,
    /// Finish reason: `stop`, `length` or `content_filter`.
    pub finish_reason: &'a str,
    /// Tokens of prompt and answer.
    pub usage: (u64, u64),
}

/// Returns the body of a response.
pub fn completion(number: usize, model: &str, said: &ChatAnswer) -> Vec<u8> {
    let message = match said.tool {
        None => json!({"role": "assistant", "content": said.content, "refusal": null}),
        Some(name) => json!({"role": "assistant", "content": null, "tool_calls": [{
            "id": format!("call_{number}"), "type": "function", "function": {"name": name, "arguments": said.content}}]}),
    };
    with_message(number, model, &message, said.finish_reason, said.usage)
}

/// Returns the body of a response with any `message`.
pub fn with_message(
    number: usize,
    model: &str,
    message: &Value,
    finish_reason: &str,
    (input, output): (u64, u64),
) -> Vec<u8> {
    let whole = json!({
        "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}});
    whole.to_string().into_bytes()
}
