//! Several nodes under one keyword: a list, or nodes by name.

use indexmap::map::Iter;

use super::node::{NamedNodes, NodeId};
use super::node_ref::NodeRef;
use super::nodes::Tree;

/// List of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Nodes<'t> {
    pub(super) tree: &'t Tree,
    pub(super) ids: &'t [NodeId],
}

impl<'t> Nodes<'t> {
    /// Returns the number of nodes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.ids.len()
    }

    /// Returns true if there are no nodes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the node at an index.
    #[must_use]
    pub fn get(self, index: usize) -> Option<NodeRef<'t>> {
        let id = self.ids.get(index)?;
        Some(NodeRef::new(self.tree, *id))
    }

    /// Returns the nodes in their order.
    #[must_use]
    pub fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = NodeRef<'t>> + ExactSizeIterator + use<'t> {
        self.ids.iter().map(move |id| NodeRef::new(self.tree, *id))
    }
}

/// Nodes by name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'t> {
    pub(super) tree: &'t Tree,
    pub(super) nodes: &'t NamedNodes,
}

impl<'t> Named<'t> {
    /// Returns the number of nodes.
    #[must_use]
    pub fn len(self) -> usize {
        self.nodes.len()
    }

    /// Returns true if there are no nodes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the node of a name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<NodeRef<'t>> {
        let id = self.nodes.get(name)?;
        Some(NodeRef::new(self.tree, *id))
    }

    /// Returns the name as the tree has it. `None`: there is no such name.
    #[must_use]
    pub fn name(self, name: &str) -> Option<&'t str> {
        let (name, _) = self.nodes.get_key_value(name)?;
        Some(name)
    }

    /// Returns the names in the order of the document.
    pub fn names(self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.nodes.keys().map(|name| &**name)
    }

    /// Returns the names with their nodes, in the order of the document.
    #[must_use]
    pub fn iter(self) -> NamedIter<'t> {
        NamedIter {
            tree: self.tree,
            nodes: self.nodes.iter(),
        }
    }

    /// Returns the nodes in the order of the document.
    pub fn nodes(self) -> impl Iterator<Item = NodeRef<'t>> + use<'t> {
        self.iter().map(|(_, node)| node)
    }
}

/// Iterator of names with their nodes.
#[derive(Debug)]
pub struct NamedIter<'t> {
    tree: &'t Tree,
    nodes: Iter<'t, Box<str>, NodeId>,
}

impl<'t> Iterator for NamedIter<'t> {
    type Item = (&'t str, NodeRef<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, id) = self.nodes.next()?;
        Some((name, NodeRef::new(self.tree, *id)))
    }
}
