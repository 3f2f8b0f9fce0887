//! Ways from a node to the nodes below it.

use super::keyword::Keyword;
use super::node::KeywordValue;
use super::node_ref::NodeRef;
use super::nodes::Tree;

/// Part of the instance that a subschema applies to, relative to its parent schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies<'t> {
    /// The same value.
    Here,
    /// The same value, as one of several alternatives.
    Either,
    /// The member of this name.
    Member(&'t str),
    /// Any member or element.
    Inside,
    /// Nothing: a definition, used by reference, or a schema of another text.
    Nowhere,
}

impl Applies<'_> {
    /// Returns true if the subschema applies to the same value.
    #[must_use]
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Here | Self::Either)
    }

    const fn of_keyword(keyword: Keyword) -> Self {
        match keyword {
            Keyword::AnyOf | Keyword::OneOf => Self::Either,
            Keyword::Properties => Self::Member(""),
            Keyword::PatternProperties
            | Keyword::AdditionalProperties
            | Keyword::UnevaluatedProperties
            | Keyword::Items
            | Keyword::PrefixItems
            | Keyword::UnevaluatedItems
            | Keyword::Contains => Self::Inside,
            Keyword::PropertyNames | Keyword::ContentSchema => Self::Nowhere,
            _ => Self::Here,
        }
    }
}

impl<'t> NodeRef<'t> {
    /// Returns the direct subschemas, and at the root the definitions, without following references.
    #[must_use]
    pub fn parts(self) -> Vec<(Applies<'t>, Self)> {
        let tree = self.tree();
        let at = |id| Self::new(tree, id);
        let mut parts = Vec::new();
        for (keyword, held) in &self.node().keywords {
            if *keyword == Keyword::IgnoredSiblings {
                continue;
            }
            let applies = Applies::of_keyword(*keyword);
            match held {
                KeywordValue::Node(id) => parts.push((applies, at(*id))),
                KeywordValue::Nodes(ids) => parts.extend(ids.iter().map(|id| (applies, at(*id)))),
                KeywordValue::Named(named) => {
                    parts.extend(named.iter().map(|(name, id)| match applies {
                        Applies::Member(_) => (Applies::Member(name), at(*id)),
                        other => (other, at(*id)),
                    }));
                }
                _ => {}
            }
        }
        if self == tree.root() {
            parts.extend(
                tree.definitions()
                    .map(|(_, definition)| (Applies::Nowhere, definition)),
            );
        }
        parts
    }

    /// Returns the subschemas that apply to a value or its parts, including the target of a reference.
    #[must_use]
    pub fn applied(self) -> Vec<(Applies<'t>, Self)> {
        let mut applied = self.parts();
        applied.retain(|(applies, _)| *applies != Applies::Nowhere);
        applied.extend(self.reference().map(|target| (Applies::Here, target)));
        applied
    }
}

impl Tree {
    /// Returns every schema but those that a validator ignores.
    #[must_use]
    pub fn schemas(&self) -> Vec<NodeRef<'_>> {
        let (mut schemas, mut next) = (vec![self.root()], 0);
        while let Some(schema) = schemas.get(next).copied() {
            schemas.extend(schema.parts().into_iter().map(|(_, part)| part));
            next += 1;
        }
        schemas
    }
}
