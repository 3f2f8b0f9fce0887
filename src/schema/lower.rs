//! A caller's schema in the form that a provider's mode takes, and an answer in that form back in the caller's.

use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::{Schema, strict};
use crate::model::{Asked, Subset};

/// A schema that was lowered to a subset.
#[derive(Debug)]
pub struct Lowered {
    pub asked: Arc<Asked>,
}

impl Schema {
    /// The schema in the form that `subset` allows; `None` when there is none.
    #[must_use]
    pub fn lowered(&self, subset: &Subset) -> Option<Lowered> {
        let is_object = self.value.get("type").is_some_and(|kind| kind == "object");
        let wrapped = subset.object_root && !is_object;
        let raw = if wrapped { to_raw_value(&wrap(Value::clone(&self.value))).ok()? } else { self.raw.clone() };
        let strict = strict::is_strict(&self.value);
        Some(Lowered { asked: Arc::new(Asked { raw, strict, wrapped }) })
    }
}

impl Lowered {
    /// What an answer in this form says, in the caller's form.
    #[must_use]
    pub fn raised(&self, value: Value) -> Value {
        match value {
            Value::Object(mut members) if self.asked.wrapped && members.len() == 1 && members.contains_key("value") => {
                members.remove("value").unwrap_or_default()
            }
            value => value,
        }
    }
}

fn wrap(mut schema: Value) -> Value {
    move_references(&mut schema);
    json!({"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": false})
}

/// What began at the root begins at `/properties/value` once the schema is wrapped.
fn move_references(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(reference) if name == "$ref" && (reference == "#" || reference.starts_with("#/")) => {
                        reference.insert_str(1, "/properties/value");
                    }
                    other => move_references(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(move_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_no_object_is_wrapped_and_its_references_follow() {
        let list = json!({"type": "array", "items": {"$ref": "#/$defs/p"}, "$defs": {"p": {"type": "string"}}});
        let lowered = Schema::compile(&list.to_string()).unwrap().lowered(&Subset::OBJECT).unwrap();
        let schema: Value = serde_json::from_str(lowered.asked.raw.get()).unwrap();
        let reference = schema["properties"]["value"]["items"]["$ref"].as_str().unwrap();
        assert_eq!(schema.pointer(reference.trim_start_matches('#')), Some(&json!({"type": "string"})));
        assert_eq!(lowered.raised(json!({"value": ["a"]})), json!(["a"]));
        assert_eq!(lowered.raised(json!(["a"])), json!(["a"]));
    }
}
