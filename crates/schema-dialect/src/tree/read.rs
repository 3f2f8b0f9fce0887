//! Reading of nodes: their keywords as typed values.

use serde_json::{Number, Value};

use super::json_type::{JsonType, TypeList};
use super::keyword::Keyword;
use super::node::KeywordValue;
use super::node_lists::{Named, Nodes};
use super::node_ref::{HeldRef, NodeRef};
use crate::keyword::GROUNDING_OFF;

/// Maximum number of references that are followed one after another.
const MAX_FOLLOWED: usize = 8;

impl<'t> NodeRef<'t> {
    /// Returns the value of a boolean schema. `None`: the schema is an object.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        self.node().boolean
    }

    /// Returns true if the schema is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.as_bool().is_none()
    }

    /// Returns true if the schema is `false`, which accepts nothing.
    #[must_use]
    pub fn is_false(self) -> bool {
        self.as_bool() == Some(false)
    }

    /// Returns true if the schema is `true`.
    #[must_use]
    pub fn is_true(self) -> bool {
        self.as_bool() == Some(true)
    }

    /// Returns the keywords in the order of the document; none for a boolean schema.
    pub fn keywords(self) -> impl Iterator<Item = Keyword> + use<'t> {
        self.node().keywords.iter().map(|(keyword, _)| *keyword)
    }

    /// Returns the number of keywords.
    #[must_use]
    pub fn keyword_count(self) -> usize {
        self.node().keywords.len()
    }

    /// Returns true if the schema has a keyword.
    #[must_use]
    pub fn has(self, keyword: Keyword) -> bool {
        self.node().get(keyword).is_some()
    }

    /// Returns the value of a keyword, to be written.
    #[must_use]
    pub fn get(self, keyword: Keyword) -> Option<HeldRef<'t>> {
        let held = self.node().get(keyword)?;
        Some(HeldRef::new(self.tree(), held))
    }

    /// Returns the length of the names, texts and values that the schema itself holds, without those of its subschemas, in bytes. Each
    /// value counts a few bytes more than its text.
    #[must_use]
    pub fn own_bytes(self) -> usize {
        let keywords = self.node().keywords.iter();
        keywords.map(|(_, held)| held.own_bytes()).sum()
    }

    /// Returns the schema under a keyword that holds one.
    #[must_use]
    pub fn child(self, keyword: Keyword) -> Option<Self> {
        match self.node().get(keyword)? {
            KeywordValue::Node(id) => Some(self.with_id(*id)),
            _ => None,
        }
    }

    /// Returns the schemas under a keyword that holds a list of them.
    #[must_use]
    pub fn children(self, keyword: Keyword) -> Option<Nodes<'t>> {
        match self.node().get(keyword)? {
            KeywordValue::Nodes(ids) => Some(Nodes {
                tree: self.tree(),
                ids,
            }),
            _ => None,
        }
    }

    /// Returns the schemas under a keyword that holds them by name.
    #[must_use]
    pub fn named(self, keyword: Keyword) -> Option<Named<'t>> {
        match self.node().get(keyword)? {
            KeywordValue::Named(nodes) => Some(Named {
                tree: self.tree(),
                nodes,
            }),
            _ => None,
        }
    }

    /// Returns the target of the reference. `None`: the schema has no reference.
    #[must_use]
    pub fn reference(self) -> Option<Self> {
        match self.node().get(Keyword::Reference)? {
            KeywordValue::Reference(id) => Some(self.with_id(*id)),
            _ => None,
        }
    }

    /// Follows references, up to 8, and returns their target; the schema itself if it has none.
    #[must_use]
    pub fn target(mut self) -> Self {
        for _ in 0..MAX_FOLLOWED {
            let Some(target) = self.reference() else {
                break;
            };
            self = target;
        }
        self
    }

    /// Returns the name under which the schema is written as the target of a reference: that under `$defs`; empty for the root.
    #[must_use]
    pub fn definition_name(self) -> &'t str {
        self.tree().definition_name(self.id())
    }

    /// Returns the siblings that a `$ref` of draft 7 or older makes a validator ignore.
    #[must_use]
    pub fn ignored_siblings(self) -> Option<Self> {
        self.child(Keyword::IgnoredSiblings)
    }

    /// Returns the value of `type`.
    #[must_use]
    pub fn type_list(self) -> Option<&'t TypeList> {
        match self.node().get(Keyword::Type)? {
            KeywordValue::Types(types) => Some(types),
            _ => None,
        }
    }

    /// Returns the types that the schema names.
    #[must_use]
    pub fn types(self) -> &'t [JsonType] {
        self.type_list().map_or(&[], TypeList::as_slice)
    }

    /// Returns true if `type` is this one type, and not a list.
    #[must_use]
    pub fn is_of(self, kind: JsonType) -> bool {
        self.type_list().and_then(TypeList::single) == Some(kind)
    }

    /// Returns true if values of the schema have no evidence.
    #[must_use]
    pub fn is_ungrounded(self) -> bool {
        let grounding = self.value(Keyword::Grounding);
        grounding.is_some_and(|value| value == GROUNDING_OFF)
    }

    /// Returns the properties.
    #[must_use]
    pub fn properties(self) -> Option<Named<'t>> {
        self.named(Keyword::Properties)
    }

    /// Returns the names of required members.
    #[must_use]
    pub fn required(self) -> &'t [Box<str>] {
        match self.node().get(Keyword::Required) {
            Some(KeywordValue::Names(names)) => names,
            _ => &[],
        }
    }

    /// Returns the lists of names under `dependentRequired`, by name.
    #[must_use]
    pub fn dependent_required(self) -> &'t [(Box<str>, Vec<Box<str>>)] {
        match self.node().get(Keyword::DependentRequired) {
            Some(KeywordValue::Dependent(names)) => names,
            _ => &[],
        }
    }

    /// Returns the schema of members that no other keyword describes.
    #[must_use]
    pub fn additional_properties(self) -> Option<Self> {
        self.child(Keyword::AdditionalProperties)
    }

    /// Returns the schema of elements, or of those after the first ones.
    #[must_use]
    pub fn items(self) -> Option<Self> {
        self.child(Keyword::Items)
    }

    /// Returns the schemas of the first elements.
    #[must_use]
    pub fn prefix_items(self) -> Option<Nodes<'t>> {
        self.children(Keyword::PrefixItems)
    }

    /// Returns the schemas that all hold.
    #[must_use]
    pub fn all_of(self) -> Option<Nodes<'t>> {
        self.children(Keyword::AllOf)
    }

    /// Returns the alternatives of `anyOf`, or else those of `oneOf`.
    #[must_use]
    pub fn alternatives(self) -> Option<Nodes<'t>> {
        let mut choices = Keyword::CHOICES.into_iter();
        choices.find_map(|keyword| self.children(keyword))
    }

    /// Returns the values that the schema lists: that of `const`, or else those of `enum`.
    #[must_use]
    pub fn listed_values(self) -> Option<&'t [Value]> {
        match self.constant() {
            Some(only) => Some(std::slice::from_ref(only)),
            None => self.values(Keyword::Enum),
        }
    }

    /// Returns the value of `const`.
    #[must_use]
    pub fn constant(self) -> Option<&'t Value> {
        self.value(Keyword::Const)
    }

    /// Returns the values under a keyword that holds a list of them.
    #[must_use]
    pub fn values(self, keyword: Keyword) -> Option<&'t [Value]> {
        match self.node().get(keyword)? {
            KeywordValue::Values(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the value under a keyword that holds any value.
    #[must_use]
    pub fn value(self, keyword: Keyword) -> Option<&'t Value> {
        match self.node().get(keyword)? {
            KeywordValue::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the number under a keyword that holds one, with its digits.
    #[must_use]
    pub fn number(self, keyword: Keyword) -> Option<&'t Number> {
        match self.node().get(keyword)? {
            KeywordValue::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Returns the text under a keyword that holds one.
    #[must_use]
    pub fn text(self, keyword: Keyword) -> Option<&'t str> {
        match self.node().get(keyword)? {
            KeywordValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the title.
    #[must_use]
    pub fn title(self) -> Option<&'t str> {
        self.text(Keyword::Title)
    }

    /// Returns the description.
    #[must_use]
    pub fn description(self) -> Option<&'t str> {
        self.text(Keyword::Description)
    }

    /// Returns the name of the format.
    #[must_use]
    pub fn format(self) -> Option<&'t str> {
        self.text(Keyword::Format)
    }

    /// Returns the regular expression that a string must match.
    #[must_use]
    pub fn pattern(self) -> Option<&'t str> {
        self.text(Keyword::Pattern)
    }
}
