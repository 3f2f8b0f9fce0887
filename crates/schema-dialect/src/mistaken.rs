//! Documents that are no schema: an example in its place, a wrapper around it, a schema as text.

use jsonschema::ValidationError;
use serde_json::Value;

use crate::keyword::{self, is_assertion};
use crate::suggestion;
use crate::{SchemaError, Warning, pointer};

/// Members of wrappers in which a schema lies, with the path to it.
const WRAPPERS: [(&[&str], &str); 12] = [
    (&["json_schema", "schema"], "OpenAI's `response_format`"),
    (&["schema"], "OpenAI's `json_schema`"),
    (&["function", "parameters"], "an OpenAI tool"),
    (&["parameters"], "an OpenAI function"),
    (&["input_schema"], "an Anthropic tool"),
    (&["inputSchema"], "a tool"),
    (&["response_schema"], "a Gemini request"),
    (&["responseSchema"], "a Gemini request"),
    (&["responseJsonSchema"], "a Gemini request"),
    (&["outputSchema"], "a tool"),
    (&["format", "schema"], "an OpenAI Responses request"),
    (&["toolSpec", "inputSchema", "json"], "a Bedrock tool"),
];

/// Returns the reason for which a document cannot be meant as a schema.
pub fn not_a_schema(document: &Value) -> Option<SchemaError> {
    let members = match document {
        Value::Object(members) => members,
        Value::Bool(_) => return None,
        Value::String(text) => return Some(schema_as_text(text)),
        other => {
            let message = format!(
                "this is {}, not a JSON Schema. Send an object such as {}",
                kind_of(other),
                suggestion::for_example(other)
            );
            return Some(SchemaError::new("", message));
        }
    };
    if members
        .keys()
        .any(|name| is_assertion(name) && name != "format")
        && !is_wrapper_type(document)
    {
        return None;
    }
    if let Some((path, origin)) = wrapper(document) {
        let message = format!(
            "this is {origin} around a schema, not a schema. Send what stands under `{}` as the schema",
            path.join(".")
        );
        return Some(SchemaError::new("", message));
    }
    // Definitions alone, annotations alone and `{}` are schemas that take any value.
    let unknown: Vec<&String> = members
        .iter()
        .filter(|(name, value)| {
            keyword::holds(name).is_none() && !name.starts_with("x-") && !name.starts_with('$')
                || is_shorthand(value) && matches!(name.as_str(), "title" | "description")
        })
        .map(|(name, _)| name)
        .collect();
    let first = unknown.first()?;
    let message = format!(
        "this has no keyword of JSON Schema; `{first}` looks like a field of the result. Describe the fields under `properties`: {}",
        suggestion::for_example(document)
    );
    Some(SchemaError::new("", message))
}

/// Returns true for `{"type": "json_schema", …}` and the like, whose `type` is not one of JSON Schema's.
fn is_wrapper_type(document: &Value) -> bool {
    let is_foreign = |kind: &str| !keyword::TYPES.contains(&kind);
    document
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(is_foreign)
        && wrapper(document).is_some()
}

fn wrapper(document: &Value) -> Option<(&'static [&'static str], &'static str)> {
    WRAPPERS.into_iter().find(|(path, _)| {
        let inner = path
            .iter()
            .try_fold(document, |value, name| value.get(name));
        inner.is_some_and(|inner| {
            inner
                .as_object()
                .is_some_and(|inner| inner.keys().any(|name| is_assertion(name)))
        })
    })
}

fn schema_as_text(text: &str) -> SchemaError {
    let inner = serde_json::from_str::<Value>(text);
    let message = if inner.is_ok_and(|inner| inner.is_object()) {
        "this is a JSON Schema as a string. Send the object itself, without the quotes around it"
    } else {
        "this is a string, not a JSON Schema. Send an object such as {\"type\": \"string\"}"
    };
    SchemaError::new("", message)
}

/// Returns a warning about a keyword of this service that is unknown or has an unknown value.
pub fn own_keyword(at: &str, name: &str, value: &Value) -> Option<Warning> {
    if name == keyword::GROUNDING && value == keyword::GROUNDING_OFF {
        return None;
    }
    let message = if name == keyword::GROUNDING {
        format!(
            "{} is no value of `{name}`, so it has no effect; the only one is `\"{}\"`",
            shorten(value),
            keyword::GROUNDING_OFF
        )
    } else {
        format!(
            "`{name}` is unknown, so it has no effect; the keyword with this prefix is `{}`",
            keyword::GROUNDING
        )
    };
    Some(Warning {
        pointer: at.to_owned(),
        message,
    })
}

/// Returns true for a type's name where a schema is expected: `"string"`, `"int"`, `"string | null"`.
pub fn is_shorthand(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let first = text
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        text.len() <= 40 && suggestion::type_named(first).is_some()
    })
}

/// Describes a violation of the meta-schema, with what to write instead where that is clear.
pub fn violation(document: &Value, at: &str, error: &ValidationError<'_>) -> SchemaError {
    let value = document.pointer(at);
    let keyword = at.rsplit('/').next().unwrap_or_default();
    let shown = value.map(shorten).unwrap_or_default();
    // The meta-schema reports a wrong `type` at the keyword, or at an entry of its list.
    let is_type = keyword == "type" || at.rsplit('/').nth(1) == Some("type");
    let message = match value {
        Some(Value::String(name)) if is_type => match keyword::meant_type(name) {
            Some(meant) => format!("{shown} is no type of JSON Schema; did you mean \"{meant}\"?"),
            None => format!(
                "{shown} is no type of JSON Schema; the types are {}",
                keyword::TYPES.join(", ")
            ),
        },
        Some(Value::Bool(_)) if keyword == "required" => {
            "`required` is an array of names beside `properties`, not a flag of one property: {\"properties\": {\"a\": {…}}, \"required\": [\"a\"]}".to_owned()
        }
        Some(value) if is_shorthand(value) => format!(
            "{shown} stands where a schema belongs; write {}",
            suggestion::for_example(value)
        ),
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Null))
            if is_schema_place(at) =>
        {
            format!(
                "{shown} stands where a schema belongs; write {}",
                suggestion::for_example(value)
            )
        }
        _ => match keyword_form(at) {
            Some(form) => format!("`{keyword}` must be {form}, and is {shown}"),
            None => format!("{error} (by the meta-schema of JSON Schema)"),
        },
    };
    SchemaError::new(at, message)
}

/// Returns what the value of the keyword at a JSON Pointer must be; `None` for a name that is no keyword there.
fn keyword_form(at: &str) -> Option<&'static str> {
    let mut tokens = at.rsplit('/');
    let keyword = tokens.next()?;
    // Below these, a name is the user's own.
    let is_own = matches!(
        tokens.next()?,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
    );
    if is_own {
        return None;
    }
    Some(match keyword {
        "type" => "the name of a type, such as \"string\", or an array of them",
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            "an object of schemas by name"
        }
        "required" => "an array of different names",
        "enum" => "an array of values",
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => "an array of schemas, at least one",
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => "a number",
        "multipleOf" => "a number above 0",
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => "a whole number of at least 0",
        "pattern" | "format" | "title" | "description" | "$ref" | "$id" | "$anchor"
        | "$comment" => "a string",
        "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => "true or false",
        "examples" => "an array",
        _ => return None,
    })
}

/// Returns true if a JSON Pointer leads to a place whose value is a schema.
fn is_schema_place(at: &str) -> bool {
    let mut tokens = at.rsplit('/');
    let (last, before) = (
        tokens.next().unwrap_or_default(),
        tokens.next().unwrap_or_default(),
    );
    matches!(
        before,
        "properties" | "$defs" | "definitions" | "patternProperties" | "anyOf" | "oneOf" | "allOf"
    ) || matches!(last, "items" | "not" | "additionalProperties")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::Number(_) => "a number",
        Value::Null => "null",
        Value::String(_) => "a string",
        Value::Bool(_) => "a boolean",
        Value::Object(_) => "an object",
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Returns a warning about a member of a schema object that no draft knows, if it looks like a mistake.
pub fn unknown_member(at: &str, name: &str, value: &Value) -> Option<Warning> {
    let message = if let Some(meant) = keyword::meant_keyword(name) {
        format!("`{name}` is no keyword of JSON Schema and is ignored; did you mean `{meant}`?")
    } else if is_shorthand(value) || value.get("type").is_some_and(Value::is_string) {
        format!(
            "`{name}` is no keyword of JSON Schema and is ignored; if it is a field, put it under `properties`"
        )
    } else {
        return None;
    };
    Some(Warning {
        pointer: pointer(at, name),
        message,
    })
}
