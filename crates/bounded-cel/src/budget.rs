//! How much work the rules of one answer may be, and how it ends.

/// Steps that all the rules of one answer may take together. A step is about a tenth of a microsecond at the most.
const MAX_STEPS: u64 = 5_000_000;
/// What all the texts and lists that they make may take together, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Bytes of text that are gone through in a step.
const BYTES_PER_STEP: usize = 128;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalError {
    /// What is wrong. `false && …` and `true || …` pass over it.
    Error(String),
    /// The budget is used up; nothing passes over that.
    BudgetExhausted,
}

impl EvalError {
    /// An operation that the values' types do not have.
    pub fn no_overload(what: &str) -> Self {
        Self::Error(format!("there is no `{what}`"))
    }
}

/// What is left.
#[derive(Debug)]
pub struct Budget {
    steps: u64,
    bytes: usize,
}

impl Budget {
    pub const fn new() -> Self {
        Self {
            steps: MAX_STEPS,
            bytes: MAX_BYTES,
        }
    }

    pub fn spend(&mut self, steps: u64) -> Result<(), EvalError> {
        self.steps = self
            .steps
            .checked_sub(steps)
            .ok_or(EvalError::BudgetExhausted)?;
        Ok(())
    }

    /// For going through a text.
    pub fn scan(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend((bytes / BYTES_PER_STEP) as u64)
    }

    /// For making something of so many bytes.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.scan(bytes)?;
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or(EvalError::BudgetExhausted)?;
        Ok(())
    }
}
