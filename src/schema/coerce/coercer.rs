//! State of coercing one value: the remaining visits and the depth.

use std::sync::Arc;

use serde_json::Value;

use super::choices::{Choices, count};
use super::coercion::{Coercion, Match};

/// Number of visits for each value of an answer.
const VISITS_PER_VALUE: usize = 48;
/// Number of visits for an answer of any size.
const LEAST_VISITS: usize = 4096;

/// Number of values whose copy costs one visit.
const COPIED_PER_VISIT: usize = 4;

/// State of coercing one value.
pub struct Coercer {
    budget: usize,
    /// Forms of the schema's enumerated values.
    pub choices: Arc<Choices>,
    /// Nesting of the current schema.
    pub depth: usize,
}

impl Coercer {
    /// Creates the state, with a budget by the size of the value.
    pub fn new(choices: &Arc<Choices>, value: &Value) -> Self {
        Self {
            choices: Arc::clone(choices),
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

    /// Copies a value, and spends the visits for its size. `None`: the budget is used up.
    pub fn copy(&mut self, value: &Value) -> Option<Value> {
        self.spend(count(value) / COPIED_PER_VISIT)?;
        Some(value.clone())
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
                    let mut notes = first.notes;
                    notes.extend(second.notes);
                    Coercion {
                        value: second.value,
                        cost: first.cost.saturating_add(second.cost),
                        notes,
                    }
                }
            })),
        }
    }
}
