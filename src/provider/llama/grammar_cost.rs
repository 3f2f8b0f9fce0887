//! Estimate of what a schema's grammar costs, before it is built: the number of states of the automata that the library makes
//! of numbers, patterns and counts.
//!
//! A schema of 100 bytes can ask for any number of states: `multipleOf` needs one for each remainder.

use regex_syntax::hir::{Hir, HirKind};
use serde_json::{Map, Value};

/// Maximum number of states of a grammar that is built: about 20 MB and a quarter of a second.
pub const MAX_STATES: u64 = 20_000;

/// Number of characters of a length limit that cost as much as a state. The library expands lengths only as far as the answer
/// goes.
const CHARACTERS_PER_STATE: u64 = 100;

/// Returns the estimated number of states of a schema's grammar. Does not recurse over the schema.
pub fn states(schema: &Value) -> u64 {
    let mut sum = 0_u64;
    let mut divisors = Vec::new();
    let mut is_composed = false;
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                is_composed |= members.contains_key("allOf") || members.contains_key("$ref");
                let digits = bound_digits(members);
                sum = sum.saturating_add(digits.saturating_mul(digits));
                if let Some(divisor) = members.get("multipleOf").and_then(divisor) {
                    divisors.push(divisor.saturating_mul(digits.max(1)));
                }
                sum = sum.saturating_add(count_states(members));
                open.extend(members.values());
            }
            _ => {}
        }
    }
    divisors.sort_unstable();
    divisors.dedup();
    // The divisors of a composed schema may hold for one number together, which needs their least common multiple.
    let remainders = if is_composed {
        divisors.iter().fold(1, |all, one| one.saturating_mul(all))
    } else {
        divisors.iter().fold(0, |all, one| one.saturating_add(all))
    };
    sum.saturating_add(remainders)
}

/// Returns the number of remainders that `multipleOf` tells apart: the divisor without its decimal point. `None`: no number.
fn divisor(value: &Value) -> Option<u64> {
    let mut divisor = value.as_f64()?.abs();
    let mut digits = 0;
    while divisor.fract() != 0.0 && digits < 20 {
        divisor *= 10.0;
        digits += 1;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a larger number is the maximum"
    )]
    Some(divisor as u64)
}

/// Returns the number of digits of a number's bounds: the library writes each range as a pattern over digits.
fn bound_digits(members: &Map<String, Value>) -> u64 {
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
        .iter()
        .filter_map(|keyword| members.get(*keyword)?.as_f64())
        .map(|bound| {
            // Both large and small numbers are written without an exponent.
            let magnitude = if bound == 0.0 {
                0.0
            } else {
                bound.abs().log10().abs()
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 308"
            )]
            let digits = magnitude as u64;
            digits + 1
        })
        .fold(0, u64::saturating_add)
}

/// Returns the states of counts, lengths and patterns.
fn count_states(members: &Map<String, Value>) -> u64 {
    let number = |keyword: &str| members.get(keyword).and_then(Value::as_u64).unwrap_or(0);
    let counts = ["minItems", "maxItems", "minProperties", "maxProperties"]
        .iter()
        .fold(0_u64, |sum, keyword| sum.saturating_add(number(keyword)));
    let length = number("minLength").max(number("maxLength")) / CHARACTERS_PER_STATE;
    let mut patterns = members
        .get("pattern")
        .and_then(Value::as_str)
        .map_or(0, pattern_states);
    if let Some(Value::Object(by_pattern)) = members.get("patternProperties") {
        patterns = by_pattern
            .keys()
            .fold(patterns, |sum, key| sum.saturating_add(pattern_states(key)));
    }
    counts.saturating_add(length).saturating_add(patterns)
}

/// Returns the number of states of a pattern. One that cannot be parsed, which the library rejects, counts by its length.
fn pattern_states(pattern: &str) -> u64 {
    regex_syntax::parse(pattern).map_or(pattern.len() as u64, |hir| hir_states(&hir))
}

/// Returns the number of states of a parsed pattern, whose depth the parser bounds.
fn hir_states(hir: &Hir) -> u64 {
    let sum = |parts: &[Hir]| {
        parts
            .iter()
            .fold(0_u64, |sum, part| sum.saturating_add(hir_states(part)))
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            hir_states(&repetition.sub).saturating_mul(times.into())
        }
        HirKind::Capture(capture) => hir_states(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usual_schemas_are_cheap() {
        for schema in [
            json!({"properties": {"price": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1_000_000}}}),
            json!({"properties": {"text": {"type": "string", "maxLength": 100_000, "pattern": "^.{1,5000}$"}}}),
            json!({"properties": {"list": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"multipleOf": 5}}}}),
            json!({"properties": {"code": {"pattern": "^[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}$"}}}),
            json!({"allOf": [{"properties": {"a": {"multipleOf": 0.5}}}, {"properties": {"b": {"multipleOf": 100}}}]}),
        ] {
            assert!(
                states(&schema) <= MAX_STATES,
                "{schema}: {}",
                states(&schema)
            );
        }
    }

    #[test]
    fn hostile_schemas_are_not_built() {
        for schema in [
            json!({"properties": {"a": {"type": "integer", "multipleOf": 999_983}}}),
            json!({"properties": {"a": {"type": "integer", "multipleOf": 9_999_991}}}),
            json!({"properties": {"a": {"type": "number", "multipleOf": 0.000_099_998_3}}}),
            json!({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]}),
            json!({"multipleOf": 19_997, "minimum": 1, "maximum": 1e15}),
            json!({"minimum": 1e300, "maximum": 1e308}),
            json!({"minimum": 1e-300}),
            json!({"pattern": "^((a{100}){100}){100}$"}),
            json!({"pattern": "^[a-z]{100000}$"}),
            json!({"patternProperties": {"^(x{1000}){1000}$": {}}}),
            json!({"type": "array", "minItems": 1_000_000_000}),
            json!({"type": "array", "maxItems": 18_446_744_073_709_551_615_u64}),
            json!({"type": "string", "minLength": 1_000_000_000}),
        ] {
            assert!(
                states(&schema) > MAX_STATES,
                "{schema}: {}",
                states(&schema)
            );
        }
        let many: Vec<_> = (10_000..10_010).map(|n| json!({"multipleOf": n})).collect();
        assert!(states(&json!({"anyOf": many})) > MAX_STATES);
    }
}
