//! Types of JSON values as JSON Schema defines them.

use serde_json::{Number, Value};

/// Returns true if the value is of the JSON Schema type of this name. No value is of an unknown type.
#[must_use]
pub fn is_of_type(value: &Value, type_name: &str) -> bool {
    match type_name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_number().is_some_and(is_integer),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// Returns true if the number has no fractional part: 1.0 is an integer.
fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_without_fraction_is_an_integer() {
        for (value, type_name, expected) in [
            (json!(1.0), "integer", true),
            (json!(u64::MAX), "integer", true),
            (json!(1.5), "integer", false),
            (json!(1.5), "number", true),
            (json!(null), "null", true),
            (json!({}), "array", false),
            (json!("a"), "text", false),
        ] {
            assert_eq!(
                is_of_type(&value, type_name),
                expected,
                "{value} {type_name}"
            );
        }
    }
}
