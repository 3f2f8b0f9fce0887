//! Regular expressions of a schema: the engine for each, and what matching costs.
//!
//! An expression without look-around and backreferences is matched in linear time, but also linear in the size of the compiled
//! expression: `(a|b|ab){3000}` takes a megabyte. One with them is matched by backtracking, with a limit of steps.

use std::collections::{HashMap, HashSet};

use jsonschema::{Draft, FancyRegex, PatternOptions};
use schema_dialect::document_patterns;
use serde_json::{Value, json};

use super::error_messages::{invalid, not_a_pattern};
use crate::types::Error;

/// Maximum length of an expression, in bytes: parsing takes more than linear time for some.
const MAX_LENGTH: usize = 8 << 10;
/// Maximum number of different expressions of a schema: each is compiled several times.
const MAX_COUNT: usize = 200;
/// Maximum number of different expressions that do not compile, each of which is tried up to the largest size. They may be in a part
/// that only looks like a schema, as an example does; elsewhere the validator reports the first.
const MAX_FAILED: usize = 4;
/// Memory while an expression is compiled, for each byte that it may take. Its program is made from one of another form.
const BYTES_WHILE_COMPILING: usize = 2;
/// Size classes of a compiled expression, in bytes.
const SIZES: [usize; 6] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, MAX_BYTES];
/// Maximum size of one compiled expression, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Maximum size of all compiled expressions of a schema, in bytes, each counted once and with the size of its class.
const MAX_ALL_BYTES: usize = 32 << 20;
/// Maximum memory of the states that a linear matcher caches, in bytes; it starts anew when they do not fit.
const MAX_CACHE_BYTES: usize = 1 << 20;
/// Maximum number of steps of a backtracking match. An expression that needs more fails to match, which is reported.
const MAX_STEPS: usize = 50_000;
/// Bytes of a compiled expression that are worked through for one byte of text in about the time that a subschema takes, when the
/// text is made for it. Measured with regex 1.13: 16 to 46 KiB in a microsecond, and a subschema in a quarter of one at the most.
const BYTES_PER_EVALUATION: usize = 4 << 10;
/// Cost of backtracking for each byte of text, in evaluations. It keeps the texts of such expressions below some 80 kB.
const BACKTRACKING_COST: u64 = 64;

/// Regular expressions of a schema, each with its cost in subschema evaluations for each byte of text.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Cost and compiled size of each expression.
    measured: HashMap<Box<str>, (u64, usize)>,
    /// Sum of all costs, each counted as often as it occurs.
    pub all: u64,
    /// Size of all compiled expressions, each counted once, in bytes.
    bytes: usize,
    /// Memory of all compiled expressions, each counted as often as it occurs, in bytes.
    memory_bytes: usize,
    /// Number of different expressions that do not compile.
    failed: usize,
}

/// Checks the number and the length of a document's expressions, before any of them is compiled.
///
/// # Errors
/// `invalid_schema` if there are more than 200 different ones, or one has more than 8 KiB.
pub fn check(document: &Value) -> Result<(), Error> {
    let mut different = HashSet::new();
    for (at, pattern) in document_patterns(document) {
        if pattern.len() > MAX_LENGTH {
            let message = format!(
                "is a regular expression of more than {MAX_LENGTH} bytes; use a shorter one, or an `enum` in place of a list of words"
            );
            return Err(invalid(&at, &message));
        }
        different.insert(pattern);
        if different.len() > MAX_COUNT {
            let message = format!(
                "is one of more than {MAX_COUNT} different regular expressions in the schema; use the same one in several places, or `format`"
            );
            return Err(invalid(&at, &message));
        }
    }
    Ok(())
}

/// Reserves memory for expressions, in bytes in total.
pub type Reserve<'r> = &'r mut dyn FnMut(usize) -> Result<(), Error>;

impl Patterns {
    /// Measures every expression of a schema's document. The memory of those that are compiled, and of the one that is being tried, is
    /// reserved first.
    ///
    /// # Errors
    /// `invalid_schema` if all expressions together take more than 32 MiB once compiled, or several do not compile; as `reserve`.
    pub fn weigh(document: &Value, draft: Draft, reserve: Reserve<'_>) -> Result<Self, Error> {
        let mut patterns = Self::default();
        for (at, pattern) in document_patterns(document) {
            patterns.add(pattern, draft, &at, reserve)?;
        }
        reserve(patterns.memory_bytes)?;
        Ok(patterns)
    }

    /// Returns the cost of an expression, in evaluations for each byte of text.
    pub fn cost(&self, pattern: &str) -> u64 {
        self.measured.get(pattern).map_or(0, |(cost, _)| *cost)
    }

    /// Returns the memory that a validator's expressions take, in bytes: their programs, and the states that they cache.
    pub const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn add(
        &mut self,
        pattern: &str,
        draft: Draft,
        at: &str,
        reserve: Reserve<'_>,
    ) -> Result<(), Error> {
        let (cost, size) = if let Some(measured) = self.measured.get(pattern) {
            *measured
        } else {
            let known_bytes = self.memory_bytes;
            let mut reserve = |size: usize| reserve(known_bytes + BYTES_WHILE_COMPILING * size);
            let measured = measure(pattern, draft, &mut reserve)?;
            self.failed += usize::from(measured.is_none());
            if self.failed > MAX_FAILED {
                return Err(not_a_pattern(at, pattern));
            }
            let (size, cost) = measured.unwrap_or_default();
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > MAX_ALL_BYTES {
                let message = format!(
                    "the regular expressions take more than {} MiB once compiled; a long `{{0,1000}}` is better written as `*` with a `maxLength`",
                    MAX_ALL_BYTES >> 20
                );
                return Err(invalid(at, &message));
            }
            self.measured.insert(pattern.into(), (cost, size));
            (cost, size)
        };
        let memory_bytes = size + size.min(MAX_CACHE_BYTES);
        self.memory_bytes = self.memory_bytes.saturating_add(memory_bytes);
        self.all = self.all.saturating_add(cost);
        Ok(())
    }
}

/// Returns the size class of an expression and the cost of matching it. `None`: it does not compile, which the validator reports.
fn measure(
    pattern: &str,
    draft: Draft,
    reserve: Reserve<'_>,
) -> Result<Option<(usize, u64)>, Error> {
    for size in SIZES {
        reserve(size)?;
        if compiles(pattern, draft, linear(size)) {
            return Ok(Some((size, evaluations(size))));
        }
    }
    for size in SIZES {
        reserve(size)?;
        if compiles(pattern, draft, backtracking(size)) {
            let cost = evaluations(size).saturating_add(BACKTRACKING_COST);
            return Ok(Some((size, cost)));
        }
    }
    Ok(None)
}

/// Returns the cost of an expression of this compiled size, in evaluations for each byte of text.
const fn evaluations(size_bytes: usize) -> u64 {
    size_bytes.div_ceil(BYTES_PER_EVALUATION) as u64
}

/// Returns the options by which a validator compiles the expressions. Those that need no backtracking are matched linearly.
pub fn options() -> PatternOptions<FancyRegex> {
    backtracking(MAX_BYTES)
}

fn backtracking(max_bytes: usize) -> PatternOptions<FancyRegex> {
    PatternOptions::fancy_regex()
        .backtrack_limit(MAX_STEPS)
        .size_limit(max_bytes)
        .dfa_size_limit(max_bytes.min(MAX_CACHE_BYTES))
}

fn linear(max_bytes: usize) -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex()
        .size_limit(max_bytes)
        .dfa_size_limit(max_bytes.min(MAX_CACHE_BYTES))
}

/// Returns true if the expression compiles. Uses jsonschema, which translates expressions first.
fn compiles<E>(pattern: &str, draft: Draft, options: PatternOptions<E>) -> bool {
    let options = jsonschema::options()
        .with_draft(draft)
        .with_pattern_options(options)
        .offline();
    options.build(&json!({"pattern": pattern})).is_ok()
}
