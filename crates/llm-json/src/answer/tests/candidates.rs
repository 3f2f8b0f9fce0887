//! Values among other text, and the choice among several.

use super::*;
use crate::answer::candidates;

#[test]
fn text_around_the_json_is_removed() {
    let a = json!({"a": 1});
    let texts = [
        "Sure! Here it is: {\"a\":1}\nHope this helps.",
        "```json\n{\"a\":1}\n```",
        "```\n{\"a\":1}\n```",
        "~~~JSON5\n{\"a\":1}\n~~~",
        "```json\n{\"a\":1}",
        "````md\n```json\n{\"a\":1}\n```\n````",
        "```json {\"a\":1}```",
        "  ```json\n  {\"a\":1}\n  ```",
        "```json\n// the result\n{\"a\":1,} // done\n```\nThat is all [1].",
        "<json>{\"a\":1}</json>",
        "<think>\nMaybe {\"a\":7}? Or {\"a\": [\n</think>\n{\"a\":1}",
        "<thinking>{\"a\":7}</thinking>{\"a\":1}",
        "<REASONING>{\"a\":7}</Reasoning>\n```json\n{\"a\":1}\n```",
        "[THINK]{\"a\":7}[/THINK]{\"a\":1}",
        "Let me think, {\"a\":7}, or {\"a\": [7, oops\n</think>\n{\"a\":1}",
        "<think>the </think> mark, {\"a\":7}</think>{\"a\":1}",
        "{\"a\":1}\n<think>was that {\"a\":7} right?",
        "{{\"a\":1}}",
        "The set {x | x > 1}, the list [see below] and f(x) { return x; }: {\"a\":1}",
        "Intervals [0, 1) and (2, 3] give {\"a\":1}",
        "{\"a\":7} was wrong. Corrected: {\"a\":1}",
        "{\"a\":7}\n{\"a\":1}\n",
        "{\"a\":7}{\"a\":1}",
        "{\"a\":7},{\"a\":1}",
        "{\"a\":1}}",
        "{\"a\":1}, \"quoted\" words",
        "[{\"x\":1}, oops {\"a\":7}] no: {\"a\":1}",
        "```json\n{\"a\": {\"b\": 7}\n```\nAgain:\n```json\n{\"a\":1}\n```",
        "\\boxed{{\"a\":1}}",
        "result = {'a': 1,}",
        "{\"a\":1} [1]",
        "Use the regex [\"'] on it: {\"a\":1}",
        "{\"a\": <b>} or {\"a\":1}",
        "{\"a\": 7 ] {\"a\":1}",
        "{\"b\": <c>, \"a\": it\"s\n} {\"a\":1}",
        "{\"b\": <c>, \"a\": \"{\"} {\"a\":1}",
        "{\"a\":7} \"{\"a\":1}\"",
        "{\"a\":1}, } done",
        "{\"a\":1}, \"b\"\"c\"}",
    ];
    check_repairs(&texts.map(|text| (text, a.clone())));
    check_repairs(&[
        (
            "```json\n{\"code\": \"\n```js\nf()\n```\n\"}\n```",
            json!({"code": "\n```js\nf()\n```\n"}),
        ),
        (
            "Here: {\"t\": \"a </think> b\"}",
            json!({"t": "a </think> b"}),
        ),
        ("Here: {'t': 'a <think> b'}", json!({"t": "a <think> b"})),
    ]);
}

#[test]
fn a_list_of_words_that_begins_the_text_or_a_block_is_one() {
    for text in [
        "[red, dark blue]",
        "[red,dark blue] are the colours.",
        "So:\n```\n[red, dark blue]\n```",
        "[\nred,\ndark blue\n]",
    ] {
        let answer = parse(text, Value::is_array).unwrap();
        assert_eq!(answer.value, json!(["red", "dark blue"]), "{text}");
    }
    for (spaces, is_list) in [(1023, true), (1024, false)] {
        let text = format!("{}[red, dark blue]", " ".repeat(spaces));
        assert_eq!(parse(&text, Value::is_array).is_ok(), is_list, "{spaces}");
    }
}

#[test]
fn too_many_broken_pieces_end_the_search() {
    for piece in ["{\"a\": <b>\n\n", r#"["x("]" "#] {
        let few = format!("{}{{'d': 2}}", piece.repeat(3));
        assert_eq!(read(&few).unwrap().value, json!({"d": 2}), "{piece}");
        let many = format!("{}{{'d': 2}}", piece.repeat(100));
        let refused = read(&many).unwrap_err().message;
        assert!(
            refused.ends_with("there are too many broken pieces before this"),
            "{refused}"
        );
    }
}

#[test]
fn values_that_only_separators_part_are_a_sequence() {
    for text in [
        "{\"a\":1}\n{\"a\":2}",
        "Both: {\"a\":1}, {\"a\":2}.",
        "1. {\"a\":1};\n2. {\"a\":2}",
        "- {\"a\":1} // one\n- {\"a\":2}",
        "* {\"a\":1}\n# the second\n* {\"a\":2}",
        "{\"a\":1}\n/* the second */\n{\"a\":2}",
        "```json\n{\"a\":1}\n```\n```json\n{\"a\":2}\n```",
        "{\"a\":1}\n{\"a\":2}}",
    ] {
        let found = candidates(text).unwrap();
        assert!(found.is_sequence(), "{text}");
        assert_eq!(found.take_all().value, json!([{"a": 1}, {"a": 2}]));
    }
    for text in [
        "[1]",
        "So: {\"a\":1}",
        "{\"a\":1} and {\"a\":2}",
        "{\"a\":1} /* and {\"a\":2}",
        "{x: ;}\n{\"a\":1}\n{\"a\":2}",
    ] {
        assert!(!candidates(text).unwrap().is_sequence(), "{text}");
    }
    let has_fragments = |text| candidates(text).unwrap().has_fragments();
    assert!(has_fragments("{x: ;}\n{\"a\":1}"));
    assert!(!has_fragments("Here: {\"a\":1}") && !has_fragments("{\"a\":1}}"));
}

#[test]
fn the_candidates_stand_in_the_order_of_the_text() {
    let text = "[1] {\"a\":2}";
    let found = candidates(text).unwrap();
    assert!(!found.is_strict() && candidates("[1]").unwrap().is_strict());
    assert_eq!(found.count(), 2);
    let by_index = [0, 1, 2].map(|place| found.get(place).cloned());
    assert_eq!(by_index, [Some(json!([1])), Some(json!({"a": 2})), None]);
    assert_eq!(found.take(0).value, json!([1]));
}

#[test]
fn the_schema_chooses() {
    let choose = |text: &str, keys| parse(text, has(keys)).unwrap().value;
    assert_eq!(choose("{\"a\":1} {\"b\":2}", &["a"]), json!({"a": 1}));
    assert_eq!(choose("{\"a\":1} {\"b\":2}", &["b"]), json!({"b": 2}));
    assert_eq!(
        choose("{\"a\":1} {\"a\":2} {\"b\":2}", &["a"]),
        json!({"a": 2})
    );
    assert_eq!(
        choose("{\"a\":1} {'a':2}", &["a"]),
        json!({"a": 1}),
        "strict before mended"
    );
    assert_eq!(choose("{\"b\":1} {'a':2}", &["a"]), json!({"a": 2}));
    assert_eq!(
        choose("{\"b\":1} {\"b\":2,\"c\":3} {\"b\":4} [5]", &["a"]),
        json!({"b": 2, "c": 3}),
        "none: the largest"
    );
    let many = format!("{{\"a\":1,\"b\":2}} {}", "[1] ".repeat(500));
    assert_eq!(choose(&many, &["z"]), json!({"a": 1, "b": 2}));
    let list = parse("Here: [{\"a\":1},{\"a\":2},]", Value::is_array).unwrap();
    assert_eq!(list.value, json!([{"a": 1}, {"a": 2}]));
}

#[test]
fn scalars_are_read_where_they_stand_alone() {
    for (text, expected) in [
        ("<think>6 * 7</think>\n42", json!(42)),
        ("```json\n\"x\"\n```", json!("x")),
        ("The answer:\n```\ntrue\n```\n", json!(true)),
        ("\u{feff}\"x\"", json!("x")),
        // A list inside the string comes first.
        ("```\n\"see [1]\"\n```", json!([1])),
        ("\u{feff}\"see [1]\"", json!([1])),
    ] {
        let answer = parse(text, |_| true).unwrap();
        assert_eq!(answer.value, expected, "{text}");
    }
}

#[test]
fn prose_is_no_value() {
    check_rejected(
        &[
            "",
            " \n",
            "I'm sorry, I can't help with that.",
            "I'm sorry [sic], I can't {really} help: \"no\".",
            "The answer is 42.",
            "a, b, c",
            "name: Ann\nage: 34",
            "```\nno JSON here\n```",
            "<think>{\"a\":1}</think>",
            "{\"a\":1}</think> I can't.",
            "So:\n`[red, dark blue]` are colours.",
            "```\nThe [red, dark blue] ones\n```",
        ],
        false,
    );
}

#[test]
fn broken_json_is_refused_and_what_is_inside_is_no_answer() {
    check_rejected(
        &[
            r#"[{"a":1}, {"b":2} oops {"c":3}]"#,
            r#"{"a": {"b": [1}, "c": [1]}}"#,
            r#"{"a": [[1}"#,
            r#"{"a": [1,}"#,
            r#"{"a": [[}"#,
            r#"{"a": [,}"#,
            "[{,]",
            r#"{"a": {"b": [}, "c": [1]}}"#,
            r#"["a": 1]"#,
            r#"{"l": [}{"a": 1}]}"#,
            r#"{"l": [{"a": 1], "b": 2}, {"a": 3}]}"#,
            r#"{"l": [{"a": "x}, "a": "y"}]}"#,
            r#"{"l": ["one,"two"]}"#,
            r#"["a": {"b": 1}]"#,
            r#"{"k"ey": 1}"#,
            r#"{"a": one, two", three, "b": 1}"#,
            r#"{"l": ["one" two three", "four"]}"#,
            "{\n  type: {name: string, age: number}\n}",
            r#"[{"a": 1, "b": 2, "a": 3]"#,
            r#"{"a": 1}, "a": 2}"#,
            r#"{}, "a": 2}"#,
            r#"{"a": 1}, "b": 2"#,
            "{\"a\": one, two, \"b\": 1}",
            "{a: one, (two) three, b: 1}",
            "{a: b{c: d}}",
            "{\n a: <name>,\n b: <age>\n}",
            "{\n a: f(x,\n b: 1\n}",
            "{\n a: f(x): ...\n}",
            "{\"a\": ```\nx\n```",
            "```json\n{\"a\":\n```\nDone.\n```\nx\n```",
            "{a: b {c d}}",
            "```json\n{\"a\": {\"b\": 1}\n```",
            "```json\n{\"a\": [{\"b\": 1}\n```\nDone.",
            r#"{"a": [1,,2]}"#,
            "[12 000]",
            r#"{"a": 1e999}"#,
            r#"{"a": -Infinity}"#,
            r#"{"a": [{"b": 1}, ...]}"#,
            r#"{"a": {"b": 1}, ...}"#,
            r#"{"a": ...}"#,
            "{\"a\": [{\"b\": 1}, // ... more\n]}",
            "{\"a\": [{\"b\": 1} /* … */]}",
            r#"{"a": Point(1, 2)}"#,
            r#"{"a": (1), "b": 2}"#,
            r#"{"id": ObjectId("a"b"), "n": 1}"#,
            r#"{"a": ..."#,
            r#"{"b": <c>, "a": "}", "e": {"f": 3}}"#,
            r#"{"b": <c>, "a": "\"}", "e": {"f": 3}}"#,
            r#"{"a": red", "b": {"c": x"}? {"d": 2}}"#,
            r#"{"a": ;, "c": {"b": 2}"#,
            r#"{"l": [{"a": 1} two", "x"]}"#,
            r#"[{"a": 1]"b""#,
            r#"So: ["x", oops {"b": 1}]"#,
            r#"So ["a": 1}] it is"#,
            "{\"c\": ```f(`a`)\nx\n```,\n\"n\": 1}",
            "{\n a: f(x)\n, b: 1\n}",
            "{\n a: f(x, ...)\n}",
            "{\n a: f(x, …)\n}",
            "{a: f(x)\n}",
            r#"see {"a" 1}"#,
            r#"{"a" ?}"#,
        ],
        false,
    );
}
