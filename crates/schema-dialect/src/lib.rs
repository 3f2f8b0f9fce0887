//! JSON Schema documents of every draft, read into one normalised tree.
//!
//! [`SchemaDocument`] is the caller's document, made ready for a validator of its own draft. [`Tree`] is the same schema in the
//! keywords of 2020-12, with every reference resolved within the document; passes over a schema read the tree and need not know
//! drafts. References are resolved by the crate `referencing`, as jsonschema does. Nothing is fetched.

mod build;
mod builder;
mod document;
mod draft;
mod emptiness;
pub mod format;
mod js_pattern;
mod keyword;
mod mistaken;
mod normalise;
mod pointer;
mod suggestion;
#[cfg(test)]
mod tests;
mod tree;
mod value_type;

pub use document::SchemaDocument;
pub use emptiness::{Emptiness, check as check_emptiness};
pub use jsonschema::Draft;
pub use keyword::{GROUNDING, GROUNDING_OFF, IGNORED_SIBLINGS, is_annotation};
pub use pointer::{pointer, tokens as pointer_tokens};
pub use tree::{Applies, Tree, move_root};
pub use value_type::is_of_type;

/// Reason for which a document is refused as a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON Pointer into the document; empty for its root.
    pub pointer: String,
    /// Description of the error, with what to write instead.
    pub message: String,
}

impl SchemaError {
    /// Creates an error at a JSON Pointer.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

/// Likely mistake in a schema that is accepted nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// JSON Pointer into the document.
    pub pointer: String,
    /// Description of the mistake, its consequence, and the likely intention.
    pub message: String,
}

/// Maximum number of warnings of a document; further ones are dropped.
pub const MAX_WARNINGS: usize = 20;
