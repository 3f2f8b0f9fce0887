//! Schemas as people write them, at random: each has a form in each table, which meets its provider's rules, and every value comes
//! back from it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;

/// Returns schemas without subschemas.
fn leaf() -> impl Strategy<Value = Value> {
    let written = [
        json!({"type": "string"}),
        json!({"type": "string", "minLength": 2, "maxLength": 9, "description": "a word"}),
        json!({"type": "string", "pattern": "[a-z]"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "uri"}),
        json!({"type": "integer", "minimum": 1, "maximum": 9}),
        json!({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}),
        json!({"type": "boolean", "default": true}),
        json!({"type": "null"}),
        json!({"type": ["string", "null"]}),
        json!({"type": ["integer", "string", "boolean"]}),
        json!({"enum": ["a", "b", 3, null, true]}),
        json!({"enum": [1, 2, 2.5]}),
        json!({"enum": [{"a": 1}, [2], "c"]}),
        json!({"const": "fixed"}),
        json!({"const": false}),
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}, "additionalProperties": false}),
        json!({"type": "array"}),
        json!({"type": ["array", "object"]}),
        json!({"type": ["object", "array", "null"], "additionalProperties": {"type": "integer"}, "items": {"type": "integer"}}),
        // Of what may be null and may be absent, one comes back as the other; so no two items may differ in no more than that.
        json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
        json!({}),
        json!(true),
        json!({"$ref": "#/$defs/tree"}),
        json!({"$ref": "#/$defs/word", "description": "beside a reference"}),
        json!({"not": {"type": "string"}, "type": ["string", "integer"]}),
    ];
    select(written.to_vec())
}

fn object(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let names = select(vec!["a", "b", "c d", "ü", "json", "key", "value"]);
    let properties = prop::collection::btree_map(names, (inner.clone(), any::<bool>()), 1..4);
    let others = prop_oneof![3 => Just(None), 3 => Just(Some(json!(false))), 1 => Just(Some(json!(true))), 2 => inner.prop_map(Some)];
    (properties, others).prop_map(|(properties, others)| {
        let required: Vec<_> = properties
            .iter()
            .filter(|(_, (_, required))| *required)
            .map(|(name, _)| *name)
            .collect();
        let schemas: BTreeMap<_, _> = properties
            .iter()
            .map(|(name, (schema, _))| (*name, schema))
            .collect();
        let mut object = json!({"type": "object", "properties": schemas, "required": required});
        if let Some(others) = others {
            object["additionalProperties"] = others;
        }
        object
    })
}

/// Alternatives are told apart by a word, as people do it: of two that only a pattern tells apart no shape can know.
fn told_apart(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let keyword = select(vec!["anyOf", "oneOf"]);
    (keyword, prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(keyword, inner, is_outside)| {
        let choices = inner.into_iter().enumerate().map(|(index, inner)| {
            json!({"type": "object", "properties": {"kind": {"const": format!("k{index}")}, "of": inner}, "required": ["kind"]})
        });
        let choices: Vec<_> = choices.collect();
        if is_outside {
            json!({"type": "object", "properties": {"common": {"type": "integer"}}, keyword: choices})
        } else {
            json!({keyword: choices})
        }
    })
}

fn schema() -> impl Strategy<Value = Value> {
    let part = leaf().prop_recursive(4, 40, 4, |inner| {
        let tuple = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            4 => object(inner.clone()),
            2 => inner.clone().prop_map(|items| json!({"type": "array", "items": items, "minItems": 2})),
            1 => inner.clone().prop_map(|items| json!({"type": "array", "items": items, "maxItems": 2})),
            1 => tuple.prop_map(|first| json!({"type": "array", "prefixItems": first, "items": false})),
            1 => inner.clone().prop_map(|value| json!({"type": "object", "additionalProperties": value, "minProperties": 1})),
            1 => inner.clone().prop_map(|value| json!({"type": "object", "patternProperties": {"": value}, "additionalProperties": false})),
            2 => told_apart(inner.clone()),
            1 => inner.clone().prop_map(|inner| json!({"anyOf": [inner, {"type": "null"}]})),
            1 => object(inner).prop_map(|object| json!({"allOf": [object, {"properties": {"z": {"type": "integer"}}}]})),
        ]
    });
    part.prop_map(|part| {
        let mut root = if part.is_object() {
            part
        } else {
            json!({"allOf": [part]})
        };
        root["$defs"] = json!({
            "word": {"type": "string", "maxLength": 20},
            "tree": {"type": "object", "required": ["name"], "properties": {
                "name": {"$ref": "#/$defs/word"},
                "left": {"$ref": "#/$defs/tree"},
                "all": {"type": "array", "items": {"$ref": "#/$defs/tree"}}
            }},
        });
        root
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_value_comes_back_from_every_table(schema in schema()) {
        let Ok(schema) = Schema::compile(&schema.to_string()) else { return Ok(()) };
        let instances = instance::some(&schema, 6);
        for (subset, rules) in TABLES {
            match check(&schema, subset, rules, &instances) {
                Err(wrong) => prop_assert!(false, "{}: {wrong}", subset.name),
                Ok(has_form) => {
                    // Few properties, and few unions, are all that Anthropic's compiler takes.
                    let may_have_none = subset.name == "anthropic strict" || subset.name == "azure strict";
                    prop_assert!(has_form || may_have_none || instances.is_empty(), "{} has no form", subset.name);
                }
            }
        }
    }
}

#[test]
fn what_is_made_of_a_small_schema_is_small_and_soon_made() {
    let step = |n: usize| {
        json!({"anyOf": [{"properties": {"a": {"$ref": format!("#/$defs/d{}", n + 1)}}}, {"properties": {"b": {"$ref": format!("#/$defs/d{}", n + 1)}}}],
        "type": "object", "properties": {"c": {"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}, {"title": "x"}]}}})
    };
    let mut defs: serde_json::Map<_, _> = (0..20).map(|n| (format!("d{n}"), step(n))).collect();
    defs.insert(
        "d20".to_owned(),
        json!({"type": "object", "properties": {"again": {"$ref": "#/$defs/d0"}}}),
    );
    let schema =
        Schema::compile(&json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()).unwrap();
    let started = std::time::Instant::now();
    for (subset, rules) in TABLES {
        check(&schema, subset, rules, &[]).unwrap();
        if let Some(lowered) = schema.lowered(subset) {
            assert!(
                lowered.asked.raw.get().len() < 100 * schema.raw().get().len(),
                "{}",
                subset.name
            );
        }
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
