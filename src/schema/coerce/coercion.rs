//! Results of coercion.

use serde_json::Value;

/// Result of matching a value with a schema.
#[derive(Debug)]
pub enum Match {
    /// The value is valid unchanged.
    AsIs,
    /// The value is valid after changes.
    Coerced(Coercion),
}

/// Changed value, with the cost and descriptions of the changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Coercion {
    pub value: Value,
    pub cost: u32,
    pub notes: Vec<String>,
}

impl Coercion {
    /// Creates a coercion of one change.
    pub fn new(value: Value, cost: u32, note: String) -> Self {
        Self {
            value,
            cost,
            notes: vec![note],
        }
    }

    /// Adds a change that was made before the others.
    #[must_use]
    pub fn after(mut self, cost: u32, note: String) -> Self {
        self.cost = self.cost.saturating_add(cost);
        self.notes.insert(0, note);
        self
    }
}

/// Allowed changes to the wrapping of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shapes {
    Any,
    /// A wrapper may be removed, but none added.
    Inward,
    /// None: the wrapping was changed already.
    None,
}
