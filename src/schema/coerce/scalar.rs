//! Conversions between types of scalars.

use schema_dialect::{JsonType, NodeRef};
use serde_json::Value;

use super::coercion::Coercion;
use super::number;
use super::path::{Path, shown};
use super::text_normalize::bare;

/// Cost of a conversion that keeps the meaning.
const CHEAP: u32 = 1;
/// Cost of a conversion between types that differ in meaning.
const NULLED: u32 = 2;

/// Converts a scalar to the type `kind`. `None`: its meaning would be a guess.
pub fn convert(
    schema: NodeRef<'_>,
    value: &Value,
    kind: JsonType,
    at: &Path<'_>,
) -> Option<Coercion> {
    let (made, cost) = match (kind, value) {
        (JsonType::Number | JsonType::Integer, Value::String(text)) => {
            (number::parse(text, schema, at.name())?, CHEAP)
        }
        (JsonType::Boolean, Value::String(text)) => (Value::Bool(parse_boolean(text)?), CHEAP),
        (JsonType::Boolean, Value::Number(number)) => match number.as_u64()? {
            0 => (Value::Bool(false), NULLED),
            1 => (Value::Bool(true), NULLED),
            _ => return None,
        },
        (JsonType::Null, value) if is_placeholder(value) => (Value::Null, NULLED),
        // The characters that the model wrote are kept: 1.10 may be a version.
        (JsonType::String, Value::Number(number)) => (Value::String(number.to_string()), CHEAP),
        (JsonType::String, Value::Bool(truth)) => (Value::String(truth.to_string()), NULLED),
        _ => return None,
    };
    let note = at.note(&format!("read {} as {}", shown(value), shown(&made)));
    Some(Coercion::new(made, cost, note))
}

/// Parses a boolean as people write it: yes, no, on, off.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match bare(text)
        .trim_end_matches(['.', '!'])
        .to_lowercase()
        .as_str()
    {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Returns true for null, and for words that people write instead of a missing value.
pub fn is_placeholder(value: &Value) -> bool {
    const NOTHING: [&str; 20] = [
        "",
        "null",
        "none",
        "nil",
        "n/a",
        "na",
        "n.a",
        "nan",
        "undefined",
        "unknown",
        "-",
        "—",
        "–",
        "?",
        "not available",
        "not applicable",
        "not specified",
        "not provided",
        "not mentioned",
        "not known",
    ];
    match value {
        Value::Null => true,
        Value::String(text) => {
            NOTHING.contains(&bare(text).trim_end_matches('.').to_lowercase().as_str())
        }
        _ => false,
    }
}
