//! Hostile answers of the model: too deep, too wide, without end, full of beginnings, and with extreme numbers and characters.

use serde_json::{Value, json};

use super::{Siege, deep_array, deep_object, million_keys};
use crate::support::client::Answer;
use crate::support::fixture::person;
use crate::upstream::Reply;

/// Maximum memory for validating one hostile answer, beside the answer itself, in MiB.
const MIB: u64 = 96;

/// Starts a server whose model answers with `texts` in turn: to `[item-1]` with the first, and so on.
async fn siege(texts: Vec<String>) -> Siege {
    Siege::answering(move |call| {
        let text = call.item().and_then(|item| texts.get(item));
        text.map_or(Reply::Played, |text| Reply::Text(text.clone()))
    })
    .await
}

/// Asks for the answer of that number once.
async fn ask(siege: &Siege, what: &str, mib: u64, number: usize, more: Value) -> Answer {
    let body = json!({"input": person(number), "schema": {"type": "object"}, "max_attempts": 1});
    let body = crate::support::fixture::with(body, more).to_string();
    siege.attack(what, mib, siege.single(body).answer()).await
}

#[tokio::test]
async fn deeply_nested_answers_are_rejected_in_bounded_time() {
    let cut = |text: String| text[..text.len() / 2].to_owned();
    let kinds = [
        ("arrays in arrays", deep_array()),
        ("objects in objects", deep_object("a")),
        ("arrays left open", cut(deep_array())),
        ("objects left open", cut(deep_object("a"))),
        (
            "objects as a person writes them",
            "{a: ".repeat(100_000) + &"}".repeat(100_000),
        ),
        (
            "both, in prose",
            format!(
                "Sure! {} That is all.",
                "[{'a': ".repeat(100_000) + &"}]".repeat(100_000)
            ),
        ),
        ("closed too often", "}]".repeat(100_000)),
        ("in a code block", format!("```json\n{}\n```", deep_array())),
    ];
    let siege = siege(kinds.iter().map(|(_, text)| text.clone()).collect()).await;
    for mode in ["tools", "json_schema", "text"] {
        for (number, (what, _)) in kinds.iter().enumerate() {
            let answer = ask(
                &siege,
                &format!("{what}, {mode}"),
                MIB,
                number,
                json!({"mode": mode}),
            )
            .await;
            let problem = answer.problem(502, "extraction_failed");
            assert_eq!(
                problem["errors"].as_array().map(Vec::len),
                Some(1),
                "{what}: {}",
                problem["errors"]
            );
            println!("  {}", problem["errors"][0]["message"]);
            assert!(
                problem["raw"].as_str().unwrap().len() <= 64 * 1024,
                "{what}"
            );
        }
    }
    let wrapped = ask(
        &siege,
        "wrapped",
        MIB,
        0,
        json!({"schema": {"type": "array"}, "mode": "json_schema"}),
    )
    .await;
    wrapped.problem(502, "extraction_failed");
}

#[tokio::test]
async fn answers_with_a_million_keys_are_handled_in_bounded_time() {
    let zeros = format!("[{}0]", "0,".repeat(15_000_000));
    let keys = million_keys("\"a\"");
    let twice = format!(
        "{{\"a\": {}, \"b\": {}}}",
        million_keys("1"),
        million_keys("2")
    );
    let texts = vec![
        keys,
        twice,
        zeros,
        "{\"a\": 1} ".repeat(2_000_000),
        "{'a': 1} ".repeat(2_000_000),
        "{},".repeat(5_000_000),
    ];
    let siege = siege(texts).await;
    // The answer is held as the provider's bytes, as text, as values, and as the reply: 410 MiB.
    let answer = ask(&siege, "a million keys", 520, 0, json!({"mode": "tools"})).await;
    assert_eq!(
        answer.ok()["data"].as_object().map(serde_json::Map::len),
        Some(1_000_000)
    );
    for (what, number) in [("two million keys", 1), ("15 million zeros", 2)] {
        let problem = ask(&siege, what, 250, number, json!({"mode": "tools"}))
            .await
            .problem(502, "extraction_failed");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("more than 1000000 values"), "{message}");
    }
    for (what, number) in [
        ("two million answers", 3),
        ("two million mended answers", 4),
        ("five million empty answers", 5),
    ] {
        let answer = ask(&siege, what, 250, number, json!({"mode": "text"})).await;
        assert!(
            answer.status == 502 || answer.json()["data"].is_object(),
            "{what}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn answers_with_many_unclosed_brackets_are_handled_in_bounded_time() {
    let pieces = [
        "{",
        "[",
        "{\"",
        "{\"a",
        "{\"a\":",
        "{\"a\": \"",
        "{'a': '",
        "{a:",
        "[{",
        "[1,",
        "[\"",
        "\"",
        "'",
        "`",
        "```",
        "```json\n",
        "~~~\n",
        "<think>",
        "</think>",
        "<",
        "[THINK]",
        "\\",
        "\\u",
        "\\ud83d",
        "//",
        "/*",
        "#",
        ",",
        ":",
        "{}",
        "[]",
        "{]",
        "[}",
        "{\"a\":1}",
        "{'a':1},",
        "{\"a\": \"b\" c",
        "\u{201c}",
        "\"\"\"",
        "{\"a\": \"he said \"no\" ",
        "{\"a\": 1 /* ",
        "é",
        "\u{feff}",
        "\u{0}",
        "1 ",
        "-",
        "{\"a\":{\"b\":",
        "}, \"a\": ",
        "{\"a\": \"x\"}, \"b\": ",
        "{\"a\": ...",
        "...",
    ];
    let texts: Vec<_> = pieces
        .iter()
        .map(|piece| piece.repeat(400_000 / piece.len()))
        .collect();
    let siege = siege(texts).await;
    for (number, piece) in pieces.iter().enumerate() {
        let answer = ask(
            &siege,
            &format!("{piece:?}"),
            MIB,
            number,
            json!({"mode": "text"}),
        )
        .await;
        match answer.status.as_u16() {
            200 => assert!(answer.json()["data"].is_object()),
            _ => assert_eq!(answer.problem(502, "extraction_failed")["attempts"], 1),
        }
    }
}

#[tokio::test]
async fn extreme_numbers_in_answers_are_kept_exactly_or_rejected() {
    let kept = |number: &str| serde_json::from_str(number).ok();
    let kinds = [
        ("1e400", None),
        ("-1e400", None),
        ("1e99999999999999999999", None),
        ("NaN", Some(json!(null))),
        ("-Infinity", None),
        ("1e-400", kept("1e-400")),
        ("-0", kept("-0")),
        ("-0.0", Some(json!(-0.0))),
        (
            "9223372036854775808",
            Some(json!(9_223_372_036_854_775_808_u64)),
        ),
        ("-9223372036854775808", Some(json!(i64::MIN))),
        ("18446744073709551616", kept("18446744073709551616")),
        (
            "1000000000000000000000000000000",
            kept("1000000000000000000000000000000"),
        ),
        (
            "0x7fffffffffffffffffff",
            Some(json!("0x7fffffffffffffffffff")),
        ),
    ];
    let long = "9".repeat(1_000_000);
    let mut texts: Vec<_> = kinds
        .iter()
        .map(|(number, _)| format!("{{\"n\": {number}}}"))
        .collect();
    texts.extend([format!("{{\"n\": {long}}}"), format!("{{\"n\": 0.{long}}}")]);
    let siege = siege(texts).await;
    for (number, (what, expected)) in kinds.iter().enumerate() {
        let answer = ask(&siege, what, MIB, number, json!({"mode": "tools"})).await;
        match expected {
            Some(expected) => assert_eq!(&answer.ok()["data"]["n"], expected, "{what}"),
            None => _ = answer.problem(502, "extraction_failed"),
        }
    }
    let integer = json!({"schema": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 100}}}, "mode": "tools"});
    let answer = ask(&siege, "10^30 against a maximum", MIB, 11, integer)
        .await
        .problem(502, "extraction_failed");
    assert_eq!(answer["errors"][0]["pointer"], "/n", "{answer}");
    ask(
        &siege,
        "a million digits",
        MIB,
        kinds.len(),
        json!({"mode": "tools"}),
    )
    .await
    .problem(502, "extraction_failed");
    ask(
        &siege,
        "a million digits behind the point",
        MIB,
        kinds.len() + 1,
        json!({"mode": "tools"}),
    )
    .await
    .problem(502, "extraction_failed");
}

#[tokio::test]
async fn unusual_characters_in_answers_are_kept_exactly() {
    let kinds = [
        (
            "a NUL as it should be written",
            r#"{"a\u0000": "b\u0000c"}"#.to_owned(),
            json!({"a\0": "b\0c"}),
        ),
        (
            "a raw NUL",
            "{\"a\": \"b\0c\"}".to_owned(),
            json!({"a": "b\0c"}),
        ),
        (
            "every control character",
            format!(
                "{{\"a\": \"{}\"}}",
                (1..32).map(char::from).collect::<String>()
            ),
            json!({"a": (1..32).map(char::from).collect::<String>()}),
        ),
        (
            "a key twice",
            r#"{"a": 1, "a": 2}"#.to_owned(),
            json!({"a": 2}),
        ),
        (
            "a key twice, mended",
            r#"{"a": 1, "a": 2,}"#.to_owned(),
            json!({"a": 2}),
        ),
        (
            "half a surrogate",
            r#"{"a": "\ud800"}"#.to_owned(),
            json!({"a": "\u{fffd}"}),
        ),
        (
            "a noncharacter",
            "{\"a\": \"\u{ffff}\u{10ffff}\"}".to_owned(),
            json!({"a": "\u{ffff}\u{10ffff}"}),
        ),
        (
            "text that runs backwards",
            "{\"a\": \"\u{202e}dlrow\"}".to_owned(),
            json!({"a": "\u{202e}dlrow"}),
        ),
        (
            "a prototype",
            r#"{"__proto__": {"a": 1}, "constructor": 2}"#.to_owned(),
            json!({"__proto__": {"a": 1}, "constructor": 2}),
        ),
        (
            "a name for the inside of serde_json",
            r#"{"$serde_json::private::Number": "1"}"#.to_owned(),
            json!({"$serde_json::private::Number": "1"}),
        ),
        (
            "another",
            r#"{"$serde_json::private::RawValue": "{}"}"#.to_owned(),
            json!({"$serde_json::private::RawValue": "{}"}),
        ),
    ];
    let siege = siege(kinds.iter().map(|(_, text, _)| text.clone()).collect()).await;
    for (number, (what, _, expected)) in kinds.iter().enumerate() {
        let answer = ask(&siege, what, MIB, number, json!({"mode": "tools"})).await;
        // As text: the test's own reader takes some names for something else.
        assert!(
            answer.text().contains(&format!("\"data\":{expected},")),
            "{what}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn the_validation_retry_after_an_answer_with_many_errors_is_short() {
    let rows: Vec<_> = (0..100_000)
        .map(|n| json!({"name": n, "note": "x".repeat(20)}))
        .collect();
    let text = json!({"rows": rows}).to_string();
    let siege = siege(vec![text]).await;
    let row = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["age", "name"]});
    let schema = json!({"type": "object", "properties": {"rows": {"type": "array", "items": row}}});
    // The values of this answer and of the one before, and their faults: 200 to 260 MiB.
    let answer = ask(
        &siege,
        "200,000 faults",
        340,
        0,
        json!({"schema": schema, "max_attempts": 3, "mode": "tools"}),
    )
    .await;
    let problem = answer.problem(502, "extraction_failed");
    let faults = problem["errors"].as_array().unwrap().len();
    assert!((1..=20).contains(&faults), "{faults} faults are told");
    let log = siege.upstream.log();
    let asked: Vec<_> = log
        .calls
        .iter()
        .filter(|call| call.item() == Some(0))
        .map(|call| call.size_bytes())
        .collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|bytes| *bytes < 64 * 1024), "{asked:?}");
}
