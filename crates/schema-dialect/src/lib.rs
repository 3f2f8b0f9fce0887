//! JSON Schema documents of every draft, read into one normalised tree, and lowered to the dialects of providers.
//!
//! [`SchemaDocument`] is the caller's document, made ready for a validator of its own draft. [`Tree`] is the same schema as nodes
//! with the keywords of 2020-12, with every reference resolved within the document; passes over a schema read its nodes and need
//! not know drafts. References are resolved by the crate `referencing`, as jsonschema does. Nothing is fetched.
//!
//! [`Dialect`] describes the JSON Schema that a provider's mode accepts ([`dialects`] has the tables). [`lower`] converts a tree
//! to a dialect, and [`LoweredSchema`] converts values to the lowered form and back.

mod build;
mod builder;
mod dialect;
pub mod dialects;
mod document;
mod document_patterns;
mod draft;
mod emptiness;
pub mod format;
mod js_pattern;
mod json_value;
mod keyword;
mod lower;
mod lowered_schema;
mod mapping;
mod mistaken;
mod normalise;
mod pointer;
mod reference_words;
mod short_text;
mod suggestion;
#[cfg(test)]
mod tests;
mod tree;

pub use dialect::{Dialect, EnumRule, ExtraRule, Limits, NullRule, ReferenceRule, Strictness};
pub use document::SchemaDocument;
pub use document_patterns::document_patterns;
pub use emptiness::{Emptiness, check as check_emptiness};
pub use json_value::json_equal;
pub use jsonschema::Draft;
pub use lower::lower;
pub use lowered_schema::LoweredSchema;
pub use mapping::{Extra, Member, NullPolicy, TypeSet, ValueMapping, ValueMappings};
pub use pointer::{pointer, tokens as pointer_tokens};
pub use reference_words::{References, references_in};
pub use short_text::{ShortText, shortened};
pub use tree::{
    Applies, Edit, HeldRef, JsonType, Keyword, Named, NodeId, NodeRef, Nodes, Tree, TypeList,
};

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
