use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::VALUE_BYTES;

fn read(text: &str, list: Option<&[&str]>) -> Partial {
    let mut partial = Partial::new(
        list.map(|path| path.iter().map(ToString::to_string).collect()),
        true,
    );
    partial.push(text);
    partial
}

fn known(text: &str) -> Option<Value> {
    read(text, None).value()
}

fn finished(mut partial: Partial) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(finished) = partial.next_finished() {
        assert_eq!(finished.index, all.len());
        all.push(finished.value);
    }
    all
}

#[test]
fn strings_grow_and_numbers_appear_once_they_are_whole() {
    for (text, expected) in [
        ("", None),
        ("Sure, here it is:\n```json\n", None),
        ("{", Some(json!({}))),
        (r#"{"na"#, Some(json!({}))),
        (r#"{"name""#, Some(json!({}))),
        (r#"{"name": ""#, Some(json!({"name": ""}))),
        (r#"{"name": "Ad"#, Some(json!({"name": "Ad"}))),
        (r#"{"name": "Ad\u00"#, Some(json!({"name": "Ad"}))),
        (r#"{"name": "Ad\ud83e"#, Some(json!({"name": "Ad"}))),
        (r#"{"name": "Ad\ud83e\udd80"#, Some(json!({"name": "Ad🦀"}))),
        (r#"{"name": "Ada", "age": 3"#, Some(json!({"name": "Ada"}))),
        (
            r#"{"name": "Ada", "age": 36,"#,
            Some(json!({"name": "Ada", "age": 36})),
        ),
        (r#"{"name": "Ada", "on": tru"#, Some(json!({"name": "Ada"}))),
        (r#"{"tags": ["a", "b"#, Some(json!({"tags": ["a", "b"]}))),
        (
            r#"{"a": {"b": [1, {"c": "#,
            Some(json!({"a": {"b": [1, {}]}})),
        ),
        ("[1, 2", Some(json!([1]))),
        (
            "[\"a\", {\"b\": null}] and more",
            Some(json!(["a", {"b": null}])),
        ),
    ] {
        assert_eq!(known(text), expected, "{text}");
    }
}

#[test]
fn what_a_model_writes_besides_strict_json_is_read_too() {
    for (text, expected) in [
        (
            "{'name': 'Ada', age: 36, \"on\": True, }",
            json!({"name": "Ada", "age": 36, "on": true}),
        ),
        (
            "{\"a\": 1 // one\n, /* two */ \"b\": 2}",
            json!({"a": 1, "b": 2}),
        ),
        ("{\"a\": \"x\"\n \"b\": \"y\"}", json!({"a": "x", "b": "y"})),
        (
            "{\"a\": \"he said \"no\" twice\"}",
            json!({"a": "he said \"no\" twice"}),
        ),
        ("{\"a\": \"two\nlines\"}", json!({"a": "two\nlines"})),
        (
            "{\"a\": 1 /* a/b */, # two\n “b”: “x”, \"c\": False, \"d\": false}",
            json!({"a": 1, "b": "x", "c": false, "d": false}),
        ),
        (
            r#"{"a": "\n\t\r\b\f\"\\\/\'", "b": "\ud83dx \ud83d"}"#,
            json!({"a": "\n\t\r\u{8}\u{c}\"\\/'", "b": "\u{fffd}x \u{fffd}"}),
        ),
        (
            "<think>{\"a\": 0} or [2]?</think>{\"a\": 1}",
            json!({"a": 1}),
        ),
        (
            "[THINK]{}[/THINK] [see below] [ {\"a\": 1}]",
            json!([{"a": 1}]),
        ),
        ("As asked [1]: {\"a\": 1}", json!([1])),
        ("{, \"a\": 1,, \"b\": 2}", json!({"a": 1, "b": 2})),
    ] {
        assert_eq!(known(text), Some(expected), "{text}");
    }
    let mut object = Partial::new(None, false);
    object.push("As asked [1]: {\"a\": 1}");
    assert_eq!(
        object.value(),
        Some(json!({"a": 1})),
        "a list is not expected"
    );
}

#[test]
fn what_it_does_not_understand_makes_it_stand_still() {
    for (text, expected) in [
        ("{\"a\": 1, \"b\": }, \"c\": 2}", json!({"a": 1})),
        ("{\"a\": 1, \"b\": many, \"c\": 2}", json!({"a": 1})),
        ("{\"a\": 1, \"b\": many\"c\"", json!({"a": 1})),
        ("{\"a\": many\"", json!({})),
        ("{\"a\": 1, ?b: 2}", json!({"a": 1})),
        ("{\"a\": 1]", json!({"a": 1})),
        ("{\"a\": [1}, \"b\": 2}", json!({"a": [1]})),
        ("{\"a\": 1} {\"b\": 2}", json!({"a": 1})),
    ] {
        assert_eq!(known(text), Some(expected), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(known(&deep).is_some());
}

#[test]
fn each_element_of_the_list_is_told_when_it_is_finished() {
    let people =
        r#"{"note": ["x"], "people": [{"name": "Ada", "tags": ["a", "b"]}, {"name": "Bo"}, {"na"#;
    let expected = [
        json!({"name": "Ada", "tags": ["a", "b"]}),
        json!({"name": "Bo"}),
    ];
    assert_eq!(finished(read(people, Some(&["people"]))), expected);
    assert_eq!(finished(read(people, Some(&["value"]))), [] as [Value; 0]);
    assert_eq!(
        finished(read("[1, \"a\", [2], 3", Some(&[]))),
        [json!(1), json!("a"), json!([2])]
    );
    assert_eq!(
        finished(read(
            r#"{"value": {"people": [{"name": "Ada"}]}}"#,
            Some(&["value", "people"])
        )),
        [json!({"name": "Ada"})]
    );
}

/// Returns true if `later` contains all of `earlier`.
fn grows(earlier: &Value, later: &Value) -> bool {
    match (earlier, later) {
        (Value::String(earlier), Value::String(later)) => later.starts_with(earlier.as_str()),
        (Value::Array(earlier), Value::Array(later)) => {
            earlier.len() <= later.len()
                && earlier
                    .iter()
                    .zip(later)
                    .all(|(earlier, later)| grows(earlier, later))
        }
        (Value::Object(earlier), Value::Object(later)) => earlier
            .iter()
            .all(|(name, earlier)| later.get(name).is_some_and(|later| grows(earlier, later))),
        _ => earlier == later,
    }
}

fn container() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 64.0)),
        "\\PC{0,12}|[a-z \"'{}\\[\\]:,/#\\\\\n\t🦀]{0,16}".prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,8}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    value.prop_filter(
        "an object or a list of what is no literal without quotes",
        |value| match value {
            Value::Object(_) => true,
            Value::Array(items) => items
                .first()
                .is_none_or(|first| !matches!(first, Value::Null | Value::Bool(_))),
            _ => false,
        },
    )
}

proptest! {
    #[test]
    fn every_prefix_grows_into_the_next_and_the_last_is_the_value(value in container(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut partial = Partial::new(Some(Vec::new()), true);
        let mut before = None;
        for c in text.chars() {
            let knows_more = partial.push(c.encode_utf8(&mut [0; 4]));
            let now = partial.value();
            prop_assert!(knows_more || now == before, "{text}: {c} has given {now:?}");
            if let (Some(before), Some(now)) = (&before, &now) {
                prop_assert!(grows(before, now), "{text}: {before} then {now}");
            }
            before = now;
        }
        prop_assert_eq!(before.as_ref(), Some(&value));
        if let Value::Array(items) = value {
            prop_assert_eq!(finished(partial), items);
        }
    }

    #[test]
    fn any_text_in_any_pieces_is_read_alike(text in "(\\PC|[\\[\\]{}\"',:\\\\\n/*#<>a-z0-9]){0,80}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut at: Vec<_> = cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let mut pieces = Partial::new(Some(Vec::new()), true);
        for cut in at.windows(2) {
            pieces.push(&text[cut[0]..cut[1]]);
        }
        let whole = read(&text, Some(&[]));
        prop_assert_eq!(pieces.value(), whole.value());
        prop_assert_eq!(finished(pieces), finished(whole));
    }
}

#[test]
fn no_more_values_are_kept_than_a_complete_answer_may_have() {
    let mut partial = Partial::new(Some(Vec::new()), true);
    partial.push("[");
    partial.push(&"0,".repeat(MAX_VALUES + 10));
    assert_eq!(partial.listed().map(Vec::len), Some(MAX_VALUES));
    assert!(!partial.push("1]"));
    assert_eq!(partial.next_finished().map(|next| next.index), Some(0));
}

/// Returns how far all elements of a list were taken, one after each piece of text, with the largest memory.
fn taken_at_once(partial: &mut Partial, pieces: impl Iterator<Item = String>) -> (usize, usize) {
    let (mut taken, mut most) = (0, 0);
    for piece in pieces {
        partial.push(&piece);
        most = most.max(partial.bytes());
        while let Some(finished) = partial.next_finished() {
            assert_eq!(finished.index, taken);
            taken += 1;
        }
    }
    (taken, most)
}

#[test]
fn of_a_large_value_only_the_elements_are_kept_that_were_not_taken() {
    const MAX_BYTES: usize = 100_000;
    let start = r#"{"note": "a", "people": ["#.to_owned();
    let people = (0..10_000).map(|number| format!(r#"{{"n": {number}}},"#));
    let text: Vec<_> = std::iter::once(start).chain(people).collect();
    let list = Some(vec!["people".to_owned()]);
    let bounded = || Partial::new(list.clone(), false).with_max_bytes(MAX_BYTES);

    let mut partial = bounded();
    let (taken, most) = taken_at_once(&mut partial, text.iter().cloned());
    assert_eq!(taken, 10_000);
    assert!(most <= MAX_BYTES, "{most}");
    assert!(partial.value().is_none() && partial.bytes() < 2 * VALUE_BYTES);
    assert!(!partial.push(r#"{"n": "the next"#));

    // Without a list, and elements that nobody takes.
    let mut partial = Partial::new(None, false).with_max_bytes(MAX_BYTES);
    let (taken, most) = taken_at_once(&mut partial, text.iter().cloned());
    assert!(taken == 0 && most <= MAX_BYTES && partial.bytes() == 0);
    let mut partial = bounded();
    assert!(partial.push(&text.concat()[..1000]) && partial.value().is_some());
    assert!(!partial.push(&text.concat()[1000..]));
    let most = MAX_BYTES + VALUE_BYTES;
    assert!(partial.bytes() <= most, "{}", partial.bytes());
    let kept = finished(partial);
    assert!(kept.len() > MAX_BYTES / VALUE_BYTES / 4, "{}", kept.len());
    assert_eq!(kept.last(), Some(&json!({"n": kept.len() - 1})));

    // One string.
    let mut partial = bounded();
    partial.push(r#"{"people": ["a"], "note": ""#);
    assert!(!partial.push(&"b".repeat(MAX_BYTES)));
    assert!(partial.bytes() < 2 * VALUE_BYTES);
    assert_eq!(finished(partial), ["a"]);
}

proptest! {
    #[test]
    fn elements_are_the_same_wherever_the_value_is_given_up(
        items in prop::collection::vec(container(), 0..6), cut in any::<prop::sample::Index>(), taken in 0..3,
        around in prop::sample::select(vec![r#"{"a": {"x": [1]}, "l": #, "b": [2]}"#, r#"{"l": #}"#, "#"]),
    ) {
        let list = around.contains('l').then(|| "l".to_owned());
        let text = around.replace('#', &Value::from(items.clone()).to_string());
        let (before, after) = text.split_at(text.floor_char_boundary(cut.index(text.len() + 1)));
        let mut partial = Partial::new(Some(Vec::from_iter(list)), true);
        let mut all = Vec::new();
        partial.push(before);
        for _ in 0..taken {
            all.extend(partial.next_finished());
        }
        partial.shed();
        partial.push(after);
        all.extend(std::iter::from_fn(|| partial.next_finished()));
        let expected: Vec<_> = items.into_iter().enumerate().map(|(index, value)| Finished { index, value }).collect();
        prop_assert_eq!(all, expected, "{} | {}", before, after);
        prop_assert!(partial.bytes() < 10 * VALUE_BYTES);
    }
}

#[test]
fn elements_are_found_in_the_list_wherever_it_is() {
    let mut partial = Partial::new(Some(vec!["a".to_owned(), "b".to_owned()]), false);
    let mut all = Vec::new();
    for piece in [
        r#"{"x":[9],"a":{"b":[1"#,
        ",2,",
        "3",
        "]",
        r#","c":[8]"#,
        "}",
        r#","d":[7]}"#,
    ] {
        partial.push(piece);
        if piece != "3" {
            all.extend(partial.next_finished().map(|next| next.value));
        }
    }
    assert_eq!(all, [json!(1), json!(2), json!(3)]);
    assert!(!partial.has_finished());
}

#[test]
fn an_element_is_finished_until_it_is_taken() {
    for gives_up in [false, true] {
        let mut partial = read("[1, 2, 3", Some(&[]));
        assert!(!gives_up || partial.shed());
        for _ in 0..2 {
            assert!(partial.has_finished());
            assert!(partial.next_finished().is_some());
        }
        assert!(!partial.has_finished());
    }
}

#[test]
fn what_is_given_up_takes_no_memory_and_does_not_come_back() {
    let one = value_bytes(&json!(1));
    for (text, list, gives_up, kept, rest) in [
        // The value, then the element that is being written.
        (
            "[1, {\"a\": 2",
            Some(&[][..]),
            [true, true, false],
            1,
            "}, 3]",
        ),
        // No element may follow.
        ("[1]", Some(&[][..]), [false; 3], 1, "[2]"),
        ("[1, many,", Some(&[][..]), [false; 3], 1, "2, 3]"),
        ("{\"a\": [2", None, [false; 3], 0, ", 3]}"),
    ] {
        let mut partial = read(text, list);
        assert_eq!([(); 3].map(|()| partial.shed()), gives_up, "{text}");
        assert_eq!(partial.bytes(), kept * one, "{text}");
        assert!(!partial.push(rest), "{text}");
        assert_eq!(finished(partial).len(), kept, "{text}");
    }
    let mut outside = read(r#"{"note": {"x": [{"y": 2}"#, Some(&["people"]));
    assert!(outside.shed());
    assert_eq!(outside.bytes(), 0);
    outside.push(r#", 3, {"z": 4, "w": [5, "#);
    assert_eq!(outside.open.iter().map(Open::bytes).sum::<usize>(), 0);
    let mut complete = read("[1", Some(&[]));
    assert!(complete.shed());
    complete.push("]");
    assert!(!complete.shed());
}

#[test]
fn a_value_is_kept_up_to_the_limit_of_memory() {
    let text = r#"{"a": [1, "x"#;
    let needed = read(text, None).bytes();
    for (max_bytes, is_kept) in [(needed, true), (needed - 1, false)] {
        let mut partial = Partial::new(None, true).with_max_bytes(max_bytes);
        assert_eq!(partial.push(text), is_kept);
        assert_eq!(partial.value().is_some(), is_kept);
    }
}

#[test]
fn a_long_number_is_kept_up_to_400_characters() {
    for (digits, is_kept) in [(398, true), (399, false)] {
        let text = format!("[0.{},", "1".repeat(digits));
        assert_eq!(known(&text) != Some(json!([])), is_kept, "{digits}");
    }
}

#[test]
fn a_piece_of_text_that_adds_nothing_is_told_apart() {
    let mut partial = Partial::new(None, true);
    for (piece, knows_more) in [
        ("So: ", false),
        ("{", true),
        ("\"a", false),
        ("\":", false),
        (" ", false),
        ("\"", true),
        ("x", true),
        ("\",", false),
        ("\"b\": 1", false),
        ("}", true),
        (" ok", false),
    ] {
        assert_eq!(partial.push(piece), knows_more, "{piece}");
    }
}

#[test]
fn the_memory_is_that_of_values_keys_and_texts() {
    let value = json!({"ab": ["xyz", 12, null]});
    assert_eq!(value_bytes(&value), 6 * VALUE_BYTES + 7);
    for (element, bytes) in [
        (r#"["xyz", "#, VALUE_BYTES + 3),
        (r#"{"ab": "xyz", "#, 2 * VALUE_BYTES + 5),
        (r#"{"ab": ["xyz", 12, null]}"#, 6 * VALUE_BYTES + 7),
    ] {
        let mut partial = read(&format!("[{element}"), Some(&[]));
        assert!(partial.shed());
        assert_eq!(partial.bytes(), bytes, "{element}");
    }
}
