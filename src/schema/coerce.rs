//! A value that is not valid, mended toward the schema: "1,234" where a number is wanted, one object where a list of them is.
//!
//! Tried only when the value is not valid as it is, and taken only when what comes out is. Each mend keeps what the model said and
//! changes its form; nothing is made up, filled in or cut short, and where two readings are possible there is none.
//! The work is bounded by the size of the value: a budget of visits, spent by every branch that is tried.
//!
//! - `fit`: one schema and one value; `branch`: `anyOf` and `oneOf`; `object` and `shape`: members, lists and what is wrapped
//! - `scalar`, `number` and `unit`: from one kind of scalar to another; `choice`: which word of an `enum` is meant; `words`: comparing words
//! - `text`: an answer without JSON, `xml`: one in elements, `yaml`: one in indented lines; `at`: where a mend was made, in words

mod any_of;
mod array;
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
mod xml;
mod yaml;

use serde_json::Value;

use super::compiled::Schema;
use matcher::{Coercer, Match, Shapes};
use path::Path;
pub(super) use text_normalize::has_second_thoughts;

/// A value that was mended, and is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Coerced {
    pub value: Value,
    /// Distance from the written value; 0 is equal.
    pub cost: u32,
    /// Each mend: where (a JSON Pointer) and what.
    pub repairs: Vec<String>,
}

/// Completeness of a value: it may be wrapped in a list only if it is the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// It is all that was said.
    Yes,
    /// There are others beside it: a list of it alone would be cut short.
    No,
}

impl Schema {
    /// The value mended until it is valid; `None` where that cannot be done without guessing. Not for a value that is valid.
    #[must_use]
    pub fn coerced(&self, value: &Value, whole: Whole) -> Option<Coerced> {
        let tree = &*self.tree;
        let mut work = Coercer::new(tree, value);
        let shapes = match whole {
            Whole::Yes => Shapes::Any,
            Whole::No => Shapes::Inward,
        };
        let fit = work.fit(tree.root(), value, &Path::ROOT, shapes);
        self.checked(fit?)
    }

    /// Coerces an answer without JSON: a scalar in prose, `name: value` lines, or XML elements.
    #[must_use]
    pub fn coerced_text(&self, text: &str) -> Option<Coerced> {
        let tree = &*self.tree;
        let fit = text::read(tree, text);
        self.checked(fit?)
    }

    fn checked(&self, fit: Match) -> Option<Coerced> {
        let Match::Mended(mended) = fit else {
            return None;
        };
        let valid = self.is_valid(&mended.value);
        valid.then(|| Coerced {
            value: mended.value,
            cost: mended.cost,
            repairs: path::told(&mended.notes),
        })
    }
}

impl Schema {
    /// Coerces as [`Schema::coerced`], and returns the number of visits, for tests of the bound.
    #[must_use]
    pub fn coerced_counted(&self, value: &Value) -> (Option<Coerced>, usize) {
        let tree = &*self.tree;
        let mut work = Coercer::new(tree, value);
        let before = work.budget();
        let fit = work.fit(tree.root(), value, &Path::ROOT, Shapes::Any);
        let visits = before - work.budget();
        (fit.and_then(|fit| self.checked(fit)), visits)
    }
}
