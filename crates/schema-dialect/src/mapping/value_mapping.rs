//! Mapping of values between the caller's form and the lowered form, without either schema.

use serde_json::Value;

use crate::tree::JsonType;

/// Set of JSON types, as bits. `integer` and `number` are one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSet(pub u8);

impl TypeSet {
    /// All types.
    pub const ALL: Self = Self(0b11_1111);
    /// Arrays only.
    pub const LIST: Self = Self(16);

    /// Returns the set of one type.
    #[must_use]
    pub const fn of_type(kind: JsonType) -> Self {
        Self(match kind {
            JsonType::Null => 1,
            JsonType::Boolean => 2,
            JsonType::Integer | JsonType::Number => 4,
            JsonType::String => 8,
            JsonType::Array => 16,
            JsonType::Object => 32,
        })
    }

    /// Returns the set with the type of a value.
    #[must_use]
    pub const fn of_value(value: &Value) -> Self {
        Self(match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Number(_) => 4,
            Value::String(_) => 8,
            Value::Array(_) => 16,
            Value::Object(_) => 32,
        })
    }

    /// Returns the types of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns true if the sets have a type in common.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Mapping of the values of one subschema.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMapping {
    /// Equal in both forms. The value has one of these types and, if the list is not empty, one of these values.
    Same(TypeSet, Vec<Value>),
    /// An object with these properties and others.
    Object(Vec<Member>, Extra),
    /// An object that is lowered to a list of `key` and `value`.
    Entries(Box<ValueMapping>),
    /// An array: mappings of the first elements, and of all others.
    Array(Vec<ValueMapping>, Box<ValueMapping>),
    /// One of several mappings, by the shape of the value.
    Either(Vec<ValueMapping>),
    /// Any value, lowered to its JSON text in an object with the one member `json`.
    Text,
    /// Reference to an entry of `ValueMappings::named`.
    Named(usize),
}

/// Property of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Name in the caller's form.
    pub name: String,
    /// Name in the lowered form.
    pub asked: String,
    /// Mapping of the value.
    pub shape: ValueMapping,
    /// True if the caller's schema requires the property.
    pub required: bool,
    /// True if absence is lowered to null.
    pub nullable: bool,
    /// True if the caller's schema allows null.
    pub null_is_own: bool,
}

/// Mapping of additional properties.
#[derive(Debug, Clone, PartialEq)]
pub enum Extra {
    /// There are no additional properties.
    None,
    /// Unrestricted in the caller's schema, and absent from the lowered form.
    Left,
    /// Members in both forms.
    Same(Box<ValueMapping>),
    /// Lowered to a list of `key` and `value` under this name.
    Entries(String, Box<ValueMapping>),
}

/// Mapping of the values of a whole schema.
#[derive(Debug, PartialEq)]
pub struct ValueMappings {
    /// Mapping of the root.
    pub root: ValueMapping,
    /// Mappings of the definitions.
    pub named: Vec<ValueMapping>,
}

impl ValueMappings {
    /// Returns true if both forms are equal for every value.
    #[must_use]
    pub fn are_same(&self) -> bool {
        self.named
            .iter()
            .chain([&self.root])
            .all(ValueMapping::is_same)
    }

    pub(super) fn named<'s>(&'s self, shape: &'s ValueMapping) -> &'s ValueMapping {
        let mut shape = shape;
        // A reference that leads to itself is no valid schema, but the loop must end all the same.
        for _ in 0..64 {
            match shape {
                ValueMapping::Named(index) => {
                    shape = self.named.get(*index).unwrap_or(&ValueMapping::Text);
                }
                _ => return shape,
            }
        }
        shape
    }
}

impl ValueMapping {
    /// Creates a mapping for values of these types that are equal in both forms.
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
