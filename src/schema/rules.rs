//! Validation rules of a request, in the Common Expression Language (CEL): adapts the crate `bounded_cel` to the contract's
//! errors and field errors.

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use bounded_cel::Budget as RuleBudget;
use bounded_cel::CompileError;
use serde_json::Value;

use super::error_messages::MAX_FAULTS;
use crate::long_work::{LONG_TEXT_BYTES, Piece, spawn_long};
use crate::types::{Error, FieldError, Rule};
use throttle::CallerId;

/// Compiled rules of a request. The default has none.
#[derive(Debug, Default)]
pub struct Rules(bounded_cel::Rules);

impl Rules {
    /// Compiles rules.
    ///
    /// # Errors
    /// `invalid_request` with a pointer into `/rules`, and the line and column of a syntax error.
    pub fn compile(rules: Vec<Rule>) -> Result<Self, Error> {
        Self::compile_sources(to_sources(rules))
    }

    /// Compiles rules, as long work on behalf of the caller if that may take longer than about a millisecond.
    ///
    /// # Errors
    /// As [`Rules::compile`].
    pub async fn compile_async(caller: CallerId, rules: Vec<Rule>) -> Result<Arc<Self>, Error> {
        let rules = to_sources(rules);
        if !bounded_cel::Rules::is_slow_to_compile(&rules) {
            return Self::compile_sources(rules).map(Arc::new);
        }
        let piece = Piece {
            caller,
            bytes: LONG_TEXT_BYTES,
        };
        spawn_long(piece, move || Self::compile_sources(rules))
            .await
            .unwrap_or_else(|_| Err(Error::invalid("/rules", "could not be compiled")))
            .map(Arc::new)
    }

    /// Returns the rules as the request has them, in order.
    pub fn sources(&self) -> impl Iterator<Item = &bounded_cel::Rule> {
        self.0.sources()
    }

    /// Returns true if the request has no rules.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error for each rule that `data`, extracted from `input`, violates; at most 20.
    #[must_use]
    pub fn faults(&self, data: &Value, input: &str) -> Vec<FieldError> {
        let violations = self.0.violations(data, input, MAX_FAULTS).into_iter();
        violations
            .map(|violation| FieldError::new(violation.pointer, violation.message))
            .collect()
    }

    /// Returns true if `data` violates no rule, evaluated within a budget that several values share.
    #[must_use]
    pub fn are_met_within(&self, data: &Value, input: &str, budget: &mut RuleBudget) -> bool {
        self.0.are_met_within(data, input, budget)
    }

    /// Returns true if [`Rules::faults`] may take longer than about a millisecond for data of `bytes` bytes of JSON.
    #[must_use]
    pub fn is_slow_for(&self, bytes: usize, input_bytes: usize) -> bool {
        self.0.is_slow_for(bytes, input_bytes)
    }

    fn compile_sources(rules: Vec<bounded_cel::Rule>) -> Result<Self, Error> {
        bounded_cel::Rules::compile(rules)
            .map(Self)
            .map_err(to_error)
    }
}

fn to_sources(rules: Vec<Rule>) -> Vec<bounded_cel::Rule> {
    let source = |rule: Rule| bounded_cel::Rule {
        expression: rule.expression,
        message: rule.message,
    };
    rules.into_iter().map(source).collect()
}

fn to_error(error: CompileError) -> Error {
    Error::invalid(format!("/rules{}", error.location.pointer()), error.message)
}
