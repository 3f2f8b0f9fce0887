//! Wrapping of a schema that is sent unchanged, for modes whose answer must be an object.

use schema_dialect::move_root;
use serde_json::{Map, Value, json};

/// Returns the schema of an object whose one member `value` is valid against `root`, the root of a tree.
pub fn wrapped(root: &Value) -> Value {
    let mut schema = root.clone();
    let definitions = schema
        .as_object_mut()
        .and_then(|members| members.shift_remove("$defs"));
    let mut wrapper = Map::new();
    wrapper.insert("type".to_owned(), "object".into());
    wrapper.insert("properties".to_owned(), json!({"value": schema}));
    wrapper.insert("required".to_owned(), json!(["value"]));
    wrapper.insert("additionalProperties".to_owned(), false.into());
    wrapper.extend(definitions.map(|definitions| ("$defs".to_owned(), definitions)));
    let mut wrapper = Value::Object(wrapper);
    move_root(&mut wrapper, "#/properties/value");
    wrapper
}
