//! Lowered forms of a compiled schema, each made once.

use std::sync::{Arc, PoisonError};

use schema_dialect::{Dialect, lower};
use serde_json::Value;

use super::compiled::{Lowered, Schema};
use super::validation_cost::Evaluations;

/// Maximum length of a schema whose lowering takes less than about a millisecond, in bytes.
const QUICKLY_LOWERED_BYTES: usize = 8 << 10;

impl Schema {
    /// Returns true if lowering may take more than about a millisecond.
    #[must_use]
    pub fn is_slow_to_lower(&self) -> bool {
        self.raw.get().len() > QUICKLY_LOWERED_BYTES
    }

    /// Lowers the schema to a dialect, once for each dialect. `None`: it cannot be lowered to this one.
    #[must_use]
    pub fn lowered(&self, dialect: &'static Dialect) -> Option<Lowered> {
        let mut kept = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept.iter().find(|(known, _)| std::ptr::eq(*known, dialect)) {
            return known.clone();
        }
        let lowered = lower(&self.tree, &self.raw, dialect).map(|asked| Lowered {
            asked: Arc::new(asked),
        });
        kept.push((dialect, lowered.clone()));
        lowered
    }

    /// Lifts an answer in a lowered form to the caller's form. Of the possible meanings of its
    /// nulls, the first valid one is returned; an answer that is in the caller's form already stays
    /// as it is.
    #[must_use]
    pub fn raised(&self, lowered: &Lowered, value: Value) -> Value {
        self.raised_within(lowered, value, &Evaluations::of_answer())
    }

    /// Lifts as [`Schema::raised`], and validates with the evaluations that are left.
    #[must_use]
    pub fn raised_within(
        &self,
        lowered: &Lowered,
        value: Value,
        evaluations: &Evaluations,
    ) -> Value {
        lowered
            .asked
            .lifted(value, |value| self.is_valid_within(value, evaluations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_made_once() {
        let schema =
            Schema::compile(r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#)
                .unwrap();
        let [one, other] = [0; 2].map(|_| schema.lowered(&Dialect::OBJECT).unwrap().asked);
        assert!(Arc::ptr_eq(&one, &other));
    }
}
