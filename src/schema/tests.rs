mod generators;
mod hostile;
mod missing_schema;
mod power_loss;
mod registry;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error_messages::MAX_FAULTS;
use super::*;
use crate::types::{Code, Dialect, Error};

fn compile(schema: &Value) -> Result<Schema, Error> {
    Schema::compile(&schema.to_string())
}

fn refusal(schema: &Value) -> Error {
    let error = compile(schema).expect_err(&schema.to_string());
    assert_eq!(error.code, Code::InvalidSchema);
    error
}

#[test]
fn what_is_no_schema_is_refused_where_it_is_wrong() {
    for (schema, at, words) in [
        (json!({"type": "strin"}), "/type", "strin"),
        (
            json!({"properties": {"age": {"type": 3}}}),
            "/properties/age/type",
            "3",
        ),
        (json!({"pattern": "("}), "/pattern", "("),
        (json!({"pattern": "(?=a"}), "/pattern", "(?=a"),
        (
            json!({"pattern": "^((a|bc){1,1000}){1,1000}$"}),
            "/pattern",
            "1000",
        ),
        (
            json!({"$schema": "http://localhost:1234/meta.json"}),
            "/$schema",
            "would have to be fetched",
        ),
        (
            json!({"$ref": "https://example.com/a.json"}),
            "/$ref",
            "nothing is fetched",
        ),
        (
            json!({"$ref": "file:///etc/passwd"}),
            "/$ref",
            "nothing is fetched",
        ),
        (
            json!({"items": {"$ref": "other.json"}}),
            "/items/$ref",
            "nothing is fetched",
        ),
        (json!({"$ref": "#/$defs/none"}), "/$ref", "leads nowhere"),
        (json!({"$ref": "#"}), "/$ref", "comes back to itself"),
        (
            json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}),
            "/$defs/a/allOf/0/$ref",
            "comes back to itself",
        ),
        (json!([]), "", "not a JSON Schema"),
    ] {
        let error = refusal(&schema);
        assert_eq!(error.errors[0].pointer, at, "{schema}: {error}");
        assert!(error.detail.contains(words), "{schema}: {error}");
    }
}

fn doubling(levels: usize, part: impl Fn(Value) -> Value) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = part(json!({"$ref": format!("#/$defs/l{}", level + 1)}));
        defs.insert(format!("l{level}"), json!({"anyOf": [next.clone(), next]}));
    }
    defs.insert(format!("l{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/l0", "$defs": defs})
}

#[test]
fn what_would_take_for_ever_is_refused_or_measured() {
    assert!(refusal(&doubling(14, |next| next)).detail.contains("ways"));
    let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    assert!(refusal(&deep).detail.contains("levels deep"));
    assert!(
        refusal(&json!({"enum": vec![1; 60_000]}))
            .detail
            .contains("parts")
    );

    let nested = compile(&doubling(25, |next| json!({"properties": {"a": next}}))).unwrap();
    let deep = (0..25).fold(json!("x"), |inner, _| json!({"a": inner}));
    let started = std::time::Instant::now();
    assert!(nested.faults(&deep)[0].message.contains("bounded time"));
    assert!(!nested.is_valid(&deep));
    let own = json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}, {"type": "string"}]});
    assert!(
        compile(&own).unwrap().faults(&deep)[0]
            .message
            .contains("bounded time")
    );
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn a_long_chain_of_references_is_refused_and_not_followed() {
    let chain = |links: usize| {
        let link = |n: usize| {
            (
                format!("d{n}"),
                json!({"$ref": format!("#/$defs/d{}", n + 1)}),
            )
        };
        let mut defs: serde_json::Map<_, _> = (0..links).map(link).collect();
        defs.insert(
            format!("d{links}"),
            json!({"type": "array", "items": {"$ref": "#/$defs/d0"}}),
        );
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    assert!(refusal(&chain(9000)).detail.contains("references"));
    let deep = |levels| (0..levels).fold(json!([]), |inner, _| json!([inner]));
    assert!(compile(&chain(20)).unwrap().is_valid(&deep(40)));
    assert!(
        compile(&chain(20)).unwrap().faults(&deep(120))[0]
            .message
            .contains("nested too deeply")
    );
}

#[test]
fn a_recursive_schema_is_followed() {
    let tree = json!({"type": "object", "required": ["name"], "properties":
        {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}}});
    let tree = compile(&tree).unwrap();
    let leaf = (0..30).fold(
        json!({"name": "leaf"}),
        |inner, _| json!({"name": "n", "children": [inner]}),
    );
    assert!(tree.is_valid(&leaf));
    let faults = tree.faults(&json!({"name": "a", "children": [{"children": []}]}));
    assert_eq!(faults[0].pointer, "/children/0");
}

#[test]
fn format_asserts_in_both_drafts_and_ids_are_followed() {
    for draft in [
        json!("https://json-schema.org/draft/2020-12/schema"),
        json!("http://json-schema.org/draft-07/schema#"),
    ] {
        let schema =
            compile(&json!({"$schema": draft, "type": "string", "format": "date"})).unwrap();
        assert!(schema.is_valid(&json!("2026-11-22")) && !schema.is_valid(&json!("yesterday")));
    }
    let named = json!({"$id": "https://example.com/root", "properties": {"a": {"$ref": "#word"}},
        "$defs": {"w": {"$anchor": "word", "type": "string"}}});
    assert!(!compile(&named).unwrap().is_valid(&json!({"a": 1})));
    assert!(compile(&json!({"const": {"$ref": "https://example.com"}})).is_ok());
}

#[test]
fn faults_have_pointers_and_stay_small() {
    let schema = compile(&json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": {"maxLength": 3}})).unwrap();
    let faults = schema.faults(&json!({"a": "x".repeat(5000)}));
    assert_eq!(faults[0].pointer, "/a");
    assert!(faults[0].message.len() < 400);
    let many: serde_json::Map<_, _> = (0..100)
        .map(|n| (n.to_string(), json!("long text")))
        .collect();
    assert_eq!(schema.faults(&many.into()).len(), MAX_FAULTS);
}
