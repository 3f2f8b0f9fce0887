//! Schema of a validation retry.
//!
//! A model of this size does not heed feedback: asked again, it writes another value that the text does not state. So the grammar of a
//! validation retry lacks the optional properties whose values were rejected. The answer is validated against the whole schema.

use std::sync::Arc;

use serde_json::Value;

use crate::types::FieldError;

/// Returns the schema without the optional properties that errors point to. Follows properties only, no references or lists.
pub fn without_rejected(schema: &Arc<Value>, errors: &[FieldError]) -> Arc<Value> {
    let mut narrowed = Arc::clone(schema);
    for error in errors {
        let Some((parent, name)) = error.pointer.rsplit_once('/') else {
            continue;
        };
        // "/home/city" is described at "/properties/home/properties/city".
        let object = parent.replace('/', "/properties/");
        let name = name.replace("~1", "/").replace("~0", "~");
        if has_optional(schema.pointer(&object), &name)
            && let Some(object) = Arc::make_mut(&mut narrowed).pointer_mut(&object)
            && let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut)
        {
            properties.shift_remove(&name);
        }
    }
    narrowed
}

fn has_optional(object: Option<&Value>, name: &str) -> bool {
    let required = object.and_then(|object| object.get("required")?.as_array());
    let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
    let properties = object.and_then(|object| object.get("properties")?.as_object());
    !is_required && properties.is_some_and(|properties| properties.contains_key(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn optional_properties_that_were_rejected_are_left_out() {
        let schema = Arc::new(
            json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "a/b": {"type": "string"},
            "home": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"note": {"type": "string"}}}}}}),
        );
        let names = |pointers: &[&str]| {
            let errors: Vec<_> = pointers
                .iter()
                .map(|pointer| FieldError {
                    pointer: (*pointer).to_owned(),
                    message: String::new(),
                })
                .collect();
            let narrowed = without_rejected(&schema, &errors);
            let listed = |path: &str| -> Vec<String> {
                let properties = narrowed.pointer(path).and_then(Value::as_object);
                properties.unwrap().keys().cloned().collect()
            };
            (listed("/properties"), listed("/properties/home/properties"))
        };
        let all = ["name", "a/b", "home", "lines"];
        let (root, home) = names(&["/a~1b", "/home/city"]);
        assert_eq!(
            (root, home),
            (
                vec!["name".into(), "home".into(), "lines".into()],
                vec!["zip".into()]
            )
        );
        let (root, home) = names(&["/name", "", "/lines/0/note", "/unknown", "/home/zip/x"]);
        assert_eq!(root, all);
        assert_eq!(home, ["city", "zip"]);
    }
}
