//! Conjunction of schemas: all that hold for one value.

use crate::tree::{Keyword, NodeId, NodeRef};

/// Schemas that all hold for one value, without the alternatives that were chosen already.
#[derive(Debug, Clone, Default)]
pub struct Conjunction<'t> {
    pub all: Vec<NodeRef<'t>>,
    /// Schemas and their keywords with alternatives of which one was chosen already.
    pub chosen: Vec<(NodeId, Keyword)>,
    /// Number of objects around the value.
    pub level: usize,
    /// True if the target of a reference is written inline.
    pub here: bool,
}

impl<'t> Conjunction<'t> {
    /// Creates a conjunction of schemas within `level` objects.
    pub const fn new(all: Vec<NodeRef<'t>>, level: usize) -> Self {
        Self {
            all,
            chosen: Vec::new(),
            level,
            here: false,
        }
    }

    /// Creates the conjunction of one schema, written inline instead of as a reference.
    pub fn inline(schema: NodeRef<'t>, level: usize) -> Self {
        Self {
            here: true,
            ..Self::new(vec![schema], level)
        }
    }
}
