//! Answers that were cut off.

use super::*;

#[test]
fn a_list_that_is_closed_before_its_last_element_is_refused() {
    let read = |text: &str| parse(text, Value::is_array);
    for text in [
        r#"[{"a": 1}], {"a": 2}]"#,
        r#"[{"a": 1}]{"a": 2}]"#,
        "So:\n[1, 2], 3]",
        "```json\n[{'a': 1}],\n{'a': 2}\n]\n```",
        r#"[1, 2], "x", {"a": 2}, [3]]"#,
        "[1, 2], [see], 3]",
    ] {
        let refused = read(text).unwrap_err();
        assert!(
            refused.message.contains("more elements follow"),
            "{text}: {refused}"
        );
    }
    for text in [
        "[1, 2]]",
        "[1, 2] as in [3] and [see {\"a\": 1}]",
        "[see] [1, 2]",
        "{\"a\": 1}] [1, 2]",
        "[1, 2],]",
        "[1, 2], as in [see]",
        "[1, 2] and {\"a\": 3}]",
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
}

#[test]
fn an_answer_that_was_cut_off_is_never_closed() {
    check_rejected(
        &[
            "{",
            "[",
            r#"{"a"#,
            r#"{"a": 1"#,
            r#"{"a": 1,"#,
            r#"{"a": [1, 2], "b"#,
            r#"{"a": "x\"#,
            r#"{"a": "\u00"#,
            r#"{"a": tr"#,
            r#"{"a": -"#,
            "[{\"a\":1},{\"b\":2}",
            "Here: ```json\n[{\"a\": 1},",
            "{\"draft\": 1} No, better: {\"a\": [1,",
            "{'a': ['x', 'y'",
            "{a: fo",
            "{a: foo bar",
            "{\"a\": 1 /* so",
            "{\"a\": \"\"\"x",
            "<think>so {\"a\": 1}",
            "<think>x</think>\n[{\"a\": 1}",
        ],
        true,
    );
}

#[test]
fn the_missing_end_of_a_text_is_reported() {
    let ended = |text: &str| {
        read(text)
            .unwrap_err()
            .ending
            .map(|ending| ending.complete(text))
    };
    for (text, whole) in [
        ("{", "{}"),
        ("[", "[]"),
        ("[1, 2", "[1, 2]"),
        ("[1, 2,", "[1, 2,]"),
        ("[1, 2, // more", "[1, 2,]"),
        ("So: {\"a\": [{\"b\": \"x", "So: {\"a\": [{\"b\": \"x\"}]}"),
        ("{'a': ['x', 'y", "{'a': ['x', 'y']}"),
        ("{\"a\": [\"x]}", "{\"a\": [\"x\"]}"),
        ("```json\n{\"a\": [\"x]}\n```", "```json\n{\"a\": [\"x\"]}"),
        ("{\"a\": [1], \"b", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": ", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": \"", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": -", "{\"a\": [1], }"),
        ("{\"a\": [1], // more", "{\"a\": [1],}"),
        ("{\"a\": [\"see [1", "{\"a\": [\"see [1\"]}"),
        ("```json\n{\"a\": [\"x\n```", "```json\n{\"a\": [\"x\"]}"),
        ("{\"a\": \"x\\", "{\"a\": \"x\"}"),
        ("{\"a\": \"x\\u00", "{\"a\": \"x\"}"),
        ("{\"a\": \"x\\\\", "{\"a\": \"x\\\\\"}"),
        ("{\"a\": \"\"\"x", "{\"a\": \"\"\"x\"\"\"}"),
        ("{\"a\": 1, \"b\": [\"", "{\"a\": 1, \"b\": []}"),
        ("{a: foo bar", "{a: foo bar}"),
        ("{\"a\": nul", "{\"a\": null}"),
        ("[1, -", "[1, ]"),
        ("[1, 2.5", "[1, 2.5]"),
        ("{\"a\": 1 /* so", "{\"a\": 1}"),
        ("{\"a\": t", "{\"a\": t}"),
        ("{\"l\": [\"a\": \"x", "{\"l\": [\"a\": \"x\"}]}"),
        ("{\"a\": \"x\\ny", "{\"a\": \"x\\ny\"}"),
        ("{\"a\": \"x\\u00e9", "{\"a\": \"x\\u00e9\"}"),
    ] {
        assert_eq!(ended(text).as_deref(), Some(whole), "{text}");
    }
    for text in [
        // Of several values the last may be a better one, or a part of the first.
        "{\"draft\": 1} No, better: {\"a\": [1,",
        "<think>so {\"a\": [1",
        "no JSON",
        "",
        "Sorry, no data :[",
        // The text after the unclosed string or name is not part of it.
        "{\"a\": \"x\", \"n: 5}",
        "{\"a\": [\"x\", \"y]}\n\nI hope this helps!",
        "{a: [\"x\", \"y], b: 5}",
        "{\"a\": [\"x}",
        "[\"see [1]",
        "[{\"a\": \"x }}",
    ] {
        assert_eq!(ended(text), None, "{text}");
    }
}

#[test]
fn a_string_before_the_last_braces_is_closed_if_it_is_plain() {
    let unclosed = |text: &str| {
        let unclosed = read(text).unwrap_err().unclosed?;
        Some(unclosed.answer.value)
    };
    for (text, value) in [
        ("{\"a\": \"one line }", json!({"a": "one line"})),
        ("{\"a\": {\"b\": \"x! }}", json!({"a": {"b": "x!"}})),
        ("{\"a\": \"it's }", json!({"a": "it's"})),
    ] {
        assert_eq!(unclosed(text), Some(value), "{text}");
    }
    for text in [
        "{\"a\": \"one\tline }",
        "{\"a\": \"one\nline }",
        "{\"a\": \"one line, }",
        "{\"a\": \"one [line }",
        "{\"a\": \"one line}",
        "{\"a\": \"one line }}",
        "{\"a\": [\"one line }",
    ] {
        assert_eq!(unclosed(text), None, "{text}");
    }
}

#[test]
fn an_object_that_lacks_only_braces_is_reported_with_its_levels() {
    let unclosed = |text: &str| {
        let unclosed = read(text).unwrap_err().unclosed?;
        Some((unclosed.levels, unclosed.answer.value))
    };
    for (text, levels, value) in [
        ("{\"a\": null", 1, json!({"a": null})),
        ("{\"a\": {\"b\": \"x\"", 2, json!({"a": {"b": "x"}})),
        ("```json\n{\"a\": [1]\n```", 1, json!({"a": [1]})),
        ("~~~\n{\"a\": [1]\n~~~", 1, json!({"a": [1]})),
        ("{\"l\": [{], \"m\": \"x\"", 1, json!({"l": [{}], "m": "x"})),
    ] {
        assert_eq!(unclosed(text), Some((levels, value)), "{text}");
    }
    for text in ["{\"a\": 1", "{\"a\": nul", "{\"a\": [\"x\""] {
        assert_eq!(unclosed(text), None, "{text}");
    }
}
