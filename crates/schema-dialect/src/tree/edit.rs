//! Changes to a schema while it is written as JSON.

use super::node_ref::NodeRef;

/// Changes to a schema while it is written as JSON. The tree stays as it is.
///
/// The writer asks about each object schema that it writes; without an answer of its own, an edit changes nothing.
pub trait Edit {
    /// Returns true if `additionalProperties: false` is added to the schema. A schema that has the keyword keeps its own.
    fn closes(&self, _schema: NodeRef<'_>) -> bool {
        false
    }

    /// Returns true if the entry of this name is left out of the schema's `properties`.
    fn leaves_out(&self, _schema: NodeRef<'_>, _property: &str) -> bool {
        false
    }
}

/// Edit that changes nothing.
pub struct Unedited;

impl Edit for Unedited {}
