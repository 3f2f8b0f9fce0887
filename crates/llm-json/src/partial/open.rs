//! Containers that are being written, and the memory of values.

use serde_json::{Map, Value};

use crate::VALUE_BYTES;

/// A container that is not complete.
#[derive(Debug)]
pub enum Open {
    Object {
        members: Map<String, Value>,
        key: Option<String>,
    },
    Array(Vec<Value>),
}

impl Open {
    /// Returns the container as a value, with the unfinished value inside it.
    pub fn with(&self, inner: Option<Value>) -> Value {
        match self {
            Self::Object { members, key } => {
                let mut members = members.clone();
                if let (Some(key), Some(inner)) = (key, inner) {
                    members.insert(key.clone(), inner);
                }
                Value::Object(members)
            }
            Self::Array(items) => Value::Array(items.iter().cloned().chain(inner).collect()),
        }
    }

    /// Drops the complete values.
    pub fn clear(&mut self) {
        match self {
            Self::Object { members, .. } => *members = Map::new(),
            Self::Array(items) => *items = Vec::new(),
        }
    }

    /// Returns the memory of the complete values, in bytes, at most.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Object { members, .. } => members_bytes(members),
            Self::Array(items) => items.iter().map(value_bytes).sum(),
        }
    }
}

/// Returns the memory of a value without the values in it, in bytes, at most.
pub fn node_bytes(value: &Value) -> usize {
    let text = match value {
        Value::String(text) => text.len(),
        Value::Number(number) => number.as_str().len(),
        _ => 0,
    };
    VALUE_BYTES + text
}

/// Returns the memory of a key, in bytes, at most.
pub const fn key_bytes(key: &str) -> usize {
    VALUE_BYTES + key.len()
}

/// Returns the memory of a value, in bytes, at most.
pub fn value_bytes(value: &Value) -> usize {
    let inner = match value {
        Value::Object(members) => members_bytes(members),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        _ => 0,
    };
    node_bytes(value) + inner
}

fn members_bytes(members: &Map<String, Value>) -> usize {
    let sizes = members
        .iter()
        .map(|(key, value)| key_bytes(key) + value_bytes(value));
    sizes.sum()
}
