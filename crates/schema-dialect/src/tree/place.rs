//! Places of nodes in the caller's document.

use super::node::{KeywordValue, Origin};
use super::node_ref::NodeRef;
use crate::pointer;

/// Keywords that a document may write a reference with.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

impl NodeRef<'_> {
    /// Returns the JSON Pointer of the schema in the caller's document.
    #[must_use]
    pub fn locate(self) -> String {
        let mut tokens = Vec::new();
        let mut node = self;
        let base = loop {
            let parent = match &node.node().origin {
                Origin::Pointer(base) => break base,
                Origin::Same(parent) => *parent,
                Origin::Keyword(parent, keyword) => {
                    tokens.push((*keyword).to_owned());
                    *parent
                }
                Origin::Element(parent, keyword, index) => {
                    tokens.extend([index.to_string(), (*keyword).to_owned()]);
                    *parent
                }
                Origin::Member(parent, written, keyword, index) => {
                    let parent = NodeRef::new(self.tree(), *parent);
                    let name = match parent.node().get(*keyword) {
                        Some(KeywordValue::Named(named)) => named.get_index(*index as usize),
                        _ => None,
                    };
                    tokens.extend(name.map(|(name, _)| name.to_string()));
                    tokens.push((*written).to_owned());
                    parent.id()
                }
            };
            node = NodeRef::new(self.tree(), parent);
        };
        let tokens = tokens.iter().rev();
        tokens.fold(base.to_string(), |at, token| pointer(&at, token))
    }

    /// Returns the JSON Pointer of the schema's reference in the caller's document, or else of the schema.
    #[must_use]
    pub fn locate_reference(self) -> String {
        let at = self.locate();
        let source = self.tree().document().pointer(&at);
        let is_there = |keyword: &&str| source.is_some_and(|source| source.get(keyword).is_some());
        match REFERENCES.into_iter().find(|keyword| is_there(keyword)) {
            Some(keyword) => pointer(&at, keyword),
            None => at,
        }
    }
}
