//! Of any value and any text: valid JSON comes out unchanged, nothing is mended twice, and the work is bounded.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::{Evaluations, ParsedAnswer, Schema, Whole};
use llm_json::answer::Repair;

/// Schemas in which everything that can be mended occurs.
fn schemas() -> Vec<Schema> {
    let item = json!({"type": "object", "required": ["id"], "additionalProperties": false, "properties": {
        "id": {"type": "integer"}, "kind": {"enum": ["a", "b", null]}, "on": {"type": "boolean"}, "text": {"type": "string"},
        "price": {"anyOf": [{"type": "number"}, {"type": "null"}]}, "tags": {"type": "array", "items": {"type": "string"}}}});
    let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}, "additionalProperties": false},
        {"type": "array", "items": {"$ref": "#/$defs/n"}}, {"type": "integer"}, {"type": "boolean"}]}}});
    let all = [
        item.clone(),
        json!({"type": "array", "items": item}),
        tree,
        json!({"type": "number"}),
        json!({"enum": ["a", "b", 1]}),
        json!({}),
    ];
    all.iter()
        .map(|schema| Schema::compile(&schema.to_string()).unwrap())
        .collect()
}

fn value() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("1,234"),
        Just("$5"),
        Just("3 or 4"),
        Just("yes"),
        Just("A"),
        Just("b."),
        Just("N/A"),
        Just(""),
        Just("[1]"),
        Just("{\"id\": 2}"),
        Just("x, y")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        words.prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("id"),
        Just("ID"),
        Just("kind"),
        Just("on"),
        Just("text"),
        Just("price"),
        Just("tags"),
        Just("a"),
        Just("b"),
        Just("data"),
        Just("arguments")
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let members = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn a_valid_value_comes_out_unchanged_and_a_mended_one_is_valid(value in value()) {
        for schema in schemas() {
            let text = value.to_string();
            let read = schema.parse_answer(&text, |value| value, true).unwrap();
            if schema.is_valid(&value) {
                prop_assert_eq!(&read.value.to_string(), &text);
                prop_assert!(read.repairs.is_empty());
            }
            if read.faults.is_empty() {
                prop_assert!(schema.is_valid(&read.value));
                let again = schema.parse_answer(&read.value.to_string(), |value| value, true).unwrap();
                prop_assert_eq!((again.value, again.repairs), (read.value, vec![]));
            } else {
                prop_assert_eq!(&read.value, &value, "a value that cannot be repaired is reported as it was written");
                prop_assert!(schema.parse_answer(&text, |value| value, false).is_ok_and(|read| !read.faults.is_empty()));
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in prop_oneof!["\\PC{0,60}", "[-{}\\[\\]\":,<>a-c1-3 \n.*/]{0,60}"]) {
        for schema in schemas() {
            let plain = schema.parse_answer(&text, |value| value, false);
            let mended = schema.parse_answer(&text, |value| value, true);
            if let Ok(read) = &plain && read.faults.is_empty() {
                prop_assert_eq!(Some(read), mended.as_ref().ok(), "a valid answer is changed");
            }
            if plain.is_err_and(|none| none.truncated) {
                let is_told = |read: &ParsedAnswer| read.left_open.is_some() || read.repairs.iter().any(|repair| *repair == Repair::ClosedObject.to_string());
                let is_closed = |read: ParsedAnswer| is_told(&read) && schema.is_valid(&read.value);
                prop_assert!(mended.is_err() || mended.is_ok_and(is_closed), "an answer that was cut off is taken");
            }
        }
    }
}

#[test]
fn the_work_is_bounded_by_the_size() {
    let schemas = schemas();
    let nested = |open: &str, depth: usize, close: &str| {
        format!("{}\"x\"{}", open.repeat(depth), close.repeat(depth))
    };
    let strings = (0..40).fold("1".to_owned(), |text, _| {
        if text.len() < 20_000 {
            format!("[{}]", json!(text))
        } else {
            text
        }
    });
    let texts = [
        nested("[", 100, "]"),
        nested("{\"a\": ", 100, "}"),
        nested("{\"a\": [", 60, "]}"),
        nested("{\"data\": ", 100, "}"),
        strings,
        format!(
            "[{}]",
            "{\"ID\": \"x\", \"a\": [\"y\"]},"
                .repeat(2000)
                .trim_end_matches(',')
        ),
        format!(
            "{{{}}}",
            (0..3000)
                .map(|n| format!("\"k{n}\": \"{n}\""))
                .collect::<Vec<_>>()
                .join(",")
        ),
    ];
    for text in texts {
        let value: Value = serde_json::from_str(&text).unwrap();
        for schema in &schemas {
            let (_, visits) = schema.coerced_counted(&value);
            assert!(
                visits <= 48 * text.len() + 4096,
                "{visits} visits for {} bytes",
                text.len()
            );
        }
    }
}

#[test]
fn long_enumerated_values_match_only_themselves() {
    let (short, long) = ("b c".to_owned(), "b ".repeat(1000) + "c");
    let schema = json!({"type": "array", "items": {"enum": ["a", short, long, 12, {"x": 1}]}});
    let compiled = Schema::compile(&schema.to_string()).unwrap();
    let coerced = |value: Value| {
        let coerced = compiled.coerced(&json!([value]), Whole::Yes, &Evaluations::of_answer());
        coerced.map(|coerced| coerced.value[0].clone())
    };
    assert!(compiled.is_valid(&json!([long])));
    assert_eq!(coerced(json!("B-C")), Some(json!("b c")));
    assert_eq!(
        coerced(json!("I would say B c, at last")),
        Some(json!("b c"))
    );
    assert_eq!(coerced(json!("12.0")), Some(json!(12)));
    assert_eq!(coerced(json!(long.to_uppercase())), None);
    // The forms of the enumerated values are computed once, off the workers.
    let large = json!({"enum": ["a", "b".repeat(100_000)]});
    let large = Schema::compile(&large.to_string()).unwrap();
    assert!(large.is_slow_to_coerce(10) && compiled.is_slow_to_coerce(2000));
    assert!(!compiled.is_slow_to_coerce(500));
}

#[test]
fn what_is_copied_and_compared_counts() {
    let visits = |schema: Value, value: &Value| {
        let schema = Schema::compile(&schema.to_string()).unwrap();
        let (coerced, visits) = schema.coerced_counted(value);
        (coerced.is_some(), visits)
    };
    // A renamed member copies the others, for each branch.
    let value = json!({"ID": 1, "rest": vec![0; 5000]});
    let branch = |n| json!({"properties": {"id": {"maximum": 1000 + n}}, "required": ["id"]});
    let branches: Vec<_> = (0..50).map(branch).collect();
    let (is_coerced, spent) = visits(json!({"type": "object", "anyOf": branches}), &value);
    assert!(is_coerced && spent > 50 * 1000, "{spent}");
    // A constant that is meant by its title is copied for each element.
    let large = json!(vec![1; 2000]);
    let words =
        json!({"anyOf": [{"title": "one", "const": large}, {"title": "two", "const": [2]}]});
    let list = json!({"type": "array", "items": words});
    let (is_coerced, spent) = visits(list.clone(), &json!(["one", "two"]));
    assert!(is_coerced && spent > 500, "{spent}");
    assert!(!visits(list, &json!(vec!["one"; 100])).0);
    // Each number is compared with all enumerated ones, digit by digit.
    let digits: Vec<Value> = (100..200)
        .map(|n| serde_json::from_str(&format!("{n}.{}", "1".repeat(900))).unwrap())
        .collect();
    let list = json!({"type": "array", "items": {"enum": digits}});
    assert!(visits(list, &json!([7])).1 > 100 * 900 / 32);
    // A text within an object is parsed once for each branch.
    let value = json!({"data": format!("[{}", "x".repeat(20_000))});
    let branches: Vec<_> = (0..50)
        .map(|n| json!({"type": "object", "required": [format!("a{n}")]}))
        .collect();
    assert!(visits(json!({"anyOf": branches}), &value).1 > 50 * 20_000 / 32);
}
