//! References to nodes of a tree, and to values of their keywords.

use std::hash::{Hash, Hasher};

use super::node::{KeywordValue, Node, NodeId};
use super::nodes::Tree;

/// Node of a tree. Two are equal if they are the same node.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl PartialEq for NodeRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && std::ptr::eq(self.tree, other.tree)
    }
}

impl Eq for NodeRef<'_> {}

impl Hash for NodeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {self}", self.id)
    }
}

impl<'t> NodeRef<'t> {
    pub(crate) const fn new(tree: &'t Tree, id: NodeId) -> Self {
        Self { tree, id }
    }

    /// Returns the identity of the node.
    #[must_use]
    pub const fn id(self) -> NodeId {
        self.id
    }

    /// Returns the tree of the node.
    #[must_use]
    pub const fn tree(self) -> &'t Tree {
        self.tree
    }

    pub(super) fn node(self) -> &'t Node {
        self.tree.node(self.id)
    }

    /// Returns another node of the same tree.
    pub(super) const fn with_id(self, id: NodeId) -> Self {
        Self::new(self.tree, id)
    }
}

impl Tree {
    /// Returns the root.
    #[must_use]
    pub const fn root(&self) -> NodeRef<'_> {
        NodeRef::new(self, NodeId::ROOT)
    }

    /// Returns every node.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        let ids = (0..self.nodes.len()).map(NodeId::new);
        ids.map(|id| NodeRef::new(self, id))
    }

    /// Returns the targets of references other than the root, with their names.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, NodeRef<'_>)> {
        let named = |id: &NodeId| (self.definition_name(*id), NodeRef::new(self, *id));
        self.definitions.iter().map(named)
    }
}

/// Value of a keyword, to be written or compared.
#[derive(Debug, Clone, Copy)]
pub struct HeldRef<'t> {
    pub(super) tree: &'t Tree,
    pub(super) held: &'t KeywordValue,
}

impl<'t> HeldRef<'t> {
    pub(super) const fn new(tree: &'t Tree, held: &'t KeywordValue) -> Self {
        Self { tree, held }
    }

    /// Returns the text, if the value is one.
    #[must_use]
    pub fn as_text(self) -> Option<&'t str> {
        match self.held {
            KeywordValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number, if the value is a natural one that is written without a fraction.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        match self.held {
            KeywordValue::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Returns true if the value is `true`.
    #[must_use]
    pub const fn is_true(self) -> bool {
        matches!(self.held, KeywordValue::Flag(true))
    }
}
