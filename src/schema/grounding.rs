//! Evidence by schema: the kinds of an instance's values, and members that an object must have.

use std::collections::HashMap;

use evidence::{LeafKind, Place};
use schema_dialect::{Keyword, NodeRef, Tree, pointer_tokens};
use serde_json::Value;

use super::compiled::Schema;
use super::locations::{children, expanded, schemas_at};
use crate::types::json_equal;

impl Schema {
    /// Returns the kinds of an instance's values by JSON Pointer, as far as they differ from the default.
    #[must_use]
    pub fn evidence_kinds(&self, instance: &Value) -> HashMap<String, LeafKind> {
        let mut kinds = HashMap::new();
        if self.has_evidence_hints {
            let mut place = Place::root(instance);
            collect_kinds(vec![self.tree().root()], instance, &mut place, &mut kinds);
        }
        kinds
    }

    /// Returns true if a schema may give a value a kind.
    pub(super) fn has_evidence_hints(tree: &Tree) -> bool {
        let is_hint = |schema: NodeRef<'_>| {
            schema.is_ungrounded() || schema.listed_values().is_some() || schema.format().is_some()
        };
        tree.nodes().any(is_hint)
    }

    /// Returns true if the schema, in any of its alternatives, requires the member at a JSON Pointer of an instance.
    #[must_use]
    pub fn requires_member(&self, location: &str) -> bool {
        let (Some((parent, _)), Some(name)) =
            (location.rsplit_once('/'), pointer_tokens(location).last())
        else {
            return false;
        };
        let requires = |schema: &NodeRef<'_>| {
            let mut required = schema.required().iter();
            required.any(|required| **required == *name)
        };
        schemas_at(self.tree(), parent).iter().any(requires)
    }
}

fn collect_kinds(
    schemas: Vec<NodeRef<'_>>,
    value: &Value,
    place: &mut Place,
    kinds: &mut HashMap<String, LeafKind>,
) {
    let schemas = expanded(schemas);
    // The places are visited as those of the evidence are, so that each leaf with evidence has its kind.
    if schemas.is_empty() || value.is_null() || !place.visit() {
        return;
    }
    if schemas.iter().any(|schema| schema.is_ungrounded()) {
        kinds.insert(place.pointer().to_owned(), LeafKind::Off);
        return;
    }
    let inner = |token: &str| {
        let inner = schemas.iter().flat_map(|schema| children(*schema, token));
        inner.collect::<Vec<_>>()
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let back = place.enter_member(name);
                collect_kinds(inner(name), member, place, kinds);
                place.leave(back);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let back = place.enter_element(index);
                collect_kinds(inner(&index.to_string()), item, place, kinds);
                place.leave(back);
            }
        }
        leaf => {
            if let Some(kind) = leaf_kind(&schemas, leaf) {
                kinds.insert(place.pointer().to_owned(), kind);
            }
        }
    }
}

/// Returns the kind that the schemas of a leaf give it; `None`: the default.
fn leaf_kind(schemas: &[NodeRef<'_>], leaf: &Value) -> Option<LeafKind> {
    let lists = |schema: &NodeRef<'_>| {
        let listed = schema.values(Keyword::Enum).into_iter().flatten();
        let mut listed = listed.chain(schema.constant());
        listed.any(|value| json_equal(value, leaf))
    };
    if schemas.iter().any(lists) {
        return Some(LeafKind::Choice);
    }
    let mut formats = schemas.iter().filter_map(|schema| schema.format());
    let is_time = leaf.is_string() && formats.any(is_of_time);
    is_time.then_some(LeafKind::Date)
}

fn is_of_time(format: &str) -> bool {
    matches!(format, "date" | "date-time" | "time")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(schema: &Value, instance: &Value) -> Vec<(String, LeafKind)> {
        let schema = Schema::compile(&schema.to_string()).unwrap();
        let mut kinds: Vec<_> = schema.evidence_kinds(instance).into_iter().collect();
        kinds.sort_by(|one, other| one.0.cmp(&other.0));
        kinds
    }

    #[test]
    fn enums_constants_dates_and_parts_that_are_off_have_kinds() {
        let schema = json!({
            "type": "object",
            "properties": {
                "mood": {"enum": ["happy", "sad"]}, "unit": {"const": 1}, "name": {"type": "string"},
                "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                "summary": {"$ref": "#/$defs/free"},
                "notes": {"type": "array", "items": {"$ref": "#/$defs/free"}},
                "open": {"anyOf": [{"enum": ["a"]}, {"type": "string"}]},
            },
            "patternProperties": {"^x_": {"x-extractd-grounding": "off"}},
            "$defs": {"free": {"type": "string", "x-extractd-grounding": "off"}},
        });
        let instance = json!({
            "mood": "sad", "unit": 1.0, "name": "sad", "due": "2026-01-05", "summary": "s", "notes": ["a"],
            "open": "b", "x_a": {"b": 1},
        });
        let expected = [
            ("/due", LeafKind::Date),
            ("/mood", LeafKind::Choice),
            ("/notes/0", LeafKind::Off),
            ("/summary", LeafKind::Off),
            ("/unit", LeafKind::Choice),
            ("/x_a", LeafKind::Off),
        ];
        let expected = expected.map(|(place, kind)| (place.to_owned(), kind));
        assert_eq!(kinds(&schema, &instance), expected);
        assert_eq!(
            kinds(&json!({"x-extractd-grounding": "off"}), &json!([1])),
            [(String::new(), LeafKind::Off)]
        );
        assert_eq!(kinds(&json!({"type": "string"}), &json!("a")), []);
    }

    #[test]
    fn a_long_name_around_many_values_takes_bounded_memory() {
        let schema = json!({"additionalProperties": {"items": {"enum": [1]}}});
        let instance = json!({"a": [1], "b".repeat(10_000): vec![1; 5000]});
        let kinds = kinds(&schema, &instance);
        let bytes: usize = kinds.iter().map(|(place, _)| place.len()).sum();
        assert!(kinds.len() > 1 && bytes < 600_000, "{bytes}");
        let evidence = evidence::Index::new("").align(&instance, &evidence::Options::default());
        assert!(
            evidence
                .iter()
                .all(|leaf| { kinds.iter().any(|(place, _)| *place == leaf.pointer) })
        );
    }

    #[test]
    fn a_member_may_be_required() {
        let schema = json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"required": ["b/c"]}}});
        let schema = Schema::compile(&schema.to_string()).unwrap();
        assert!(schema.requires_member("/0/b~1c"));
        assert!(!schema.requires_member("/0/b") && !schema.requires_member("/0"));
        assert!(!schema.requires_member(""));
    }

    #[test]
    fn another_value_of_the_keyword_is_a_likely_mistake() {
        let schema =
            Schema::compile(r#"{"properties": {"a": {"x-extractd-grounding": "of"}}}"#).unwrap();
        let warnings = schema.warnings();
        assert_eq!(warnings[0].pointer, "/properties/a/x-extractd-grounding");
        assert!(warnings[0].message.contains("`\"off\"`"), "{warnings:?}");
    }
}
