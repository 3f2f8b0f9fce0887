//! What an expression works with: the JSON as it is, by reference, and what was made of it.

use std::rc::Rc;

use serde_json::Value;

use crate::budget::{Budget, EvalError};

/// A value. A clone costs nothing.
#[derive(Debug, Clone)]
pub enum CelValue<'v> {
    Null,
    Bool(bool),
    Int(i64),
    /// What is written with a `u`, and a whole number of the JSON that only fits without a sign.
    Uint(u64),
    Double(f64),
    Text(&'v str),
    OwnedText(Rc<str>),
    /// An array of the JSON.
    Array(&'v [Value]),
    List(Rc<[CelValue<'v>]>),
    /// An object of the JSON.
    Object(&'v serde_json::Map<String, Value>),
    /// Keys and values.
    Map(Rc<[(CelValue<'v>, CelValue<'v>)]>),
    /// A type, as a value.
    Type(&'static str),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
}

impl<'v> From<&'v Value> for CelValue<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (None, Some(value)) => Self::Uint(value),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::Array(items),
            Value::Object(members) => Self::Object(members),
        }
    }
}

/// Kinds of values, as they are told apart before there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Known only when the rule is evaluated.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    List,
    Map,
    /// Of a type.
    Meta,
    Timestamp,
    Duration,
}

impl Type {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::List => "list",
            Self::Map => "map",
            Self::Meta => "type",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
        }
    }

    /// Whether a value of this kind may be of the other.
    pub fn is_compatible_with(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

impl CelValue<'_> {
    pub const fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Text(_) | Self::OwnedText(_) => Type::Text,
            Self::Array(_) | Self::List(_) => Type::List,
            Self::Object(_) | Self::Map(_) => Type::Map,
            Self::Type(_) => Type::Meta,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
        }
    }

    pub fn new_text(text: &str, budget: &mut Budget) -> Result<Self, EvalError> {
        budget.allocate(text.len())?;
        Ok(Self::OwnedText(text.into()))
    }

    pub fn list(items: Vec<Self>, budget: &mut Budget) -> Result<Self, EvalError> {
        budget.allocate(items.len() * size_of::<Self>())?;
        Ok(Self::List(items.into()))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::OwnedText(text) => Some(text),
            _ => None,
        }
    }

    /// Elements of a list or entries of a map.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(members) => Some(members.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// The elements of a list, or the keys of a map; `None` for anything else.
    pub fn elements(&self) -> Option<Box<dyn Iterator<Item = Self> + '_>> {
        Some(match self {
            Self::Array(items) => Box::new(items.iter().map(Self::from)),
            Self::List(items) => Box::new(items.iter().cloned()),
            Self::Object(members) => Box::new(members.keys().map(|name| Self::Text(name))),
            Self::Map(entries) => Box::new(entries.iter().map(|(key, _)| key.clone())),
            _ => return None,
        })
    }

    /// The value of a field or of a key; `None`: it is not there.
    ///
    /// # Errors
    /// For what is no map.
    pub fn get(&self, key: &Self, budget: &mut Budget) -> Result<Option<Self>, EvalError> {
        match self {
            Self::Object(members) => Ok(key
                .as_text()
                .and_then(|name| members.get(name))
                .map(Self::from)),
            Self::Map(entries) => {
                for (known, value) in entries.iter() {
                    if crate::operators::equal(known, key, budget)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(EvalError::no_overload(&format!(
                "a field of {}",
                self.kind().as_str()
            ))),
        }
    }

    /// The element at an index, or the value of a key.
    pub fn index(&self, index: &Self, budget: &mut Budget) -> Result<Self, EvalError> {
        let found = match self {
            Self::Object(_) | Self::Map(_) => self.get(index, budget)?,
            Self::Array(_) | Self::List(_) => {
                let position = index.as_list_index().ok_or_else(|| {
                    EvalError::no_overload(&format!("list[{}]", index.kind().as_str()))
                })?;
                match self {
                    Self::Array(items) => items.get(position).map(Self::from),
                    Self::List(items) => items.get(position).cloned(),
                    _ => None,
                }
            }
            _ => {
                return Err(EvalError::no_overload(&format!(
                    "{}[{}]",
                    self.kind().as_str(),
                    index.kind().as_str()
                )));
            }
        };
        found.ok_or_else(|| match index.as_text() {
            Some(name) => EvalError::Error(format!("there is no key {name:?}")),
            None => EvalError::Error(format!("there is no element {}", index.for_display())),
        })
    }

    /// A whole number as a place in a list. One that is negative or too large is no place, and so beyond the list's end.
    fn as_list_index(&self) -> Option<usize> {
        let past_the_end = usize::MAX;
        match *self {
            Self::Int(position) => Some(usize::try_from(position).unwrap_or(past_the_end)),
            Self::Uint(position) => Some(usize::try_from(position).unwrap_or(past_the_end)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole double in the range of i64"
            )]
            Self::Double(position) if position.fract() == 0.0 && position.abs() < 9e15 => {
                Some(usize::try_from(position as i64).unwrap_or(past_the_end))
            }
            _ => None,
        }
    }

    fn for_display(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            _ => format!("of this {}", self.kind().as_str()),
        }
    }
}
