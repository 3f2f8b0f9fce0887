//! Responses, made of chat completions.

use serde_json::{Map, Value, json};

/// Settings of a request that its response repeats.
#[derive(Debug, Clone, Default)]
pub struct Echo(Map<String, Value>);

/// Fields of a response that repeat those of its request, with their defaults.
fn defaults() -> Value {
    json!({
        "instructions": null, "max_output_tokens": null, "metadata": {}, "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": {"effort": null, "summary": null}, "store": false,
        "temperature": null, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": null, "truncation": "disabled", "user": null,
    })
}

impl Echo {
    /// Takes the settings of a request.
    #[must_use]
    pub fn new(request: &Map<String, Value>) -> Self {
        let mut echo = defaults();
        if let Some(echo) = echo.as_object_mut() {
            for (name, value) in echo.iter_mut().filter(|(name, _)| *name != "store") {
                if let Some(sent) = request.get(name).filter(|sent| !sent.is_null()) {
                    value.clone_from(sent);
                }
            }
        }
        match echo {
            Value::Object(echo) => Self(echo),
            _ => Self::default(),
        }
    }
}

/// Returns a response with this output.
pub fn response(
    echo: &Echo,
    (id, created, model): (&str, &Value, &Value),
    status: &str,
    output: &[Value],
    usage: &Value,
) -> Map<String, Value> {
    let mut response = Map::new();
    for (name, value) in [
        ("id", Value::from(response_id(id))),
        ("object", "response".into()),
        ("created_at", created.clone()),
        ("status", status.into()),
        ("error", Value::Null),
        (
            "incomplete_details",
            if status == "incomplete" {
                json!({"reason": "max_output_tokens"})
            } else {
                Value::Null
            },
        ),
        ("model", model.clone()),
        ("output", output.into()),
        ("usage", usage.clone()),
    ] {
        response.insert(name.to_owned(), value);
    }
    response.extend(echo.0.clone());
    response
}

/// Returns the ID of a completion's response.
fn response_id(id: &str) -> String {
    format!("resp_{}", suffix(id))
}

/// Returns what distinguishes the ID of a completion from that of others.
#[must_use]
pub fn suffix(id: &str) -> &str {
    id.split_once(['_', '-']).map_or(id, |(_, suffix)| suffix)
}

/// Returns the response of a whole completion.
#[must_use]
pub fn of_completion(echo: &Echo, completion: &Value) -> Value {
    let part = |name: &str| completion.get(name).cloned().unwrap_or_default();
    let id = part("id");
    let id = id.as_str().unwrap_or_default();
    let choice = completion
        .pointer("/choices/0")
        .cloned()
        .unwrap_or_default();
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    let status = status(reason.unwrap_or_default());
    let output = output(id, choice.get("message").unwrap_or(&Value::Null), status);
    let identity = (id, &part("created"), &part("model"));
    let mut response = response(echo, identity, status, &output, &usage(&part("usage")));
    response.insert("extractd".to_owned(), part("extractd"));
    Value::Object(response)
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

fn output(id: &str, message: &Value, status: &str) -> Vec<Value> {
    let text = |name: &str| message.get(name).and_then(Value::as_str);
    let mut output = Vec::new();
    let content = match (text("content"), text("refusal")) {
        (_, Some(refusal)) => Some(refusal_part(refusal)),
        (Some(content), None) if !content.is_empty() => Some(text_part(content)),
        _ => None,
    };
    if let Some(content) = content {
        output.push(message_item(id, status, &[content]));
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    for (index, call) in calls.into_iter().flatten().enumerate() {
        let part = |path: &str| {
            call.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        output.push(call_item(
            &format!("fc_{}_{index}", suffix(id)),
            status,
            (
                part("/id"),
                part("/function/name"),
                part("/function/arguments"),
            ),
        ));
    }
    output
}

/// Returns a message of the assistant.
#[must_use]
pub fn message_item(id: &str, status: &str, content: &[Value]) -> Value {
    json!({
        "id": format!("msg_{}", suffix(id)), "type": "message", "status": status,
        "role": "assistant", "content": content,
    })
}

/// Returns a call of a function: its call ID, name and arguments.
#[must_use]
pub fn call_item(id: &str, status: &str, (call_id, name, arguments): (&str, &str, &str)) -> Value {
    json!({
        "id": id, "type": "function_call", "status": status,
        "call_id": call_id, "name": name, "arguments": arguments,
    })
}

/// Returns a part of a message with text.
#[must_use]
pub fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Returns a part of a message with a refusal.
#[must_use]
pub fn refusal_part(refusal: &str) -> Value {
    json!({"type": "refusal", "refusal": refusal})
}

/// Returns the usage in the form of responses.
#[must_use]
pub fn usage(usage: &Value) -> Value {
    if usage.is_null() {
        return Value::Null;
    }
    let count = |path: &str| {
        usage
            .pointer(path)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    json!({
        "input_tokens": count("/prompt_tokens"),
        "input_tokens_details": {"cached_tokens": count("/prompt_tokens_details/cached_tokens"), "cache_write_tokens": 0},
        "output_tokens": count("/completion_tokens"),
        "output_tokens_details": {"reasoning_tokens": count("/completion_tokens_details/reasoning_tokens")},
        "total_tokens": count("/total_tokens"),
    })
}
