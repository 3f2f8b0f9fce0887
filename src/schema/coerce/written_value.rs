//! Scalars and property names as people write them outside JSON.

use schema_dialect::Named;
use serde_json::Value;

use super::text_normalize::key_form;

/// Returns the property with this name, or the only one whose name differs just in case and separators.
pub fn property<'p>(properties: Named<'p>, name: &str) -> Option<&'p str> {
    if let Some(exact) = properties.name(name) {
        return Some(exact);
    }
    let form = key_form(name);
    let mut alike = properties.names().filter(|known| key_form(known) == form);
    alike.next().filter(|_| alike.next().is_none())
}

/// Parses null, lists, objects and quoted strings as JSON. Any other text stays a string, to be coerced by the schema.
pub fn parse_scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Array(_) | Value::Object(_) | Value::String(_))) => value,
        _ => Value::String(bare_text(text).to_owned()),
    }
}

/// Returns the text without the quotes or marks of emphasis around all of it.
pub fn bare_text(text: &str) -> &str {
    for (open, close) in [
        ("**", "**"),
        ("\"", "\""),
        ("'", "'"),
        ("`", "`"),
        ("`", "´"),
        ("`", "'"),
        ("“", "”"),
        ("‘", "’"),
    ] {
        if let Some(inside) = text
            .strip_prefix(open)
            .and_then(|text| text.strip_suffix(close))
            && !inside.contains(close)
        {
            return inside;
        }
    }
    text
}
