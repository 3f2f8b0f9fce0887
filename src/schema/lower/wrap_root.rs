//! A schema that is sent as it is, where the answer has to be an object.

use serde_json::{Map, Value, json};

use crate::schema::references::move_references;

/// An object with the one member `value`, which the schema is for. Its references lead where they led.
pub fn wrapped(mut schema: Value) -> Value {
    let id = schema
        .get("$id")
        .and_then(Value::as_str)
        .map(|id| id.trim_end_matches('#').to_owned())
        .unwrap_or_default();
    // What leads by a name does so from anywhere.
    move_references(&mut schema, &id, "#/properties/value");
    let mut root = Map::new();
    // What they say holds for the whole.
    for keyword in ["$schema", "$id"] {
        if let Some(said) = schema
            .as_object_mut()
            .and_then(|schema| schema.shift_remove(keyword))
        {
            root.insert(keyword.to_owned(), said);
        }
    }
    root.insert("type".to_owned(), "object".into());
    root.insert("properties".to_owned(), json!({"value": schema}));
    root.insert("required".to_owned(), json!(["value"]));
    root.insert("additionalProperties".to_owned(), false.into());
    root.into()
}
