//! Schema of one answer: the request's tree, without some optional properties.

use std::sync::{Arc, Weak};

use schema_dialect::{Edit, NodeId, NodeRef, Tree};
use serde_json::Value;

/// Property of a node that is left out.
pub type LeftOut = (NodeId, Box<str>);

/// Schema that constrains an answer. Cloning it does not copy the tree.
#[derive(Debug, Clone)]
pub struct AnswerSchema {
    tree: Arc<Tree>,
    /// Properties that are left out, in ascending order, each once.
    left_out: Arc<[LeftOut]>,
}

impl AnswerSchema {
    /// Creates the schema of a tree without some properties.
    #[must_use]
    pub fn new(tree: Arc<Tree>, mut left_out: Vec<LeftOut>) -> Self {
        left_out.sort_unstable();
        left_out.dedup();
        let left_out = left_out.into();
        Self { tree, left_out }
    }

    /// Returns the tree, which has the properties that are left out too.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Returns the schema as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if self.left_out.is_empty() {
            return Value::clone(self.tree.json());
        }
        serde_json::to_value(self.tree.edited(self)).unwrap_or_default()
    }

    /// Returns what tells the schema from others without keeping it in memory.
    #[must_use]
    pub fn identity(&self) -> SchemaIdentity {
        SchemaIdentity {
            tree: Arc::downgrade(&self.tree),
            left_out: Arc::clone(&self.left_out),
        }
    }
}

impl Edit for AnswerSchema {
    fn leaves_out(&self, schema: NodeRef<'_>, property: &str) -> bool {
        let place = (schema.id(), property);
        self.left_out
            .binary_search_by(|(id, name)| (*id, &**name).cmp(&place))
            .is_ok()
    }
}

/// Identity of an [`AnswerSchema`]: its tree in memory, and the properties that are left out. It does not keep the tree's nodes in
/// memory, and no other tree gets the same address meanwhile.
#[derive(Debug)]
pub struct SchemaIdentity {
    tree: Weak<Tree>,
    left_out: Arc<[LeftOut]>,
}

impl SchemaIdentity {
    /// Returns true if the schema is the one with this identity.
    #[must_use]
    pub fn is_of(&self, schema: &AnswerSchema) -> bool {
        std::ptr::eq(self.tree.as_ptr(), Arc::as_ptr(&schema.tree))
            && self.left_out == schema.left_out
    }
}
