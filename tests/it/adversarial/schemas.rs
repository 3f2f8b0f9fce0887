//! Schemas that were made to cost much: by what they refer to, how they multiply, and what they ask of an answer.

use serde_json::{Map, Value, json};

use super::{EXTRACT, JSON, NDJSON, SOON, Siege};
use crate::support::client::{check_pointer, within};
use crate::support::fixture::{encoded, person};
use crate::upstream::Reply;

/// Maximum memory for a hostile schema, in MiB: most of it is the request itself, as text, as a value and compiled.
const MIB: u64 = 96;

/// Returns a ring of references through `levels` definitions, each by way of `wrap`.
fn ring(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    let definition =
        |level: usize| wrap(json!({"$ref": format!("#/$defs/d{}", (level + 1) % levels)}));
    let definitions: Map<_, _> = (0..levels)
        .map(|level| (format!("d{level}"), definition(level)))
        .collect();
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

/// Returns a schema in which each level leads to the next twice, by way of `wrap`.
fn doubling(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = wrap(json!({"$ref": format!("#/$defs/d{}", level + 1)}));
        definitions.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert(format!("d{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

fn nested(levels: usize, inner: Value, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(inner, |inner, _| wrap(inner))
}

#[tokio::test]
async fn hostile_schemas_are_rejected_at_admission() {
    let siege = Siege::begin().await;
    let kinds = [
        (
            "a remote reference",
            json!({"$ref": "https://example.com/a.json"}),
        ),
        (
            "a remote reference to this machine",
            json!({"items": {"$ref": "http://127.0.0.1:1/a.json"}}),
        ),
        (
            "a remote dynamic reference",
            json!({"$dynamicRef": "https://example.com/a.json#x"}),
        ),
        (
            "a remote reference deep inside",
            nested(
                50,
                json!({"$ref": "file:///etc/passwd"}),
                |inner| json!({"items": inner}),
            ),
        ),
        ("a ring of one", json!({"$ref": "#"})),
        (
            "a ring of one, dynamic",
            json!({"$dynamicAnchor": "x", "$dynamicRef": "#x"}),
        ),
        ("a ring of 1000", ring(1000, |next| next)),
        (
            "a ring through allOf",
            ring(3, |next| json!({"allOf": [next]})),
        ),
        ("a ring through not", ring(3, |next| json!({"not": next}))),
        (
            "a ring through if",
            ring(3, |next| json!({"if": true, "then": next})),
        ),
        (
            "a ring through dependentSchemas",
            ring(3, |next| json!({"dependentSchemas": {"a": next}})),
        ),
        (
            "a chain of 20,000",
            ring(20_000, |next| json!({"allOf": [next], "title": "a"})),
        ),
        ("exponential fan-out", doubling(60, |next| next)),
        (
            "an id within",
            json!({"properties": {"a": {"$id": "https://b.example/", "$ref": "#"}}}),
        ),
        (
            "500,000 values of an enum",
            json!({"enum": (0..500_000).collect::<Vec<_>>()}),
        ),
        (
            "500,000 texts of an enum",
            json!({"enum": (0..500_000).map(|n| format!("value {n}")).collect::<Vec<_>>()}),
        ),
        (
            "60,000 values of an enum, which fit into a megabyte",
            json!({"items": {"enum": (0..60_000).collect::<Vec<_>>()}}),
        ),
        (
            "a pattern that multiplies",
            json!({"pattern": "(((a{1,100}){1,100}){1,100}){1,100}"}),
        ),
        (
            "a pattern of properties that multiplies",
            json!({"patternProperties": {"((a{1,1000}){1,1000}){1,1000}": {}}}),
        ),
        (
            "a pattern of a megabyte",
            json!({"pattern": "a".repeat(1 << 20)}),
        ),
        (
            "a long name above many",
            json!({"properties": {"k".repeat(400_000): {"properties":
            (0..10_000).map(|n| (format!("a{n}"), json!({}))).collect::<Map<_, _>>()}}}),
        ),
    ];
    for (what, schema) in kinds {
        let text = schema.to_string();
        let problem = siege
            .refused(what, MIB, siege.with_schema(&text), 422, "invalid_schema")
            .await;
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        let below = pointer
            .strip_prefix("/schema")
            .unwrap_or_else(|| panic!("{pointer} is in the schema"));
        assert!(
            schema.pointer(below).is_some(),
            "{what}: {pointer} is there"
        );
        let problem = siege
            .refused(what, MIB, siege.put("hostile", text), 422, "invalid_schema")
            .await;
        check_pointer(&problem, below);
    }
    let query = format!(
        "/v1/extract/batch?schema={}",
        encoded(&ring(5, |next| next).to_string())
    );
    siege
        .refused(
            "in a query",
            MIB,
            siege.post(&query, NDJSON, "\"Ada\"\n"),
            422,
            "invalid_schema",
        )
        .await;
    assert_eq!(siege.calls(), 0);
    siege
        .server
        .get("/v1/schemas/hostile")
        .await
        .problem(404, "not_found");
}

/// Sends the output of an example, which is validated with no model asked.
async fn example(siege: &Siege, what: &str, schema: &Value, output: &Value, words: &str) {
    let body = json!({"input": "Ada", "schema": schema, "examples": [{"input": "a", "output": output}], "mode": "tools"});
    let problem = siege
        .refused(
            what,
            256,
            siege.post(EXTRACT, JSON, body.to_string()),
            422,
            "invalid_request",
        )
        .await;
    assert!(
        problem["detail"].as_str().unwrap().contains(words),
        "{what}: {problem}"
    );
    for error in problem["errors"].as_array().unwrap() {
        let below = error["pointer"]
            .as_str()
            .unwrap()
            .strip_prefix("/examples/0/output")
            .expect("it is in the output");
        assert!(output.pointer(below).is_some(), "{what}: {below} is there");
    }
}

#[tokio::test]
async fn validating_an_example_against_a_hostile_schema_is_bounded() {
    let siege = Siege::begin().await;
    let one_of = |levels| {
        nested(
            levels,
            json!({"items": {"$ref": "#"}, "type": "string"}),
            |inner| json!({"oneOf": [inner, {"type": "null"}]}),
        )
    };
    let deep = |levels| nested(levels, json!([]), |inner| json!([inner]));
    example(
        &siege,
        "recursion",
        &one_of(30),
        &deep(120),
        "nested too deeply",
    )
    .await;
    example(
        &siege,
        "recursion that is not too deep",
        &one_of(5),
        &deep(10),
        "oneOf",
    )
    .await;

    let twice = doubling(25, |next| json!({"properties": {"a": next}}));
    let path = nested(25, json!(1), |inner| json!({"a": inner}));
    example(&siege, "2^25 ways", &twice, &path, "bounded time").await;

    let names: Vec<_> = (0..20_000).map(|n| format!("k{n}")).collect();
    let missing = json!({"items": {"required": names}});
    example(
        &siege,
        "very many faults",
        &missing,
        &vec![json!({}); 200_000].into(),
        "is a required property",
    )
    .await;

    let consts: Vec<_> = (0..9000)
        .map(|n| json!({"const": format!("k{n}")}))
        .collect();
    let choice = json!({"additionalProperties": {"anyOf": consts}});
    let members: Map<_, _> = (0..400).map(|n| (n.to_string(), json!("x"))).collect();
    example(
        &siege,
        "very many branches",
        &choice,
        &members.into(),
        "too large to list its errors",
    )
    .await;

    let choice = json!({"properties": {"q": {"$ref": "#"}}, "propertyNames": {"anyOf": consts}});
    let members: Map<_, _> = (0..50_000).map(|n| (n.to_string(), json!("x"))).collect();
    example(
        &siege,
        "very many names",
        &choice,
        &members.into(),
        "bounded time",
    )
    .await;

    let closed = json!({"additionalProperties": false});
    let members: Map<_, _> = (0..50_000)
        .map(|n| (format!("name{n}"), json!(1)))
        .collect();
    example(
        &siege,
        "very many names that are not allowed",
        &closed,
        &members.into(),
        "not allow",
    )
    .await;
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn patterns_run_in_linear_time() {
    let text = "a".repeat(900_000);
    let siege = Siege::answering(move |_| Reply::Json(json!({"a": text}))).await;
    let catastrophic = [
        "^(a+)+$",
        "^(a|aa)+$",
        "^(a|a?)+$",
        "(a*)*b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(.*)(.*)(.*)(.*)(.*)(.*)(.*)b",
    ];
    for pattern in catastrophic {
        let ask = |key: &str, rest: Value| {
            let schema = json!({"type": "object", key: rest});
            siege.post(
                EXTRACT,
                JSON,
                json!({"input": "Ada", "schema": schema, "max_attempts": 1, "mode": "text"})
                    .to_string(),
            )
        };
        let answer = siege
            .attack(
                pattern,
                128,
                ask("properties", json!({"a": {"pattern": pattern}})).answer(),
            )
            .await;
        if answer.status != 200 {
            let problem = answer.problem(502, "extraction_failed");
            let fault = problem["errors"][0]["message"].as_str().unwrap();
            assert!(
                fault.contains("does not match") && fault.len() < 400,
                "{fault}"
            );
        }
        let named = ask("patternProperties", json!({pattern: {"maxLength": 3}}));
        let answer = siege
            .attack(&format!("{pattern} of names"), 128, named.answer())
            .await;
        assert!(
            answer.status == 200 || answer.status == 502,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_large_pattern_is_matched_against_short_texts_only() {
    let siege = Siege::answering(|call| {
        let length = if call.item() == Some(1) { 20 } else { 500_000 };
        Reply::Json(json!({"a": "ab".repeat(length)}))
    })
    .await;
    for pattern in [
        "(?:a|b|ab){3000}[d-z]",
        "^(?:[ab]?){5000}[d-z]",
        "[ab]*a[ab]{2000}[d-z]",
    ] {
        let ask = |input: String| {
            let schema = json!({"type": "object", "properties": {"a": {"pattern": pattern}}});
            let body = json!({"input": input, "schema": schema, "max_attempts": 1, "mode": "text"});
            siege.post(EXTRACT, JSON, body.to_string())
        };
        let long = siege
            .attack(pattern, 128, ask(person(2)).answer())
            .await
            .problem(502, "extraction_failed");
        assert!(
            long["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("bounded time"),
            "{}",
            long["errors"]
        );
        let short = siege
            .attack(pattern, 128, ask(person(1)).answer())
            .await
            .problem(502, "extraction_failed");
        assert!(
            short["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("does not match"),
            "{}",
            short["errors"]
        );
    }
}

#[tokio::test]
async fn an_accepted_large_enum_works() {
    let values: Vec<_> = (0..40_000).map(|n| format!("value {n}")).collect();
    let schema = json!({"type": "object", "properties": {"a": {"enum": values}}, "required": ["a"], "additionalProperties": false});
    let siege = Siege::answering(|call| {
        Reply::Json(json!({"a": if call.item() == Some(1) { "value 39999" } else { "value x" }}))
    })
    .await;
    let ask = |input| {
        json!({"input": input, "schema": schema, "max_attempts": 2, "mode": "tools"}).to_string()
    };
    let answer = siege
        .attack("one of them", 128, siege.single(ask(person(1))).answer())
        .await;
    assert_eq!(answer.ok()["data"], json!({"a": "value 39999"}));
    let answer = siege
        .attack("none of them", 128, siege.single(ask(person(2))).answer())
        .await;
    let problem = answer.problem(502, "extraction_failed");
    assert!(
        problem["errors"].to_string().len() < 1000,
        "it does not list them all: {}",
        problem["errors"]
    );
}

#[tokio::test]
async fn many_hostile_schemas_at_once_do_not_block_other_requests() {
    let siege = Siege::begin().await;
    let hostile = doubling(25, |next| json!({"properties": {"a": next}}));
    let path = nested(25, json!(1), |inner| json!({"a": inner}));
    let body =
        json!({"input": "Ada", "schema": hostile, "examples": [{"input": "a", "output": path}]})
            .to_string();
    let attack = async {
        let requests = (0..32).map(|_| siege.single(body.clone()).answer());
        futures_util::future::join_all(requests).await
    };
    let (answers, ()) = within(SOON, "both", async {
        tokio::join!(siege.attack("32 at a time", 256, attack), async {
            for _ in 0..5 {
                siege
                    .server
                    .extract(&crate::support::fixture::single(person(super::NEXT)))
                    .await
                    .ok();
            }
        })
    })
    .await;
    for answer in answers {
        answer.problem(422, "invalid_request");
    }
}

/// Its text would be checked as UTF-8 to its end, which takes milliseconds for the longest bodies.
#[tokio::test]
async fn a_schema_that_is_too_long_is_rejected_before_its_characters_are_looked_at() {
    let siege = Siege::begin().await;
    let mut schema = b"{\"title\": \"".to_vec();
    schema.resize(1 << 20, b'a');
    schema.extend_from_slice(b"\xff\"}");
    let problem = siege
        .refused(
            "a long schema that is not UTF-8",
            MIB,
            siege.put("long", schema),
            422,
            "invalid_schema",
        )
        .await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("longer than 1048576 bytes"), "{problem}");
    assert_eq!(siege.calls(), 0);
}
