//! Promises that hold for every text and every value.

#![allow(
    clippy::needless_pass_by_value,
    reason = "a program of tests or measurements"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

use evidence::{Index, OffsetUnit, Options, Status};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

const PIECES: [&str; 80] = [
    "a",
    "b",
    "Anna",
    "anna",
    "ANNA",
    "Müller",
    "Mueller",
    "é",
    "e\u{301}",
    "ß",
    "ss",
    "İ",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "-",
    "-\n",
    "\u{ad}",
    ".",
    ",",
    ":",
    "/",
    "(",
    ")",
    "'",
    "’",
    "“",
    "”",
    "1",
    "30",
    "1,234.50",
    "1.234",
    "1 234",
    "０",
    "٣٠",
    "३०",
    "%",
    "k",
    "m",
    "million",
    "thirty",
    "five",
    "hundred",
    "January",
    "5",
    "2026",
    "-01-",
    "05",
    "14:30",
    "pm",
    "北京",
    "三十五",
    "年",
    "月",
    "日",
    "กำ",
    "क्षि",
    "न\u{94d}",
    "שָׁ",
    "وال",
    "👩‍👩‍👧",
    "👍🏽",
    "🇩🇪",
    "🇫",
    "1️⃣",
    "\u{200d}",
    "\u{301}",
    "@",
    "example.com",
    "https://www.",
    "#",
    "++",
    "+",
    "\u{10ae6}",
    "$",
    "€",
    "&",
    "T",
];

fn text() -> impl Strategy<Value = String> {
    let pieces =
        prop::collection::vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat());
    let spaced =
        prop::collection::vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.join(" "));
    prop_oneof![3 => pieces, 3 => spaced, 1 => any::<String>()]
}

fn leaf(text: String) -> impl Strategy<Value = Value> {
    let chars: Vec<char> = text.chars().collect();
    let part = (any::<prop::sample::Index>(), 0..12_usize).prop_map(move |(start, length)| {
        let start = start.index(chars.len() + 1);
        json!(chars.iter().skip(start).take(length).collect::<String>())
    });
    prop_oneof![
        4 => part,
        2 => prop::collection::vec(select(&PIECES[..]), 0..4).prop_map(|pieces| json!(pieces.join(" "))),
        1 => select(vec![json!(30), json!(1234.5), json!(35), json!(-5), json!(1.2e300), json!(true), json!(null)]),
        1 => select(vec![json!("2026-01-05"), json!("2026-01-05T14:30:00Z"), json!("14:30"), json!("+49 30 1234567")]),
    ]
}

fn case() -> impl Strategy<Value = (String, Value)> {
    text()
        .prop_flat_map(|text| {
            let list = prop::collection::vec(leaf(text.clone()), 0..8);
            (Just(text), list)
        })
        .prop_map(|(text, list)| {
            let nested: Vec<Value> = list
                .chunks(2)
                .map(|pair| json!({"a": pair[0], "b": pair.get(1)}))
                .collect();
            let value = json!({"list": list, "nested": nested});
            (text, value)
        })
}

fn check(text: &str, value: &Value) {
    let options = |unit| Options {
        unit,
        ..Options::default()
    };
    let index = Index::new(text);
    let evidence = index.align(value, &options(OffsetUnit::Byte));
    assert_eq!(
        evidence,
        index.align(value, &options(OffsetUnit::Byte)),
        "not deterministic"
    );
    let boundaries: Vec<usize> = text
        .grapheme_indices(true)
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    for leaf in &evidence {
        let value = value
            .pointer(&leaf.pointer)
            .expect("the pointer leads to a leaf");
        assert_eq!(
            leaf.spans.is_empty(),
            matches!(leaf.status, Status::Absent | Status::Derived),
            "{leaf:?}"
        );
        for span in &leaf.spans {
            assert!(span.start < span.end && span.end <= text.len(), "{leaf:?}");
            for at in [span.start, span.end] {
                assert!(
                    boundaries.binary_search(&at).is_ok(),
                    "{at} is inside a cluster of {text:?}: {leaf:?}"
                );
            }
        }
        for pair in leaf.spans.windows(2) {
            assert!(pair[0].end <= pair[1].start, "not in order: {leaf:?}");
        }
        let there: Vec<&str> = leaf.spans.iter().map(|span| &text[span.range()]).collect();
        assert_eq!(leaf.text, there.join(" … "));
        if leaf.status == Status::Exact {
            let wanted = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(leaf.text.trim(), wanted.trim(), "not exact");
        }
    }
    for unit in [OffsetUnit::CodePoint, OffsetUnit::Utf16] {
        for (leaf, bytes) in index.align(value, &options(unit)).iter().zip(&evidence) {
            for (span, bytes) in leaf.spans.iter().zip(&bytes.spans) {
                assert_eq!(span.convert(text, unit, OffsetUnit::Byte), *bytes);
                assert_eq!(bytes.convert(text, OffsetUnit::Byte, unit), *span);
            }
        }
    }
}

/// A sign that a combining mark follows is no part of the word before it.
#[test]
fn signs_with_combining_marks_are_not_cut() {
    for text in ["C#\u{10ae6}", "C++\u{301}", "C#\u{200d}"] {
        check(text, &json!(["C#", "C++", "C+", "C", text]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn spans_are_what_they_claim((text, value) in case()) {
        check(&text, &value);
    }

    /// A word of the text is found as it stands, whatever surrounds it.
    #[test]
    fn words_between_spaces_are_exact(before in "[a-z ]{0,20}", word in "[a-zA-Zäéøж北]{2,10}", after in "[a-z ]{0,20}") {
        let text = format!("{before} {word} {after}");
        let evidence = Index::new(&text).align(&json!(word), &Options::default());
        prop_assert_eq!(evidence[0].status, Status::Exact);
        prop_assert_eq!(&evidence[0].text, &word);
    }

    /// Every number is found as JSON writes it.
    #[test]
    fn numbers_are_exact(number in any::<i64>(), cents in any::<i32>()) {
        let amount = f64::from(cents) / 100.0;
        let text = format!("There are {number} for {} in all.", json!(amount));
        let evidence = Index::new(&text).align(&json!([number, amount]), &Options::default());
        prop_assert_eq!(evidence[0].status, Status::Exact, "{}", text);
        prop_assert_eq!(evidence[1].status, Status::Exact, "{}", text);
    }
}
