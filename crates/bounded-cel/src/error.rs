//! Errors of compiling rules, each with its location in the list of rules.

use crate::display::truncate_for_display;
use crate::lexer::SyntaxError;

/// Error of compiling a list of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Part of the list that is invalid.
    pub location: Location,
    /// Description of the error; for an expression with the line and the column, both from 1.
    pub message: String,
}

/// Part of a list of rules. An index counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// The list itself.
    List,
    /// The expression of the rule at this index.
    Expression(usize),
    /// The message of the rule at this index.
    Message(usize),
}

impl Location {
    /// Returns the JSON Pointer relative to the list of rules: empty for the list, else `/0/expression` or `/0/message`.
    #[must_use]
    pub fn pointer(self) -> String {
        match self {
            Self::List => String::new(),
            Self::Expression(index) => format!("/{index}/expression"),
            Self::Message(index) => format!("/{index}/message"),
        }
    }
}

impl CompileError {
    /// Converts the syntax error of the rule at `index`, adding the line and the column to its message.
    pub(crate) fn from_syntax(index: usize, expression: &str, error: &SyntaxError) -> Self {
        let before = expression.get(..error.offset).unwrap_or(expression);
        let line = 1 + before.matches('\n').count();
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        let column = 1 + last_line.chars().count();
        let message = truncate_for_display(&error.message);
        Self {
            location: Location::Expression(index),
            message: format!("{message} (line {line}, column {column})"),
        }
    }
}
