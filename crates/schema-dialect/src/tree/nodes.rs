//! Nodes of a whole schema, with the document that they were read from.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jsonschema::Draft;
use serde_json::Value;

use super::node::{Node, NodeId};
use crate::document::SchemaDocument;
use crate::{MAX_WARNINGS, Warning};

/// Schema as nodes with the keywords of 2020-12, in which every reference leads to a node.
///
/// A node is `true`, `false`, or a list of [`Keyword`](super::Keyword)s with typed values; a [`NodeRef`](super::NodeRef) reads it.
/// There is no `$schema`, `$id`, anchor or unknown keyword. What a `$ref` of an old draft makes a validator ignore is under
/// [`IgnoredSiblings`](super::Keyword::IgnoredSiblings).
#[derive(Debug)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Number of JSON values in the nodes.
    values: usize,
    /// Targets of references other than the root, in the order in which they are written under `$defs`.
    pub(super) definitions: Vec<NodeId>,
    /// Names of the definitions.
    names: HashMap<NodeId, Box<str>>,
    /// The whole as JSON, written when it is first asked for.
    pub(super) json: OnceLock<Arc<Value>>,
    document: Value,
    draft: Draft,
    warnings: Vec<Warning>,
}

impl Tree {
    /// Creates a tree from nodes, of which the first is the root, with this many JSON values.
    pub(crate) fn new(
        nodes: Vec<Node>,
        values: usize,
        definitions: Vec<(Box<str>, NodeId)>,
        document: SchemaDocument,
    ) -> Self {
        Self {
            nodes,
            values,
            definitions: definitions.iter().map(|(_, id)| *id).collect(),
            names: definitions
                .into_iter()
                .map(|(name, id)| (id, name))
                .collect(),
            json: OnceLock::new(),
            document: document.value,
            draft: document.draft,
            warnings: document.warnings,
        }
    }

    /// Returns the number of JSON values in the tree: more than the document has, if references lead into one another.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Returns the document by which a validator judges.
    #[must_use]
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// Returns the draft of the document's root.
    #[must_use]
    pub const fn draft(&self) -> Draft {
        self.draft
    }

    /// Returns the name of a definition; empty for a node that is no definition.
    pub(crate) fn definition_name(&self, id: NodeId) -> &str {
        self.names.get(&id).map_or("", |name| name)
    }

    /// Returns a node. Every identity that a tree has given is one of its nodes.
    #[expect(
        clippy::indexing_slicing,
        reason = "identities are given for nodes only, which are never removed"
    )]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Returns the likely mistakes that were found, at most [`crate::MAX_WARNINGS`].
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Adds a warning, up to the maximum.
    pub fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }
}
