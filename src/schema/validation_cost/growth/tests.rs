use serde_json::json;

use super::*;
use crate::schema::Schema;

fn compile(schema: &Value) -> Schema {
    Schema::compile(&schema.to_string()).unwrap()
}

fn evaluations(schema: &Value, instance: &Value) -> u64 {
    compile(schema).evaluations(instance)
}

/// Returns different numbers that are equal as `f64`.
fn alike(count: u64) -> Value {
    (0..count).map(|n| json!((1_u64 << 63) + n)).collect()
}

#[test]
fn a_keyword_costs_what_its_work_grows_with() {
    let nested = (0..100).scan(json!([]), |inner, _| {
        *inner = json!([inner]);
        Some(inner.clone())
    });
    let nested: Value = nested.collect();
    let numbers: Value = (0..1600).collect();
    let mixed: Vec<_> = (0..50).map(|n| json!([n, "a".repeat(500)])).collect();
    let names: Vec<_> = (0..1600).map(|n| format!("n{n}")).collect();
    let members: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), json!(1))).collect();
    let members = Value::from(members);
    let long = json!("a".repeat(100_000));
    let digits: Value = serde_json::from_str(&"7".repeat(10_000)).unwrap();
    for (schema, instance, least) in [
        (json!({"uniqueItems": true}), numbers.clone(), 100),
        (json!({"uniqueItems": true}), alike(390), 20_000),
        (json!({"uniqueItems": true}), nested, 5000),
        (json!({"const": numbers}), json!([]), 90),
        (json!({"enum": mixed}), json!([]), 90),
        (
            json!({"enum": (0..160).collect::<Vec<_>>()}),
            digits,
            20_000,
        ),
        (json!({"enum": ["a", "b"]}), long.clone(), 300),
        (json!({"required": names}), members.clone(), 120),
        (json!({"dependentRequired": {"a": names}}), members, 120),
        (json!({"maxLength": 100}), long.clone(), 300),
        (json!({"format": "uri"}), long.clone(), 3000),
        (json!({"format": "regex"}), long.clone(), 4_000_000),
        (json!({"format": "idn-hostname"}), long.clone(), 300_000),
        (
            json!({"contentMediaType": "application/json"}),
            long.clone(),
            20_000,
        ),
        (json!({"contentEncoding": "base64"}), long, 3000),
        (
            json!({"propertyNames": {"format": "regex"}}),
            json!({"a".repeat(10_000): 1}),
            40_000,
        ),
        (json!({}), json!({"a".repeat(100_000): 1}), 300),
    ] {
        let cost = evaluations(&schema, &instance);
        assert!(cost >= least, "{cost} of {least} for {schema:.100}");
    }
}

#[test]
fn what_is_usual_costs_little() {
    let words: Vec<_> = (0..100).map(|n| format!("a usual word {n}")).collect();
    let objects: Vec<_> = (0..3000)
        .map(|n| json!({"name": n, "list": [n, "a"]}))
        .collect();
    let floats: Vec<_> = (0..10_000).map(|n| f64::from(n) / 7.0).collect();
    let equal = vec![json!({"a": [1, "b"]}); 5000];
    for (schema, instance, most) in [
        (json!({"uniqueItems": true}), json!(words), 20),
        (json!({"uniqueItems": false}), json!(objects), 1),
        (json!({"uniqueItems": true}), json!(objects), 3000),
        (json!({"uniqueItems": true}), json!(floats), 5000),
        // The search for equal elements ends at once.
        (json!({"uniqueItems": true}), json!(equal), 5),
        (json!({"enum": words}), json!("a usual word 7"), 10),
        (json!({"const": "a"}), json!("a"), 1),
        (json!({"format": "date"}), json!("2026-01-01"), 1),
        (json!({"required": ["a", "b", "c"]}), json!({"a": 1}), 1),
        (json!({"required": words}), json!({}), 1),
    ] {
        let cost = evaluations(&schema, &instance);
        assert!(cost <= most, "{cost} of {most} for {schema:.100}");
    }
    let schema = compile(&json!({"uniqueItems": true, "items": {"enum": words}}));
    assert!(!schema.is_slow_for(4000) && schema.is_valid(&json!(words)));
    let faults = compile(&json!({"uniqueItems": true})).faults(&json!(equal));
    assert_eq!(faults.len(), 1);
    assert!(!faults[0].message.contains("bounded time"), "{faults:?}");
}

#[test]
fn many_searches_for_equal_elements_are_refused_or_off_the_worker() {
    let all = |count| json!({"allOf": vec![json!({"uniqueItems": true}); count]});
    let many = compile(&all(9000));
    let faults = many.faults(&(0..150_000).collect());
    assert!(faults[0].message.contains("bounded time"), "{faults:?}");
    let few = compile(&all(31));
    let numbers = alike(390);
    assert!(few.is_slow_for(numbers.to_string().len()));
    assert!(few.is_valid(&numbers));
}

#[test]
fn elements_that_jsonschema_compares_have_one_hash() {
    let hashes = RandomState::new();
    let hash = |value: Value| hash_of(&value, &hashes);
    for (one, other) in [
        (json!([]), json!([[], [[]]])),
        (json!([1, 2]), json!([[1], [2]])),
        (json!([1]), json!(1.0)),
        (json!(u64::MAX), json!(u64::MAX - 1)),
        (json!(false), json!(0)),
        (json!({}), json!([0])),
        (json!({"a": 1, "b": []}), json!({"b": [[]], "a": [1]})),
    ] {
        assert_eq!(hash(one.clone()), hash(other.clone()), "{one} {other}");
    }
    assert_ne!(hash(json!(1)), hash(json!(2)));
    assert_ne!(hash(json!("a")), hash(json!("b")));
}

#[test]
fn listed_values_cost_what_is_in_them() {
    assert_eq!(compared(&[json!("a"), json!(null)]), 0);
    assert_eq!(compared(&[json!(1), json!("a")]), 0);
    assert_eq!(compared(&[json!([1, [2]]), json!(1)]), 3);
}
