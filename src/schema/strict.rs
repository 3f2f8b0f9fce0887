//! Whether a schema keeps, as it stands, within the subset that OpenAI's strict mode takes.
//!
//! Source: <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, read 2026-11: the root is an
//! object and no `anyOf`; every object lists all its properties in `required` and has `additionalProperties: false`;
//! up to 5,000 properties, 10 levels.

use std::collections::HashSet;

use serde_json::Value;

const KEYWORDS: [&str; 25] = [
    "$schema",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "$ref",
    "$defs",
    "definitions",
    "pattern",
    "format",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "$id",
    "$comment",
];
const FORMATS: [&str; 9] = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
const MAX_LEVELS: usize = 10;

/// True when the schema can be sent with `strict: true`.
pub fn is_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && schema.get("anyOf").is_none() && fits(schema, 0)
}

fn fits(schema: &Value, level: usize) -> bool {
    let Some(object) = schema.as_object() else { return false };
    if level > MAX_LEVELS || object.keys().any(|keyword| !KEYWORDS.contains(&keyword.as_str())) {
        return false;
    }
    let format_fits = object.get("format").and_then(Value::as_str).is_none_or(|format| FORMATS.contains(&format));
    let properties = object.get("properties").and_then(Value::as_object);
    let required: HashSet<_> =
        object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let is_object = properties.is_some() || object.get("type").is_some_and(names_object);
    let is_required = |name: &String| required.contains(name.as_str());
    let closed = !is_object
        || object.get("additionalProperties") == Some(&Value::Bool(false))
            && properties.is_none_or(|properties| properties.keys().all(is_required));
    let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|keyword| object.get(keyword)?.as_object());
    let any_of = object.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    format_fits
        && closed
        && named.flat_map(serde_json::Map::values).chain(any_of).chain(object.get("items")).all(|part| fits(part, level + 1))
}

fn names_object(kind: &Value) -> bool {
    kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}
