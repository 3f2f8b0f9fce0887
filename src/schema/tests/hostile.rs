//! Schemas and instances that were made to cost much. Each of these once took gigabytes, minutes, or the whole process.

use std::time::{Duration, Instant};

use super::*;

/// Long enough for a busy machine and a build without optimisation; what is tested here took minutes.
const SOON: Duration = Duration::from_secs(20);

/// Runs a test on a stack as small as those of the runtime's threads.
fn on_a_thread(test: impl FnOnce() + Send + 'static) {
    let begun = Instant::now();
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}

fn nested(levels: usize, leaf: Value, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(leaf, |inner, _| wrap(inner))
}

#[test]
fn recursion_is_measured_before_it_overflows_the_stack() {
    on_a_thread(|| {
        let wraps: [fn(Value) -> Value; 6] = [
            |inner| json!({"oneOf": [inner, {"type": "null"}]}),
            |inner| json!({"anyOf": [inner], "unevaluatedItems": false}),
            |inner| json!({"allOf": [inner, {}]}),
            |inner| json!({"not": inner}),
            |inner| json!({"if": true, "then": inner}),
            |inner| json!({"dependentSchemas": {"a": inner}}),
        ];
        for wrap in wraps {
            for leaf in [
                json!({"items": {"$ref": "#"}, "type": "string"}),
                json!({"additionalProperties": {"$ref": "#"}}),
            ] {
                let schema = compile(&nested(30, leaf, wrap)).unwrap();
                for instance in [
                    nested(126, json!([]), |inner| json!([inner])),
                    nested(126, json!({}), |inner| json!({"a": inner})),
                ] {
                    assert_eq!(
                        schema.faults(&instance).is_empty(),
                        schema.is_valid(&instance)
                    );
                }
            }
        }
    });
}

#[test]
fn faults_are_counted_before_they_are_collected() {
    on_a_thread(|| {
        let names: Vec<_> = (0..20_000).map(|n| format!("k{n}")).collect();
        let required = compile(&json!({"items": {"required": names}})).unwrap();
        let faults = required.faults(&vec![json!({}); 300_000].into());
        assert_eq!((faults.len(), &*faults[0].pointer), (1, "/0"));
        assert!(
            faults[0].message.contains("\"k0\" is a required property"),
            "{faults:?}"
        );

        let consts: Vec<_> = (0..9000)
            .map(|n| json!({"const": format!("k{n}")}))
            .collect();
        let choice = compile(&json!({"additionalProperties": {"anyOf": consts}})).unwrap();
        let many: serde_json::Map<_, _> = (0..400).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(
            choice.faults(&many.into())[0]
                .message
                .contains("too large to list its errors")
        );
        assert_eq!(
            choice.faults(&json!({"a": "x", "b": "k1", "c": 2})).len(),
            2,
            "of a few, each is reported"
        );

        let names = compile(
            &json!({"properties": {"q": {"$ref": "#"}}, "propertyNames": {"anyOf": consts}}),
        )
        .unwrap();
        let many: serde_json::Map<_, _> =
            (0..100_000).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(
            names.faults(&many.into())[0]
                .message
                .contains("bounded time")
        );

        let types = compile(&json!({"anyOf": vec![json!({"type": "string"}); 9000]})).unwrap();
        assert!(
            types.faults(&vec![1; 100_000].into())[0]
                .message
                .contains("too large to list its errors")
        );
        assert!(types.faults(&json!([1]))[0].message == "expected a string, got [1]");

        let values: Vec<_> = (0..40_000).map(|n| format!("value {n}")).collect();
        let not = compile(&json!({"items": {"not": {"enum": values}}})).unwrap();
        assert_eq!(not.faults(&vec!["value 7"; 10_000].into()).len(), 1);

        let each =
            compile(&json!({"allOf": vec![json!({"propertyNames": {"anyOf": vec![json!({"const": "a"}); 90]}}); 90]})).unwrap();
        let many: serde_json::Map<_, _> = (0..5000).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(
            each.faults(&many.into())[0]
                .message
                .contains("bounded time")
        );

        let below =
            compile(&json!({"additionalProperties": {"items": {"type": "integer"}}})).unwrap();
        let faults = below.faults(&json!({"k".repeat(400_000): vec!["x"; 2000]}));
        assert_eq!(
            (faults.len(), &*faults[0].pointer),
            (1, ""),
            "the place above, whose pointer is short"
        );
    });
}

#[test]
fn long_names_do_not_multiply() {
    let inner: serde_json::Map<_, _> = (0..10_000)
        .map(|n| (format!("a{n}"), json!({"type": "string"})))
        .collect();
    let error = refusal(&json!({"properties": {"k".repeat(400_000): {"properties": inner}}}));
    assert!(error.detail.contains("names that are too long"), "{error}");
    assert!(compile(&json!({"properties": {"k".repeat(400_000): {"type": "string"}}})).is_ok());
    let long = "k".repeat(400_000);
    let error = refusal(&json!({"properties": {long: {"type": "strin"}}}));
    assert_eq!(error.errors[0].pointer, "/properties");
}

#[test]
fn a_pattern_costs_what_it_is_large_and_the_text_is_long() {
    on_a_thread(|| {
        let text = json!("ab".repeat(1 << 19));
        for pattern in ["(?:a|b|ab){3000}[d-z]", "[ab]*a[ab]{1000}[d-z]"] {
            let large = compile(
                &json!({"properties": {"a": {"pattern": pattern}, "b": {"type": "string"}}}),
            )
            .unwrap();
            assert!(
                large.faults(&json!({"a": text}))[0]
                    .message
                    .contains("bounded time"),
                "{pattern}"
            );
            assert!(
                large.is_valid(&json!({"b": text})),
                "only what is matched counts: {pattern}"
            );
            assert!(
                large.faults(&json!({"a": "abab"}))[0]
                    .message
                    .contains("does not match"),
                "{pattern}"
            );
            assert!(large.is_slow_for(20_000), "{pattern}");
        }
        let patterns: serde_json::Map<_, _> = (0..200)
            .map(|n| (format!("(?:a|b|ab){{{}}}[d-z]", 50 + n % 50), json!({})))
            .collect();
        let named = compile(&json!({"patternProperties": patterns})).unwrap();
        let many: serde_json::Map<_, _> = (0..50_000)
            .map(|n| (format!("ab{n:b}"), json!(1)))
            .collect();
        assert!(
            named.faults(&many.into())[0]
                .message
                .contains("bounded time")
        );
        let small = compile(&json!({"items": {"pattern": "^[a-z]+@[a-z]+$"}})).unwrap();
        assert!(small.is_valid(&vec!["someone@example"; 10_000].into()));
        assert!(!small.is_slow_for(1000));
    });
}

#[test]
fn a_part_means_by_its_references_what_the_whole_means() {
    let mut seeming = serde_json::Map::new();
    let mut real = serde_json::Map::new();
    for level in 0..24 {
        let next = json!({"properties": {"a": {"$ref": format!("#/$defs/l{}", level + 1)}}});
        seeming.insert(format!("l{level}"), json!({}));
        real.insert(format!("l{level}"), json!({"anyOf": [next, next]}));
    }
    seeming.insert("l24".to_owned(), json!({}));
    real.insert("l24".to_owned(), json!({"type": "string"}));
    let inner = json!({"$id": "http://b/", "$defs": real, "$ref": "#/$defs/l0"});
    // References within the inner `$id` lead to its own definitions, which cost what they cost.
    let schema = compile(&json!({"$defs": seeming, "properties": {"q": inner}})).unwrap();
    let deep = (0..24).fold(json!("x"), |inner, _| json!({"a": inner}));
    assert!(
        schema.faults(&json!({"q": deep}))[0]
            .message
            .contains("bounded time")
    );
    for schema in [
        json!({"properties": {"const": {"$id": "x", "$ref": "#"}}}),
        json!({"properties": {"a": {"$id": "x", "$ref": "y"}}, "$defs": {"y": {"$id": "y", "$ref": "x"}}}),
    ] {
        assert!(
            refusal(&schema).detail.contains("comes back to itself"),
            "{schema}"
        );
    }
    for (schema, instance) in [
        (
            json!({"items": {"$schema": "https://json-schema.org/draft/2019-09/schema", "$id": "x", "type": "array",
                "items": {"$recursiveRef": "#"}}}),
            json!([[1]]),
        ),
        (json!({"items": {"$id": "x", "type": "string"}}), json!([1])),
        (
            json!({"$defs": {"a": {"$anchor": "x", "type": "string"}}, "items": {"$ref": "#x"}}),
            json!([1]),
        ),
    ] {
        assert!(
            compile(&schema).is_ok_and(|schema| !schema.is_valid(&instance)),
            "{schema}"
        );
    }
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#word"}},
        "definitions": {"w": {"$id": "#word", "type": "string"}}});
    assert!(!compile(&old).unwrap().is_valid(&json!({"a": 1})));
    let named = json!({"properties": {"const": {"$ref": "#/$defs/none"}}});
    assert_eq!(refusal(&named).errors[0].pointer, "/properties/const/$ref");
    let elsewhere = json!({"components": {"schemas": {"default": {"type": "string"}}}, "items": {"$ref": "#/components/schemas/default"}});
    assert!(!compile(&elsewhere).unwrap().is_valid(&json!([1])));
}

#[test]
fn what_a_bare_reference_leads_to_is_looked_at() {
    let fan_out = |levels: usize| {
        let mut definitions = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/definitions/l{}", level + 1)});
            definitions.insert(format!("l{level}"), json!({"anyOf": [next, next]}));
        }
        definitions.insert(format!("l{levels}"), json!({"type": "string"}));
        definitions.insert(
            "root".to_owned(),
            json!({"properties": {"a": {"$ref": "#/definitions/l0"}}}),
        );
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/root", "definitions": definitions})
    };
    assert!(refusal(&fan_out(15)).detail.contains("ways"));
    assert!(compile(&fan_out(5)).is_ok());
}

#[test]
fn numbers_beyond_all_are_refused_where_they_stand() {
    for (schema, at) in [
        (r#"{"maximum": 1e400}"#, "/maximum"),
        (
            r#"{"properties": {"a": {"enum": [1, -1e999]}}}"#,
            "/properties/a/enum/1",
        ),
    ] {
        let error = Schema::compile(schema).unwrap_err();
        assert_eq!(
            (error.code, &*error.errors[0].pointer),
            (Code::InvalidSchema, at)
        );
        assert!(error.detail.contains("64-bit"), "{error}");
    }
    for schema in [
        r#"{"multipleOf": 0}"#,
        r#"{"multipleOf": -0}"#,
        r#"{"multipleOf": 1e-400}"#,
        r#"{"minLength": -1}"#,
    ] {
        assert!(Schema::compile(schema).is_err(), "{schema}");
    }
    let odd = [
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(-0.0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e30),
        json!("a"),
    ];
    for keyword in [
        "multipleOf",
        "maximum",
        "exclusiveMinimum",
        "minLength",
        "maxItems",
        "minContains",
    ] {
        for number in [
            "1e30",
            "1000000000000000000000000000000",
            "18446744073709551616",
            "1e308",
        ] {
            let Ok(schema) = Schema::compile(&format!("{{\"{keyword}\": {number}}}")) else {
                continue;
            };
            for instance in &odd {
                assert_eq!(
                    schema.faults(instance).is_empty(),
                    schema.is_valid(instance),
                    "{keyword} {number} {instance}"
                );
            }
        }
    }
}

#[test]
fn a_long_value_is_not_quoted_whole() {
    let schema = compile(&json!({"type": "integer", "maxLength": 3})).unwrap();
    let faults = schema.faults(&json!("é".repeat(1 << 20)));
    for fault in &faults {
        assert!(fault.message.len() < 400, "{fault:?}");
    }
    assert!(
        faults
            .iter()
            .any(|fault| fault.message.starts_with("expected an integer")),
        "{faults:?}"
    );
}

#[test]
fn patterns_are_few_and_short() {
    let long = json!({"items": {"pattern": "a".repeat(9000)}});
    let error = refusal(&long);
    assert_eq!(error.errors[0].pointer, "/items/pattern");
    assert!(error.detail.contains("more than 8192 bytes"), "{error}");
    for bad in ["{", "\\cA", "{1", "["] {
        // Each is refused by its length, before it is parsed.
        let error = refusal(&json!({"patternProperties": {bad.repeat(100_000): {}}}));
        assert!(error.detail.contains("more than 8192 bytes"), "{error}");
    }
    let named = |count: usize| -> Value {
        let all = (0..count).map(|n| (format!("^{n}$"), json!({"pattern": "^a$"})));
        json!({"patternProperties": all.collect::<serde_json::Map<_, _>>()})
    };
    assert!(compile(&named(199)).is_ok());
    let error = refusal(&named(200));
    assert!(error.detail.contains("more than 200 different"), "{error}");
    // The same one may be used any number of times.
    let same = vec![json!({"pattern": "^[a-z]+$"}); 1000];
    assert!(compile(&json!({"prefixItems": same})).is_ok());
    // An example that looks like a schema is none, but few of them are tried.
    let like = |count: usize| -> Value {
        let all: Vec<_> = (0..count)
            .map(|n| json!({"pattern": format!("({n}")}))
            .collect();
        json!({"examples": all})
    };
    assert!(compile(&like(3)).is_ok());
    assert!(refusal(&like(100)).detail.contains("(4 is not a regular"));
}

#[test]
fn control_characters_are_one_kind_of_escape() {
    let many = compile(&json!({"pattern": format!("^{}$", r"\cA".repeat(2700))})).unwrap();
    assert!(many.is_valid(&json!("\u{1}".repeat(2700))));
    assert!(!many.is_valid(&json!("\u{1}".repeat(2699))));
}

#[test]
fn a_schema_of_many_properties_is_counted_by_those_that_are_there() {
    on_a_thread(|| {
        let names = (0..40_000).map(|n| (format!("p{n}"), json!(true)));
        let properties: serde_json::Map<_, _> = names.collect();
        let patterns = json!({"^a": {}, "^b": {}});
        let schema = compile(
            &json!({"properties": properties, "patternProperties": patterns, "items": {"$ref": "#"}}),
        );
        let schema = schema.unwrap();
        assert!(schema.is_valid(&vec![json!({}); 50_000].into()));
        assert!(schema.is_valid(&json!([{"p1": 1, "q": 2, "ab": 3}])));
    });
}

#[test]
fn all_that_is_tried_for_an_answer_shares_its_evaluations() {
    let schema = Schema::compile(r#"{"items": {"anyOf": [{"type": "string"}, {"minimum": 0}]}}"#);
    let (schema, value) = (schema.unwrap(), json!(vec![1; 50_000]));
    let evaluations = crate::schema::Evaluations::of_answer();
    let tried = (0..1000)
        .take_while(|_| schema.is_valid_within(&value, &evaluations))
        .count();
    assert!((20..200).contains(&tried), "{tried}");
    assert!(schema.is_valid(&value));
    assert!(
        !schema.is_valid_within(&value, &evaluations)
            && schema.is_valid_within(&json!([1]), &evaluations)
    );
    let evaluations = crate::schema::Evaluations::of_answer();
    let text = value.to_string();
    let tried = (0..1000)
        .take_while(|_| {
            let read = schema.parse_answer_within(&text, |value| value, false, &evaluations);
            assert!(read.is_ok_and(|read| read.faults.is_empty()));
            schema.is_valid_within(&value, &evaluations)
        })
        .count();
    assert!((10..100).contains(&tried), "{tried}");
}
