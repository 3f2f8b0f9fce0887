use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::long_work::take_all_permits;
use crate::types::{Content, Rule};

const CALLER: CallerId = CallerId(7);

struct Case<'t> {
    schema: Value,
    text: &'t str,
    rules: Vec<Rule>,
}

impl<'t> Case<'t> {
    fn new(schema: Value, text: &'t str) -> Self {
        Self {
            schema,
            text,
            rules: Vec::new(),
        }
    }

    fn run<T>(&self, mode: Grounding, work: impl FnOnce(Grounder<'_>) -> T) -> T {
        let schema = Schema::compile(&self.schema.to_string()).unwrap();
        let rules = Rules::compile(self.rules.clone()).unwrap();
        let settings = GroundingSettings::new(mode, OffsetUnit::CodePoint, &[]);
        work(Grounder {
            schema: &schema,
            rules: &rules,
            settings: &settings,
            text: self.text,
        })
    }

    /// Returns the data after `drop`, and the repairs.
    fn dropped(&self, data: Value) -> (Value, Vec<String>) {
        self.run(Grounding::Drop, |grounder| {
            let mut ending = succeeded(data);
            let grounding = grounder.ground(&mut ending, CALLER);
            assert!(grounding.now_or_never().flatten().is_some());
            let ItemOutcome::Succeeded(success) = ending else {
                panic!("{ending:?}")
            };
            assert!(grounder.schema.is_valid(&success.data));
            (Value::clone(&success.data), success.repairs)
        })
    }

    fn errors(&self, data: &Value) -> Vec<(String, String)> {
        let errors = self.run(Grounding::Require, |grounder| grounder.errors(data));
        errors
            .into_iter()
            .map(|error| (error.pointer.into(), error.message.into()))
            .collect()
    }
}

fn succeeded(data: Value) -> ItemOutcome {
    ItemOutcome::Succeeded(Success {
        data: data.into(),
        model: "p/m".into(),
        repairs: Vec::new(),
        cached: false,
    })
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "age": {"type": ["integer", "null"]}, "phone": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}}, "city": {"type": "string"},
        },
        "required": ["name", "age", "city"], "additionalProperties": false,
    })
}

#[test]
fn an_absent_value_is_removed_as_the_schema_allows() {
    let case = Case::new(person(), "Anna likes tea.");
    let data = json!({"name": "Anna", "age": 30, "phone": "555-0100", "tags": ["gin", "tea", "rum"], "city": "Rome"});
    let (data, repairs) = case.dropped(data);
    assert_eq!(
        data,
        json!({"name": "Anna", "age": null, "tags": ["tea"], "city": "Rome"}),
        "a required string stays"
    );
    assert_eq!(
        repairs,
        [
            "/age: replaced by null: 30 does not stand in the text",
            "/phone: left out: \"555-0100\" does not stand in the text",
            "/tags/0: left out: \"gin\" does not stand in the text",
            "/tags/2: left out: \"rum\" does not stand in the text",
        ]
    );
}

#[test]
fn an_invented_object_is_removed_as_a_whole() {
    let schema = json!({
        "type": "object",
        "properties": {
            "people": {"type": "array", "items": person()},
            "address": {"type": "object", "properties": {"street": {"type": "string"}}},
            "contact": {"type": "object", "properties": {"phone": {"type": "string"}, "by": {"enum": ["mail", "phone"]}}},
            "boss": {"anyOf": [person(), {"type": "null"}]},
        },
        "required": ["people", "boss"],
    });
    let case = Case::new(schema, "Anna, 30, lives in Rome.");
    let anna = json!({"name": "Anna", "age": 30, "city": "Rome"});
    let bob = json!({"name": "Bob", "age": 41, "city": "Oslo"});
    let (data, repairs) = case.dropped(json!({
        "people": [bob, anna, bob], "address": {"street": "Elm Street"},
        "contact": {"phone": "555-0100", "by": "mail"}, "boss": bob,
    }));
    assert_eq!(
        data,
        json!({"people": [anna], "contact": {"by": "mail"}, "boss": null})
    );
    assert_eq!(repairs.len(), 5, "{repairs:?}");
}

#[test]
fn an_object_of_which_a_value_stands_in_the_text_stays() {
    let case = Case::new(
        json!({"type": "array", "items": person()}),
        "Anna is here. Eve, 41, of Rome.",
    );
    let data = json!([
        {"name": "Anna", "age": 30, "city": "Paris"}, {"name": "Eve", "age": 41, "city": "Rome"},
        {"name": "Anna", "age": null, "city": "Rome"},
    ]);
    let (data, _) = case.dropped(data);
    assert_eq!(
        data[0],
        json!({"name": "Anna", "age": null, "city": "Paris"})
    );
    assert_eq!(data.as_array().map(Vec::len), Some(3));
}

#[test]
fn what_the_schema_or_a_rule_needs_stays() {
    let schema = json!({"type": "array", "items": {"type": "string"}, "minItems": 2});
    let case = Case::new(schema, "tea");
    let (data, repairs) = case.dropped(json!(["gin", "tea", "rum"]));
    assert_eq!((data, repairs.len()), (json!(["gin", "tea"]), 1));

    let mut case = Case::new(person(), "Anna of Rome");
    case.rules.push(Rule {
        expression: "has(data.phone)".to_owned(),
        message: "a phone is needed".to_owned(),
    });
    let data = json!({"name": "Anna", "age": 3, "phone": "555-0100", "city": "Rome"});
    let (data, repairs) = case.dropped(data);
    assert_eq!(
        data,
        json!({"name": "Anna", "age": null, "phone": "555-0100", "city": "Rome"})
    );
    assert_eq!(repairs.len(), 1);
}

#[test]
fn a_root_that_is_no_object_may_become_null() {
    let case = Case::new(json!({"type": ["string", "null"]}), "tea");
    let (data, repairs) = case.dropped(json!("gin"));
    assert_eq!(data, Value::Null);
    let expected = "the whole value: replaced by null: \"gin\" does not stand in the text";
    assert_eq!(repairs, [expected]);
    let case = Case::new(json!({"type": "string"}), "tea");
    assert_eq!(case.dropped(json!("gin")), (json!("gin"), vec![]));
}

#[test]
fn the_order_of_members_survives_trials() {
    let schema = json!({"type": "object", "required": ["b", "c"]});
    let case = Case::new(schema, "x");
    let data = json!({"a": "one", "b": "two", "c": "x", "d": "four", "e": "x"});
    let (data, _) = case.dropped(data);
    assert_eq!(data.to_string(), r#"{"b":null,"c":"x","e":"x"}"#);
}

#[test]
fn parts_without_grounding_and_choices_are_never_removed() {
    let schema = json!({
        "type": "object",
        "properties": {
            "summary": {"type": "string", "x-extractd-grounding": "off"}, "mood": {"enum": ["happy", "sad"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {
                "note": {"type": "string", "x-extractd-grounding": "off"}, "name": {"type": "string"}}}},
        },
    });
    let case = Case::new(schema, "Anna");
    let data =
        json!({"summary": "A name.", "mood": "sad", "list": [{"note": "invented", "name": "Bob"}]});
    let (data, _) = case.dropped(data);
    assert_eq!(
        data,
        json!({"summary": "A name.", "mood": "sad", "list": [{"note": "invented"}]})
    );
}

#[test]
fn an_error_names_the_value_and_asks_for_what_the_schema_allows() {
    let schema = json!({
        "type": "object",
        "properties": {
            "age": {"type": ["integer", "null"]}, "phone": {"type": ["string", "null"]}, "fax": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}}, "name": {"type": "string"},
        },
        "required": ["age", "name"],
    });
    let case = Case::new(schema, "Nothing is said here.");
    let data =
        json!({"age": 30, "phone": "555-0100", "fax": "555-0101", "tags": ["gin"], "name": "Bob"});
    let errors = case.errors(&data);
    let expected = [
        ("/age", "30 does not stand in the text; give null"),
        (
            "/phone",
            "\"555-0100\" does not stand in the text; give null, or leave this field out",
        ),
        (
            "/fax",
            "\"555-0101\" does not stand in the text; leave this field out; do not give null",
        ),
        (
            "/tags/0",
            "\"gin\" does not stand in the text; leave this element out",
        ),
        (
            "/name",
            "\"Bob\" does not stand in the text; give null or leave it out where the schema allows it, else give what the text states",
        ),
    ];
    let expected = expected.map(|(place, message)| (place.to_owned(), message.to_owned()));
    assert_eq!(errors, expected);
}

#[test]
fn work_is_long_by_the_text_and_the_number_of_values() {
    let bytes = |text: &str, value: Value| {
        let case = Case::new(json!({}), text);
        let piece = case.run(Grounding::Report, |grounder| grounder.piece(&value, CALLER));
        piece.map(|piece| piece.bytes)
    };
    assert_eq!(bytes("seven words", json!({"a": 1, "b": "x"})), None);
    let long = "a".repeat(10_000);
    assert_eq!(bytes(&long, json!({})), Some(10_000));
    assert_eq!(bytes("a", json!(vec![1; 100])), Some(1 + 100 * 128));
    assert!(bytes("a", json!(long)).is_some());
    let most = bytes("a", json!(vec![1; 100_000])).unwrap();
    assert_eq!(most, 1 + (MAX_COUNTED_VALUES + 1) * BYTES_PER_VALUE);
}

#[test]
fn work_is_long_by_the_trials_of_what_is_absent() {
    let case = Case::new(person(), "Anna likes tea.");
    let few =
        json!({"name": "Anna", "age": 30, "phone": "555-0100", "tags": ["gin"], "city": "Rome"});
    let tags: Vec<_> = (0..50).map(|number| format!("tag {number}")).collect();
    let many = json!({"name": "Anna", "age": 30, "tags": tags, "city": "Rome"});
    let is_long = |mode, value: &Value, absent| {
        case.run(mode, |grounder| {
            assert!(grounder.piece(value, CALLER).is_none());
            let removal = grounder.removal_piece(value, absent, CALLER).is_some();
            let element = grounder.element_piece(value, CALLER).is_some();
            let errors = grounder.is_slow_for(&value.to_string());
            (removal, element, errors)
        })
    };
    assert_eq!(is_long(Grounding::Drop, &few, 3), (false, false, false));
    assert_eq!(is_long(Grounding::Drop, &many, 50), (true, true, true));
    assert_eq!(is_long(Grounding::Report, &many, 0), (false, false, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_waits_for_its_turn_and_short_work_does_not() {
    let release = take_all_permits(CALLER);
    let grounded = async |text: &str| {
        let schema = Schema::compile(&person().to_string()).unwrap();
        let grounder = Grounder {
            schema: &schema,
            rules: &Rules::default(),
            settings: &GroundingSettings::new(Grounding::Drop, OffsetUnit::CodePoint, &[]),
            text,
        };
        let data = json!({"name": "Anna", "age": 3, "phone": "555", "city": "Rome"});
        let evidence = grounder.ground(&mut succeeded(data), CALLER).await;
        evidence.map_or(0, |evidence| evidence.len())
    };
    assert_eq!(grounded("Anna of Rome").now_or_never(), Some(2));
    let text = format!("Anna of Rome. {}", "tea ".repeat(5_000));
    let mut long = Box::pin(grounded(&text));
    assert_eq!(long.as_mut().now_or_never(), None);
    drop(release);
    let limit = std::time::Duration::from_secs(30);
    assert_eq!(tokio::time::timeout(limit, long).await, Ok(2));
}

#[test]
fn an_absent_value_of_an_example_is_marked() {
    let example = Example {
        input: Content("Ada, 36".to_owned()),
        output: json!({"name": "Ada", "age": 36}),
    };
    let settings = GroundingSettings::new(Grounding::Report, OffsetUnit::CodePoint, &[example]);
    let schema = Schema::compile("{}").unwrap();
    let grounder = Grounder {
        schema: &schema,
        rules: &Rules::default(),
        settings: &settings,
        text: "Grace",
    };
    let evidence =
        grounder.evidence(&json!({"name": "Ada", "age": 36, "other": "Bob", "it": "Grace"}));
    let marks: Vec<_> = evidence.iter().map(|leaf| leaf.from_example).collect();
    assert_eq!(marks, [true, true, false, false]);
}
