//! The built-in model finds the seven people of the article, as a batch and streamed. It needs the model's file: `make model`
//! gets it, `EXTRACTD_MODEL_PATH` names it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{self, PEOPLE, check_each_once};
use crate::support::server::Server;

/// Loading 98 MB and warming up, in a debug build.
const LOAD: Duration = Duration::from_secs(120);

async fn loaded() -> Server {
    let path = std::env::var("EXTRACTD_MODEL_PATH")
        .expect("EXTRACTD_MODEL_PATH names the model's file; `make model` gets it");
    let path = std::path::absolute(path).unwrap();
    let server = Server::bare()
        .env("EXTRACTD_MODEL_PATH", path.display())
        .start()
        .await;
    eventually(LOAD, "the model is loaded", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    server
}

fn body() -> Value {
    json!({"inputs": PEOPLE.map(|person| person.0), "schema": fixture::schema()})
}

#[track_caller]
fn check_person(result: &Value) {
    let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
    let (text, name, age, occupation) = PEOPLE[index];
    assert_eq!(
        result["data"],
        json!({"name": name, "age": age, "occupation": occupation}),
        "{text}: {result}"
    );
}

#[tokio::test]
async fn all_seven_people_are_right_in_order() {
    let server = loaded().await;
    let reply = server.batch(&body()).await.ok();
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), PEOPLE.len());
    results.iter().for_each(check_person);
}

#[tokio::test]
async fn all_seven_people_are_right_streamed() {
    let server = loaded().await;
    let events = server
        .open("/v1/extract/batch", "text/event-stream", &body())
        .await
        .expect(200)
        .events()
        .await;
    let results: Vec<_> = events
        .iter()
        .filter(|event| event.name == "result")
        .map(|event| &event.data)
        .collect();
    check_each_once(results.iter().copied(), PEOPLE.len());
    results.into_iter().for_each(check_person);
}

#[tokio::test]
async fn the_local_model_is_the_default_and_describes_its_purpose() {
    let server = loaded().await;
    let models = server.get("/v1/models").await.ok();
    let default = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["default"] == true)
        .expect("a default")
        .clone();
    assert_eq!(default["provider"], "local", "{models}");
    let reply = server.extract(&fixture::single(PEOPLE[0].0)).await.ok();
    assert_eq!(reply["model"], default["id"]);
    assert!(
        reply["usage"]["output_tokens"].as_u64().unwrap() > 0,
        "{reply}"
    );
}

#[tokio::test]
async fn a_client_that_disconnects_stops_the_generation() {
    let server = loaded().await;
    let story = json!({"type": "object", "properties": {"story": {"type": "string", "minLength": 4_000}}, "required": ["story"]});
    let inputs: Vec<_> = (0..20).map(fixture::person).collect();
    let response = server
        .open(
            "/v1/extract/batch",
            "text/event-stream",
            &json!({"inputs": inputs, "schema": story}),
        )
        .await
        .expect(200);
    let busy = async || (server.limit("concurrency").await?["in_use"].as_u64()? > 0).then_some(());
    eventually(LIMIT, "it is at work", busy).await;
    drop(response);
    server.wait_until_idle(Duration::from_secs(2)).await;
    let reply = server.extract(&fixture::single(PEOPLE[1].0)).await.ok();
    assert_eq!(reply["data"]["age"], 25, "the next one is served: {reply}");
}

#[tokio::test]
async fn a_callers_schema_never_brings_the_process_down() {
    let server = loaded().await;
    let schemas = [
        json!({"type": "object", "properties": {"a\"b\\c\n": {"type": "string", "pattern": "^(a|b)*$"}}, "additionalProperties": false}),
        json!({"type": "string", "maxLength": 1_000_000_000, "minLength": 1}),
        json!({"type": "array", "items": {"type": "integer"}, "minItems": 0, "maxItems": 4_000_000_000_u64}),
        json!({"enum": [null, 1, "x", {"deep": [true]}]}),
        json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}}),
        json!({"not": {"type": "string"}}),
        json!(true),
        json!({}),
    ];
    for schema in schemas {
        let body = json!({"input": PEOPLE[0].0, "schema": schema, "max_attempts": 1, "max_output_tokens": 16});
        let answer = server.extract(&body).await;
        assert_ne!(answer.status, 500, "{schema}: {}", answer.text());
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_costly_schema_holds_up_nobody_and_takes_no_memory() {
    let server = loaded().await;
    let one = json!({"input": PEOPLE[0].0, "schema": fixture::schema()});
    server.extract(&one).await.ok();
    server.forget_peak();
    let before = server.resident_bytes();
    let mut attacks = tokio::task::JoinSet::new();
    for number in [999_983, 9_999_991, 99_999_989] {
        let client = (*server).clone();
        attacks.spawn(async move {
            let schema = json!({"type": "object", "properties": {"a": {"type": "integer", "multipleOf": number}}});
            let body = json!({"input": "seven", "schema": schema, "timeout_ms": 2_000, "max_output_tokens": 8});
            client.extract(&body).await.status
        });
    }
    let began = tokio::time::Instant::now();
    server.extract(&one).await.ok();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    while attacks.join_next().await.is_some() {}
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown}");
}
