//! Word alignment, one rule for each test.

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

mod dates_and_times;
mod numbers;
mod texts;

use Status::{Absent, Derived, Exact, Fuzzy, Normalized};
use evidence::{Examples, Index, Kinds, LeafKind, OffsetUnit, Options, Span, Status};
use serde_json::{Value, json};

/// Status and text of each leaf.
fn align(text: &str, value: &Value) -> Vec<(Status, String, Vec<usize>)> {
    Index::new(text)
        .align(value, &Options::default())
        .into_iter()
        .map(|leaf| {
            (
                leaf.status,
                leaf.text,
                leaf.spans.iter().map(|span| span.start).collect(),
            )
        })
        .collect()
}

#[track_caller]
fn check(text: &str, value: Value, status: Status, there: &str) {
    let found = align(text, &json!([value]));
    assert_eq!(
        (found[0].0, found[0].1.as_str()),
        (status, there),
        "{value} in {text:?}"
    );
}

#[test]
fn choices_are_never_absent() {
    let kinds: Kinds = [("/*/mood", LeafKind::Choice), ("/*/note", LeafKind::Off)]
        .into_iter()
        .collect();
    let kind = |pointer: &str| kinds.kind(pointer);
    let options = Options {
        kind: Some(&kind),
        ..Options::default()
    };
    let value = json!([{"mood": "positive", "note": "made up", "ok": true}, {"mood": "NEGATIVE", "ok": null}]);
    let found = Index::new("A negative review").align(&value, &options);
    let found: Vec<_> = found
        .iter()
        .map(|leaf| (leaf.pointer.as_str(), leaf.status))
        .collect();
    assert_eq!(
        found,
        [
            ("/0/mood", Derived),
            ("/0/ok", Derived),
            ("/1/mood", Normalized)
        ]
    );
}

#[test]
fn repeated_values_take_their_mentions_in_order() {
    let found = align(
        "red, blue, red, green, red",
        &json!(["red", "red", "blue", "red", "red"]),
    );
    let starts: Vec<_> = found.iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!((starts[0], starts[2], starts[4]), (0, 5, 23), "{starts:?}");
    assert!(starts[1] == 11 || starts[3] == 11, "{starts:?}");
    let found = align(
        "red, blue, red, green, red",
        &json!(["red", "green", "red", "red"]),
    );
    let starts: Vec<_> = found.iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!(starts, [0, 16, 11, 23]);
}

#[test]
fn leaves_of_one_object_stand_together() {
    let text = "Ms. Lee (45, Oslo) met Mr. Ray (45, Oslo), who is 45, too, like Mx. Kim of Oslo.";
    let value = json!({"people": [{"name": "Ray", "age": 45, "city": "Oslo"}, {"name": "Kim", "city": "Oslo"}, {"name": "Lee", "age": 45}]});
    let starts: Vec<_> = align(text, &value).iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!(starts, [27, 32, 36, 68, 75, 4, 9]);
}

#[test]
fn offsets_in_every_unit() {
    let text = "😀 é: Zoë";
    for (unit, start, end) in [
        (OffsetUnit::CodePoint, 5, 8),
        (OffsetUnit::Utf16, 6, 9),
        (OffsetUnit::Byte, 9, 13),
    ] {
        let evidence = Index::new(text).align(
            &json!({"n": "Zoë"}),
            &Options {
                unit,
                ..Options::default()
            },
        );
        assert_eq!(evidence[0].spans, [Span { start, end }], "{unit:?}");
        let bytes = evidence[0].spans[0].convert(text, unit, OffsetUnit::Byte);
        assert_eq!(&text[bytes.range()], "Zoë");
    }
}

#[test]
fn absent_values_may_come_from_examples() {
    let example = json!({"name": "Jane Roe", "phone": "555-0199", "age": 41});
    let examples = Examples::new([("Jane Roe, 41, lives in Ulm.", &example)]);
    let options = Options {
        examples: Some(&examples),
        ..Options::default()
    };
    let value =
        json!({"name": "Jane Roe", "city": "Ulm", "phone": "555-0199", "age": 41, "job": "cook"});
    let found = Index::new("Nothing of it.").align(&value, &options);
    assert!(found.iter().all(|leaf| leaf.status == Absent));
    let from_example: Vec<_> = found.iter().map(|leaf| leaf.from_example).collect();
    assert_eq!(from_example, [true, true, true, true, false]);
}

#[test]
fn pointers_are_escaped() {
    let found = Index::new("x").align(&json!({"a/b": {"~": ["x"]}}), &Options::default());
    assert_eq!(found[0].pointer, "/a~1b/~0/0");
}

/// A note whose headings repeat words of its history in another case, as LangExtract's users have them.
const NOTE: &str = "History: reports headache on topiramate 50 mg, no asthma.\nHe stopped ibuprofen for hyperuricemia.\nPlan:\n\
    1. Headache, better. Raise topiramate to 75 mg.\n2. Hyperuricemia, mild. Continue allopurinol.\n";

#[test]
fn elements_of_a_list_follow_the_order_of_the_text() {
    let names = [
        "topiramate",
        "ibuprofen",
        "Headache",
        "topiramate",
        "Hyperuricemia",
        "allopurinol",
    ];
    let places = [
        "topiramate 50",
        "ibuprofen",
        "Headache",
        "topiramate to",
        "Hyperuricemia",
        "allopurinol",
    ];
    let expected: Vec<usize> = places
        .iter()
        .map(|place| NOTE.find(place).unwrap())
        .collect();
    let objects: Vec<Value> = names.iter().map(|name| json!({"text": name})).collect();
    for value in [json!(names), json!(objects), json!({"found": names})] {
        let found = align(NOTE, &value);
        let starts: Vec<usize> = found.iter().map(|leaf| leaf.2[0]).collect();
        assert_eq!(starts, expected, "{value}");
        assert!(found.iter().all(|leaf| leaf.0 == Exact), "{found:?}");
    }
}
