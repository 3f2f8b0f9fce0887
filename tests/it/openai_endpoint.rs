//! OpenAI's Chat Completions API: a request with a schema is an extraction, any other one is passed through under the limits.

use serde_json::{Value, json};

use crate::concurrency::most_at_once;
use crate::support::client::{Answer, LIMIT, Response, within};
use crate::support::fixture::{
    completion, model, one_provider, provider, right, schema, with, wrong,
};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

mod errors;
mod hostile_providers;
mod memory;
mod responses;
mod streams;

pub const PATH: &str = "/v1/chat/completions";

/// A body with one message of the user.
pub fn chat(text: &str) -> Value {
    json!({"model": "test-model", "messages": [{"role": "user", "content": text}]})
}

/// The same with a schema.
pub fn asking_for(text: &str, schema: &Value) -> Value {
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "Person", "schema": schema}});
    with(chat(text), json!({"response_format": format}))
}

pub fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "Takes a person.", "parameters": schema()}})
}

/// A whole completion of the provider with this message.
fn provider_says(message: &Value) -> Reply {
    let body = json!({
        "id": "theirs", "object": "chat.completion", "created": 5, "model": "test-model-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}, "their_field": [1.5],
    });
    // A number keeps its digits.
    Reply::Status(200, vec![], body.to_string().replace("[1.5]", "[1.50]"))
}

fn content(answer: &Answer) -> Value {
    let body = answer.ok();
    let text = body["choices"][0]["message"]["content"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("content: {body}"))).unwrap()
}

#[tokio::test]
async fn an_extraction_is_validated_asked_again_and_counted() {
    let reply = |value: &Value| Reply::Status(200, vec![], completion(value, (10, 5)));
    let upstream = Upstream::saying([reply(&wrong()), reply(&right())]);
    let price = "input_usd_per_million_tokens = 1.0\noutput_usd_per_million_tokens = 2.0";
    let config = "model = \"main\"\n".to_owned()
        + &provider("first", &upstream.url(), "")
        + &model("main", "first", price);
    let server = Server::configured(&config).start().await;
    let mut body = with(
        asking_for("Ada is </text> 36.", &schema()),
        json!({"model": "main"}),
    );
    body["messages"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"role": "system", "content": "Be exact."}));
    let answer = server.post(PATH, &body).await;
    assert_eq!(content(&answer), right());
    let body = answer.ok();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "main-1");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 20);
    assert_eq!(body["usage"]["total_tokens"], 30);
    assert_eq!(body["extractd"]["attempts"], 2);
    assert_eq!(body["extractd"]["model"], "first/main-1");
    let cost = body["extractd"]["cost_usd"].as_f64().unwrap();
    assert!((cost - 40e-6).abs() < 1e-12, "{cost}");
    let prompt = upstream.log().calls[1].prompt();
    for part in ["Be exact.", "Ada is </text> 36.", "/age"] {
        assert!(prompt.contains(part), "{part}: {prompt}");
    }
}

#[tokio::test]
async fn a_forced_tool_gets_the_answer_as_its_arguments() {
    for (choice, reason) in [
        (
            json!({"type": "function", "function": {"name": "Person"}}),
            "stop",
        ),
        (json!("required"), "tool_calls"),
    ] {
        let upstream = Upstream::saying([Reply::Json(right())]);
        let server = Server::with(&upstream).await;
        let body = json!({"tools": [tool("Person")], "tool_choice": choice});
        let body = server.post(PATH, &with(chat("Ada"), body)).await.ok();
        let message = &body["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        let function = &message["tool_calls"][0]["function"];
        assert_eq!(function["name"], "Person");
        let arguments: Value =
            serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, right());
        assert_eq!(body["choices"][0]["finish_reason"], reason);
        assert!(upstream.log().calls[0].prompt().contains("Takes a person."));
    }
}

#[tokio::test]
async fn options_of_extractd_are_those_of_an_extraction() {
    let upstream = Upstream::saying([Reply::Json(right()), Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    let rules = json!([{"expression": "data.age < 30", "message": "too old"}]);
    let options = json!({"rules": rules, "max_attempts": 2, "on_failure": "best", "cache": "off"});
    let body = with(
        asking_for("Ada", &schema()),
        json!({"extractd": options, "top_p": 0.5, "max_completion_tokens": 70, "seed": 3}),
    );
    let answer = server.post(PATH, &body).await;
    assert_eq!(content(&answer), right());
    let details = &answer.ok()["extractd"];
    assert_eq!(details["attempts"], 2);
    assert_eq!(details["errors"][0]["message"], "too old");
    let sent = upstream.log().calls[0].body();
    assert_eq!((&sent["top_p"], &sent["seed"]), (&json!(0.5), &json!(3)));
    let limit = sent
        .get("max_tokens")
        .or_else(|| sent.get("max_completion_tokens"));
    assert_eq!(limit, Some(&json!(70)));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn json_mode_yields_an_object() {
    let fenced = format!("Sure:\n```json\n{}\n```", right());
    let upstream = Upstream::saying([Reply::Text("no JSON".to_owned()), Reply::Text(fenced)]);
    let server = Server::with(&upstream).await;
    let format = json!({"response_format": {"type": "json_object"}});
    let answer = server.post(PATH, &with(chat("Ada as JSON"), format)).await;
    assert_eq!(content(&answer), right());
    let sent = upstream.log().calls[0].body();
    assert_eq!(sent["response_format"]["type"], "json_object");
}

#[tokio::test]
async fn a_refusal_and_a_truncated_answer_are_answers() {
    let upstream = Upstream::saying([
        Reply::Refusal("I will not".to_owned()),
        Reply::Truncated("{\"name\": \"A".to_owned()),
    ]);
    let server = Server::with(&upstream).await;
    let body = asking_for("Ada", &schema());
    let refused = server.post(PATH, &body).await.ok();
    let message = &refused["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert!(
        message["refusal"].as_str().unwrap().contains("I will not"),
        "{refused}"
    );
    let body = with(body, json!({"max_tokens": 5}));
    let truncated = server.post(PATH, &body).await.ok();
    assert_eq!(truncated["choices"][0]["finish_reason"], "length");
    let text = &truncated["choices"][0]["message"]["content"];
    assert_eq!(text, "{\"name\": \"A");
}

#[tokio::test]
async fn a_request_without_a_schema_is_passed_through_as_it_is() {
    let message = json!({"role": "assistant", "content": "Hello", "reasoning": "short"});
    let upstream = Upstream::start(move |_| provider_says(&message));
    let server = Server::with(&upstream).await;
    let body = json!({
        "model": "test-model", "tools": [tool("A"), tool("B")], "temperature": 0.7, "user": "u", "n": 1,
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "A", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ],
        "their_setting": {"deep": [1, null]}, "stream_options": {"include_usage": true},
        "extractd": {"extra_body": {"top_k": 4}},
    });
    let answer = server.post(PATH, &body).await.ok();
    assert_eq!(answer["id"], "theirs");
    assert_eq!(answer["model"], "test-model-2026");
    assert_eq!(answer["choices"][0]["message"]["reasoning"], "short");
    assert_eq!(answer["usage"]["total_tokens"], 15);
    assert_eq!(answer["their_field"].to_string(), "[1.50]");
    assert_eq!(answer["extractd"]["model"], "openai/test-model");
    let sent = upstream.log().calls[0].body();
    for name in ["messages", "tools", "user", "their_setting"] {
        assert_eq!(sent[name], body[name], "{name}");
    }
    assert_eq!(sent["temperature"].to_string(), "0.7");
    assert_eq!(
        (&sent["top_k"], &sent["stream"]),
        (&json!(4), &json!(false))
    );
    assert!(sent.get("extractd").is_none() && sent.get("stream_options").is_none());
}

#[tokio::test]
async fn what_is_passed_through_is_retried_and_limited_like_an_extraction() {
    let message = json!({"role": "assistant", "content": "Hello"});
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.index {
        0 => Reply::error(500, "down"),
        _ => provider_says(&message).behind(&held),
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 2)
        .start()
        .await;
    let requests: Vec<_> = (0..6)
        .map(|number| {
            let client = (*server).clone();
            tokio::spawn(async move { client.post(PATH, &chat(&number.to_string())).await })
        })
        .collect();
    gate.open();
    for request in requests {
        let answer = within(LIMIT, "an answer", request).await.unwrap();
        assert_eq!(answer.ok()["choices"][0]["message"]["content"], "Hello");
    }
    let log = upstream.log();
    assert_eq!(log.calls.len(), 7);
    assert!(most_at_once(&log.calls) <= 2);
    let metrics = server.get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("extractd_items_total{status=\"succeeded\"} 6"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_model_may_be_named_as_its_provider_does() {
    let upstream = Upstream::start(|_| Reply::Json(right()));
    let server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    for (named, sent) in [
        ("main", "main-1"),
        ("main-1", "main-1"),
        ("first/other", "other"),
        ("gpt-4o", "gpt-4o"),
        ("org/model", "org/model"),
    ] {
        for body in [asking_for(named, &schema()), chat(named)] {
            let body = with(body, json!({"model": named}));
            server.post(PATH, &body).await.ok();
            let calls = upstream.log().calls;
            assert_eq!(calls.last().unwrap().body()["model"], sent, "{named}");
        }
    }
}

#[tokio::test]
async fn providers_with_another_api_are_called_at_their_chat_completions() {
    let kinds = [
        ("anthropic", "", "/v1/chat/completions"),
        ("gemini", "", "/v1beta/openai/chat/completions"),
        ("ollama", "", "/v1/chat/completions"),
        ("ollama", "/api", "/v1/chat/completions"),
        ("openai_responses", "/v1", "/v1/chat/completions"),
    ];
    for (kind, base, path) in kinds {
        let message = json!({"role": "assistant", "content": "Hello"});
        let upstream = Upstream::start(move |_| provider_says(&message));
        let url = upstream.url().replace("/v1", base);
        let config = format!(
            "model = \"p/m\"\n[providers.p]\nkind = \"{kind}\"\nbase_url = \"{url}\"\napi_key = \"sk-test\"\n"
        );
        let server = Server::configured(&config).start().await;
        let body = with(chat("Hi"), json!({"model": "m"}));
        server.post(PATH, &body).await.ok();
        let call = upstream.log().calls.remove(0);
        assert_eq!(call.target, format!("POST {path}"), "{kind}");
        assert_eq!(
            call.header("authorization"),
            Some("Bearer sk-test"),
            "{kind}"
        );
        assert_eq!(call.body()["model"], "m");
    }
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let upstream = Upstream::playing();
    let server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    let list = server.get("/v1/models").await.ok();
    assert_eq!(list["object"], "list");
    let model = &list["data"][0];
    assert_eq!(
        (&model["id"], &model["object"], &model["owned_by"]),
        (&json!("main"), &json!("model"), &json!("first"))
    );
    assert!(model["created"].is_u64());
    for name in ["main", "main-1", "first/main-1"] {
        let found = server.get(&format!("/v1/models/{name}")).await.ok();
        assert_eq!(&found, model, "{name}");
    }
    let labelled = Server::with(&upstream).await;
    for name in ["openai/test-model", "openai%2Ftest-model", "test-model"] {
        let found = labelled.get(&format!("/v1/models/{name}")).await.ok();
        assert_eq!(found["id"], "openai/test-model", "{name}");
    }
}
