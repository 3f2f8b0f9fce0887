//! Suggested schemas for documents that are not schemas, derived from an example or from type names.

use serde_json::{Map, Value, json};

use crate::keyword;

/// Maximum number of fields in a suggestion.
const MAX_FIELDS: usize = 4;
/// Maximum nesting of a suggestion.
const MAX_DEPTH: usize = 2;

/// Returns the text of a schema for a value like this one. Names of types stand for themselves.
pub fn for_example(value: &Value) -> String {
    schema_of(value, 0).to_string()
}

/// Returns the type that a word names, as in `"int"` for an integer.
pub fn type_named(word: &str) -> Option<&'static str> {
    let lower = word.to_lowercase();
    keyword::TYPES
        .into_iter()
        .find(|known| *known == lower)
        .or_else(|| {
            let is_alias = matches!(
                lower.as_str(),
                "str"
                    | "int"
                    | "float"
                    | "bool"
                    | "list"
                    | "dict"
                    | "double"
                    | "decimal"
                    | "datetime"
            );
            is_alias.then(|| keyword::meant_type(&lower)).flatten()
        })
}

fn schema_of(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(text) => json!({"type": type_named(text).unwrap_or("string")}),
        Value::Number(number) if number.is_i64() || number.is_u64() => json!({"type": "integer"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Null => json!({"type": "null"}),
        Value::Array(items) => match items.first() {
            Some(first) if depth < MAX_DEPTH => {
                json!({"type": "array", "items": schema_of(first, depth + 1)})
            }
            _ => json!({"type": "array"}),
        },
        Value::Object(members) if depth < MAX_DEPTH => {
            let properties: Map<String, Value> = members
                .iter()
                .take(MAX_FIELDS)
                .map(|(name, value)| (name.clone(), schema_of(value, depth + 1)))
                .collect();
            json!({"type": "object", "properties": properties})
        }
        Value::Object(_) => json!({"type": "object"}),
    }
}
