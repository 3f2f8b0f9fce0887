//! How values differ between the caller's form and the one that is asked for: both ways, without a look at either schema.
//!
//! Both ways are total: what does not have the shape that is expected at its place stays as it is, since a model may answer in
//! the caller's form though asked for another. The differences can be told from what a caller would have there: absence is a
//! null that the caller's schema does not allow, a map is a list of `key` and `value`, any other value is an object with the
//! one member `json`. So a value in the caller's form is not changed, unless it looks just like one of these.

mod shape_match;

use serde_json::{Map, Value, json};

use crate::types::StrictJson;
use shape_match::{Fit, Form, Names};

/// Types of JSON, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSet(pub u8);

impl TypeSet {
    pub const ALL: Self = Self(0b11_1111);
    pub const LIST: Self = Self(16);

    /// The one of this name: `integer` and `number` are one here. `None` for a name that is none of JSON Schema's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(Self(match name {
            "null" => 1,
            "boolean" => 2,
            "integer" | "number" => 4,
            "string" => 8,
            "array" => 16,
            "object" => 32,
            _ => return None,
        }))
    }

    #[must_use]
    pub const fn of(value: &Value) -> Self {
        Self(match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Number(_) => 4,
            Value::String(_) => 8,
            Value::Array(_) => 16,
            Value::Object(_) => 32,
        })
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What becomes of a value at some place.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMapping {
    /// The same in both forms, and of one of these types; one of these values, if there are any.
    Same(TypeSet, Vec<Value>),
    Object(Vec<Member>, Extra),
    /// An object that is asked for as a list of `key` and `value`.
    Entries(Box<ValueMapping>),
    /// An array: what its first elements are, and what the others are.
    Array(Vec<ValueMapping>, Box<ValueMapping>),
    /// One of several.
    Either(Vec<ValueMapping>),
    /// Any value, asked for as its JSON text: the one member `json` of an object.
    Text,
    /// A shape of [`Shapes::named`].
    Named(usize),
}

/// A property.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub name: String,
    /// Its name in the form that is asked for.
    pub asked: String,
    pub shape: ValueMapping,
    /// The caller requires it.
    pub required: bool,
    /// It is asked for in any case, and null if it is not there.
    pub nullable: bool,
    /// Null is a value of the caller's too.
    pub null_is_own: bool,
}

/// What becomes of members that are none of the properties.
#[derive(Debug, Clone, PartialEq)]
pub enum Extra {
    /// There are none.
    None,
    /// The caller's schema does not speak of them: they are not asked for.
    Left,
    /// They are asked for as members too.
    Same(Box<ValueMapping>),
    /// They are asked for as a list of `key` and `value`, under this name.
    Entries(String, Box<ValueMapping>),
}

/// The shapes of a schema.
#[derive(Debug, PartialEq)]
pub struct ValueMappings {
    pub root: ValueMapping,
    pub named: Vec<ValueMapping>,
}

impl ValueMappings {
    /// A value of the caller's form in the one that is asked for.
    #[must_use]
    pub fn lowered(&self, value: &Value) -> Value {
        Lowering {
            fit: Fit::new(self, Form::Own),
        }
        .any(&self.root, value)
    }

    /// A value of the form that is asked for in the caller's.
    #[must_use]
    pub fn raised(&self, value: Value, null: NullPolicy) -> Value {
        Raising {
            fit: Fit::new(self, Form::Asked),
            null,
        }
        .any(&self.root, &value)
        .unwrap_or(value)
    }

    /// Whether no value differs.
    #[must_use]
    pub fn are_same(&self) -> bool {
        self.named
            .iter()
            .chain([&self.root])
            .all(ValueMapping::is_same)
    }

    fn named<'s>(&'s self, shape: &'s ValueMapping) -> &'s ValueMapping {
        let mut shape = shape;
        // A name that leads to itself without looking at any part is no schema; so few steps end it all the same.
        for _ in 0..64 {
            match shape {
                ValueMapping::Named(index) => {
                    shape = self.named.get(*index).unwrap_or(&ValueMapping::Text)
                }
                _ => return shape,
            }
        }
        shape
    }
}

impl ValueMapping {
    /// One type, whatever the value.
    #[must_use]
    pub const fn same(kinds: TypeSet) -> Self {
        Self::Same(kinds, Vec::new())
    }

    fn is_same(&self) -> bool {
        match self {
            Self::Same(..) | Self::Named(_) => true,
            Self::Entries(_) | Self::Text => false,
            Self::Array(first, items) => first.iter().chain([&**items]).all(Self::is_same),
            Self::Either(shapes) => shapes.iter().all(Self::is_same),
            Self::Object(members, extra) => {
                let is_same = |member: &Member| {
                    member.name == member.asked && !member.nullable && member.shape.is_same()
                };
                members.iter().all(is_same)
                    && match extra {
                        Extra::None | Extra::Left => true,
                        Extra::Same(shape) => shape.is_same(),
                        Extra::Entries(..) => false,
                    }
            }
        }
    }
}

struct Lowering<'s> {
    fit: Fit<'s>,
}

impl<'s> Lowering<'s> {
    fn any(&mut self, shape: &'s ValueMapping, value: &Value) -> Value {
        match (self.fit.shapes.named(shape), value) {
            (ValueMapping::Object(members, extra), Value::Object(own)) => {
                self.object(members, extra, own)
            }
            (ValueMapping::Entries(shape), Value::Object(own)) => self.entries(shape, own.iter()),
            (ValueMapping::Array(first, items), Value::Array(own)) => own
                .iter()
                .enumerate()
                .map(|(at, item)| self.any(first.get(at).unwrap_or(items), item))
                .collect(),
            (ValueMapping::Either(shapes), value) => match self.fit.choose(shapes, value) {
                Some(shape) => self.any(shape, value),
                None => value.clone(),
            },
            (ValueMapping::Text, value) => json!({"json": value.to_string()}),
            (_, value) => value.clone(),
        }
    }

    fn object(
        &mut self,
        members: &'s [Member],
        extra: &'s Extra,
        own: &Map<String, Value>,
    ) -> Value {
        let mut asked = Map::new();
        for member in members {
            match own.get(&member.name) {
                Some(value) => {
                    let value = self.any(&member.shape, value);
                    asked.insert(member.asked.clone(), value);
                }
                None if member.nullable => {
                    asked.insert(member.asked.clone(), Value::Null);
                }
                None => {}
            }
        }
        let names = Names::new(members, Form::Own);
        let is_extra = |(name, _): &(&String, &Value)| names.find(name).is_none();
        match extra {
            Extra::None | Extra::Left => {}
            Extra::Same(shape) => {
                let extras = own
                    .iter()
                    .filter(is_extra)
                    .map(|(name, value)| (name.clone(), self.any(shape, value)));
                asked.extend(extras.collect::<Vec<_>>());
            }
            Extra::Entries(name, shape) => {
                let entries = self.entries(shape, own.iter().filter(is_extra));
                asked.insert(name.clone(), entries);
            }
        }
        Value::Object(asked)
    }

    fn entries<'v>(
        &mut self,
        shape: &'s ValueMapping,
        own: impl Iterator<Item = (&'v String, &'v Value)>,
    ) -> Value {
        own.map(|(name, value)| json!({"key": name, "value": self.any(shape, value)}))
            .collect()
    }
}

/// What the null of an optional property says, which was asked for as nullable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullPolicy {
    /// It is a value where the property's own schema says that null is one, and absence elsewhere.
    OwnValue,
    /// The same, but a value too in an object that lacks one of those, and so is not in the form that was asked for.
    Value,
    /// It is absence.
    Absence,
}

struct Raising<'s> {
    fit: Fit<'s>,
    null: NullPolicy,
}

impl<'s> Raising<'s> {
    /// `None`: it stays as it is.
    fn any(&mut self, shape: &'s ValueMapping, value: &Value) -> Option<Value> {
        match (self.fit.shapes.named(shape), value) {
            (ValueMapping::Object(members, extra), Value::Object(asked)) => {
                Some(self.object(members, extra, asked))
            }
            (ValueMapping::Entries(shape), Value::Array(entries)) => {
                self.entries(shape, entries).map(Value::Object)
            }
            (ValueMapping::Array(first, items), Value::Array(asked)) => {
                let raised = asked.iter().enumerate();
                Some(
                    raised
                        .map(|(at, item)| self.own(first.get(at).unwrap_or(items), item))
                        .collect(),
                )
            }
            (ValueMapping::Either(shapes), value) => {
                let shape = self.fit.choose(shapes, value)?;
                self.any(shape, value)
            }
            (ValueMapping::Text, Value::Object(members)) => read(members),
            _ => None,
        }
    }

    fn own(&mut self, shape: &'s ValueMapping, value: &Value) -> Value {
        self.any(shape, value).unwrap_or_else(|| value.clone())
    }

    fn object(
        &mut self,
        members: &'s [Member],
        extra: &'s Extra,
        asked: &Map<String, Value>,
    ) -> Value {
        let mut own = Map::new();
        let (asked_names, own_names) = (
            Names::new(members, Form::Asked),
            Names::new(members, Form::Own),
        );
        let mut demanded = members
            .iter()
            .filter(|member| member.required || member.nullable);
        let is_asked_form = demanded.all(|member| asked.contains_key(&member.asked));
        for (name, value) in asked {
            if let Some(member) = asked_names.find(name) {
                let may_be_absent = match self.null {
                    NullPolicy::Value => is_asked_form && !member.null_is_own,
                    NullPolicy::OwnValue => !member.null_is_own,
                    NullPolicy::Absence => true,
                };
                let is_absent = value.is_null() && member.nullable && may_be_absent;
                if !is_absent {
                    let value = self.own(&member.shape, value);
                    own.insert(member.name.clone(), value);
                }
                continue;
            }
            let known = own_names.find(name);
            match (known, extra, value) {
                (Some(member), ..) => {
                    let value = self.own(&member.shape, value);
                    own.insert(name.clone(), value);
                }
                (None, Extra::Entries(entries, shape), Value::Array(list)) if entries == name => {
                    match self.entries(shape, list) {
                        Some(entries) => {
                            for (name, value) in entries {
                                own.entry(name).or_insert(value);
                            }
                        }
                        None => drop(own.insert(name.clone(), value.clone())),
                    }
                }
                (None, Extra::Entries(_, shape) | Extra::Same(shape), value) => {
                    let value = self.own(shape, value);
                    own.insert(name.clone(), value);
                }
                (None, Extra::None | Extra::Left, value) => {
                    drop(own.insert(name.clone(), value.clone()))
                }
            }
        }
        Value::Object(own)
    }

    /// `None`: this is no list of `key` and `value`.
    fn entries(
        &mut self,
        shape: &'s ValueMapping,
        entries: &[Value],
    ) -> Option<Map<String, Value>> {
        let mut own = Map::new();
        for entry in entries {
            let entry = entry.as_object().filter(|entry| entry.len() == 2)?;
            let (key, value) = (entry.get("key")?.as_str()?, entry.get("value")?);
            let value = self.own(shape, value);
            own.insert(key.to_owned(), value);
        }
        Some(own)
    }
}

/// The value that a JSON text says.
fn read(members: &Map<String, Value>) -> Option<Value> {
    let text = members
        .get("json")
        .filter(|_| members.len() == 1)?
        .as_str()?;
    serde_json::from_str(text)
        .ok()
        .map(|StrictJson(value)| value)
}
