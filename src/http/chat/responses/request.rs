//! Requests of the Responses API, as bodies of chat completions.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::super::body::Fields;
use crate::types::{Error, FieldError, member_pointer, truncate_for_display};

/// Fields that need a store of responses or OpenAI's own services, or belong to Chat Completions; with what to do instead.
const REJECTED: [(&str, &str); 8] = [
    (
        "previous_response_id",
        "responses are not stored; send the earlier messages in `input`",
    ),
    (
        "conversation",
        "conversations are not stored; send the earlier messages in `input`",
    ),
    (
        "prompt",
        "prompt templates are not stored; send `instructions` and `input`",
    ),
    (
        "messages",
        "use `input`; `messages` is a field of POST /v1/chat/completions",
    ),
    (
        "response_format",
        "use `text.format`; `response_format` is a field of POST /v1/chat/completions",
    ),
    ("max_tokens", "use `max_output_tokens`"),
    ("max_completion_tokens", "use `max_output_tokens`"),
    ("moderation", "moderation is not supported"),
];
/// Fields without an effect here.
const DROPPED: [&str; 5] = [
    "store",
    "include",
    "truncation",
    "background",
    "max_tool_calls",
];

#[derive(Deserialize)]
struct TextSettings {
    format: Option<Box<RawValue>>,
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
}

/// Returns the body of the chat completion for a request.
///
/// # Errors
/// `invalid_request` at the field that cannot be used.
pub fn to_chat(mut fields: Fields) -> Result<Fields, Error> {
    for (name, why) in REJECTED {
        if fields.get(name).is_some() {
            return Err(Error::invalid(member_pointer("", name), why));
        }
    }
    if fields.parse_field("background", "true or false")? == Some(true) {
        let message = "responses are not made in the background; leave it out, or create a job with POST /v1/jobs";
        return Err(Error::invalid("/background", message));
    }
    for name in DROPPED {
        fields.take(name);
    }
    let mut chat = Fields::default();
    chat.set("messages", &messages(&mut fields)?);
    if let Some(limit) = fields.take("max_output_tokens") {
        chat.set("max_completion_tokens", &limit);
    }
    text(&mut fields, &mut chat)?;
    tools(&mut fields, &mut chat)?;
    let reasoning: Option<Value> =
        fields.parse_field("reasoning", "an object such as {\"effort\": \"low\"}")?;
    fields.take("reasoning");
    if let Some(effort) = reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.get("effort"))
        && !effort.is_null()
    {
        chat.set("reasoning_effort", effort);
    }
    chat.append(fields);
    Ok(chat)
}

/// Moves the pointers of an error from the chat completion to the request.
pub fn relocate(mut error: Error) -> Error {
    let moved = |pointer: &str| {
        // Messages and items have no common numbers.
        if pointer.starts_with("/messages") {
            return "/input".to_owned();
        }
        for (chat, own) in [
            ("/response_format/json_schema", "/text/format"),
            ("/response_format", "/text/format"),
            ("/max_completion_tokens", "/max_output_tokens"),
        ] {
            if let Some(rest) = pointer.strip_prefix(chat) {
                return format!("{own}{rest}");
            }
        }
        pointer.replacen("/function/parameters", "/parameters", 1)
    };
    let errors: Vec<_> = error
        .errors
        .iter()
        .map(|field| FieldError::new(moved(&field.pointer), field.message.clone()))
        .collect();
    if let ([new], Some(old)) = (errors.as_slice(), error.errors.first())
        && let Some(rest) = error.detail.strip_prefix(&*old.pointer)
    {
        error.detail = format!("{}{rest}", new.pointer).into();
    }
    error.errors = errors;
    error
}

fn messages(fields: &mut Fields) -> Result<Vec<Value>, Error> {
    let mut messages = Vec::new();
    if let Some(instructions) = fields.parse_field::<String>("instructions", "a string")? {
        messages.push(object([
            ("role", "system".into()),
            ("content", instructions.into()),
        ]));
    }
    fields.take("instructions");
    let input: Option<Value> = fields.parse_field("input", "a string or an array of items")?;
    fields.take("input");
    match input {
        Some(Value::String(text)) => {
            messages.push(object([("role", "user".into()), ("content", text.into())]));
        }
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                let message = message(item)
                    .map_err(|error| error.with_pointer_prefix(&format!("/input/{index}")))?;
                add(message, &mut messages);
            }
        }
        Some(_) => {
            return Err(Error::invalid(
                "/input",
                "must be a string or an array of items",
            ));
        }
        None => {
            let message = "this field is required: a string or an array of items";
            return Err(Error::invalid("/input", message));
        }
    }
    Ok(messages)
}

/// Appends a message. Tool calls one after the other are one message of the assistant.
fn add(message: Option<Value>, messages: &mut Vec<Value>) {
    let Some(mut message) = message else { return };
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    if let (Some(calls), Some(earlier)) = (
        calls,
        messages
            .last_mut()
            .and_then(|last| last.get_mut("tool_calls"))
            .and_then(Value::as_array_mut),
    ) {
        earlier.append(calls);
        return;
    }
    messages.push(message);
}

/// Creates an object of these members, which are moved rather than copied.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().collect()
}

/// Takes a member out of an object. Returns null if the object has no such member.
fn take(value: &mut Value, name: &str) -> Value {
    value.get_mut(name).map(Value::take).unwrap_or_default()
}

/// Returns the message of an item; `None` for the model's reasoning, which no other API takes back.
fn message(mut item: Value) -> Result<Option<Value>, Error> {
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message");
    let message = match kind {
        "message" => {
            let role = take(&mut item, "role");
            let content = content(take(&mut item, "content"))?;
            object([("role", role), ("content", content)])
        }
        "function_call" => {
            let function = object([
                ("name", take(&mut item, "name")),
                ("arguments", take(&mut item, "arguments")),
            ]);
            let call = object([
                ("id", take(&mut item, "call_id")),
                ("type", "function".into()),
                ("function", function),
            ]);
            object([
                ("role", "assistant".into()),
                ("content", Value::Null),
                ("tool_calls", Value::Array(vec![call])),
            ])
        }
        "function_call_output" => object([
            ("role", "tool".into()),
            ("tool_call_id", take(&mut item, "call_id")),
            ("content", content(take(&mut item, "output"))?),
        ]),
        "reasoning" => return Ok(None),
        other => {
            let other = truncate_for_display(other);
            let message = format!(
                "an item of the type \"{other}\" is not supported; supported are message, function_call, function_call_output and reasoning"
            );
            return Err(Error::invalid("/type", message));
        }
    };
    Ok(Some(message))
}

fn content(content: Value) -> Result<Value, Error> {
    let Value::Array(parts) = content else {
        return Ok(content);
    };
    let parts = parts.into_iter().enumerate().map(|(index, mut part)| {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "input_text" | "output_text" | "text" => {
                Ok(object([("type", "text".into()), ("text", take(&mut part, "text"))]))
            }
            "refusal" => {
                let refusal = take(&mut part, "refusal");
                Ok(object([("type", "refusal".into()), ("refusal", refusal)]))
            }
            "input_image" if part.get("image_url").is_some_and(Value::is_string) => {
                let detail = match take(&mut part, "detail") {
                    Value::Null => "auto".into(),
                    detail => detail,
                };
                let url = object([("url", take(&mut part, "image_url")), ("detail", detail)]);
                Ok(object([("type", "image_url".into()), ("image_url", url)]))
            }
            other => {
                let other = truncate_for_display(other);
                let message = format!(
                    "a part of the type \"{other}\" is not supported; supported are input_text, output_text, refusal, and input_image with `image_url`"
                );
                Err(Error::invalid(format!("/content/{index}"), message))
            }
        }
    });
    parts.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn text(fields: &mut Fields, chat: &mut Fields) -> Result<(), Error> {
    let settings: Option<TextSettings> = fields.parse_field("text", "an object with `format`")?;
    fields.take("text");
    let Some(settings) = settings else {
        return Ok(());
    };
    if let Some(verbosity) = settings.verbosity {
        chat.set("verbosity", &verbosity);
    }
    let Some(raw) = settings.format.filter(|format| format.get() != "null") else {
        return Ok(());
    };
    let format: Format = serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid("/text/format", "must be an object with `type`"))?;
    if format.kind == "json_schema" {
        let schema = json_schema(
            format.name.as_deref(),
            format.description.as_deref(),
            format.schema,
        );
        chat.set(
            "response_format",
            &Wrapped {
                r#type: "json_schema",
                json_schema: Some(schema),
                function: None,
            },
        );
    } else {
        chat.set("response_format", &json!({"type": format.kind}));
    }
    Ok(())
}

#[derive(serde::Serialize)]
struct Wrapped<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Named<'a>>,
}

#[derive(serde::Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

const fn json_schema<'a>(
    name: Option<&'a str>,
    description: Option<&'a str>,
    schema: Option<Box<RawValue>>,
) -> Named<'a> {
    Named {
        name,
        description,
        schema,
        parameters: None,
        strict: None,
    }
}

fn tools(fields: &mut Fields, chat: &mut Fields) -> Result<(), Error> {
    const EXPECTED: &str = "an array of tools, each with `type`";
    let tools: Option<Vec<Tool>> = fields.parse_field("tools", EXPECTED)?;
    fields.take("tools");
    let mut functions = Vec::new();
    for (index, tool) in tools.iter().flatten().enumerate() {
        if tool.kind != "function" {
            let message = format!(
                "a tool of the type \"{}\" runs at OpenAI, and is not supported; supported is \"function\"",
                truncate_for_display(&tool.kind)
            );
            return Err(Error::invalid(format!("/tools/{index}/type"), message));
        }
        let function = Named {
            name: tool.name.as_deref(),
            description: tool.description.as_deref(),
            schema: None,
            parameters: tool
                .parameters
                .clone()
                .filter(|value| value.get() != "null"),
            strict: tool.strict,
        };
        functions.push(Wrapped {
            r#type: "function",
            json_schema: None,
            function: Some(function),
        });
    }
    if !functions.is_empty() {
        chat.set("tools", &functions);
    }
    let choice: Option<Value> = fields.parse_field("tool_choice", "a string or an object")?;
    fields.take("tool_choice");
    match choice {
        Some(Value::Object(choice))
            if choice.get("type").is_some_and(|kind| kind == "function") =>
        {
            let named = json!({"type": "function", "function": {"name": choice.get("name")}});
            chat.set("tool_choice", &named);
        }
        Some(Value::String(mode)) => chat.set("tool_choice", &mode),
        Some(other) => {
            let other = other.to_string();
            let other = truncate_for_display(&other);
            let message =
                format!("{other} is not supported; name a function, or say none, auto or required");
            return Err(Error::invalid("/tool_choice", message));
        }
        None => {}
    }
    if chat.get("tools").is_none() {
        chat.take("tool_choice");
    }
    Ok(())
}

impl Fields {
    /// Sets a field.
    fn set(&mut self, name: &str, value: &(impl serde::Serialize + ?Sized)) {
        if let Ok(value) = to_raw_value(value) {
            self.insert(name, value);
        }
    }
}
