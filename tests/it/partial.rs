//! A single that is streamed: what is known while the answer is being written, then the whole.

use serde_json::{Value, json};

use crate::support::client::{Event, LIMIT, Response, within};
use crate::support::fixture::{self, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

fn people() -> Value {
    json!({
        "type": "object", "properties": {"people": {"type": "array", "items": {
            "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"], "additionalProperties": false
        }}},
        "required": ["people"], "additionalProperties": false
    })
}

fn ask(schema: &Value) -> Value {
    json!({"input": "Ada and Bo", "schema": schema, "stream": true})
}

fn pieces(text: &[&str]) -> Vec<String> {
    text.iter().map(ToString::to_string).collect()
}

async fn next(response: &mut Response) -> Event {
    within(LIMIT, "the next event", response.event())
        .await
        .expect("the stream goes on")
}

/// Returns the data of the events of this name.
fn data_of<'e>(events: &'e [Event], name: &str) -> Vec<&'e Value> {
    events
        .iter()
        .filter(|event| event.name == name)
        .map(|event| &event.data)
        .collect()
}

#[tokio::test]
async fn the_first_element_is_sent_while_the_second_is_streamed() {
    for (mode, text) in [
        (
            "json_schema",
            [
                r#"{"people": [{"name": "Ada"#,
                r#"", "age": 36}, {"na"#,
                r#"me": "Bo", "age": 4"#,
                "1}]}",
            ],
        ),
        (
            "text",
            [
                "Sure:\n```json\n{\"people\": [{\"name\": \"Ada",
                "\", \"age\": 36}, {\"na",
                "me\": \"Bo\", \"age\": 4",
                "1}]}\n```",
            ],
        ),
    ] {
        let gate = Gate::closed();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| Reply::Streamed(pieces(&text), held.clone(), true));
        let server = Server::with(&upstream).await;
        let body = with(ask(&people()), json!({"mode": mode}));
        let mut events = server.open("/v1/extract", "*/*", &body).await.expect(200);
        gate.let_through(1);
        let event = next(&mut events).await;
        assert_eq!(
            (event.name.as_str(), &event.data),
            (
                "partial",
                &json!({"data": {"people": [{"name": "Ada"}]}, "attempt": 1})
            )
        );
        gate.let_through(1);
        let event = next(&mut events).await;
        let ada = json!({"name": "Ada", "age": 36});
        assert_eq!(
            (event.name.as_str(), &event.data),
            ("item", &json!({"index": 0, "data": ada, "attempt": 1}))
        );
        assert_eq!(
            upstream.seen(|log| log.in_flight),
            1,
            "the second is still being written"
        );
        assert_eq!(
            next(&mut events).await.data["data"],
            json!({"people": [ada, {}]})
        );
        gate.open();
        let rest = events.events().await;
        assert_eq!(
            data_of(&rest, "item"),
            [&json!({"index": 1, "data": {"name": "Bo", "age": 41}, "attempt": 1})]
        );
        let [.., result, done] = rest.as_slice() else {
            panic!("{rest:?}")
        };
        assert_eq!(
            (result.name.as_str(), done.name.as_str()),
            ("result", "done")
        );
        assert_eq!(
            result.data["data"],
            json!({"people": [ada, {"name": "Bo", "age": 41}]})
        );
        assert_eq!(done.data["usage"]["total_tokens"], 15);
        server.wait_until_idle(LIMIT).await;
    }
}

#[tokio::test]
async fn a_list_that_is_wrapped_for_the_provider_is_streamed_as_a_list() {
    let text = [
        r#"{"value": ["#,
        r#"{"name": "Ada"}, {"#,
        r#""name": "Bo"}]}"#,
    ];
    let upstream =
        Upstream::start(move |_| Reply::Streamed(pieces(&text), Gate::open_from_the_start(), true));
    let server = Server::with(&upstream).await;
    for mode in ["tools", "json_schema", "json_object"] {
        let body = with(
            ask(&people()["properties"]["people"]),
            json!({"mode": mode, "cache": "off"}),
        );
        let events = server
            .open("/v1/extract", "*/*", &body)
            .await
            .expect(200)
            .events()
            .await;
        let items: Vec<_> = data_of(&events, "item")
            .into_iter()
            .map(|item| item["data"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(items, ["Ada", "Bo"], "{mode}: {events:?}");
        assert!(
            data_of(&events, "partial")
                .iter()
                .all(|partial| partial["data"].is_array()),
            "{mode}: {events:?}"
        );
        assert_eq!(
            data_of(&events, "result")[0]["data"],
            json!([{"name": "Ada"}, {"name": "Bo"}])
        );
    }
}

#[tokio::test]
async fn a_validation_retry_restarts_the_partial_stream() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        let end = if call.index == 0 {
            r#"{"age": 1}]}"#
        } else {
            r#"{"name": "Bo"}]}"#
        };
        Reply::Streamed(
            pieces(&[r#"{"people": [{"name": "Ada"}, "#, end]),
            held.clone(),
            true,
        )
    });
    let server = Server::with(&upstream).await;
    let mut events = server
        .open("/v1/extract", "*/*", &ask(&people()))
        .await
        .expect(200);
    let ada = |attempt| json!({"index": 0, "data": {"name": "Ada"}, "attempt": attempt});
    gate.let_through(1);
    // What is not told when the next attempt begins is not told any more.
    let first = next(&mut events).await;
    assert_eq!((first.name.as_str(), &first.data), ("item", &ada(1)));
    gate.open();
    let events = events.events().await;
    assert_eq!(
        data_of(&events, "item"),
        [
            &ada(2),
            &json!({"index": 1, "data": {"name": "Bo"}, "attempt": 2})
        ]
    );
    assert_eq!(
        data_of(&events, "result")[0]["data"],
        json!({"people": [{"name": "Ada"}, {"name": "Bo"}]})
    );
    assert_eq!(data_of(&events, "result")[0]["attempts"], 2);
}

#[tokio::test]
async fn a_truncated_upstream_stream_is_retried() {
    let gate = Gate::open_from_the_start();
    let upstream = Upstream::start(move |call| {
        Reply::Streamed(
            pieces(&[r#"{"people": [{"name": "Ada"}"#, "]}"]),
            gate.clone(),
            call.index > 0,
        )
    });
    let server = Server::with(&upstream).await;
    let events = server
        .open("/v1/extract", "*/*", &ask(&people()))
        .await
        .expect(200)
        .events()
        .await;
    assert_eq!(upstream.calls(), 2);
    assert_eq!(
        data_of(&events, "result")[0]["attempts"],
        1,
        "the model was not asked anything else: {events:?}"
    );
    assert_eq!(
        data_of(&events, "result")[0]["data"],
        json!({"people": [{"name": "Ada"}]})
    );
}

#[tokio::test]
async fn a_provider_without_streaming_gives_the_same_result() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = with(single(fixture::person(3)), json!({"stream": true}));
    let events = server
        .open("/v1/extract", "*/*", &body)
        .await
        .expect(200)
        .events()
        .await;
    assert_eq!(data_of(&events, "result")[0]["data"], fixture::found(3));
    assert!(
        data_of(&events, "partial")
            .iter()
            .all(|partial| partial["data"].is_object()),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_client_that_disconnects_stops_the_upstream_stream() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| {
        Reply::Streamed(pieces(&[r#"{"people": ["#, "]}"]), held.clone(), true)
    });
    let server = Server::with(&upstream).await;
    let mut events = server
        .open("/v1/extract", "*/*", &ask(&people()))
        .await
        .expect(200);
    gate.let_through(1);
    next(&mut events).await;
    drop(events);
    upstream
        .wait_for("the call is aborted", LIMIT, |log| log.aborted == 1)
        .await;
    server.wait_until_idle(LIMIT).await;
}
