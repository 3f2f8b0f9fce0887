//! State of coercing one value: the remaining visits and the depth.

use serde_json::Value;

use super::coercion::{Coercion, Match};

/// Number of visits for each value of an answer.
const VISITS_PER_VALUE: usize = 48;
/// Number of visits for an answer of any size.
const LEAST_VISITS: usize = 4096;

/// State of coercing one value.
pub struct Coercer {
    budget: usize,
    /// Nesting of the current schema.
    pub depth: usize,
}

impl Coercer {
    /// Creates the state, with a budget by the size of the value.
    pub fn new(value: &Value) -> Self {
        Self {
            budget: count(value)
                .saturating_mul(VISITS_PER_VALUE)
                .saturating_add(LEAST_VISITS),
            depth: 0,
        }
    }

    /// Returns the number of remaining visits.
    pub const fn budget(&self) -> usize {
        self.budget
    }

    /// Spends visits. `None`: the budget is used up.
    pub fn spend(&mut self, visits: usize) -> Option<()> {
        let left = self.budget.checked_sub(visits);
        self.budget = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// Continues with the value that `so_far` stands for, and adds up both coercions.
    pub fn and_then(
        &mut self,
        so_far: Match,
        value: &Value,
        next: impl FnOnce(&mut Self, &Value) -> Option<Match>,
    ) -> Option<Match> {
        match so_far {
            Match::AsIs => next(self, value),
            Match::Coerced(first) => Some(Match::Coerced(match next(self, &first.value)? {
                Match::AsIs => first,
                Match::Coerced(second) => {
                    let notes = [first.notes, second.notes].concat();
                    Coercion {
                        value: second.value,
                        cost: first.cost + second.cost,
                        notes,
                    }
                }
            })),
        }
    }
}

/// Counts the values in a value, itself included. A long text counts as several.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len() / 32,
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}
