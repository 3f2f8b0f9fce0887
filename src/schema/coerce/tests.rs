//! Tests of coercion: values that are coerced toward a schema, and values that stay invalid because
//! any change would be a guess.

mod containers;
mod properties;
mod scalars;
mod unclosed;
mod without_json;

use serde_json::{Value, json};

use super::super::{ParsedAnswer, Schema};

fn read(schema: &Value, text: &str) -> Option<ParsedAnswer> {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    schema
        .parse_answer(text, |value| value, true)
        .ok()
        .filter(|read| read.faults.is_empty() && read.left_open.is_none())
}

/// Checks that each text is coerced to the value, and rejected without `coerce`.
#[track_caller]
fn check_coerced(schema: &Value, table: &[(&str, Value)]) {
    let compiled = Schema::compile(&schema.to_string()).unwrap();
    for (text, expected) in table {
        let read = read(schema, text).unwrap_or_else(|| panic!("{text} is refused"));
        assert_eq!(&read.value, expected, "{text}");
        assert!(!read.repairs.is_empty(), "{text}");
        let strict = compiled.parse_answer(text, |value| value, false);
        assert!(
            strict.is_err() || strict.is_ok_and(|read| !read.faults.is_empty()),
            "{text} is mended though it may not be"
        );
        let again = read_value(&compiled, &read.value);
        assert_eq!((again.value, again.repairs), (read.value, vec![]), "{text}");
    }
}

fn read_value(schema: &Schema, value: &Value) -> ParsedAnswer {
    schema
        .parse_answer(&value.to_string(), |value| value, true)
        .unwrap()
}

/// Checks that each text means the value if it was to end where it ends.
#[track_caller]
fn check_completed(schema: &Value, table: &[(&str, Value)]) {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    for (text, expected) in table {
        let read = schema
            .parse_answer(text, |value| value, true)
            .unwrap_or_else(|_| panic!("{text} is refused"));
        assert_eq!(
            (&read.value, read.left_open.is_some()),
            (expected, true),
            "{text}"
        );
        assert!(
            schema.parse_answer(text, |value| value, false).is_err(),
            "{text} is mended though it may not be"
        );
    }
}

#[track_caller]
fn check_rejected(schema: &Value, texts: &[&str]) {
    for text in texts {
        assert_eq!(read(schema, text).map(|read| read.value), None, "{text}");
    }
}

fn person() -> Value {
    json!({
        "title": "Person", "type": "object", "required": ["full_name", "age"], "additionalProperties": false,
        "properties": {"full_name": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": "string"}},
    })
}

#[test]
fn no_value_is_invented_completed_or_truncated() {
    let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": ["string", "null"], "default": "x"}, "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}}});
    check_rejected(
        &schema,
        &[
            r#"{"b": [1]}"#,
            r#"{"a": "y"}"#,
            r#"{"a": "y", "b": [1, 2, 3]}"#,
            r#"{"a": "y", "b": [1, "x"]}"#,
            r#"{"a": "y", "b": null}"#,
            r#"{"a": "y", "b": ["1", "2"#,
            r#"{"a": "y", "b": }"#,
        ],
    );
    let date = json!({"type": "string", "format": "date"});
    check_rejected(&date, &["\"May 5, 2024\"", "20240505"]);
}

#[test]
fn valid_values_are_never_changed() {
    let loose = json!({"properties": {"age": {}, "n": {"type": ["string", "integer"]}}});
    let text = r#"{"age": "3 years", "Age": 1, "n": "7", "x": {"y": "yes"}}"#;
    let read = read(&loose, text).unwrap();
    assert_eq!(
        (read.value.to_string(), read.repairs),
        (
            serde_json::from_str::<Value>(text).unwrap().to_string(),
            vec![]
        )
    );
}

#[test]
fn repairs_have_a_location_and_a_description() {
    let read = read(
        &person(),
        r#"{"fullName": "Ann", "age": "3 years", "note": 1,}"#,
    )
    .unwrap();
    assert_eq!(
        read.repairs,
        [
            "removed a trailing comma",
            "/full_name: renamed from \"fullName\"",
            "/age: read \"3 years\" as 3",
            "/note: removed: the schema allows no such member",
        ]
    );
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let many: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let read = super::tests::read(&list, &json!(many).to_string()).unwrap();
    assert_eq!(
        (read.repairs.len(), read.repairs[100].as_str()),
        (101, "and 200 more of the kind")
    );
}
