//! Lowered node: the JSON of one subschema, and the mapping of its values.

use serde_json::{Map, Value};

use crate::mapping::{TypeSet, ValueMapping};
use crate::tree::JsonType;

/// Reason for which a schema has no lowered node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoweringError {
    /// No value is valid.
    Never,
    /// The lowered schema is too large.
    Full,
    /// Objects are nested more deeply than the dialect allows.
    Deep,
}

/// Lowered form of one subschema.
#[derive(Debug, Clone)]
pub struct LoweredNode {
    pub json: Map<String, Value>,
    /// Mapping of its values.
    pub shape: ValueMapping,
    /// True if null is a valid value.
    pub null: bool,
    /// Constraints that the node cannot express.
    pub note: Option<String>,
}

impl LoweredNode {
    /// Creates a node that does not accept null.
    pub const fn new(json: Map<String, Value>, shape: ValueMapping) -> Self {
        Self {
            json,
            shape,
            null: false,
            note: None,
        }
    }

    /// Marks the node as accepting null.
    pub fn or_null(self) -> Self {
        Self { null: true, ..self }
    }

    /// Creates a node for all values of a type.
    pub fn typed(kind: JsonType) -> Self {
        let mut json = Map::new();
        json.insert("type".to_owned(), kind.name().into());
        Self::new(json, ValueMapping::same(TypeSet::of_type(kind)))
    }

    /// Creates a node for null.
    pub fn null() -> Self {
        Self::typed(JsonType::Null).or_null()
    }

    /// Returns true if the node is a reference, which permits no siblings.
    pub fn is_bare(&self) -> bool {
        self.json.contains_key("$ref")
    }

    /// Returns true if the node accepts only null.
    pub fn is_null(&self) -> bool {
        self.json.get("type").is_some_and(|kind| kind == "null")
    }
}
