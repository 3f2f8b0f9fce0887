//! Estimate of what a schema's grammar costs, before it is built: the number of states of the automata that the library makes
//! of numbers, patterns and counts.
//!
//! A schema of 100 bytes can ask for any number of states: `multipleOf` needs one for each remainder.

use regex_syntax::hir::{Hir, HirKind};
use schema_dialect::{Keyword, Named, NodeRef, Tree};
use serde_json::Number;

/// Maximum number of states of a grammar that is built: about 20 MB and a quarter of a second.
pub const MAX_STATES: u64 = 20_000;

/// Number of characters of a length limit that cost as much as a state. The library expands lengths only as far as the answer
/// goes.
const CHARACTERS_PER_STATE: u64 = 100;

/// Keywords of a number's bounds.
const BOUNDS: [Keyword; 4] = [
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
];

/// Keywords of counts.
const COUNTS: [Keyword; 4] = [
    Keyword::MinItems,
    Keyword::MaxItems,
    Keyword::MinProperties,
    Keyword::MaxProperties,
];

/// Returns the estimated number of states of a schema's grammar. Does not recurse over the schema.
pub fn states(tree: &Tree) -> u64 {
    let mut sum = 0_u64;
    let mut divisors = Vec::new();
    let mut is_composed = false;
    for schema in tree.nodes() {
        is_composed |= schema.has(Keyword::AllOf) || schema.has(Keyword::Reference);
        let digits = bound_digits(schema);
        sum = sum.saturating_add(digits.saturating_mul(digits));
        if let Some(divisor) = schema.number(Keyword::MultipleOf).and_then(divisor) {
            divisors.push(divisor.saturating_mul(digits.max(1)));
        }
        sum = sum.saturating_add(count_states(schema));
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

/// Returns the number of remainders that `multipleOf` tells apart: the divisor without its decimal point. `None`: it is no float.
fn divisor(number: &Number) -> Option<u64> {
    let mut divisor = number.as_f64()?.abs();
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
fn bound_digits(schema: NodeRef<'_>) -> u64 {
    BOUNDS
        .into_iter()
        .filter_map(|keyword| schema.number(keyword)?.as_f64())
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
fn count_states(schema: NodeRef<'_>) -> u64 {
    let number = |keyword| schema.number(keyword).and_then(Number::as_u64).unwrap_or(0);
    let counts = COUNTS
        .into_iter()
        .fold(0_u64, |sum, keyword| sum.saturating_add(number(keyword)));
    let length = number(Keyword::MinLength).max(number(Keyword::MaxLength)) / CHARACTERS_PER_STATE;
    let by_pattern = schema.named(Keyword::PatternProperties).into_iter();
    let patterns = schema.pattern().into_iter();
    let patterns = patterns
        .chain(by_pattern.flat_map(Named::names))
        .fold(0_u64, |sum, pattern| {
            sum.saturating_add(pattern_states(pattern))
        });
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
    use crate::provider::test_fixture::tree;

    fn states_of(schema: &serde_json::Value) -> u64 {
        states(&tree(schema))
    }

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
                states_of(&schema) <= MAX_STATES,
                "{schema}: {}",
                states_of(&schema)
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
                states_of(&schema) > MAX_STATES,
                "{schema}: {}",
                states_of(&schema)
            );
        }
        let many: Vec<_> = (10_000..10_010).map(|n| json!({"multipleOf": n})).collect();
        assert!(states_of(&json!({"anyOf": many})) > MAX_STATES);
    }

    #[test]
    fn estimates_are_sums_over_all_parts() {
        for (expected, schema) in [
            (
                72,
                json!({"properties": {"price": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1_000_000}}}),
            ),
            (
                6000,
                json!({"properties": {"text": {"type": "string", "maxLength": 100_000, "pattern": "^.{1,5000}$"}}}),
            ),
            (
                1006,
                json!({"properties": {"list": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"multipleOf": 5}}}}),
            ),
            (
                39,
                json!({"properties": {"code": {"pattern": "^[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}$"}}}),
            ),
            (
                500,
                json!({"allOf": [{"properties": {"a": {"multipleOf": 0.5}}}, {"properties": {"b": {"multipleOf": 100}}}]}),
            ),
            (
                988_027,
                json!({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]}),
            ),
            (
                340_238,
                json!({"multipleOf": 19_997, "minimum": 1, "maximum": 1e15}),
            ),
            (90_601, json!({"minimum": 1e-300})),
            (
                1_000_000,
                json!({"patternProperties": {"^(x{1000}){1000}$": {}}}),
            ),
            (u64::MAX, json!({"type": "array", "maxItems": u64::MAX})),
            // Names and values that look like keywords are none.
            (
                0,
                json!({"properties": {"allOf": {"const": {"maxItems": 1_000_000}}, "multipleOf": {"default": {"multipleOf": 997}}}}),
            ),
            (
                1,
                json!({"properties": {"a": {"$ref": "#/$defs/unused"}}, "$defs": {"unused": {}, "other": {"multipleOf": 997}}}),
            ),
        ] {
            assert_eq!(states_of(&schema), expected, "{schema}");
        }
    }
}
