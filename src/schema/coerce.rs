//! Coercion of an invalid value toward the schema: `"1,234"` to a number, one object to a list of objects.
//!
//! Coercion is tried only if the value is invalid, and its result is used only if that is valid. It changes the form of what the
//! model wrote, and never invents, completes or truncates a value. An ambiguous value is not coerced. The work is bounded by the
//! size of the value: each branch that is tried, each text that is compared and each value that is copied spends from a budget of visits.
//!
//! | module | contents |
//! |---|---|
//! | `matcher` | matching of one value with one schema; `coercer` has its state, `coercion` its results |
//! | `any_of` | choice of a branch of `anyOf` or `oneOf` |
//! | `object`, `array` | members and elements |
//! | `wrapping` | values with a superfluous or missing wrapper |
//! | `scalar`, `number`, `units` | conversions between types of scalars |
//! | `enum_match` | enumerated values; `text_normalize` compares words |
//! | `text`, `xml`, `yaml` | answers without JSON; `written_value` parses their scalars |
//! | `path` | locations of repairs |

mod any_of;
mod array;
pub(super) mod choices;
mod coercer;
mod coercion;
mod enum_match;
mod matcher;
mod number;
mod object;
mod path;
mod scalar;
#[cfg(test)]
mod tests;
mod text;
mod text_normalize;
mod units;
mod wrapping;
mod written_value;
mod xml;
mod yaml;

use std::sync::Arc;

use serde_json::Value;

use super::compiled::Schema;
use super::validation_cost::Evaluations;
use choices::Choices;
use coercer::Coercer;
use coercion::{Match, Shapes};
use path::Path;
pub(super) use text_normalize::has_second_thoughts;

/// Size from which an answer may take long to coerce, in bytes. Each value has 48 visits, each of up to a microsecond.
const QUICK_ANSWER_BYTES: usize = 1024;
/// Size from which a schema makes coercion slow, in bytes: the forms of its enumerated values are computed once, and each answer
/// may be compared with all of them.
const QUICK_SCHEMA_BYTES: usize = 32 * 1024;

/// Valid value that an invalid one was coerced to.
#[derive(Debug, Clone, PartialEq)]
pub struct Coerced {
    pub value: Value,
    /// Distance from the written value; 0 is equal.
    pub cost: u32,
    /// Description of each repair, with its JSON Pointer.
    pub repairs: Vec<String>,
}

/// Completeness of a value: it may be wrapped in a list only if it is the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// The value is the whole answer.
    Yes,
    /// The answer has other values: a list of this one alone would be incomplete.
    No,
}

impl Schema {
    /// Coerces an invalid value, and validates it with the evaluations that are left. `None`: no unambiguous coercion makes it valid.
    #[must_use]
    pub fn coerced(
        &self,
        value: &Value,
        whole: Whole,
        evaluations: &Evaluations,
    ) -> Option<Coerced> {
        let mut coercer = Coercer::new(self.choices(), value);
        let shapes = match whole {
            Whole::Yes => Shapes::Any,
            Whole::No => Shapes::Inward,
        };
        let fit = coercer.fit(self.tree().root(), value, &Path::ROOT, shapes);
        self.checked(fit?, evaluations)
    }

    /// Coerces an answer without JSON: a scalar in prose, `name: value` lines, or XML elements.
    #[must_use]
    pub fn coerced_text(&self, text: &str, evaluations: &Evaluations) -> Option<Coerced> {
        let fit = text::parse(self.choices(), self.tree().root(), text);
        self.checked(fit?, evaluations)
    }

    /// Returns the forms of the schema's enumerated values.
    fn choices(&self) -> &Arc<Choices> {
        self.choices
            .get_or_init(|| Arc::new(Choices::new(self.tree())))
    }

    /// Returns true if coercing an answer of so many bytes may take longer than a few milliseconds.
    #[must_use]
    pub fn is_slow_to_coerce(&self, bytes: usize) -> bool {
        bytes > QUICK_ANSWER_BYTES || self.raw.get().len() > QUICK_SCHEMA_BYTES
    }

    /// Returns the coerced value if it is valid.
    fn checked(&self, fit: Match, evaluations: &Evaluations) -> Option<Coerced> {
        let Match::Coerced(coerced) = fit else {
            return None;
        };
        let valid = self.is_valid_within(&coerced.value, evaluations);
        valid.then(|| Coerced {
            value: coerced.value,
            cost: coerced.cost,
            repairs: path::summarize(&coerced.notes),
        })
    }
}

impl Schema {
    /// Coerces as [`Schema::coerced`], and returns the number of visits, for tests of the bound.
    #[must_use]
    pub fn coerced_counted(&self, value: &Value) -> (Option<Coerced>, usize) {
        let mut coercer = Coercer::new(self.choices(), value);
        let before = coercer.budget();
        let fit = coercer.fit(self.tree().root(), value, &Path::ROOT, Shapes::Any);
        let visits = before - coercer.budget();
        let evaluations = Evaluations::of_answer();
        (fit.and_then(|fit| self.checked(fit, &evaluations)), visits)
    }
}
