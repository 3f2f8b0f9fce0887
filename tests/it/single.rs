//! `POST /v1/extract`: one text becomes one valid object (contract, section 1).

use serde_json::{Value, json};

use crate::support::fixture::{self, PEOPLE, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn a_text_becomes_an_object() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for (text, name, age, occupation) in PEOPLE {
        let answer = server.extract(&single(text)).await;
        assert_eq!(
            answer.ok()["data"],
            json!({"name": name, "age": age, "occupation": occupation}),
            "{text}"
        );
    }
    assert_eq!(upstream.calls(), PEOPLE.len());
}

#[tokio::test]
async fn a_response_has_every_documented_field_and_no_other() {
    let upstream = Upstream::saying([Reply::Used(fixture::right().to_string(), 98, 21)]);
    let server = Server::with(&upstream).await;
    let answer = server.extract(&single("Ada")).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let reply = answer.ok();
    let fields: Vec<_> = reply
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "id", "status", "data", "model", "attempts", "cached", "usage", "timing"
        ],
        "no `repairs` when nothing was mended"
    );
    assert!(reply["id"].as_str().unwrap().starts_with("ext_"), "{reply}");
    assert_eq!(reply["status"], "succeeded");
    assert_eq!(reply["data"], fixture::right());
    assert_eq!(reply["model"], "openai/test-model");
    assert_eq!(reply["attempts"], 1);
    assert_eq!(reply["cached"], false);
    assert_eq!(
        reply["usage"],
        json!({"input_tokens": 98, "output_tokens": 21, "total_tokens": 119})
    );
    check_timing(&reply["timing"]);
}

fn check_timing(timing: &Value) {
    let ms = |name: &str| {
        timing[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} is a number: {timing}"))
    };
    assert!(
        ms("queued_ms") >= 0.0 && ms("upstream_ms") > 0.0,
        "{timing}"
    );
    assert!(
        ms("total_ms") >= ms("upstream_ms") && ms("total_ms") < 60_000.0,
        "{timing}"
    );
}

#[tokio::test]
async fn the_provider_is_called_with_its_key_and_the_callers_parameters() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let parameters = json!({"temperature": 0.5, "seed": 7, "max_output_tokens": 321, "metadata": {"ticket": "T-secret-1"}});
    let reply = server
        .extract(&with(single(fixture::person(1)), parameters))
        .await
        .ok();
    assert_eq!(
        reply["metadata"],
        json!({"ticket": "T-secret-1"}),
        "metadata is echoed"
    );

    let call = &upstream.log().calls[0];
    assert_eq!(call.target, "POST /v1/chat/completions");
    assert_eq!(call.header("authorization"), Some("Bearer sk-test"));
    let body = call.body();
    assert_eq!(body["model"], "test-model");
    assert_eq!(body["temperature"], 0.5);
    assert_eq!(body["seed"], 7);
    let room = body
        .get("max_completion_tokens")
        .or_else(|| body.get("max_tokens"));
    assert_eq!(room, Some(&json!(321)), "{body}");
    assert!(
        !body.to_string().contains("T-secret-1"),
        "metadata is never sent to the model"
    );
    assert!(
        call.prompt().contains(&fixture::person(1)),
        "the input reaches the model as it is"
    );
}

#[tokio::test]
async fn the_temperature_is_0_by_default() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    server.extract(&single("Ada")).await.ok();
    assert_eq!(
        upstream.log().calls[0].body()["temperature"].as_f64(),
        Some(0.0)
    );
}

#[tokio::test]
async fn instructions_and_examples_reach_the_model() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let more = json!({"instructions": "Count the age in dog years.",
                      "examples": [{"input": "Rex the guard, four", "output": {"name": "Rex", "age": 28, "occupation": "guard"}}]});
    server.extract(&with(single("Ada"), more)).await.ok();
    let prompt = upstream.log().calls[0].prompt();
    for part in ["Count the age in dog years.", "Rex the guard, four", "28"] {
        assert!(prompt.contains(part), "{part:?} is in\n{prompt}");
    }
}

#[tokio::test]
async fn an_input_can_be_parts_of_text() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let parts = json!([{"type": "text", "text": "The staff list."}, {"type": "text", "text": fixture::person(4)}]);
    assert_eq!(
        server.extract(&single(parts)).await.ok()["data"],
        fixture::found(4)
    );
    let prompt = upstream.log().calls[0].prompt();
    assert!(prompt.contains("The staff list."), "{prompt}");
}

#[tokio::test]
async fn the_schema_may_have_any_root() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let roots = [
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["x"]),
        ),
        (
            json!({"type": "string", "enum": ["red", "green"]}),
            json!("red"),
        ),
        (json!({"type": "integer", "minimum": 3}), json!(3)),
        (
            json!({"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
            json!(true),
        ),
    ];
    for (schema, data) in roots {
        let reply = server
            .extract(&json!({"input": "anything", "schema": schema, "mode": "json_schema"}))
            .await
            .ok();
        assert_eq!(reply["data"], data, "{schema}");
        let sent = upstream.log().calls.last().unwrap().schema().unwrap();
        assert_eq!(
            sent["type"], "object",
            "a root that is no object is wrapped for the provider: {sent}"
        );
    }
}

#[tokio::test]
async fn local_references_are_followed_recursive_ones_too() {
    let upstream = Upstream::saying([Reply::Json(
        json!({"value": 1, "next": {"value": 2, "next": null}}),
    )]);
    let server = Server::with(&upstream).await;
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object", "required": ["value", "next"], "additionalProperties": false,
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}});
    let reply = server
        .extract(&json!({"input": "a list", "schema": schema}))
        .await
        .ok();
    assert_eq!(reply["data"]["next"]["value"], 2, "{reply}");
}

#[tokio::test]
async fn format_asserts_in_both_drafts() {
    for draft in [
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft-07/schema#",
    ] {
        let upstream = Upstream::saying([
            Reply::Json(json!({"day": "tomorrow"})),
            Reply::Json(json!({"day": "2026-11-22"})),
        ]);
        let server = Server::with(&upstream).await;
        let schema = json!({"$schema": draft, "type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]});
        let reply = server
            .extract(&json!({"input": "the day", "schema": schema}))
            .await
            .ok();
        assert_eq!(reply["data"]["day"], "2026-11-22", "{draft}");
        assert_eq!(reply["attempts"], 2, "{draft}");
    }
}

#[tokio::test]
async fn numbers_and_text_come_through_exactly() {
    let data = json!({"text": "ä\u{0}\u{1F600}\"\\\n\u{2028}", "big": 9_007_199_254_740_993_u64, "small": 1e-9, "deep": [[[[]]]]});
    let upstream = Upstream::saying([Reply::Json(data.clone())]);
    let server = Server::with(&upstream).await;
    let reply = server
        .extract(&json!({"input": "odd", "schema": {"type": "object"}}))
        .await
        .ok();
    assert_eq!(reply["data"], data);
}

#[tokio::test]
async fn a_content_type_with_parameters_is_json_too() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let request = server
        .request(http::Method::POST, "/v1/extract")
        .header("content-type", "application/json; charset=utf-8");
    let answer = request
        .bytes(single(fixture::person(2)).to_string())
        .answer()
        .await;
    assert_eq!(answer.ok()["data"], fixture::found(2));
}

#[tokio::test]
async fn a_streamed_single_ends_with_its_result_and_done() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let by_field = server
        .open(
            "/v1/extract",
            "*/*",
            &with(single(fixture::person(3)), json!({"stream": true})),
        )
        .await;
    let by_header = server
        .open(
            "/v1/extract",
            "text/event-stream",
            &single(fixture::person(4)),
        )
        .await;
    for (response, item) in [(by_field, 3), (by_header, 4)] {
        let response = response.expect(200);
        assert!(
            response
                .header("content-type")
                .starts_with("text/event-stream"),
            "{:?}",
            response.headers
        );
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("x-accel-buffering"), "no");
        let mut events = response.events().await;
        let (done, result) = (events.pop().unwrap(), events.pop().unwrap());
        assert_eq!(
            (result.name.as_str(), done.name.as_str()),
            ("result", "done")
        );
        assert_eq!(result.data["data"], fixture::found(item));
        assert_eq!(result.data["status"], "succeeded");
        assert_eq!(done.data["status"], "succeeded");
        assert_eq!(done.data["usage"]["total_tokens"], 15);
        check_timing(&done.data["timing"]);
        assert!(
            events.iter().all(|event| event.name == "partial"),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn a_streamed_failure_is_an_error_event_and_done() {
    let upstream = Upstream::start(|_| Reply::error(401, "bad key"));
    let server = Server::with(&upstream).await;
    let events = server
        .open("/v1/extract", "text/event-stream", &single("Ada"))
        .await
        .expect(200)
        .events()
        .await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["error", "done"], "{events:?}");
    crate::support::client::check_problem(&events[0].data, 502, "upstream_unauthorized");
    assert_eq!(events[1].data["status"], "failed");
}

#[tokio::test]
async fn a_blank_input_fails_without_a_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for blank in [
        json!(""),
        json!(" \n\t "),
        json!([{"type": "text", "text": "  "}]),
        json!([]),
    ] {
        server
            .extract(&single(blank))
            .await
            .problem(422, "invalid_request");
    }
    assert_eq!(upstream.calls(), 0);
}
