//! From one kind of scalar to another.

use serde_json::Value;

use super::matcher::Coercion;
use super::number;
use super::path::{Path, shown};
use super::text_normalize::bare;

const CHEAP: u32 = 1;
const NULLED: u32 = 2;

/// `value` as one of the types `kind`, said in another way; `None` where that would be a guess.
pub fn converted(schema: &Value, value: &Value, kind: &str, at: &Path<'_>) -> Option<Coercion> {
    let (made, cost) = match (kind, value) {
        ("number" | "integer", Value::String(text)) => {
            (number::read(text, schema, at.name())?, CHEAP)
        }
        ("boolean", Value::String(text)) => (Value::Bool(truth(text)?), CHEAP),
        ("boolean", Value::Number(number)) => match number.as_u64()? {
            0 => (Value::Bool(false), NULLED),
            1 => (Value::Bool(true), NULLED),
            _ => return None,
        },
        ("null", value) if says_nothing(value) => (Value::Null, NULLED),
        // With the characters that the model wrote: 1.10 is a version.
        ("string", Value::Number(number)) => (Value::String(number.to_string()), CHEAP),
        ("string", Value::Bool(truth)) => (Value::String(truth.to_string()), NULLED),
        _ => return None,
    };
    let note = at.note(&format!("read {} as {}", shown(value), shown(&made)));
    Some(Coercion::new(made, cost, note))
}

/// A yes or a no.
pub fn truth(text: &str) -> Option<bool> {
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

/// `null`, and what people write where there is nothing.
pub fn says_nothing(value: &Value) -> bool {
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
