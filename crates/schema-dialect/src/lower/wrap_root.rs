//! Wrapping of a schema that is sent unchanged, for modes whose answer must be an object.

use serde_json::{Map, Value, json};

use crate::tree::Tree;

/// Place of the schema within its wrapper.
const PLACE: &str = "#/properties/value";

/// Returns the schema of an object whose one member `value` is valid against the schema of a tree.
pub fn wrapped(tree: &Tree) -> Value {
    let schema = tree.root().to_json(PLACE);
    let definitions = tree.definitions_json(PLACE);
    let mut wrapper = Map::new();
    wrapper.insert("type".to_owned(), "object".into());
    wrapper.insert("properties".to_owned(), json!({"value": schema}));
    wrapper.insert("required".to_owned(), json!(["value"]));
    wrapper.insert("additionalProperties".to_owned(), false.into());
    if !definitions.is_empty() {
        wrapper.insert("$defs".to_owned(), definitions.into());
    }
    wrapper.into()
}
