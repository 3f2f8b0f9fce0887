//! Rules of the providers' dialects, written a second time and in another way than the tables: a form that breaks none of them
//! is one that the provider documents.

mod walk;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use walk::{Walk, has_type, is_recursive};

/// Function that returns the rules which a schema breaks.
pub type Rules = fn(&Value) -> Vec<String>;

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn says_its_type<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if !["type", "anyOf", "$ref"]
        .iter()
        .any(|keyword| object.contains_key(*keyword))
    {
        walk.fail(at, "does not say what it is");
    }
    if has_type(object, "array")
        && !object.contains_key("items")
        && !object.contains_key("prefixItems")
    {
        walk.fail(at, "does not say what its items are");
    }
}

fn is_closed<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if has_type(object, "object") && object.get("additionalProperties") != Some(&Value::Bool(false))
    {
        walk.fail(at, "is not closed");
    }
}

fn has_scalar_enum<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if object
        .get("enum")
        .and_then(Value::as_array)
        .is_some_and(|values| !values.iter().all(is_scalar))
    {
        walk.fail(at, "has an `enum` of more than scalars");
    }
}

fn strict<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    says_its_type(walk, object, at);
    is_closed(walk, object, at);
    has_scalar_enum(walk, object, at);
    let names: HashSet<&str> = object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let required: HashSet<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names != required {
        walk.fail(at, "does not require all its properties");
    }
    let strings = object
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let (count, characters) = strings.fold((0, 0), |(count, sum), text| {
        (count + 1, sum + text.chars().count())
    });
    if count > 250 && characters > 15_000 {
        walk.fail(at, "has an `enum` that is too long");
    }
    let formats = [
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ];
    if object
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| !formats.contains(&format))
    {
        walk.fail(at, "has an unknown `format`");
    }
}

pub fn root_is_object(schema: &Value) -> Vec<String> {
    let is_one = schema["type"] == "object"
        && ["anyOf", "oneOf", "allOf", "$ref"]
            .iter()
            .all(|keyword| schema.get(keyword).is_none());
    let is_wrapped = schema["type"] == "object";
    if is_one || is_wrapped {
        Vec::new()
    } else {
        vec!["the root is no object".to_owned()]
    }
}

pub fn openai(schema: &Value) -> Vec<String> {
    const KEYWORDS: &[&str] = &[
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "anyOf",
        "$ref",
        "$defs",
        "pattern",
        "format",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "minItems",
        "maxItems",
    ];
    let mut walk = Walk::over(schema, KEYWORDS, strict);
    walk.broken.extend(root_is_object(schema));
    if schema.get("anyOf").is_some() {
        walk.fail("#", "has `anyOf`");
    }
    walk.most("properties", walk.properties, 5_000);
    walk.most("levels", walk.levels, 10);
    walk.most("enum values", walk.enum_values, 1_000);
    walk.most("characters", walk.characters, 120_000);
    walk.broken
}

pub fn azure(schema: &Value) -> Vec<String> {
    const KEYWORDS: &[&str] = &[
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "anyOf",
        "$ref",
        "$defs",
    ];
    let mut walk = Walk::over(schema, KEYWORDS, strict);
    walk.broken.extend(root_is_object(schema));
    walk.most("properties", walk.properties, 100);
    walk.most("levels", walk.levels, 5);
    walk.most("enum values", walk.enum_values, 500);
    walk.most("characters", walk.characters, 15_000);
    walk.broken
}

pub fn anthropic(schema: &Value) -> Vec<String> {
    const KEYWORDS: &[&str] = &[
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "anyOf",
        "$ref",
        "$defs",
        "pattern",
        "format",
        "minItems",
    ];
    let mut walk = Walk::over(schema, KEYWORDS, |walk, object, at| {
        says_its_type(walk, object, at);
        is_closed(walk, object, at);
        has_scalar_enum(walk, object, at);
        if object.get("minItems").and_then(Value::as_u64) > Some(1) {
            walk.fail(at, "has more than one in `minItems`");
        }
    });
    walk.broken.extend(root_is_object(schema));
    walk.most("optional properties", walk.optional, 24);
    walk.most("unions", walk.unions, 16);
    walk.broken.extend(is_recursive(schema));
    walk.broken
}

pub fn anthropic_tools(schema: &Value) -> Vec<String> {
    let mut walk = Walk::over(schema, GENEROUS, |walk, object, at| {
        for name in object
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
                walk.fail(at, &format!("has a property {name:?}"));
            }
        }
    });
    walk.broken.extend(root_is_object(schema));
    walk.broken
}

pub fn gemini_json_schema(schema: &Value) -> Vec<String> {
    const KEYWORDS: &[&str] = &[
        "$defs",
        "$ref",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "properties",
        "additionalProperties",
        "required",
    ];
    let mut walk = Walk::over(schema, KEYWORDS, |walk, object, at| {
        says_its_type(walk, object, at);
        let of_strings = |value: &Value| value.is_string() || value.is_number();
        if object
            .get("enum")
            .and_then(Value::as_array)
            .is_some_and(|values| !values.iter().all(of_strings))
        {
            walk.fail(at, "has an `enum` of more than strings and numbers");
        }
    });
    walk.broken.extend(is_recursive(schema));
    walk.broken
}

pub fn gemini_schema(schema: &Value) -> Vec<String> {
    const KEYWORDS: &[&str] = &[
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "anyOf",
        "properties",
        "required",
    ];
    let walk = Walk::over(schema, KEYWORDS, |walk, object, at| {
        says_its_type(walk, object, at);
        if object.contains_key("anyOf") && object.len() > 1 {
            walk.fail(at, "has something beside `anyOf`");
        }
        if object
            .get("type")
            .is_some_and(|kind| kind == "null" || kind.is_array())
        {
            walk.fail(at, "has a `type` of JSON Schema alone");
        }
        if has_type(object, "object")
            && object
                .get("properties")
                .and_then(Value::as_object)
                .is_none_or(Map::is_empty)
        {
            walk.fail(at, "is an object without properties");
        }
        if object.contains_key("enum") && !has_type(object, "string") {
            walk.fail(at, "has an `enum` of no strings");
        }
        if has_type(object, "string")
            && object
                .get("format")
                .is_some_and(|format| format != "date-time" && format != "enum")
        {
            walk.fail(at, "has an unknown `format`");
        }
    });
    walk.broken
}

const GENEROUS: &[&str] = &[
    "type",
    "title",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "enum",
    "anyOf",
    "$ref",
    "$defs",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
];

pub fn llama_cpp(schema: &Value) -> Vec<String> {
    let walk = Walk::over(schema, GENEROUS, |walk, object, at| {
        if object.contains_key("anyOf") && object.contains_key("properties") {
            walk.fail(at, "has `properties` beside `anyOf`");
        }
        if object.contains_key("prefixItems") {
            walk.fail(at, "has `prefixItems`");
        }
        if object
            .get("pattern")
            .and_then(Value::as_str)
            .is_some_and(|text| !text.starts_with('^') || !text.ends_with('$'))
        {
            walk.fail(at, "has a `pattern` that is not anchored");
        }
        if object.contains_key("minimum") && !has_type(object, "integer") {
            walk.fail(at, "has a limit of a number");
        }
        if object.get("format").is_some_and(|format| {
            !["date", "time", "date-time", "uuid"]
                .iter()
                .any(|known| format == known)
        }) {
            walk.fail(at, "has an unknown `format`");
        }
    });
    walk.broken
}

pub fn compatible(schema: &Value) -> Vec<String> {
    let mut walk = Walk::over(schema, GENEROUS, |_, _, _| {});
    walk.broken.extend(root_is_object(schema));
    walk.broken
}

/// Converts a schema to JSON Schema, which does not know `nullable`.
pub fn standard(schema: Value) -> Value {
    match schema {
        Value::Object(mut members) => {
            let is_nullable =
                members.get("nullable") == Some(&Value::Bool(true)) && members.contains_key("type");
            if is_nullable {
                members.remove("nullable");
            }
            let inner = Value::Object(
                members
                    .into_iter()
                    .map(|(name, member)| (name, standard(member)))
                    .collect(),
            );
            if is_nullable {
                json!({"anyOf": [inner, {"type": "null"}]})
            } else {
                inner
            }
        }
        Value::Array(items) => items.into_iter().map(standard).collect(),
        other => other,
    }
}
