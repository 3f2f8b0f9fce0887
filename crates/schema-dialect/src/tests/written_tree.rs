use serde_json::{Value, json};

use super::tree::tree;
use crate::{Edit, NodeRef};

/// Edit that closes every object with a title, and leaves out properties whose names begin with a dash.
struct TitledAndDashed;

impl Edit for TitledAndDashed {
    fn closes(&self, schema: NodeRef<'_>) -> bool {
        schema.title().is_some()
    }

    fn leaves_out(&self, _: NodeRef<'_>, property: &str) -> bool {
        property.starts_with('-')
    }
}

#[test]
fn an_edit_closes_schemas_and_leaves_properties_out_wherever_they_are() {
    let schema = json!({
        "title": "root", "properties": {"-a": {}, "b": {"$ref": "#/$defs/d"}, "c": {"title": "empty"}},
        "patternProperties": {"-p": {"items": {"title": "own", "additionalProperties": {"properties": {"-x": true}}}}},
        "$defs": {"d": {"title": "definition", "anyOf": [{"properties": {"-y": true, "z": true}}, false]}}
    });
    let tree = tree(schema.clone());
    let edited = serde_json::to_value(tree.edited(&TitledAndDashed)).unwrap();
    assert_eq!(
        edited,
        json!({
            "title": "root", "properties": {
                "b": {"$ref": "#/$defs/d"}, "c": {"title": "empty", "additionalProperties": false}},
            "patternProperties": {"-p": {"items": {"title": "own", "additionalProperties": {"properties": {}}}}},
            "additionalProperties": false,
            "$defs": {"d": {"title": "definition", "anyOf": [{"properties": {"z": true}}, false],
                "additionalProperties": false}}
        })
    );
    let text = serde_json::to_string(&tree.edited(&TitledAndDashed)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), edited);
    assert_eq!(**tree.json(), schema);
}

/// Returns the number of levels of a value.
fn levels(value: &Value) -> usize {
    let parts: Vec<_> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    1 + parts.into_iter().map(levels).max().unwrap_or_default()
}

#[test]
fn the_depth_is_that_of_the_written_schema() {
    for schema in [
        json!(true),
        json!({}),
        json!({"type": "string"}),
        json!({"type": ["string", "null"]}),
        json!({"required": []}),
        json!({"required": ["a"], "properties": {}}),
        json!({"dependentRequired": {}, "anyOf": [true]}),
        json!({"dependentRequired": {"a": []}}),
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"enum": [1, {"a": [2]}], "maximum": 3}),
        json!({"default": {"a": {"b": {"c": []}}}}),
        json!({"properties": {"a": {"items": {"not": {"allOf": [{"pattern": "a"}]}}}}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#"}}}}),
    ] {
        let tree = tree(schema);
        assert_eq!(tree.json_depth(), levels(tree.json()), "{}", tree.json());
    }
}
