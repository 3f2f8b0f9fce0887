//! Options of an alignment: the caller's knowledge about the leaves of a value.

use std::collections::HashMap;

use crate::examples::Examples;
use crate::span::OffsetUnit;

/// Kind of a leaf, as far as the caller knows it from a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LeafKind {
    /// A value that the text should say.
    #[default]
    Stated,
    /// A choice (boolean, enum, constant), which the text need not name: never absent.
    Choice,
    /// A date, a time or both. Other words that happen to be near do not count.
    Date,
    /// A number, even if the leaf is a string.
    Number,
    /// No evidence is wanted, neither here nor below: a summary, a translation, a judgement.
    Off,
}

/// Settings of [`Index::align`](crate::Index::align).
#[derive(Clone, Copy, Default)]
pub struct Options<'o> {
    /// Kind of the value at a JSON pointer. It is called for objects and arrays too: `Off` excludes all values within.
    pub kind: Option<&'o dyn Fn(&str) -> LeafKind>,
    /// Unit of the spans.
    pub unit: OffsetUnit,
    /// Few-shot examples that an absent value may come from.
    pub examples: Option<&'o Examples>,
}

impl Options<'_> {
    pub(crate) fn kind(&self, pointer: &str) -> LeafKind {
        self.kind.map_or(LeafKind::Stated, |kind| kind(pointer))
    }
}

/// Kinds by JSON pointer, in which `*` stands for any index of an array.
#[derive(Clone, Debug, Default)]
pub struct Kinds(HashMap<String, LeafKind>);

impl Kinds {
    /// Returns the kind of the value at a JSON pointer.
    #[must_use]
    pub fn kind(&self, pointer: &str) -> LeafKind {
        if self.0.is_empty() {
            return LeafKind::Stated;
        }
        let pattern: Vec<_> = pointer
            .split('/')
            .map(|part| {
                let is_index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                if is_index { "*" } else { part }
            })
            .collect();
        let exact = self.0.get(pointer);
        exact
            .or_else(|| self.0.get(&pattern.join("/")))
            .copied()
            .unwrap_or_default()
    }
}

impl<P: Into<String>> FromIterator<(P, LeafKind)> for Kinds {
    fn from_iter<I: IntoIterator<Item = (P, LeafKind)>>(kinds: I) -> Self {
        Self(
            kinds
                .into_iter()
                .map(|(pointer, kind)| (pointer.into(), kind))
                .collect(),
        )
    }
}
