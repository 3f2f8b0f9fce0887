//! The smallest value that suits a simple JSON Schema: `type`, `properties`, `required`, `enum`, `const`, `items`, `minItems`,
//! bounds, local `$ref`, the first branch of `anyOf` and its kin. Not a generator for any schema.

use serde_json::{Map, Value, json};

/// Deeper than this a recursive schema is answered with `null`.
const MAX_DEPTH: usize = 16;

/// Returns a value that is valid against `schema`.
pub fn valid_instance(schema: &Value) -> Value {
    build(schema, schema, 0)
}

fn build(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let found = target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| build(root, found, depth + 1));
    }
    if let Some(value) = schema.get("const").or_else(|| schema.pointer("/enum/0")) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|branches| branches.get(0)) {
            return build(root, first, depth + 1);
        }
    }
    match type_of(schema) {
        "object" => object(root, schema, depth),
        "array" => array(root, schema, depth),
        "string" => json!("x".repeat(bound(schema, "minLength", 1))),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

fn type_of(schema: &Value) -> &str {
    let named = schema
        .get("type")
        .and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    named.unwrap_or(if schema.get("properties").is_some() {
        "object"
    } else {
        "string"
    })
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let mut object = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let required = schema.get("required").and_then(Value::as_array);
        if required.is_none_or(|required| required.iter().any(|wanted| wanted == name)) {
            object.insert(name.clone(), build(root, property, depth + 1));
        }
    }
    Value::Object(object)
}

fn array(root: &Value, schema: &Value, depth: usize) -> Value {
    let item = schema
        .get("items")
        .map_or(Value::Null, |items| build(root, items, depth + 1));
    Value::Array(vec![item; bound(schema, "minItems", 1)])
}

fn bound(schema: &Value, key: &str, least: usize) -> usize {
    let set = schema
        .get(key)
        .and_then(Value::as_u64)
        .and_then(|bound| usize::try_from(bound).ok());
    set.unwrap_or_default().clamp(least, 4096)
}
