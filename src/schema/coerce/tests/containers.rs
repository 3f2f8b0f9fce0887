//! Objects, lists, wrappers and branches.

use super::*;

#[test]
fn keys_are_matched_in_other_spellings() {
    let ann = json!({"full_name": "Ann", "age": 3});
    check_coerced(
        &person(),
        &[
            (r#"{"fullName": "Ann", "Age": 3}"#, ann.clone()),
            (r#"{"Full Name": "Ann", "**age**": "3"}"#, ann.clone()),
            (
                r#"{"full-name": "Ann", "age": 3, "note": "x"}"#,
                ann.clone(),
            ),
        ],
    );
    check_rejected(
        &person(),
        &[
            r#"{"fullName": "Ann", "FULL_NAME": "Bo", "age": 3}"#,
            r#"{"name": "Ann", "age": 3}"#,
            r#"{"full_name": "Ann"}"#,
        ],
    );
    let twins = json!({"required": ["a_b"], "properties": {"a_b": {"type": "integer"}, "aB": {"type": "integer"}}});
    check_rejected(&twins, &[r#"{"AB": 1}"#]);
    let map = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "integer"}});
    check_coerced(
        &map,
        &[(r#"{"A": "1", "b": "2"}"#, json!({"A": 1, "b": 2}))],
    );
}

#[test]
fn wrappers_are_removed_and_lists_of_one_added() {
    let ann = json!({"full_name": "Ann", "age": 3});
    let inner = r#"{"full_name": "Ann", "age": 3}"#;
    let quoted = json!(inner).to_string();
    let call = |name: &str| format!(r#"{{"name": "{name}", "arguments": {quoted}}}"#);
    let texts = [
        format!(r#"{{"Person": {inner}}}"#),
        format!("[{inner}]"),
        quoted.clone(),
        format!(r#"{{"result": {quoted}}}"#),
        call("extract"),
        format!(r#"{{"tool": "extract", "parameters": {inner}}}"#),
        format!(r#"{{"type": "object", "properties": {inner}}}"#),
        format!("<tool_call>{}</tool_call>", call("extract")),
        format!(r#"{{"type": "function", "function": {}}}"#, call("extract")),
    ];
    for text in &texts {
        check_coerced(&person(), &[(text, ann.clone())]);
    }
    let other = r#"{"full_name": "Bo", "age": 4}"#;
    check_rejected(
        &person(),
        &[
            &format!("[{inner}, {other}]"),
            &format!(r#"{{"a": {inner}, "b": {other}}}"#),
            &person().to_string(),
            "[]",
            "{}",
        ],
    );
    let people = json!({"type": "array", "items": person()});
    check_coerced(
        &people,
        &[
            (inner, json!([ann])),
            (
                &format!(r#"{{"people": [{inner}, {other}]}}"#),
                json!([ann, {"full_name": "Bo", "age": 4}]),
            ),
            (&format!("[[{inner}]]"), json!([ann])),
            (&json!(format!("[{inner}]")).to_string(), json!([ann])),
        ],
    );
    check_coerced(
        &json!({"properties": {"tags": {"type": "array", "items": {"type": "string"}}}}),
        &[("{\"tags\": \"red\"}", json!({"tags": ["red"]}))],
    );
    check_rejected(
        &json!({"type": "array", "items": {"type": "string"}}),
        &["\"red, blue\"", "\"red and blue\"", "null", "\"none\""],
    );
    check_coerced(
        &json!({"type": "array", "items": {"type": "integer"}}),
        &[("\"4, 5, 6\"", json!([4, 5, 6]))],
    );
    check_rejected(
        &json!({"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}),
        &["[1, 2]"],
    );
    check_coerced(
        &json!({"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}),
        &[("7", json!({"count": 7}))],
    );
}

#[test]
fn consecutive_objects_are_one_complete_list() {
    let points = json!({"type": "array", "items": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}});
    let both = json!([{"x": 1}, {"x": 2}]);
    for text in [
        "{\"x\": 1}\n{\"x\": 2}",
        "{\"x\": 1}{\"x\": 2}",
        "{\"x\": 1},\n{\"x\": \"2\"}",
        "- {\"x\": 1}\n- {\"x\": 2}",
        "1. {x: 1}\n2. {x: 2}",
        "```json\n{\"x\": 1}\n```\n\n```json\n{\"x\": 2}\n```",
        "Found:\n{\"x\": 1}\n{\"x\": 2}\nThat is all.",
    ] {
        check_coerced(&points, &[(text, both.clone())]);
    }
    let lines = (0..500)
        .map(|x| json!({ "x": x }).to_string())
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(
        read(&points, &lines)
            .unwrap()
            .value
            .as_array()
            .unwrap()
            .len(),
        500
    );
    check_rejected(
        &points,
        &[
            "For example {\"x\": 1}. The answer is {\"x\": 2}",
            "{\"x\": 1}\n{\"x\": 2}\n{\"x\":",
            "{\"x\": 1}\n{\"y\": 2}",
            "{\"x\": 1}\n{\"x\": \"many\"}",
        ],
    );
}

#[test]
fn the_cheapest_branch_is_chosen_and_none_of_two_equal_ones() {
    let shape = json!({"oneOf": [
        {"type": "object", "required": ["kind", "radius"], "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}},
        {"type": "object", "required": ["kind", "side"], "properties": {"kind": {"const": "square"}, "side": {"type": "number"}}},
    ]});
    check_coerced(
        &shape,
        &[(
            r#"{"kind": "Square", "side": "3 cm"}"#,
            json!({"kind": "square", "side": 3}),
        )],
    );
    check_rejected(
        &shape,
        &[
            r#"{"kind": "circle", "side": "3"}"#,
            r#"{"kind": "triangle", "side": 3}"#,
        ],
    );
    check_coerced(
        &json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        &[("\"8\"", json!(8)), ("\"none\"", json!(null))],
    );
    check_rejected(
        &json!({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}),
        &["\"1\""],
    );
    let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "required": ["v"], "properties": {
        "v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}}});
    check_coerced(
        &tree,
        &[(
            r#"{"v": "1", "next": {"V": 2, "next": {"v": "3", "next": "none"}}}"#,
            json!({"v": 1, "next": {"v": 2, "next": {"v": 3, "next": null}}}),
        )],
    );
    let both = json!({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]});
    check_coerced(
        &both,
        &[(r#"{"A": "1", "b": "yes"}"#, json!({"a": 1, "b": true}))],
    );
    let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}, {"type": "boolean"}], "type": "array"});
    check_coerced(&draft7, &[(r#"["1", "no"]"#, json!([1, false]))]);
}

#[test]
fn numbers_between_commas_are_a_list() {
    let numbers = json!({"type": "array", "items": {"type": "number"}});
    check_coerced(
        &numbers,
        &[
            ("4,5,6", json!([4, 5, 6])),
            ("4.5, 6", json!([4.5, 6])),
            ("1234,567,89", json!([1234, 567, 89])),
        ],
    );
    check_rejected(
        &numbers,
        &["1,234,567", "4,5", "4, x, 6", "1, 2, ...", "1,2,"],
    );
}

#[test]
fn consecutive_values_of_different_types_are_a_list() {
    let kinds = json!({"type": "array", "items": {"anyOf": [
        {"type": "object", "required": ["k"]}, {"type": "array", "items": {"type": "integer"}}]}});
    check_coerced(&kinds, &[("{\"k\": 1}\n[2, 3]", json!([{"k": 1}, [2, 3]]))]);
    check_rejected(&kinds, &["{\"k\": 1} or [2, 3]"]);
    let empty =
        json!({"type": "array", "items": {"anyOf": [{"type": "object"}, {"type": "array"}]}});
    for (text, expected) in [("{}[]{}", json!([{}, [], {}])), ("[]{}", json!([[], {}]))] {
        let read = read(&empty, text).unwrap();
        assert_eq!(
            (read.value, read.repairs.len()),
            (expected, 1),
            "{text}: the list in it is no whole answer"
        );
    }
    let any = Schema::compile(r#"{"type": "array"}"#).unwrap();
    assert_eq!(
        any.parse_answer("{} [1]", |value| value, true)
            .unwrap()
            .value,
        json!([1])
    );
}

#[test]
fn objects_with_a_few_words_between_them_are_a_list() {
    let list = json!({"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}});
    let both = json!([{"k": "x"}, {"k": "y"}]);
    check_coerced(
        &list,
        &[
            (
                "before {\"k\": \"x\"} some words {\"k\": \"y\"} behind",
                both.clone(),
            ),
            (
                "1. The first:\n{\"k\": \"x\"}\n2. The second:\n{'k': 'y'}",
                both,
            ),
        ],
    );
    let long = format!("{{\"k\": \"x\"}} {} {{\"k\": \"y\"}}", "word ".repeat(30));
    check_rejected(
        &list,
        &[
            "{\"k\": \"x\"} was wrong. Corrected: {\"k\": \"y\"}",
            "{\"k\": \"x\"} or {\"k\": \"y\"}",
            "\"k\": \"w\"}, {\"k\": \"x\"}, {\"k\": \"y\"}]",
            "{\"k\": \"x\"}, {\"k\" 'w}, {\"k\": \"y\"}]",
            "[{k\": \"w' }, {\"k\": \"x\"}]",
            "For example {\"k\": \"x\"} and then {\"k\": \"y\"}",
            "One {\"k\": \"x\"} and one {\"k\": \"x\"}",
            "One {\"k\": \"x\"} and one {\"z\": \"y\"}",
            &long,
        ],
    );
    check_rejected(
        &json!({"type": "array", "items": {"type": "object"}}),
        &["One {\"k\": \"x\"} and one {\"k\": \"y\"}"],
    );
}
