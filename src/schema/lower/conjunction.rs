//! Conjunction of schemas: all that hold for one value.

use serde_json::Value;

/// Schemas that all hold for one value, without the alternatives that were chosen already.
#[derive(Debug, Clone, Default)]
pub struct Conjunction<'s> {
    pub all: Vec<&'s Value>,
    /// Arrays of alternatives of which one was chosen already.
    pub chosen: Vec<*const Value>,
    /// Number of objects around the value.
    pub level: usize,
    /// True if the target of a reference is written inline.
    pub here: bool,
}

impl<'s> Conjunction<'s> {
    /// Creates a conjunction of schemas within `level` objects.
    pub const fn new(all: Vec<&'s Value>, level: usize) -> Self {
        Self {
            all,
            chosen: Vec::new(),
            level,
            here: false,
        }
    }

    /// Creates the conjunction of one schema, written inline instead of as a reference.
    pub fn inline(schema: &'s Value, level: usize) -> Self {
        Self {
            here: true,
            ..Self::new(vec![schema], level)
        }
    }
}
