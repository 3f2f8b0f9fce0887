//! Fields of a single and of a batch.

use super::*;

#[tokio::test]
async fn invalid_fields_of_a_single_are_rejected_with_their_pointer() {
    let bare = |what, body: Value, pointer| {
        Bad::new(what, EXTRACT, body.to_string(), 422, "invalid_request").at_pointer(pointer)
    };
    check(
        vec![
            bare("an array", json!([]), ""),
            bare("a string", json!("Ada"), ""),
            bare("null", json!(null), ""),
            bare("no input", json!({"schema": {}}), "/input"),
            bare("no schema", json!({"input": "Ada"}), "/schema"),
            bare("an empty object", json!({}), ""),
            Bad::single("a misspelt field", json!({"shema": {}}), "/shema").says(&["shema"]),
            Bad::single("a batch's field", json!({"concurrency": 2}), "/concurrency"),
            Bad::single("inputs", json!({"inputs": ["Ada"]}), "/inputs"),
            Bad::single("an unknown way to fail", json!({"on_failure": "worst"}), "/on_failure"),
            Bad::single("a coercion that is no boolean", json!({"coerce": "yes"}), "/coerce"),
            Bad::single("a rule without a message", json!({"rules": [{"expression": "true"}]}), "/rules/0/message"),
            Bad::single("a number as input", json!({"input": 7}), "/input"),
            Bad::single("null as input", json!({"input": null}), "/input"),
            Bad::single("an object as input", json!({"input": {"text": "Ada"}}), "/input"),
            Bad::single("a part that is no object", json!({"input": ["Ada"]}), "/input/0"),
            Bad::single("a part of an unknown type", json!({"input": [{"type": "smell", "text": "roses"}]}), "/input/0/type"),
            Bad::single("a part without text", json!({"input": [{"type": "text"}]}), "/input/0/text"),
            Bad::single(
                "a part with an unknown field",
                json!({"input": [{"type": "text", "text": "a", "lang": "en"}]}),
                "/input/0/lang",
            ),
            Bad::single("a number as schema", json!({"schema": 7}), "/schema"),
            Bad::single("null as schema", json!({"schema": null}), "/schema"),
            Bad::single("an unknown schema's name", json!({"schema": "nobody-registered-this"}), "/schema")
                .says(&["nobody-registered-this"]),
            Bad::single("instructions that are no text", json!({"instructions": ["a"]}), "/instructions"),
            Bad::single("examples that are no array", json!({"examples": {}}), "/examples"),
            Bad::single("an example without output", json!({"examples": [{"input": "a"}]}), "/examples/0/output"),
            Bad::single(
                "an example with more",
                json!({"examples": [{"input": "a", "output": fixture::right(), "why": "b"}]}),
                "/examples/0/why",
            ),
            Bad::single(
                "an example that is invalid",
                json!({"examples": [{"input": "a", "output": fixture::right()}, {"input": "b", "output": fixture::wrong()}]}),
                "/examples/1/output/age",
            ),
            Bad::single("an unknown model", json!({"model": "nobody/nothing"}), "/model").says(&["nobody/nothing"]),
            Bad::single("a model that is no text", json!({"model": 4}), "/model"),
            Bad::single("an unknown mode", json!({"mode": "magic"}), "/mode").says(&["json_schema", "tools"]),
            Bad::single("no attempt", json!({"max_attempts": 0}), "/max_attempts"),
            Bad::single("too many attempts", json!({"max_attempts": 11}), "/max_attempts"),
            Bad::single("half an attempt", json!({"max_attempts": 1.5}), "/max_attempts"),
            Bad::single("attempts as text", json!({"max_attempts": "3"}), "/max_attempts"),
            Bad::single("no time", json!({"timeout_ms": 0}), "/timeout_ms"),
            Bad::single("too much time", json!({"timeout_ms": 3_600_001}), "/timeout_ms"),
            Bad::single("negative time", json!({"timeout_ms": -5}), "/timeout_ms"),
            Bad::single("too cold", json!({"temperature": -0.1}), "/temperature"),
            Bad::single("too hot", json!({"temperature": 2.1}), "/temperature"),
            Bad::single("no room", json!({"max_output_tokens": 0}), "/max_output_tokens"),
            Bad::single("a seed that is no integer", json!({"seed": 0.5}), "/seed"),
            Bad::single("metadata that is no object", json!({"metadata": "x"}), "/metadata"),
            Bad::single("metadata of numbers", json!({"metadata": {"a": 1}}), "/metadata/a"),
            Bad::single("stream as text", json!({"stream": "yes"}), "/stream"),
            Bad::new("a field twice", EXTRACT, r#"{"input": "a", "input": "b", "schema": {}}"#, 422, "invalid_request")
                .or(400, "invalid_json")
                .says(&["input"]),
        ],
        43,
    )
    .await;
}

#[tokio::test]
async fn invalid_fields_of_a_batch_are_rejected_with_their_pointer() {
    let input = |what, index: usize, input: Value, pointer| {
        let mut inputs = vec![json!("a"); 5];
        inputs[index] = input;
        Bad::batch(what, json!({"inputs": inputs}), pointer)
    };
    check(
        vec![
            Bad::new(
                "no inputs",
                BATCH,
                json!({"schema": {}}).to_string(),
                422,
                "invalid_request",
            )
            .at_pointer("/inputs"),
            Bad::batch("a single's input", json!({"input": "Ada"}), "/input"),
            Bad::batch(
                "inputs that are no array",
                json!({"inputs": "Ada"}),
                "/inputs",
            ),
            input("a number", 3, json!(17), "/inputs/3"),
            input("null", 0, json!(null), "/inputs/0"),
            input(
                "an item without input",
                2,
                json!({"id": "x"}),
                "/inputs/2/input",
            ),
            input(
                "an item's input of the wrong type",
                2,
                json!({"input": false}),
                "/inputs/2/input",
            ),
            input(
                "an item with an unknown field",
                4,
                json!({"input": "a", "idd": "x"}),
                "/inputs/4/idd",
            ),
            input(
                "an id that is no text",
                1,
                json!({"input": "a", "id": 7}),
                "/inputs/1/id",
            ),
            input(
                "an id that is too long",
                1,
                json!({"input": "a", "id": "x".repeat(256)}),
                "/inputs/1/id",
            ),
            input(
                "an item's metadata of numbers",
                1,
                json!({"input": "a", "metadata": {"k": 1}}),
                "/inputs/1/metadata/k",
            ),
            input(
                "a part of an unknown type",
                1,
                json!([{"type": "smell"}]),
                "/inputs/1/0/type",
            ),
            Bad::batch("no concurrency", json!({"concurrency": 0}), "/concurrency"),
            Bad::batch(
                "negative concurrency",
                json!({"concurrency": -1}),
                "/concurrency",
            ),
            Bad::batch(
                "an unknown on_error",
                json!({"on_error": "explode"}),
                "/on_error",
            )
            .says(&["continue", "stop"]),
            Bad::batch("stream as number", json!({"stream": 1}), "/stream"),
            Bad::batch(
                "an unknown schema's name",
                json!({"schema": "nobody-registered-this"}),
                "/schema",
            ),
            Bad::batch(
                "a job's field",
                json!({"webhook": {"url": "http://localhost/"}}),
                "/webhook",
            ),
        ],
        18,
    )
    .await;
}

#[tokio::test]
async fn invalid_fields_are_reported_together_where_possible() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = fixture::with(
        fixture::single("Ada"),
        json!({"max_attempts": 0, "mode": "magic"}),
    );
    let problem = server.extract(&body).await.problem(422, "invalid_request");
    let errors = problem["errors"].as_array().unwrap();
    assert!(!errors.is_empty(), "{problem}");
    assert!(
        errors
            .iter()
            .all(|error| error["pointer"] == "/max_attempts" || error["pointer"] == "/mode"),
        "{problem}"
    );
}
