//! What providers say of the schemas that they take, written down a second time and in another way than the tables: a form that
//! breaks none of these is one that they document.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// What a schema breaks.
pub type Rules = fn(&Value) -> Vec<String>;

/// What is looked for in each part.
struct Walk<'s> {
    root: &'s Value,
    keywords: &'static [&'static str],
    broken: Vec<String>,
    properties: usize,
    enum_values: usize,
    characters: usize,
    optional: usize,
    unions: usize,
    levels: usize,
}

type Each<'s> = fn(&mut Walk<'s>, &'s Map<String, Value>, &str);

impl<'s> Walk<'s> {
    fn new(root: &'s Value, keywords: &'static [&'static str]) -> Self {
        Self {
            root,
            keywords,
            broken: Vec::new(),
            properties: 0,
            enum_values: 0,
            characters: 0,
            optional: 0,
            unions: 0,
            levels: 0,
        }
    }

    fn over(root: &'s Value, keywords: &'static [&'static str], each: Each<'s>) -> Self {
        let mut walk = Self::new(root, keywords);
        walk.schema(root, "#", 0, each);
        walk
    }

    fn fail(&mut self, at: &str, what: &str) {
        self.broken.push(format!("{at}: {what}"));
    }

    fn schema(&mut self, schema: &'s Value, at: &str, level: usize, each: Each<'s>) {
        let Some(object) = schema.as_object() else { return self.fail(at, "is no object") };
        for keyword in object.keys() {
            if !self.keywords.contains(&keyword.as_str()) {
                self.fail(at, &format!("has `{keyword}`"));
            }
        }
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            if object.keys().any(|keyword| keyword != "$ref" && keyword != "$defs") {
                self.fail(at, "has something beside `$ref`");
            }
            if self.root.pointer(reference.trim_start_matches('#')).is_none() {
                self.fail(at, "leads nowhere");
            }
        }
        each(self, object, at);
        let is_object = has_type(object, "object");
        let level = level + usize::from(is_object);
        self.levels = self.levels.max(level);
        if object.contains_key("anyOf") || object.get("type").is_some_and(Value::is_array) {
            self.unions += 1;
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            self.enum_values += values.len();
            let strings: usize = values.iter().filter_map(Value::as_str).map(|text| text.chars().count()).sum();
            self.characters += strings;
            if values.is_empty() {
                self.fail(at, "has an empty `enum`");
            }
        }
        let required: HashSet<&str> =
            object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, part) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.properties += 1;
            self.characters += name.chars().count();
            self.optional += usize::from(!required.contains(name.as_str()));
            self.schema(part, &format!("{at}/properties/{name}"), level, each);
        }
        for name in required {
            if object.get("properties").and_then(|properties| properties.get(name)).is_none() {
                self.fail(at, &format!("requires `{name}`, which is no property"));
            }
        }
        for (name, part) in object.get("$defs").and_then(Value::as_object).into_iter().flatten() {
            self.characters += name.chars().count();
            self.schema(part, &format!("{at}/$defs/{name}"), 0, each);
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(part) = object.get(keyword).filter(|part| !part.is_boolean()) {
                self.schema(part, &format!("{at}/{keyword}"), level, each);
            }
        }
        for keyword in ["anyOf", "prefixItems"] {
            for (index, part) in object.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.schema(part, &format!("{at}/{keyword}/{index}"), level, each);
            }
        }
    }

    fn most(&mut self, what: &str, number: usize, most: usize) {
        if number > most {
            self.fail("#", &format!("has {number} {what}"));
        }
    }
}

fn has_type(object: &Map<String, Value>, name: &str) -> bool {
    object
        .get("type")
        .is_some_and(|kind| kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name)))
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn says_its_type<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if !["type", "anyOf", "$ref"].iter().any(|keyword| object.contains_key(*keyword)) {
        walk.fail(at, "does not say what it is");
    }
    if has_type(object, "array") && !object.contains_key("items") && !object.contains_key("prefixItems") {
        walk.fail(at, "does not say what its items are");
    }
}

fn is_closed<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if has_type(object, "object") && object.get("additionalProperties") != Some(&Value::Bool(false)) {
        walk.fail(at, "is not closed");
    }
}

fn has_scalar_enum<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    if object.get("enum").and_then(Value::as_array).is_some_and(|values| !values.iter().all(is_scalar)) {
        walk.fail(at, "has an `enum` of more than scalars");
    }
}

fn strict<'s>(walk: &mut Walk<'s>, object: &'s Map<String, Value>, at: &str) {
    says_its_type(walk, object, at);
    is_closed(walk, object, at);
    has_scalar_enum(walk, object, at);
    let names: HashSet<&str> =
        object.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let required: HashSet<&str> =
        object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if names != required {
        walk.fail(at, "does not require all its properties");
    }
    let strings = object.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let (count, characters) = strings.fold((0, 0), |(count, sum), text| (count + 1, sum + text.chars().count()));
    if count > 250 && characters > 15_000 {
        walk.fail(at, "has an `enum` that is too long");
    }
    let formats = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
    if object.get("format").and_then(Value::as_str).is_some_and(|format| !formats.contains(&format)) {
        walk.fail(at, "has an unknown `format`");
    }
}

pub fn root_is_object(schema: &Value) -> Vec<String> {
    let is_one =
        schema["type"] == "object" && ["anyOf", "oneOf", "allOf", "$ref"].iter().all(|keyword| schema.get(keyword).is_none());
    let is_wrapped = schema["type"] == "object";
    if is_one || is_wrapped { Vec::new() } else { vec!["the root is no object".to_owned()] }
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
    const KEYWORDS: &[&str] =
        &["type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "$ref", "$defs"];
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
        for name in object.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name) {
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
        if object.get("enum").and_then(Value::as_array).is_some_and(|values| !values.iter().all(of_strings)) {
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
        if object.get("type").is_some_and(|kind| kind == "null" || kind.is_array()) {
            walk.fail(at, "has a `type` of JSON Schema alone");
        }
        if has_type(object, "object") && object.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty) {
            walk.fail(at, "is an object without properties");
        }
        if object.contains_key("enum") && !has_type(object, "string") {
            walk.fail(at, "has an `enum` of no strings");
        }
        if has_type(object, "string") && object.get("format").is_some_and(|format| format != "date-time" && format != "enum") {
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
        if object.get("pattern").and_then(Value::as_str).is_some_and(|text| !text.starts_with('^') || !text.ends_with('$')) {
            walk.fail(at, "has a `pattern` that is not anchored");
        }
        if object.contains_key("minimum") && !has_type(object, "integer") {
            walk.fail(at, "has a limit of a number");
        }
        if object.get("format").is_some_and(|format| !["date", "time", "date-time", "uuid"].iter().any(|known| format == known)) {
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

/// Whether a definition leads to itself.
fn is_recursive(schema: &Value) -> Option<String> {
    fn references<'s>(value: &'s Value, found: &mut Vec<&'s str>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| match member.as_str() {
                Some(text) if name == "$ref" => found.push(text),
                _ => references(member, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let definitions = schema.get("$defs")?.as_object()?;
    for name in definitions.keys() {
        let (mut todo, mut seen) = (vec![name.as_str()], HashSet::new());
        while let Some(next) = todo.pop() {
            let mut found = Vec::new();
            references(definitions.get(next)?, &mut found);
            for reference in found.iter().filter_map(|text| text.strip_prefix("#/$defs/")) {
                if reference == name {
                    return Some(format!("{name} leads to itself"));
                }
                if seen.insert(reference) {
                    todo.push(reference);
                }
            }
        }
    }
    None
}

/// In the terms of JSON Schema, which knows no `nullable`.
pub fn standard(schema: Value) -> Value {
    match schema {
        Value::Object(mut members) => {
            let is_nullable = members.get("nullable") == Some(&Value::Bool(true)) && members.contains_key("type");
            if is_nullable {
                members.remove("nullable");
            }
            let inner = Value::Object(members.into_iter().map(|(name, member)| (name, standard(member))).collect());
            if is_nullable { json!({"anyOf": [inner, {"type": "null"}]}) } else { inner }
        }
        Value::Array(items) => items.into_iter().map(standard).collect(),
        other => other,
    }
}
