//! Comparison and types of JSON values as JSON Schema defines them.

use serde_json::{Number, Value};

/// Number of digits that a double always keeps.
const MAX_EXACT_DIGITS: usize = 15;

/// Returns true if two values are equal in JSON Schema: numbers compare by value, so 1 equals 1.0.
#[must_use]
#[expect(
    clippy::float_cmp,
    reason = "equal numbers in two forms, not nearly equal ones"
)]
pub fn json_equal(one: &Value, other: &Value) -> bool {
    let (Value::Number(first), Value::Number(second)) = (one, other) else {
        return one == other;
    };
    // Two long integers may be the same double and yet differ.
    let is_long = |number: &Number| number.as_str().len() > MAX_EXACT_DIGITS;
    first == second
        || !(is_long(first) && is_long(second))
            && matches!((first.as_f64(), second.as_f64()), (Some(one), Some(other)) if one == other)
}

/// Returns true if the number has no fractional part: 1.0 is an integer.
pub fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(json_equal(&json!(1), &json!(1.0)) && json_equal(&json!("a"), &json!("a")));
        assert!(!json_equal(&json!(1), &json!("1")) && !json_equal(&json!(1), &json!(true)));
    }
}
