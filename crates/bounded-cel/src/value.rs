//! Values of an evaluation: borrowed JSON, and values computed from it.

use std::rc::Rc;

use serde_json::Value;

use crate::budget::{Budget, EvalError};

/// CEL value. Cloning is cheap: borrowed or reference-counted.
#[derive(Debug, Clone)]
pub enum CelValue<'v> {
    Null,
    Bool(bool),
    Int(i64),
    /// Literal with the suffix `u`, or a JSON integer beyond the range of `i64`.
    Uint(u64),
    Double(f64),
    Text(&'v str),
    OwnedText(Rc<str>),
    /// Borrowed JSON array.
    Array(&'v [Value]),
    List(Rc<[CelValue<'v>]>),
    /// Borrowed JSON object.
    Object(&'v serde_json::Map<String, Value>),
    /// Computed map, as pairs of key and value.
    Map(Rc<[(CelValue<'v>, CelValue<'v>)]>),
    /// Type as a value, by its name.
    Type(&'static str),
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Timestamp(i128),
    /// Length in nanoseconds.
    Duration(i128),
}

/// Element of a list, or key of a map.
#[derive(Debug)]
pub enum Element<'v> {
    Json(&'v Value),
    Made(CelValue<'v>),
}

impl<'v> Element<'v> {
    /// Reads the element within the budget.
    pub fn read(self, budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
        match self {
            Self::Json(value) => CelValue::read(value, budget),
            Self::Made(value) => Ok(value),
        }
    }
}

/// Static type of an expression, and type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Known only during evaluation (CEL's `dyn`).
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    List,
    Map,
    /// Type of types.
    Meta,
    Timestamp,
    Duration,
}

impl Type {
    /// Returns the CEL name of the type.
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

    /// Returns true if a value of one type may be of the other.
    pub fn is_compatible_with(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

impl<'v> CelValue<'v> {
    /// Reads a JSON value within the budget: its number is text, which each use parses.
    pub fn read(value: &'v Value, budget: &mut Budget) -> Result<Self, EvalError> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => {
                budget.parse_number(number.as_str())?;
                match (number.as_i64(), number.as_u64()) {
                    (Some(value), _) => Self::Int(value),
                    (None, Some(value)) => Self::Uint(value),
                    (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
                }
            }
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::Array(items),
            Value::Object(members) => Self::Object(members),
        })
    }

    /// Returns the type of the value.
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

    /// Creates a string value within the budget.
    pub fn new_text(text: &str, budget: &mut Budget) -> Result<Self, EvalError> {
        budget.allocate(text.len())?;
        Ok(Self::OwnedText(text.into()))
    }

    /// Creates a list value within the budget.
    pub fn list(items: Vec<Self>, budget: &mut Budget) -> Result<Self, EvalError> {
        budget.allocate(items.len() * size_of::<Self>())?;
        Ok(Self::List(items.into()))
    }

    /// Returns the text of a string value. `None`: another type.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::OwnedText(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of elements of a list or of entries of a map. `None`: another type.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(members) => Some(members.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// Returns the elements of a list or the keys of a map. `None`: another type.
    pub fn elements(&self) -> Option<Box<dyn Iterator<Item = Element<'v>> + '_>> {
        Some(match self {
            Self::Array(items) => Box::new(items.iter().map(Element::Json)),
            Self::List(items) => Box::new(items.iter().cloned().map(Element::Made)),
            Self::Object(members) => {
                Box::new(members.keys().map(|name| Element::Made(Self::Text(name))))
            }
            Self::Map(entries) => {
                Box::new(entries.iter().map(|(key, _)| Element::Made(key.clone())))
            }
            _ => return None,
        })
    }
}
