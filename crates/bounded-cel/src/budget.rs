//! Budget of steps and bytes for evaluating a list of rules, and the errors that end an evaluation.

use crate::display::truncate_for_display;

/// Maximum number of steps for a list of rules. A step takes at most about 0.1 µs.
const MAX_STEPS: u64 = 5_000_000;
/// Maximum size of all strings and lists that the rules create, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Bytes of text that are scanned in one step.
const BYTES_PER_STEP: usize = 128;
/// Maximum length of a number that is parsed without exact arithmetic, in bytes: 19 digits and a point.
const SHORT_NUMBER_BYTES: usize = 20;
/// Steps of parsing a longer number, beside those for its bytes. Exact arithmetic takes 8 µs for 25 bytes, 30 µs for 768 digits.
const LONG_NUMBER_STEPS: u64 = 40;
/// Bytes of a longer number that take a step.
const NUMBER_BYTES_PER_STEP: usize = 4;
/// Steps of quoting a text in a message: 300 characters take up to 3 µs.
const QUOTE_STEPS: u64 = 30;

/// Error of evaluating an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalError {
    /// Message of an ordinary error. `false && …` and `true || …` absorb it.
    Error(String),
    /// The budget is exhausted. No operator absorbs this.
    BudgetExhausted,
}

impl EvalError {
    /// Creates the error that an operation does not exist for the types of its operands.
    pub fn no_overload(what: &str) -> Self {
        Self::Error(format!("there is no `{what}`"))
    }
}

/// Remaining steps and bytes of evaluating rules.
#[derive(Debug)]
pub struct Budget {
    steps: u64,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    /// Returns the budget of one list of rules.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            steps: MAX_STEPS,
            bytes: MAX_BYTES,
        }
    }

    /// Spends steps.
    ///
    /// # Errors
    /// [`EvalError::BudgetExhausted`].
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), EvalError> {
        self.steps = self
            .steps
            .checked_sub(steps)
            .ok_or(EvalError::BudgetExhausted)?;
        Ok(())
    }

    /// Spends the steps for scanning a text of so many bytes.
    pub(crate) fn scan(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend(Self::steps_of_scan(bytes))
    }

    /// Returns the steps for scanning a text of so many bytes.
    pub(crate) const fn steps_of_scan(bytes: usize) -> u64 {
        (bytes / BYTES_PER_STEP) as u64
    }

    /// Spends the steps for parsing the text of a number.
    pub(crate) fn parse_number(&mut self, text: &str) -> Result<(), EvalError> {
        if text.len() <= SHORT_NUMBER_BYTES {
            return Ok(());
        }
        self.spend(LONG_NUMBER_STEPS + (text.len() / NUMBER_BYTES_PER_STEP) as u64)
    }

    /// Returns a text in quotes for a message, shortened if it is long, and spends the steps for it.
    pub(crate) fn quote(&mut self, text: &str) -> Result<String, EvalError> {
        self.spend(QUOTE_STEPS)?;
        Ok(format!("{:?}", truncate_for_display(text)))
    }

    /// Spends the steps and bytes for creating a value of so many bytes.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.scan(bytes)?;
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or(EvalError::BudgetExhausted)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Budget {
        /// Returns the steps and bytes that have been spent.
        pub(crate) const fn spent(&self) -> (u64, usize) {
            (MAX_STEPS - self.steps, MAX_BYTES - self.bytes)
        }
    }

    #[test]
    fn a_long_number_costs_steps_by_its_length() {
        for (digits, least, most) in [(1, 0, 0), (20, 0, 0), (25, 40, 80), (768, 200, 300)] {
            let mut budget = Budget::new();
            budget.parse_number(&"7".repeat(digits)).unwrap();
            let (steps, _) = budget.spent();
            assert!((least..=most).contains(&steps), "{digits}: {steps}");
        }
    }
}
