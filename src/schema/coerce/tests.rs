//! Tests of coercion: values that are coerced toward a schema, and values that stay invalid because
//! any change would be a guess.

mod properties;

use serde_json::{Value, json};

use super::super::{ParsedAnswer, Schema};

fn read(schema: &Value, text: &str) -> Option<ParsedAnswer> {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    schema
        .read(text, |value| value, true)
        .ok()
        .filter(|read| read.faults.is_empty() && read.left_open.is_none())
}

/// Each text means the value, needs mending for it, and is not taken with `coerce` off.
#[track_caller]
fn mends(schema: &Value, table: &[(&str, Value)]) {
    let compiled = Schema::compile(&schema.to_string()).unwrap();
    for (text, expected) in table {
        let read = read(schema, text).unwrap_or_else(|| panic!("{text} is refused"));
        assert_eq!(&read.value, expected, "{text}");
        assert!(!read.repairs.is_empty(), "{text}");
        let strict = compiled.read(text, |value| value, false);
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
        .read(&value.to_string(), |value| value, true)
        .unwrap()
}

/// Each text means the value if it was to end where it ends.
#[track_caller]
fn ends(schema: &Value, table: &[(&str, Value)]) {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    for (text, expected) in table {
        let read = schema
            .read(text, |value| value, true)
            .unwrap_or_else(|_| panic!("{text} is refused"));
        assert_eq!(
            (&read.value, read.left_open.is_some()),
            (expected, true),
            "{text}"
        );
        assert!(
            schema.read(text, |value| value, false).is_err(),
            "{text} is mended though it may not be"
        );
    }
}

#[track_caller]
fn refuses(schema: &Value, texts: &[&str]) {
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
fn numbers_are_read_with_separators_currencies_and_units() {
    let table = [
        ("1,234", json!(1234)),
        ("12,345.60", json!(12345.6)),
        ("1.234.567,5", json!(1_234_567.5)),
        ("9 800", json!(9800)),
        ("1'500", json!(1500)),
        ("$2,499.00", json!(2499)),
        ("€ 17,25", json!(17.25)),
        ("120 EUR", json!(120)),
        ("-$4.5", json!(-4.5)),
        ("45 kg", json!(45)),
        ("61 years old", json!(61)),
        ("35%", json!(35)),
        ("2.5k", json!(2500)),
        ("7 million", json!(7_000_000)),
        ("$3.2M", json!(3_200_000)),
        ("1e3", json!(1000)),
        ("+8", json!(8)),
        ("#3", json!(3)),
        ("4th", json!(4)),
        (" **19** ", json!(19)),
        ("0.10", json!(0.1)),
        ("−6", json!(-6)),
        ("18446744073709551615", json!(u64::MAX)),
    ];
    let table: Vec<_> = table
        .into_iter()
        .map(|(text, number)| (json!(text).to_string(), number))
        .collect();
    let table: Vec<_> = table
        .iter()
        .map(|(text, number)| (text.as_str(), number.clone()))
        .collect();
    mends(&json!({"type": "number"}), &table);
}

#[test]
fn what_may_be_another_number_is_none() {
    let texts = [
        "5 or 6",
        "5-6",
        "2 to 3",
        "3,4",
        "1,2345",
        "12,34,567",
        "about 40",
        "~40",
        "more than 9",
        "a dozen",
        "2 dozen",
        "6 ft 2 in",
        "1/4",
        "3 of 10",
        "2024-05-06",
        "10:30",
        "01234",
        "+49 30 1234",
        "1.2.3",
        "ten",
        "",
        "-",
        "1.234,56,7",
        "5 per day",
        "2M",
        "1e999",
        "3 lakh",
        "half of 8",
        "0x1f",
    ];
    let texts: Vec<_> = texts.iter().map(|text| json!(text).to_string()).collect();
    refuses(
        &json!({"type": "number"}),
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    refuses(
        &json!({"type": "integer"}),
        &[
            "\"3.7\"",
            "3.7",
            "\"2,50\"",
            "true",
            "[1, 2]",
            "{\"a\": 1, \"b\": 2}",
        ],
    );
    refuses(
        &json!({"type": "number", "maximum": 1}),
        &["\"80%\"", "\"80\""],
    );
    let named = |name: &str, text: &str| {
        (
            json!({"properties": {name: {"type": "number"}}}),
            format!("{{\"{name}\": \"{text}\"}}"),
        )
    };
    for (name, text) in [
        ("duration_seconds", "5 minutes"),
        ("heightCm", "1.8 m"),
        ("weight_kg", "150 lbs"),
        ("age", "8 months"),
        ("win_ratio", "40%"),
    ] {
        let (schema, text) = named(name, text);
        refuses(&schema, &[&text]);
    }
    for (name, text, number) in [
        ("duration_seconds", "90 seconds", 90),
        ("age", "8 years", 8),
        ("share_percent", "40%", 40),
        ("weight", "70 kg", 70),
    ] {
        let (schema, text) = named(name, text);
        mends(&schema, &[(&text, json!({name: number}))]);
    }
}

#[test]
fn truths_nothings_and_texts_are_read_as_what_is_wanted() {
    mends(
        &json!({"type": "boolean"}),
        &[
            ("\"Yes\"", json!(true)),
            ("\"false\"", json!(false)),
            ("\"no.\"", json!(false)),
            ("1", json!(true)),
        ],
    );
    refuses(
        &json!({"type": "boolean"}),
        &["\"perhaps\"", "2", "\"yes and no\"", "null"],
    );
    mends(
        &json!({"type": ["integer", "null"]}),
        &[
            ("\"N/A\"", json!(null)),
            ("\"unknown\"", json!(null)),
            ("\"12\"", json!(12)),
        ],
    );
    mends(
        &json!({"type": "string"}),
        &[
            ("41", json!("41")),
            ("[\"x\"]", json!("x")),
            ("12345678901234567890123", json!("12345678901234567890123")),
            ("1.10", json!("1.10")),
        ],
    );
    refuses(
        &json!({"type": "string"}),
        &["null", "[\"x\", \"y\"]", "{\"a\": 1, \"b\": 2}"],
    );
    let optional = json!({"properties": {"n": {"type": "integer"}, "s": {"type": "string"}}, "required": ["s"]});
    mends(
        &optional,
        &[
            ("{\"n\": null, \"s\": \"x\"}", json!({"s": "x"})),
            ("{\"n\": \"unknown\", \"s\": \"x\"}", json!({"s": "x"})),
        ],
    );
    refuses(
        &optional,
        &[
            "{\"n\": 1, \"s\": null}",
            "{\"n\": \"many\", \"s\": \"x\"}",
            "{\"n\": 1}",
        ],
    );
}

#[test]
fn a_word_of_a_list_is_known_in_another_form() {
    let schema = json!({"enum": ["IN_PROGRESS", "done", "not started"]});
    let table = [
        ("\"in progress\"", "IN_PROGRESS"),
        ("\"InProgress\"", "IN_PROGRESS"),
        ("\" Done! \"", "done"),
        ("\"'done'\"", "done"),
        ("[\"DONE\"]", "done"),
        ("\"done: nothing is left\"", "done"),
        ("The state is **done**.", "done"),
        ("\"Not started\"", "not started"),
        ("{\"state\": \"done\"}", "done"),
    ];
    mends(&schema, &table.map(|(text, word)| (text, json!(word))));
    refuses(
        &schema,
        &[
            "\"not done\"",
            "\"done or in progress\"",
            "\"isn't done\"",
            "\"open\"",
            "It is neither done nor started.",
            "[\"done\", \"done\"]",
            "\"\"",
            "null",
        ],
    );
    mends(
        &json!({"enum": [1, 2, "3", true]}),
        &[
            ("\"2\"", json!(2)),
            ("3", json!("3")),
            ("\"yes\"", json!(true)),
        ],
    );
    refuses(&json!({"enum": ["A", "A+", "a-"]}), &["\"a+-\"", "\"b\""]);
    mends(
        &json!({"enum": ["A", "A+", "a-"]}),
        &[("\"a+\"", json!("A+"))],
    );
    let described = json!({"oneOf": [{"const": "de", "title": "German"}, {"const": "fr", "description": "French, of any kind"}]});
    mends(
        &described,
        &[
            ("\"german\"", json!("de")),
            ("\"French of any kind\"", json!("fr")),
            ("\"DE\"", json!("de")),
        ],
    );
    refuses(&described, &["\"de or fr\"", "\"English\""]);
}

#[test]
fn keys_are_known_in_another_spelling() {
    let ann = json!({"full_name": "Ann", "age": 3});
    mends(
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
    refuses(
        &person(),
        &[
            r#"{"fullName": "Ann", "FULL_NAME": "Bo", "age": 3}"#,
            r#"{"name": "Ann", "age": 3}"#,
            r#"{"full_name": "Ann"}"#,
        ],
    );
    let twins = json!({"required": ["a_b"], "properties": {"a_b": {"type": "integer"}, "aB": {"type": "integer"}}});
    refuses(&twins, &[r#"{"AB": 1}"#]);
    let map = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "integer"}});
    mends(
        &map,
        &[(r#"{"A": "1", "b": "2"}"#, json!({"A": 1, "b": 2}))],
    );
}

#[test]
fn wrappers_are_taken_away_and_lists_of_one_made() {
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
        mends(&person(), &[(text, ann.clone())]);
    }
    let other = r#"{"full_name": "Bo", "age": 4}"#;
    refuses(
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
    mends(
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
    mends(
        &json!({"properties": {"tags": {"type": "array", "items": {"type": "string"}}}}),
        &[("{\"tags\": \"red\"}", json!({"tags": ["red"]}))],
    );
    refuses(
        &json!({"type": "array", "items": {"type": "string"}}),
        &["\"red, blue\"", "\"red and blue\"", "null", "\"none\""],
    );
    mends(
        &json!({"type": "array", "items": {"type": "integer"}}),
        &[("\"4, 5, 6\"", json!([4, 5, 6]))],
    );
    refuses(
        &json!({"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}),
        &["[1, 2]"],
    );
    mends(
        &json!({"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}),
        &[("7", json!({"count": 7}))],
    );
}

#[test]
fn objects_one_after_the_other_are_a_list_and_never_a_part_of_one() {
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
        mends(&points, &[(text, both.clone())]);
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
    refuses(
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
fn of_branches_the_nearest_is_taken_and_none_of_two_that_are_as_near() {
    let shape = json!({"oneOf": [
        {"type": "object", "required": ["kind", "radius"], "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}},
        {"type": "object", "required": ["kind", "side"], "properties": {"kind": {"const": "square"}, "side": {"type": "number"}}},
    ]});
    mends(
        &shape,
        &[(
            r#"{"kind": "Square", "side": "3 cm"}"#,
            json!({"kind": "square", "side": 3}),
        )],
    );
    refuses(
        &shape,
        &[
            r#"{"kind": "circle", "side": "3"}"#,
            r#"{"kind": "triangle", "side": 3}"#,
        ],
    );
    mends(
        &json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        &[("\"8\"", json!(8)), ("\"none\"", json!(null))],
    );
    refuses(
        &json!({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}),
        &["\"1\""],
    );
    let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "required": ["v"], "properties": {
        "v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}}});
    mends(
        &tree,
        &[(
            r#"{"v": "1", "next": {"V": 2, "next": {"v": "3", "next": "none"}}}"#,
            json!({"v": 1, "next": {"v": 2, "next": {"v": 3, "next": null}}}),
        )],
    );
    let both = json!({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]});
    mends(
        &both,
        &[(r#"{"A": "1", "b": "yes"}"#, json!({"a": 1, "b": true}))],
    );
    let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}, {"type": "boolean"}], "type": "array"});
    mends(&draft7, &[(r#"["1", "no"]"#, json!([1, false]))]);
}

#[test]
fn lines_elements_and_scalars_are_read_from_text() {
    let ann = json!({"full_name": "Ann Lee", "age": 3});
    for text in [
        "Full name: Ann Lee\nAge: 3",
        "**Full Name:** Ann Lee\n**Age:** 3 years",
        "- full_name: \"Ann Lee\"\n- age: 3\n\nAnything else?",
        "Here you are:\n\n* Full name: Ann Lee\n* Age: 3",
        "<full_name>Ann Lee</full_name>\n<age>3</age>",
        "<person><full_name>Ann Lee</full_name><age>3</age></person>",
        "```yaml\nfull_name: Ann Lee\nage: 3\n```",
        "<think>hm</think>full_name: Ann Lee\nage: 3",
    ] {
        mends(&person(), &[(text, ann.clone())]);
    }
    refuses(
        &person(),
        &[
            "Full name: Ann Lee",
            "Full name: Ann\nand Bo\nAge: 3",
            "Full name: Ann\nFull name: Bo\nAge: 3",
            "Full name:\nAge: 3",
            "<full_name>Ann",
            "I can't say.",
            "<full_name>Ann</full_name><full_name>Bo</full_name><age>3</age>",
            "<full_name>Ann <b>Lee</b></full_name><age>3</age>",
        ],
    );
    mends(
        &json!({"type": "integer"}),
        &[
            ("The total is 1,250.", json!(1250)),
            ("12 apples", json!(12)),
        ],
    );
    refuses(
        &json!({"type": "integer"}),
        &[
            "There are 3 or 4.",
            "Of 10 there are 3.",
            "It is not 3.",
            "I'm sorry, I cannot count to 3.",
        ],
    );
    mends(
        &json!({"type": "boolean"}),
        &[
            ("Yes, it does.", json!(true)),
            ("The answer is false.", json!(false)),
            ("True", json!(true)),
        ],
    );
    refuses(
        &json!({"type": "boolean"}),
        &[
            "Yes and no",
            "It is not true",
            "That is true of most of them",
            "I don't know",
        ],
    );
    mends(
        &json!({"type": "string"}),
        &[
            ("Rosa Parks", json!("Rosa Parks")),
            ("'Rosa'", json!("Rosa")),
        ],
    );
    refuses(
        &json!({"type": "string"}),
        &[
            "I'm sorry, I can't help with that.",
            "}",
            "one\ntwo",
            "As an AI model, I do not know.",
        ],
    );
}

#[test]
fn nothing_is_made_up_filled_in_or_cut_short() {
    let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": ["string", "null"], "default": "x"}, "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}}});
    refuses(
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
    refuses(&date, &["\"May 5, 2024\"", "20240505"]);
}

#[test]
fn what_is_valid_is_never_changed() {
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
fn repairs_say_where_and_what() {
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

#[test]
fn an_object_is_closed_where_nothing_else_can_be_missing() {
    let flat = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}});
    mends(
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
    refuses(
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
    mends(
        &nested,
        &[(
            r#"{"id": "x", "who": {"age": 3, "name": "Ann""#,
            json!({"id": "x", "who": {"age": 3, "name": "Ann"}}),
        )],
    );
    refuses(
        &nested,
        &[
            r#"{"id": "x", "who": {"name": "Ann""#,
            r#"{"who": {"age": 3, "name": "Ann"}"#,
        ],
    );
    refuses(
        &nested,
        &[r#"{"id": "x", "who": {"age": 3, "name": "A"}, "who": {"name": "Ann""#],
    );
    let map = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}});
    refuses(&map, &[r#"{"a": "x""#]);
    refuses(&json!({"type": "object"}), &[r#"{"a": "x""#, "{"]);
    refuses(
        &json!({"type": "array", "items": {"type": "string"}}),
        &[r#"["a", "b""#],
    );
}

#[test]
fn a_text_that_ends_within_its_value_is_told_with_what_it_says() {
    let flat = json!({"type": "object", "required": ["names"], "properties": {
        "names": {"type": "array", "items": {"type": "string"}}, "age": {"type": "integer"}}});
    ends(
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
            schema.read(text, |value| value, true).is_err(),
            "not valid even so: {text}"
        );
    }
}

#[test]
fn a_string_that_only_braces_follow_has_lost_its_quote() {
    let flat =
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}});
    mends(
        &flat,
        &[
            (r#"{"a": "one, two. }"#, json!({"a": "one, two."})),
            (
                "```json\n{\n  \"a\": \"it's one\n}\n```",
                json!({"a": "it's one"}),
            ),
        ],
    );
    refuses(
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
    mends(
        &nested,
        &[(r#"{"o": {"a": "one } }"#, json!({"o": {"a": "one"}}))],
    );
    refuses(&nested, &[r#"{"o": {"a": "one }"#]);
    let two =
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    refuses(&two, &[r#"{"a": "one }"#]);
    refuses(
        &json!({"type": "array", "items": {"type": "string"}}),
        &[r#"["one ]"#],
    );
}

#[test]
fn an_object_that_its_block_of_code_leaves_open_is_closed() {
    let flat = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}});
    mends(
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
    refuses(
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
        .read("So: {'a': 'x'", |value| value, true)
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
fn a_text_in_quotes_is_what_is_in_them() {
    mends(
        &json!({"type": "string"}),
        &[
            (r"'the dog\'s bone'", json!("the dog's bone")),
            ("`left'", json!("left")),
            (r#"\"good day\""#, json!("good day")),
            (r#""good" + " day""#, json!("good day")),
            (r#""yes" and "no""#, json!(r#""yes" and "no""#)),
        ],
    );
}

#[test]
fn elements_within_elements_are_objects_lists_and_maps() {
    let schema = json!({"type": "object", "required": ["name", "tags"], "properties": {
        "name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "at": {"anyOf": [{"$ref": "#/$defs/at"}, {"type": "null"}]}},
        "$defs": {"at": {"type": "object", "required": ["zip"], "properties": {"zip": {"type": "integer"}}}}});
    mends(
        &schema,
        &[
            (
                "So:\n<who>\n <name>A &amp; B</name>\n <tags>\n  <tag>x</tag>\n  <tag>y</tag>\n </tags>\n <at><zip>123</zip></at>\n</who>",
                json!({"name": "A & B", "tags": ["x", "y"], "at": {"zip": 123}}),
            ),
            (
                "<who><Name>A</Name><tags>x</tags><tags>y</tags><counts><entry><key>k</key><value>2</value></entry></counts></who>",
                json!({"name": "A", "tags": ["x", "y"], "counts": {"k": 2}}),
            ),
            (
                "<?xml version=\"1.0\"?>\n<name>A</name><tags/><counts><k>2</k></counts><at>null</at>",
                json!({"name": "A", "tags": [], "counts": {"k": 2}, "at": null}),
            ),
        ],
    );
    refuses(
        &schema,
        &[
            "<who><name>A</name><tags><tag>x</tag>",
            "<who><name>A</name><tags><tag>x</tag></who></tags>",
            "<who><name>A <b>B</b></name><tags><tag>x</tag></tags></who>",
            "<who><name>A</name><tags><tag>x</tag> and <tag>y</tag></tags></who>",
            "<who><name>A</name><name>B</name><tags><tag>x</tag></tags></who>",
            "<who><name>A</name><tags><tag>x</tag><note>y</note></tags></who>",
            "<who><name>A</name><tags><tag>x</tag></tags><other>y</other></who>",
        ],
    );
    let list = json!({"type": "array", "items": {"type": "integer"}});
    mends(
        &list,
        &[("<items><item>1</item><item>2</item></items>", json!([1, 2]))],
    );
    refuses(
        &list,
        &[
            "<items><item>1</item><item>2</item>",
            &format!("{}1{}", "<a>".repeat(70), "</a>".repeat(70)),
        ],
    );
    let nullable = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "integer"}, "b": {"type": ["string", "null"]}}});
    mends(
        &nullable,
        &[
            ("<a>1</a><b>null</b>", json!({"a": 1, "b": null})),
            ("```xml\n<a>2</a>\n```", json!({"a": 2})),
        ],
    );
    mends(
        &json!({"enum": ["ON", "OFF"]}),
        &[("<?xml version=\"1.0\"?><state>OFF</state>", json!("OFF"))],
    );
}

#[test]
fn numbers_between_commas_are_a_list() {
    let numbers = json!({"type": "array", "items": {"type": "number"}});
    mends(
        &numbers,
        &[
            ("4,5,6", json!([4, 5, 6])),
            ("4.5, 6", json!([4.5, 6])),
            ("1234,567,89", json!([1234, 567, 89])),
        ],
    );
    refuses(
        &numbers,
        &["1,234,567", "4,5", "4, x, 6", "1, 2, ...", "1,2,"],
    );
}

#[test]
fn values_of_different_kinds_that_follow_one_another_are_a_list() {
    let kinds = json!({"type": "array", "items": {"anyOf": [
        {"type": "object", "required": ["k"]}, {"type": "array", "items": {"type": "integer"}}]}});
    mends(&kinds, &[("{\"k\": 1}\n[2, 3]", json!([{"k": 1}, [2, 3]]))]);
    refuses(&kinds, &["{\"k\": 1} or [2, 3]"]);
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
        any.read("{} [1]", |value| value, true).unwrap().value,
        json!([1])
    );
}

#[test]
fn underscores_group_digits_on_both_sides_of_the_point() {
    let number =
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}});
    mends(
        &number,
        &[
            ("{\"n\": 1_234.5_6}", json!({"n": 1234.56})),
            ("{\"n\": \"0.000_1\"}", json!({"n": 0.0001})),
        ],
    );
    refuses(
        &number,
        &[
            "{\"n\": 1_2.5}",
            "{\"n\": 1.5_}",
            "{\"n\": 1.5__6}",
            "{\"n\": \"1,234.5_6\"}",
            "{\"n\": \"1.234.5_6\"}",
        ],
    );
}

#[test]
fn empty_brackets_that_are_not_closed_are_held_against_the_schema() {
    let list = json!({"type": "object", "required": ["l"], "properties": {"l": {"type": "array", "minItems": 1}}});
    refuses(&list, &["{\"l\": [}"]);
    let objects = json!({"type": "array", "items": {"type": "object", "required": ["a"]}});
    refuses(&objects, &["[{]"]);
}

#[test]
fn objects_with_a_few_words_between_them_are_a_list() {
    let list = json!({"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}});
    let both = json!([{"k": "x"}, {"k": "y"}]);
    mends(
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
    refuses(
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
    refuses(
        &json!({"type": "array", "items": {"type": "object"}}),
        &["One {\"k\": \"x\"} and one {\"k\": \"y\"}"],
    );
}

#[test]
fn yaml_in_a_closed_block_of_code_is_read() {
    let schema = json!({"type": "object", "required": ["people"], "properties": {
        "people": {"type": "array", "items": {"$ref": "#/$defs/who"}}, "place": {"type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}}},
        "$defs": {"who": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
            "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}}}});
    mends(
        &schema,
        &[
            (
                "```yaml\npeople:\n  - name: Ann\n```",
                json!({"people": [{"name": "Ann"}]}),
            ),
            (
                "Here:\n```yml\n---\n# all of them\npeople:\n- name: 'Ann''s'\n  age: 34 # years\n  tags:\n  - a b\n  - \"c: d\"\n-\n  name: Bob\n  tags: [x, y]\nplace:\n  city: Bern\n\n  zip: 03000\n```\nDone.",
                json!({"people": [{"name": "Ann's", "age": 34, "tags": ["a b", "c: d"]}, {"name": "Bob", "tags": ["x", "y"]}],
                    "place": {"city": "Bern", "zip": "03000"}}),
            ),
        ],
    );
    let deep = format!("```yaml\npeople: \n  {}x\n```", "- ".repeat(1000));
    refuses(
        &schema,
        &[
            "people:\n  - name: Ann\n  - name: Bob",
            "```yaml\npeople:\n  - name: Ann",
            "```yaml\npeople:\n  - name: Ann\n```\n```yaml\npeople:\n  - name: Bob\n```",
            "```python\npeople:\n  - name: Ann\n```",
            "```yaml\npeople:\n  - name: Ann\n    and Bob\n```",
            "```yaml\npeople:\n  - name: Ann\n    name: Bob\n```",
            "```yaml\npeople:\n  - name: Ann\n age: 3\n```",
            "```yaml\npeople:\n  - name: |\n      Ann\n```",
            "```yaml\npeople:\n  - &a\n  - *a\n```",
            "```yaml\npeople:\n\t- name: Ann\n```",
            "```yaml\npeople:\n  - name: Ann\n  - ...\n```",
            "```yaml\npeople:\n```",
            "```yaml\nnotes: 1\n```",
            &deep,
        ],
    );
    let list = json!({"type": "array", "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}});
    mends(
        &list,
        &[("```yaml\n- n: 1\n- n: 2\n```", json!([{"n": 1}, {"n": 2}]))],
    );
    let text = read(&json!({"type": "string"}), "```yaml\n- n: 1\n```");
    assert!(text.is_none_or(|text| text.value.is_string()));
}

#[test]
fn an_element_that_is_a_number_is_one_where_no_text_may_be() {
    let of = |kinds: [&str; 2]| {
        let kinds = kinds.map(|kind| json!({"type": kind}));
        json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"anyOf": kinds}, "b": {"type": "string"}}})
    };
    mends(
        &of(["integer", "boolean"]),
        &[("<x><a>1</a><b>2</b></x>", json!({"a": 1, "b": "2"}))],
    );
    mends(
        &of(["integer", "string"]),
        &[("<x><a>1</a><b>2</b></x>", json!({"a": "1", "b": "2"}))],
    );
}

#[test]
fn a_bare_number_is_put_into_no_text() {
    let one = |kind: &str| json!({"type": "object", "required": ["foo"], "properties": {"foo": {"type": kind}}});
    mends(&one("integer"), &[("7", json!({"foo": 7}))]);
    refuses(
        &one("string"),
        &["7", "```json\n7\n```", "true", "The answer:\n```\n7\n```"],
    );
}
