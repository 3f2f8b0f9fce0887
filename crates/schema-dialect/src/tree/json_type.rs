//! Types of JSON values as JSON Schema names them, and the list that `type` holds.

use serde_json::Value;

use crate::json_value::is_integer;

/// Type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsonType {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    Null,
}

impl JsonType {
    /// All types, in the order in which a union of them is written.
    pub const ALL: [Self; 7] = [
        Self::String,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Object,
        Self::Array,
        Self::Null,
    ];

    /// Returns the type of this name. `None`: JSON Schema has no such type.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the name in JSON Schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
            Self::Null => "null",
        }
    }

    /// Returns true if the value is of this type. 1.0 is an integer.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.as_number().is_some_and(is_integer),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Null => value.is_null(),
        }
    }
}

/// Value of `type`: one type, or a list of them in the order of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeList {
    types: [JsonType; JsonType::ALL.len()],
    count: u8,
    is_list: bool,
}

impl TypeList {
    /// Reads the value of `type`. `None`: it is malformed.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let (names, is_list) = match value {
            Value::Array(names) => (names.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        let mut types = [JsonType::Null; JsonType::ALL.len()];
        for (index, name) in names.iter().enumerate() {
            *types.get_mut(index)? = JsonType::from_name(name.as_str()?)?;
        }
        Some(Self {
            types,
            count: u8::try_from(names.len()).ok()?,
            is_list,
        })
    }

    /// Returns the types.
    #[must_use]
    pub fn as_slice(&self) -> &[JsonType] {
        self.types.get(..self.count.into()).unwrap_or_default()
    }

    /// Returns the only type, if it is not written as a list.
    #[must_use]
    pub fn single(&self) -> Option<JsonType> {
        self.as_slice().first().copied().filter(|_| !self.is_list)
    }

    /// Returns true if a value of the type may be valid: a `number` includes each `integer`.
    #[must_use]
    pub fn allows(&self, kind: JsonType) -> bool {
        let types = self.as_slice();
        types.contains(&kind) || kind == JsonType::Integer && types.contains(&JsonType::Number)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_without_fraction_is_an_integer() {
        for (value, kind, expected) in [
            (json!(1.0), JsonType::Integer, true),
            (json!(u64::MAX), JsonType::Integer, true),
            (json!(1.5), JsonType::Integer, false),
            (json!(1.5), JsonType::Number, true),
            (json!(null), JsonType::Null, true),
            (json!({}), JsonType::Array, false),
        ] {
            assert_eq!(kind.accepts(&value), expected, "{value} {kind:?}");
        }
    }
}
