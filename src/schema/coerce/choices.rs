//! Forms of a schema's enumerated values, in which they are recognised.

use std::collections::HashMap;
use std::ops::Range;

use schema_dialect::{NodeId, NodeRef, Tree};
use serde_json::Value;

use super::text_normalize::{key_form, words};

/// Bytes of text that count as one value, and whose comparison costs one visit.
pub const BYTES_PER_VISIT: usize = 32;
/// Maximum length of a word or a description that is recognised in another form, in bytes. A longer word matches only itself.
pub const MAX_WORD: usize = 1024;
/// Number of comparisons with an enumerated value that cost one visit.
pub const COMPARED_PER_VISIT: usize = 16;

/// Forms of all enumerated values of a schema, computed once: they may have a megabyte of text.
#[derive(Debug, Default)]
pub struct Choices(HashMap<NodeId, Enumeration>);

/// Forms of the values that one node lists.
#[derive(Debug)]
struct Enumeration {
    /// Form of each value, in order.
    forms: Box<[Form]>,
    /// Title or description of a constant without case, separators and marks; empty if it has none.
    about: Box<str>,
    /// Bytes of the numbers, lists and objects, which are compared in full.
    compared_bytes: usize,
}

/// Forms of a value; of one that is no word, or a long one, the default.
#[derive(Debug, Default)]
pub struct Form {
    /// The word without case, separators and marks.
    pub key: Box<str>,
    /// Bytes of the word without the white space around it.
    pub trimmed: Range<usize>,
    /// Number of words in it, at least 1; 0: it has no forms.
    pub words: usize,
    /// True if it has marks that are part of it.
    pub has_sign: bool,
}

impl Choices {
    /// Computes the forms of the values that the nodes of a schema list.
    pub fn new(tree: &Tree) -> Self {
        let listing = |node: NodeRef<'_>| Some((node.id(), Enumeration::new(node)?));
        Self(tree.nodes().filter_map(listing).collect())
    }

    /// Returns the visits that comparing a value with each of those that a node lists costs.
    pub fn visits(&self, node: NodeRef<'_>, value: &Value) -> usize {
        let Some(listed) = self.0.get(&node.id()) else {
            return 0;
        };
        let is_scanned = value.is_number() || value.is_array() || value.is_object();
        let bytes = if is_scanned { listed.compared_bytes } else { 0 };
        listed.forms.len() / COMPARED_PER_VISIT + bytes / BYTES_PER_VISIT
    }

    /// Returns the values that a node lists, with their forms.
    pub fn of_node<'c>(&'c self, node: NodeRef<'c>) -> impl Iterator<Item = Listed<'c>> {
        let values = node.listed_values().unwrap_or_default();
        let listed = self.0.get(&node.id());
        let forms = listed.map_or(&[][..], |listed| &listed.forms);
        let about = listed.map_or("", |listed| &listed.about);
        let listed = values.iter().zip(forms);
        listed.map(move |(value, form)| Listed { value, form, about })
    }
}

impl Enumeration {
    fn new(node: NodeRef<'_>) -> Option<Self> {
        let values = node.listed_values()?;
        let about = node.constant().and(node.title().or(node.description()));
        let compared = |value: &Value| match value {
            Value::Number(number) => number.as_str().len(),
            Value::Array(_) | Value::Object(_) => count(value) * BYTES_PER_VISIT,
            _ => 0,
        };
        Some(Self {
            forms: values.iter().map(Form::new).collect(),
            about: about
                .filter(|about| about.len() <= MAX_WORD)
                .map(key_form)
                .unwrap_or_default()
                .into(),
            compared_bytes: values.iter().map(compared).sum(),
        })
    }
}

impl Form {
    fn new(value: &Value) -> Self {
        let Some(word) = value.as_str().filter(|word| word.len() <= MAX_WORD) else {
            return Self::default();
        };
        let start = word.len() - word.trim_start().len();
        Self {
            key: key_form(word).into(),
            trimmed: start..start + word.trim().len(),
            words: words(word).count().max(1),
            has_sign: has_sign(word),
        }
    }
}

/// Enumerated value with its forms.
#[derive(Clone, Copy)]
pub struct Listed<'c> {
    pub value: &'c Value,
    pub form: &'c Form,
    /// Title or description of a constant without case, separators and marks; empty if it has none.
    pub about: &'c str,
}

impl<'c> Listed<'c> {
    /// Returns the word, if it has forms.
    pub fn word(&self) -> Option<&'c str> {
        self.value.as_str().filter(|_| self.form.words > 0)
    }
}

/// Returns true if a word has marks that are part of it: `-1`, `+`, `C#`.
pub fn has_sign(word: &str) -> bool {
    word.starts_with(['-', '+', '−']) || word.ends_with(['+', '#', '-'])
}

/// Counts the values in a value, itself included. A long text counts as several.
pub fn count(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len() / BYTES_PER_VISIT,
        Value::Number(number) => number.as_str().len() / BYTES_PER_VISIT,
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() / BYTES_PER_VISIT + count(member))
            .sum(),
        _ => 0,
    }
}
