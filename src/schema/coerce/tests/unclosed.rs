//! Answers that end within a value, or lack closing braces.

use super::*;

#[test]
fn an_object_is_closed_if_nothing_else_can_be_missing() {
    let flat = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}});
    check_coerced(
        &flat,
        &[
            (
                r#"{"age": 3, "name": "Ann""#,
                json!({"age": 3, "name": "Ann"}),
            ),
            (
                "So:\n{\"name\": \"Ann\", \"age\": 3\n",
                json!({"name": "Ann", "age": 3}),
            ),
        ],
    );
    check_rejected(
        &flat,
        &[
            r#"{"name": "Ann""#,
            r#"{"name": "Ann", "age": 3"#,
            r#"{"age": 3, "name": "Ann"#,
            r#"{"age": 3, "name": "Ann","#,
            r#"{"age": 3, "name": "he said "no" to Ann""#,
            r#"{"age": 3, "name": "Ann" // and"#,
            r#"{"age": 3, "name": "Bob"} or {"age": 3, "name": "Ann""#,
            r#"[{"age": 3, "name": "Ann""#,
            r#"{"age": 3, "name": ["Ann""#,
        ],
    );
    let nested = json!({"type": "object", "properties": {"id": {"type": "string"}, "who": {"$ref": "#/$defs/who"}}, "required": ["who"],
        "$defs": {"who": flat}});
    check_coerced(
        &nested,
        &[(
            r#"{"id": "x", "who": {"age": 3, "name": "Ann""#,
            json!({"id": "x", "who": {"age": 3, "name": "Ann"}}),
        )],
    );
    check_rejected(
        &nested,
        &[
            r#"{"id": "x", "who": {"name": "Ann""#,
            r#"{"who": {"age": 3, "name": "Ann"}"#,
        ],
    );
    check_rejected(
        &nested,
        &[r#"{"id": "x", "who": {"age": 3, "name": "A"}, "who": {"name": "Ann""#],
    );
    let map = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}});
    check_rejected(&map, &[r#"{"a": "x""#]);
    check_rejected(&json!({"type": "object"}), &[r#"{"a": "x""#, "{"]);
    check_rejected(
        &json!({"type": "array", "items": {"type": "string"}}),
        &[r#"["a", "b""#],
    );
}

#[test]
fn a_truncated_value_is_reported_with_its_location() {
    let flat = json!({"type": "object", "required": ["names"], "properties": {
        "names": {"type": "array", "items": {"type": "string"}}, "age": {"type": "integer"}}});
    check_completed(
        &flat,
        &[
            (
                "So: {\"names\": [\"Ann\", \"Bob\"",
                json!({"names": ["Ann", "Bob"]}),
            ),
            (
                r#"{"names": ["Ann", "Bob"], "age": "3"#,
                json!({"names": ["Ann", "Bob"], "age": 3}),
            ),
            (
                r#"{"names": ["Ann", "Bob"], "ag"#,
                json!({"names": ["Ann", "Bob"]}),
            ),
        ],
    );
    let schema = Schema::compile(&flat.to_string()).unwrap();
    for text in [r#"{"age": 3, "names"#, r#"{"names": ["Ann"], "age": "old"#] {
        assert!(
            schema.parse_answer(text, |value| value, true).is_err(),
            "not valid even so: {text}"
        );
    }
}

#[test]
fn a_string_that_only_braces_follow_has_lost_its_quote() {
    let flat =
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}});
    check_coerced(
        &flat,
        &[
            (r#"{"a": "one, two. }"#, json!({"a": "one, two."})),
            (
                "```json\n{\n  \"a\": \"it's one\n}\n```",
                json!({"a": "it's one"}),
            ),
        ],
    );
    check_rejected(
        &flat,
        &[
            r#"{"a": "one}"#,
            r#"{"a": "one { two }"#,
            r#"{"a": "one }}"#,
            r#"{"a": "one "two" three }"#,
            "{\"a\": \"one\ntwo }",
            r#"{"a": "one, }"#,
            r#"{"b": "one }"#,
        ],
    );
    let nested = json!({"type": "object", "properties": {"o": flat}, "required": ["o"]});
    check_coerced(
        &nested,
        &[(r#"{"o": {"a": "one } }"#, json!({"o": {"a": "one"}}))],
    );
    check_rejected(&nested, &[r#"{"o": {"a": "one }"#]);
    let two =
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    check_rejected(&two, &[r#"{"a": "one }"#]);
    check_rejected(
        &json!({"type": "array", "items": {"type": "string"}}),
        &[r#"["one ]"#],
    );
}

#[test]
fn an_object_left_open_by_its_code_block_is_closed() {
    let flat = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}});
    check_coerced(
        &flat,
        &[
            (
                "So:\n```\n{\n \"b\": true, \"a\": \"x\"\n\n```\nThat is it.",
                json!({"b": true, "a": "x"}),
            ),
            (
                "```json\n{\"a\": \"x\", \"b\": true\n```",
                json!({"a": "x", "b": true}),
            ),
            (r#"{"a": "x", "b": true"#, json!({"a": "x", "b": true})),
        ],
    );
    check_rejected(
        &flat,
        &[
            "```json\n{\"a\": \"x\"\n```",
            "```json\n{\"a\": \"x\", \"b\": true,\n```",
            "```json\n{\"a\": \"x\", \"b\": true\n```\nNo:\n```json\n{\"a\": \"y\", \"b\": true\n```",
            "```json\n[{\"a\": \"x\", \"b\": true}\n```",
        ],
    );
}

#[test]
fn what_is_left_out_with_the_closing_brace_is_told() {
    let schema =
        Schema::compile(r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#).unwrap();
    let repairs = schema
        .parse_answer("So: {'a': 'x'", |value| value, true)
        .unwrap()
        .repairs;
    assert_eq!(
        repairs,
        [
            "removed text around the JSON",
            "replaced single quotes",
            "closed an object that was left open"
        ]
    );
}

#[test]
fn empty_brackets_that_are_not_closed_are_held_against_the_schema() {
    let list = json!({"type": "object", "required": ["l"], "properties": {"l": {"type": "array", "minItems": 1}}});
    check_rejected(&list, &["{\"l\": [}"]);
    let objects = json!({"type": "array", "items": {"type": "object", "required": ["a"]}});
    check_rejected(&objects, &["[{]"]);
}
