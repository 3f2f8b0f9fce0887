//! Tables of model answers and their parsed values; `properties` has the invariants.

mod candidates;
#[allow(clippy::struct_excessive_bools, reason = "options of a generator")]
mod properties;
mod repairs;
mod truncation;

use serde_json::{Value, json};

use super::{Answer, NoJson, parse, parse_counted, quoted};

fn has(keys: &'static [&'static str]) -> impl Fn(&Value) -> bool {
    move |value| keys.iter().all(|key| value.get(key).is_some()) && value.is_object()
}

fn read(text: &str) -> Result<Answer, NoJson> {
    parse(text, Value::is_object)
}

#[track_caller]
fn check_repairs(table: &[(&str, Value)]) {
    for (text, expected) in table {
        match read(text) {
            Ok(answer) => {
                assert_eq!(&answer.value, expected, "{text}");
                assert!(!answer.repairs.is_empty(), "silently mended: {text}");
            }
            Err(error) => panic!("{text}\n{error:?}"),
        }
    }
}

#[track_caller]
fn check_rejected(texts: &[&str], truncated: bool) {
    for text in texts {
        match read(text) {
            Ok(answer) => panic!("{text}\n{answer:?}"),
            Err(error) => assert_eq!(error.truncated, truncated, "{text}\n{error}"),
        }
    }
}

#[test]
fn strict_json_is_returned_unchanged_even_if_not_accepted() {
    let texts = [
        r#"{"a":1,"b":[true,null,-1.5e3],"c":"<think>{}</think>```json\n{}\n```"}"#,
        "  \r\n\t{\"a\": \"it's \\\"quoted\\\", // not a comment\"} \n",
        r#"{"a":1,"a":2}"#,
        r#"[{"a":1}]"#,
        r#""a {\"b\":1} string""#,
        "42",
        "null",
        r#"{"t":"a,}b // not # comment","u":"\ud83d\ude00 \u0000 \/"}"#,
        r#"{"z":1,"a":2,"m":3}"#,
    ];
    for text in texts {
        let answer = parse(text, |_| false).unwrap();
        assert_eq!(
            answer.value.to_string(),
            serde_json::from_str::<Value>(text).unwrap().to_string()
        );
        assert!(answer.repairs.is_empty());
    }
}

#[test]
fn repairs_and_errors_have_readable_messages() {
    let repairs = |text: &str| -> Vec<String> {
        let repairs = read(text).unwrap().repairs;
        repairs.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        repairs("So:\n```json\n{'a': 'x', 'b': 'y',}\n```"),
        [
            "removed text around the JSON",
            "replaced single quotes",
            "removed a trailing comma"
        ]
    );
    assert_eq!(repairs("```json\n{\"a\":1}\n```"), ["removed a code fence"]);
    assert_eq!(repairs("<think>x</think>{\"a\":1}"), ["removed reasoning"]);
    assert_eq!(repairs("\u{feff}{\"a\":1}"), ["removed a byte order mark"]);
    assert_eq!(
        repairs("{\"a\":1,\"a\":2,\"b\":1,\"b\":2,}"),
        [
            "duplicate key \"a\": kept the last",
            "removed a trailing comma"
        ]
    );
    assert_eq!(repairs("\u{a0}{\"a\":1}"), ["removed unusual white space"]);
    assert_eq!(repairs("{\u{a0}\"a\":1}"), ["removed unusual white space"]);
    assert_eq!(
        repairs("{\"a\": `x`}"),
        ["replaced backticks around a string"]
    );
    assert_eq!(
        repairs("{\"b\":1}\n{\"a\":1}"),
        [
            "chose among several JSON values",
            "removed text around the JSON"
        ]
    );
    for (text, repair) in [
        ("\u{feff}\"x\"", "removed a byte order mark"),
        ("\u{a0}\"x\"", "removed unusual white space"),
        ("\"x\"\u{a0}", "removed unusual white space"),
        ("```\n\"x\"\n```", "removed a code fence"),
    ] {
        assert_eq!(repairs(text), [repair], "{text}");
    }
    let message = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(
        message("{\n  \"é\" ?}"),
        "the JSON in the answer is broken at line 2, column 7: expected ':' after a key"
    );
    assert_eq!(
        message("x: {\n \"a\": [1,"),
        "the answer stops before its JSON is complete: the object opened at line 1, column 4 is not closed when the text ends at line 2, column 10"
    );
    for text in ["I can't.", "I am {really} sorry [sic]"] {
        assert_eq!(
            message(text),
            "the answer holds no JSON object or array",
            "a bracket in prose is no broken JSON"
        );
    }
    for (text, message_end) in [
        (r#"{"a": 1]"#, "column 8: expected ',' or '}' after a value"),
        (r#"["a":]"#, "column 5: expected ',' or ']' after a value"),
        ("[1```]", "column 3: expected ',' or ']' after a value"),
        (
            r#"{"a": "6", ...}"#,
            "column 12: \"...\" stands for something that was left out",
        ),
    ] {
        assert!(message(text).ends_with(message_end), "{}", message(text));
    }
    assert_eq!(
        message("[sic] sorry"),
        "the JSON in the answer is broken at line 1, column 2: expected a JSON value"
    );
}

#[test]
fn depth_is_limited_as_in_serde_json() {
    for depth in [126, 127, 128, 200] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let is_strict = serde_json::from_str::<Value>(&text).is_ok();
        assert_eq!(parse(&text, |_| true).is_ok(), is_strict, "{depth}");
        let mended = format!("{}1,{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&mended, |_| true).is_ok(), is_strict, "{depth}");
    }
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(|| {
            for open in ["[", "{\"a\":", "{'a':[", "[{a:", "{"] {
                assert!(parse(&open.repeat(50_000), |_| true).is_err());
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn more_than_a_million_values_are_rejected() {
    let many =
        [",0", "[],", "{\"a\":1},", "\"\" ", "1 ", "a:1,"].map(|piece| piece.repeat(1_000_001));
    for text in many {
        for text in [
            format!("[0{text}]"),
            format!("So: [\n0 {text}]"),
            format!("So: {{a: 1, b: [{text}], c: 'x'}}"),
        ] {
            assert!(parse(&text, |_| true).is_err(), "{} …", &text[..20]);
        }
    }
    let prose = "A sentence, and another one that has no comma in it. ".repeat(60_000);
    assert_eq!(
        parse(&format!("{prose}{{\"a\": 1}}"), |_| true)
            .unwrap()
            .value,
        json!({"a": 1})
    );
}

#[test]
fn a_text_that_is_quoted_as_a_whole_has_a_content() {
    for (text, content) in [
        (r#""{\"a\": 1}""#, Some(r#"{"a": 1}"#)),
        (r#"\"{\\\"a\\\": 1}\""#, Some(r#"{"a": 1}"#)),
        ("“{}”", Some("{}")),
        ("'[1,' + \"2]\"", Some("[1,2]")),
        ("\"\"", Some("")),
        ("{\"a\": \"b\"}", None),
        ("\"a\" is a word", None),
        ("\"a", None),
        (r#"\"a"#, None),
    ] {
        assert_eq!(quoted(text).as_deref(), content, "{text}");
    }
}

#[test]
fn an_answer_of_prose_tells_where_it_begins() {
    let prose = |text: &str| read(text).unwrap_err().prose;
    assert_eq!(prose("I can't."), Some(0));
    assert_eq!(prose("<think>x</think> I can't."), Some(16));
    assert_eq!(prose("<think>I can't."), None);
}

#[test]
fn the_work_is_counted() {
    let text = "{'a': 'x'}";
    assert!(parse_counted(text, |_| true).1 >= text.len());
}
