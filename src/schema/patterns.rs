//! Cost of a schema's regular expressions.
//!
//! Matching takes linear time without backtracking, but also linear in the size of the compiled expression:
//! `(a|b|ab){3000}` takes a megabyte.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions};
use serde_json::{Value, json};

/// Size classes of a compiled expression, in bytes.
const SIZES: [usize; 5] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Bytes of a compiled expression that are worked through for one byte of text in about the time that a subschema takes, when the
/// text is made for it. Measured with regex 1.13: 16 to 46 KiB in a microsecond, and a subschema in a quarter of one at the most.
const BYTES_PER_EVALUATION: usize = 4 << 10;

/// Regular expressions of a schema, each with its cost in subschema evaluations for each byte of text.
#[derive(Debug, Default)]
pub struct Patterns {
    costs: HashMap<Box<str>, u64>,
    /// Sum of all costs, each counted as often as it occurs.
    pub all: u64,
}

impl Patterns {
    /// Measures every expression of a schema. None is larger than `max_bytes` once compiled.
    pub fn weigh(schema: &Value, draft: Draft, max_bytes: usize) -> Self {
        let mut patterns = Self::default();
        patterns.collect(schema, draft, max_bytes);
        patterns
    }

    /// Returns the cost of an expression, in evaluations for each byte of text.
    pub fn cost(&self, pattern: &str) -> u64 {
        self.costs.get(pattern).copied().unwrap_or_default()
    }

    fn collect(&mut self, value: &Value, draft: Draft, max_bytes: usize) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member) {
                        ("pattern", Value::String(pattern)) => self.add(pattern, draft, max_bytes),
                        ("patternProperties", Value::Object(named)) => {
                            named
                                .keys()
                                .for_each(|pattern| self.add(pattern, draft, max_bytes));
                        }
                        _ => {}
                    }
                    self.collect(member, draft, max_bytes);
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| self.collect(item, draft, max_bytes)),
            _ => {}
        }
    }

    fn add(&mut self, pattern: &str, draft: Draft, max_bytes: usize) {
        let cost = *self.costs.entry(pattern.into()).or_insert_with(|| {
            let fits = |size: &usize| *size < max_bytes && compiles(pattern, draft, *size);
            let size = SIZES
                .into_iter()
                .find(|size| fits(size))
                .unwrap_or(max_bytes);
            evaluations(size)
        });
        self.all = self.all.saturating_add(cost);
    }
}

/// Returns the cost of an expression of this compiled size, in evaluations for each byte of text.
const fn evaluations(size_bytes: usize) -> u64 {
    size_bytes.div_ceil(BYTES_PER_EVALUATION) as u64
}

/// Returns jsonschema's options for linear-time matching with at most `max_bytes` for each compiled expression.
pub fn options(max_bytes: usize) -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex()
        .size_limit(max_bytes)
        .dfa_size_limit(max_bytes)
}

/// Returns true if the expression compiles within `max_bytes`. Uses jsonschema, which translates expressions first.
fn compiles(pattern: &str, draft: Draft, max_bytes: usize) -> bool {
    let options = jsonschema::options()
        .with_draft(draft)
        .with_pattern_options(options(max_bytes))
        .offline();
    options.build(&json!({"pattern": pattern})).is_ok()
}
