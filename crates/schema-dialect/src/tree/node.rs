//! Nodes of a tree, as they are kept: the values of their keywords, and their places in the caller's document.

use indexmap::IndexMap;
use serde_json::{Number, Value};

use super::json_type::TypeList;
use super::keyword::{Form, Keyword};

/// Identity of a node within its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Root of every tree.
    pub const ROOT: Self = Self(0);

    /// Creates the identity of a node at an index; a tree has far fewer nodes than the type can count.
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Nodes by name, in the order of the document.
pub type NamedNodes = IndexMap<Box<str>, NodeId>;

/// Value of a keyword.
#[derive(Debug, Clone)]
pub enum KeywordValue {
    Types(TypeList),
    /// Target of a reference.
    Reference(NodeId),
    Node(NodeId),
    Nodes(Vec<NodeId>),
    Named(Box<NamedNodes>),
    Names(Vec<Box<str>>),
    Dependent(Vec<(Box<str>, Vec<Box<str>>)>),
    /// A number with its digits.
    Number(Number),
    Text(Box<str>),
    Flag(bool),
    Values(Vec<Value>),
    /// A value of any form, and one that is not of its keyword's form.
    Value(Box<Value>),
}

impl KeywordValue {
    /// Reads the value of a keyword that holds no schema.
    pub fn from_json(keyword: Keyword, value: &Value) -> Self {
        let read = match (keyword.form(), value) {
            (Form::Types, value) => TypeList::from_json(value).map(Self::Types),
            (Form::Number, Value::Number(number)) => Some(Self::Number(number.clone())),
            (Form::Text, Value::String(text)) => Some(Self::Text(text.as_str().into())),
            (Form::Flag, Value::Bool(flag)) => Some(Self::Flag(*flag)),
            (Form::Values, Value::Array(values)) => Some(Self::Values(values.clone())),
            (Form::Names, value) => names(value).map(Self::Names),
            (Form::Dependent, Value::Object(members)) => members
                .iter()
                .map(|(name, value)| Some((name.as_str().into(), names(value)?)))
                .collect::<Option<_>>()
                .map(Self::Dependent),
            _ => None,
        };
        read.unwrap_or_else(|| Self::Value(Box::new(value.clone())))
    }
}

/// Bytes that a value counts beside its text: a number or an empty text is not free.
const BYTES_PER_VALUE: usize = 16;

impl KeywordValue {
    /// Returns the length of the texts, names and numbers, and of the values around them, without those of subschemas.
    pub fn own_bytes(&self) -> usize {
        let of_name = |name: &str| BYTES_PER_VALUE + name.len();
        let of_names = |names: &[Box<str>]| names.iter().map(|name| of_name(name)).sum::<usize>();
        match self {
            Self::Types(_) | Self::Reference(_) | Self::Node(_) | Self::Flag(_) => BYTES_PER_VALUE,
            Self::Nodes(nodes) => BYTES_PER_VALUE * nodes.len(),
            Self::Named(named) => named.keys().map(|name| of_name(name)).sum(),
            Self::Names(names) => of_names(names),
            Self::Dependent(lists) => {
                let of_list = |(name, names): &(Box<str>, Vec<_>)| of_name(name) + of_names(names);
                lists.iter().map(of_list).sum()
            }
            Self::Number(number) => of_name(number.as_str()),
            Self::Text(text) => of_name(text),
            Self::Values(values) => values.iter().map(value_bytes).sum(),
            Self::Value(value) => value_bytes(value),
        }
    }
}

fn value_bytes(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| name.len() + value_bytes(value))
                .sum()
        }
    };
    BYTES_PER_VALUE + inner
}

fn names(value: &Value) -> Option<Vec<Box<str>>> {
    let names = value.as_array()?.iter();
    names.map(|name| name.as_str().map(Into::into)).collect()
}

/// Place of a node in the caller's document.
#[derive(Debug, Clone)]
pub enum Origin {
    /// JSON Pointer, for the root and for definitions.
    Pointer(Box<str>),
    /// Place of another node, which was split.
    Same(NodeId),
    /// Value of a keyword of another node, as the document writes the keyword.
    Keyword(NodeId, &'static str),
    /// Element of the array under a keyword.
    Element(NodeId, &'static str, u32),
    /// Member of the object under a keyword. The name is that of the entry at this index, under the node's own keyword.
    Member(NodeId, &'static str, Keyword, u32),
}

/// Schema of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Value of a boolean schema.
    pub boolean: Option<bool>,
    /// Keywords with their values, in the order of the document, each once.
    pub keywords: Vec<(Keyword, KeywordValue)>,
    pub origin: Origin,
}

impl Node {
    /// Creates a node without keywords.
    pub const fn new(origin: Origin) -> Self {
        Self {
            boolean: None,
            keywords: Vec::new(),
            origin,
        }
    }

    /// Returns the value of a keyword.
    pub fn get(&self, keyword: Keyword) -> Option<&KeywordValue> {
        let mut keywords = self.keywords.iter();
        keywords
            .find(|(known, _)| *known == keyword)
            .map(|(_, held)| held)
    }

    /// Returns the value of a keyword, to be changed.
    pub fn get_mut(&mut self, keyword: Keyword) -> Option<&mut KeywordValue> {
        let mut keywords = self.keywords.iter_mut();
        keywords
            .find(|(known, _)| *known == keyword)
            .map(|(_, held)| held)
    }

    /// Sets the value of a keyword. A value that was there is replaced.
    pub fn set(&mut self, keyword: Keyword, held: KeywordValue) {
        match self.get_mut(keyword) {
            Some(known) => *known = held,
            None => self.keywords.push((keyword, held)),
        }
    }
}
