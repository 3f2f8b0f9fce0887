//! Extra fields of a request's body: provider-specific settings that the service does not know.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::types::{FieldError, pointer};

/// Fields that a Chat Completions request may have from the service.
pub const CHAT_COMPLETIONS: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "seed",
    "max_tokens",
    "max_completion_tokens",
    "response_format",
    "tools",
    "tool_choice",
    "stream",
    "stream_options",
    "n",
];
/// Fields that a Responses request may have from the service.
pub const RESPONSES: &[&str] = &[
    "model",
    "input",
    "temperature",
    "max_output_tokens",
    "text.format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "store",
    "stream",
];
/// Fields that a Messages request may have from the service.
pub const MESSAGES: &[&str] = &[
    "model",
    "max_tokens",
    "temperature",
    "system",
    "messages",
    "output_config.format",
    "tools",
    "tool_choice",
    "stream",
];
/// Fields that a `generateContent` request may have from the service.
pub const GENERATE_CONTENT: &[&str] = &[
    "systemInstruction",
    "contents",
    "tools",
    "toolConfig",
    "generationConfig.temperature",
    "generationConfig.seed",
    "generationConfig.maxOutputTokens",
    "generationConfig.responseMimeType",
    "generationConfig.responseJsonSchema",
    "generationConfig.responseSchema",
    "generationConfig.candidateCount",
];
/// Fields that a request of Ollama's `/api/chat` may have from the service.
pub const OLLAMA: &[&str] = &[
    "model",
    "messages",
    "stream",
    "truncate",
    "format",
    "tools",
    "options.temperature",
    "options.seed",
    "options.num_predict",
];

/// Checks that no field overrides a reserved one, given as dotted paths.
///
/// # Errors
/// The pointer of the field that does.
pub fn check(reserved: &[&str], fields: &Map<String, Value>) -> Result<(), FieldError> {
    check_below(reserved, fields, "", "")
}

fn check_below(
    reserved: &[&str],
    fields: &Map<String, Value>,
    path: &str,
    at: &str,
) -> Result<(), FieldError> {
    for (name, value) in fields {
        let (path, at) = (format!("{path}{name}"), pointer(at, name));
        if reserved.contains(&path.as_str()) {
            let message = format!(
                "`{path}` is a field that extractd sets itself; use the setting of the request or of the model for it"
            );
            return Err(FieldError::new(at, message));
        }
        let has_reserved_parts = reserved.iter().any(|reserved| {
            reserved
                .strip_prefix(&path)
                .is_some_and(|rest| rest.starts_with('.'))
        });
        match value {
            Value::Object(value) if has_reserved_parts => {
                check_below(reserved, value, &format!("{path}."), &at)?;
            }
            _ if has_reserved_parts => {
                let message = format!(
                    "`{path}` is merged with what extractd sets there, and must be an object"
                );
                return Err(FieldError::new(at, message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fields of a JSON object, each with its exact bytes.
pub type RawFields<'a> = IndexMap<Cow<'a, str>, Cow<'a, RawValue>>;

/// Returns the fields of a JSON object; `None` if the text is not a JSON object.
pub fn raw_fields(json: &str) -> Option<RawFields<'_>> {
    let fields: IndexMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
    let fields = fields.into_iter();
    Some(
        fields
            .map(|(name, value)| (name, Cow::Borrowed(value)))
            .collect(),
    )
}

/// Adds further fields to those of a body. Objects are merged; the body's own values are kept, byte by byte.
pub fn add<'a>(own: &mut RawFields<'a>, fields: &'a Map<String, Value>) {
    for (name, value) in fields {
        let added = match (own.get(name.as_str()), value) {
            (None, value) => to_raw_value(value).ok(),
            (Some(own), Value::Object(value)) => with_fields(own.get(), value),
            (Some(_), _) => None,
        };
        if let Some(added) = added {
            own.insert(name.into(), Cow::Owned(added));
        }
    }
}

/// Returns an object with further fields; `None` if it is no object.
fn with_fields(own: &str, fields: &Map<String, Value>) -> Option<Box<RawValue>> {
    let mut own = raw_fields(own)?;
    add(&mut own, fields);
    to_raw_value(&own).ok()
}

/// Returns the body with further fields, as [`add`] does.
pub fn merge(body: Vec<u8>, fields: &Map<String, Value>) -> Vec<u8> {
    let merged = std::str::from_utf8(&body).ok().and_then(|body| {
        let mut own = raw_fields(body)?;
        add(&mut own, fields);
        serde_json::to_vec(&own).ok()
    });
    merged.unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> &Map<String, Value> {
        value.as_object().unwrap()
    }

    #[test]
    fn fields_are_added_and_the_bodys_own_are_kept() {
        let body = r#"{"model":"m","n":1.50,"config":{"z":1,"schema":{"b":1,"a":2}}}"#;
        let extra = json!({"model": "x", "top_p": 0.5, "config": {"z": 2, "think": {"budget": 0}}, "n": {"a": 1}});
        let merged = merge(body.into(), fields(&extra));
        assert_eq!(
            String::from_utf8(merged).unwrap(),
            r#"{"model":"m","n":1.50,"config":{"z":1,"schema":{"b":1,"a":2},"think":{"budget":0}},"top_p":0.5}"#
        );
    }

    #[test]
    fn a_reserved_field_is_refused_with_its_pointer() {
        let reserved = ["model", "config.schema"];
        for (extra, refused) in [
            (json!({"model": "x"}), Some("/model")),
            (
                json!({"top_p": 1, "config": {"schema": {}}}),
                Some("/config/schema"),
            ),
            (json!({"config": 1}), Some("/config")),
            (
                json!({"config": {"other": {"schema": 1}}, "models": []}),
                None,
            ),
        ] {
            let pointer = check(&reserved, fields(&extra))
                .err()
                .map(|error| error.pointer);
            assert_eq!(pointer.as_deref(), refused, "{extra}");
        }
    }
}
