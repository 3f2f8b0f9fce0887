//! The tree of each kind of request.

use serde_json::json;

use super::collector::{Collector, Span, check_times, tree};
use super::{PARENT, TRACE, embedded, only, traced, traceparent};
use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{self, batch, model, person, provider, right, single, with, wrong};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

const ANSWERED: [&str; 3] = [
    "    attempt 1",
    "      chat test-model",
    "      validate valid",
];

fn check_trace(spans: &[Span]) {
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    check_times(spans);
}

/// Extracts one text for a caller whose span is [`PARENT`], and returns the spans.
async fn spans_of_a_single(collector: &Collector, server: &Server) -> Vec<Span> {
    let client = server.with_header("traceparent", &traceparent("01"));
    client.extract(&single(person(1))).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    check_trace(&spans);
    spans
}

#[tokio::test]
async fn a_single_is_a_tree_below_the_callers_span() {
    let upstream = Upstream::saying([Reply::Used(right().to_string(), 150, 21)]);
    let (collector, server) = traced(&upstream).await;
    let client = server
        .with_header("traceparent", &traceparent("01"))
        .with_header("x-request-id", "req-1")
        .with_header("user-agent", "tests/1");
    let body = with(
        single(person(1)),
        json!({"seed": 7, "max_output_tokens": 99}),
    );
    client.extract(&body).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    check_trace(&spans);
    let expected = ["POST /v1/extract 200", "  item 0 succeeded"];
    assert_eq!(tree(&spans, PARENT), [&expected[..], &ANSWERED].concat());

    let request = only(&spans, "POST /v1/extract");
    assert_eq!(request.kind, 2);
    for (key, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/extract")),
        ("url.path", json!("/v1/extract")),
        ("http.response.status_code", json!(200)),
        ("extractd.request.id", json!("req-1")),
        ("user_agent.original", json!("tests/1")),
    ] {
        assert_eq!(request.attributes[key], value, "{key}");
    }
    let call = only(&spans, "chat test-model");
    assert_eq!(call.kind, 3);
    let port: u16 = upstream.url().rsplit(':').next().unwrap()[..]
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("test-model")),
        ("gen_ai.output.type", json!("json")),
        ("gen_ai.request.temperature", json!(0.0)),
        ("gen_ai.request.max_tokens", json!(99)),
        ("gen_ai.request.seed", json!(7)),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.usage.input_tokens", json!(150)),
        ("gen_ai.usage.output_tokens", json!(21)),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(port)),
    ] {
        assert_eq!(call.attributes.get(key), Some(&value), "{key}: {call:?}");
    }
    let item = only(&spans, "item");
    assert_eq!(item.text("extractd.request.class"), "single");
    assert_eq!(item.text("extractd.model"), "openai/test-model");
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "extractd");
    assert_eq!(resource["telemetry.sdk.language"], "rust");
}

#[tokio::test]
async fn each_item_of_a_batch_is_a_part_of_the_request_in_every_form() {
    for accept in [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
    ] {
        let upstream = Upstream::playing();
        let (collector, server) = traced(&upstream).await;
        let client = server.with_header("traceparent", &traceparent("01"));
        let response = client.open("/v1/extract/batch", accept, &batch(3)).await;
        response.whole().await;
        let spans = collector.until("POST /v1/extract/batch", 1).await;
        check_trace(&spans);
        let mut expected = vec!["POST /v1/extract/batch 200"];
        for item in [
            "  item 0 succeeded",
            "  item 1 succeeded",
            "  item 2 succeeded",
        ] {
            expected.push(item);
            expected.extend(ANSWERED);
        }
        assert_eq!(tree(&spans, PARENT), expected, "{accept}");
        // The span of the request lasts until the last byte of a stream.
        let request = only(&spans, "POST /v1/extract/batch");
        let items = spans.iter().filter(|span| span.name == "item");
        for item in items {
            assert!(item.end <= request.end, "{item:?} {request:?}");
        }
    }
}

#[tokio::test]
async fn retries_are_calls_of_one_attempt_and_validation_retries_are_attempts() {
    let upstream = Upstream::saying([
        Reply::error(503, "on fire"),
        Reply::Json(wrong()),
        Reply::Json(right()),
    ]);
    let (collector, server) = traced(&upstream).await;
    let spans = spans_of_a_single(&collector, &server).await;
    assert_eq!(
        tree(&spans, PARENT),
        [
            "POST /v1/extract 200",
            "  item 0 succeeded",
            "    attempt 1 !invalid",
            "      chat test-model !503",
            "      wait backoff",
            "      chat test-model",
            "      validate invalid !invalid",
            "    attempt 2",
            "      chat test-model",
            "      validate valid",
        ]
    );
    let invalid = spans.iter().find(|span| span.name == "validate");
    assert_eq!(
        invalid.unwrap().attributes["extractd.validation.error_count"],
        1
    );
    assert_eq!(only(&spans, "item").text("extractd.item.attempts"), "2");
}

#[tokio::test]
async fn a_fallback_is_a_call_to_another_model() {
    let first = Upstream::start(|_| Reply::error(404, "no such model"));
    let second = Upstream::playing();
    let models = model("main", "first", "fallback = [\"spare\"]") + &model("spare", "second", "");
    let providers = provider("first", &first.url(), "api_key = \"sk-a\"")
        + &provider("second", &second.url(), "api_key = \"sk-b\"");
    let collector = Collector::start().await;
    let config = format!("model = \"main\"\n{providers}{models}");
    let server = collector
        .configure(Server::configured(&config))
        .start()
        .await;
    let spans = spans_of_a_single(&collector, &server).await;
    assert_eq!(
        tree(&spans, PARENT),
        [
            "POST /v1/extract 200",
            "  item 0 succeeded",
            "    attempt 1",
            "      chat main-1 !404",
            "      chat spare-1",
            "      validate valid",
        ]
    );
    assert_eq!(
        only(&spans, "item").text("extractd.model"),
        "second/spare-1"
    );
}

#[tokio::test]
async fn the_items_of_a_job_are_parts_of_the_request_that_created_it_even_after_a_crash() {
    let upstream = Upstream::start(|call| match call.item() {
        Some(0) => Reply::Played,
        // Still unanswered when the server is killed.
        _ if call.index < 3 => Reply::Stall,
        _ => Reply::Played,
    });
    let (collector, server) = traced(&upstream).await;
    let client = server
        .with_header("traceparent", &traceparent("01"))
        .with_header("tracestate", "vendor=1");
    let job = client.post("/v1/jobs", &batch(3)).await.json();
    eventually(LIMIT, "one item is recorded", async || {
        let shown = server
            .get(&format!("/v1/jobs/{}", job["id"].as_str()?))
            .await;
        (shown.ok()["counts"]["succeeded"] == 1).then_some(())
    })
    .await;
    collector.until("item", 1).await;
    let server = server.kill_and_restart().await;
    let spans = collector.until("item", 3).await;
    drop(server);
    let mut expected = vec!["POST /v1/jobs 202"];
    for item in [
        "  item 0 succeeded",
        "  item 1 succeeded",
        "  item 2 succeeded",
    ] {
        expected.push(item);
        expected.extend(ANSWERED);
    }
    assert_eq!(tree(&spans, PARENT), expected);
    for item in spans.iter().filter(|span| span.name == "item") {
        assert_eq!(item.attributes["extractd.job.id"], job["id"]);
        assert_eq!(item.text("extractd.request.class"), "job");
        assert_eq!(item.state, "vendor=1");
    }
}

#[tokio::test]
async fn a_wait_for_a_permit_names_the_limit() {
    let upstream = Upstream::playing();
    let collector = Collector::start().await;
    let server = collector.configure(Server::asking(&upstream));
    let server = server
        .env("EXTRACTD_REQUESTS_PER_MINUTE", 600)
        .start()
        .await;
    server.batch(&batch(4)).await.ok();
    let spans = collector.until("POST /v1/extract/batch", 1).await;
    let limit = "openai/requests_per_minute";
    let held = |span: &&Span| span.text("extractd.wait.limit") == limit;
    let wait = spans.iter().find(held).expect("an item waited");
    let attempt = spans.iter().find(|span| span.id == wait.parent);
    assert_eq!(attempt.expect("it belongs to an attempt").name, "attempt");
    check_times(&spans);
}

#[tokio::test]
async fn an_item_that_shares_a_result_waits_for_it_and_has_no_attempt() {
    let upstream = Upstream::start(|_| Reply::Played.after(std::time::Duration::from_millis(100)));
    let (collector, server) = traced(&upstream).await;
    let client = server.with_header("traceparent", &traceparent("01"));
    let body = with(batch(0), json!({"inputs": [person(1), person(1)]}));
    client.batch(&body).await.ok();
    let spans = collector.until("POST /v1/extract/batch", 1).await;
    let lines = tree(&spans, PARENT);
    let waits = lines
        .iter()
        .filter(|line| *line == "    wait single_flight");
    assert_eq!(waits.count(), 1, "{lines:#?}");
    let calls = lines.iter().filter(|line| line.contains("chat"));
    assert_eq!(calls.count(), 1, "{lines:#?}");
}

#[tokio::test]
async fn a_failed_item_and_a_failed_call_say_why() {
    let upstream = Upstream::start(|_| Reply::error(401, "wrong key"));
    let (collector, server) = traced(&upstream).await;
    let answer = server.extract(&single(person(1))).await;
    let status = answer.status.as_u16();
    let spans = collector.until("POST /v1/extract", 1).await;
    let code = answer.json()["code"].as_str().unwrap().to_owned();
    let item = only(&spans, "item");
    assert_eq!((item.text("error.type"), item.is_error), (code, true));
    assert_eq!(only(&spans, "chat test-model").text("error.type"), "401");
    let request = only(&spans, "POST /v1/extract");
    assert_eq!(
        request.text("http.response.status_code"),
        status.to_string()
    );
    assert_eq!(request.is_error, status >= 500);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_spans() {
    let upstream = Upstream::start(|_| Reply::Stall);
    let (collector, server) = traced(&upstream).await;
    let asking = {
        let client = server.with_header("traceparent", &traceparent("01"));
        tokio::spawn(async move { client.extract(&single(person(1))).await })
    };
    upstream
        .wait_for("the call is in flight", LIMIT, |log| log.in_flight == 1)
        .await;
    asking.abort();
    let spans = collector.until("item", 1).await;
    let item = only(&spans, "item");
    assert_eq!(item.text("extractd.item.outcome"), "cancelled");
    assert_eq!(
        only(&spans, "chat test-model").text("error.type"),
        "cancelled"
    );
}

#[tokio::test]
async fn spans_have_no_texts_unless_they_are_asked_for() {
    let script = || {
        Upstream::saying([
            Reply::error(500, &format!("cannot read {}", person(1))),
            Reply::Json(
                json!({"name": "Answer-4711", "age": "unknown-4712", "occupation": "tester"}),
            ),
            Reply::Json(json!({"name": "Answer-4711", "age": 1, "occupation": "tester"})),
        ])
    };
    let secrets = [
        "Answer-4711",
        "unknown-4712",
        &*person(1),
        "Extract",
        "cannot read",
    ];
    let upstream = script();
    let (collector, server) = traced(&upstream).await;
    let client = server.with_header("traceparent", &traceparent("01"));
    client
        .extract(&with(single(person(1)), json!({"trace": true})))
        .await
        .ok();
    collector.until("POST /v1/extract", 1).await;
    for body in collector.bodies() {
        let body = String::from_utf8_lossy(&body);
        for secret in secrets {
            assert!(!body.contains(secret), "{secret}: {body}");
        }
    }

    let upstream = script();
    let collector = Collector::start().await;
    let server = collector
        .configure(Server::asking(&upstream))
        .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
        .start()
        .await;
    server.extract(&single(person(1))).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    let mut calls: Vec<_> = spans.iter().filter(|span| span.kind == 3).collect();
    calls.sort_by_key(|span| span.start);
    assert_eq!(calls.len(), 3);
    assert!(calls[0].message.contains("cannot read"), "{:?}", calls[0]);
    let input = embedded(calls[1], "gen_ai.input.messages");
    assert_eq!(input[0]["role"], "system");
    assert_eq!(input[1]["role"], "user");
    let text = input[1]["parts"][0]["content"].as_str().unwrap();
    assert!(text.contains(&person(1)), "{text}");
    let output = embedded(calls[1], "gen_ai.output.messages");
    assert_eq!(output[0]["role"], "assistant");
    assert_eq!(output[0]["finish_reason"], "stop");
    assert_eq!(output[0]["parts"][0]["type"], "text");
    let text = output[0]["parts"][0]["content"].as_str().unwrap();
    assert!(text.contains("unknown-4712"), "{text}");
    let invalid = spans
        .iter()
        .find(|span| span.text("error.type") == "invalid");
    assert!(invalid.is_some());
    let messages = spans
        .iter()
        .filter(|span| span.name == "validate")
        .map(|span| span.text("extractd.validation.messages"));
    assert!(messages.into_iter().any(|text| text.contains("/age")));
}

#[tokio::test]
async fn a_chat_completion_that_is_passed_through_is_traced_too() {
    let upstream = Upstream::saying([Reply::Used("Hello".into(), 5, 2)]);
    let (collector, server) = traced(&upstream).await;
    let client = server.with_header("traceparent", &traceparent("01"));
    let body =
        json!({"model": "openai/test-model", "messages": [{"role": "user", "content": "Hi"}]});
    client.post("/v1/chat/completions", &body).await.ok();
    let spans = collector.until("POST /v1/chat/completions", 1).await;
    check_trace(&spans);
    assert_eq!(
        tree(&spans, PARENT),
        [
            "POST /v1/chat/completions 200",
            "  item 0 succeeded",
            "    attempt 1",
            "      chat test-model",
        ]
    );
    let call = only(&spans, "chat test-model");
    assert_eq!(call.text("gen_ai.operation.name"), "chat");
    // They are the caller's own.
    assert_eq!(call.text("gen_ai.request.temperature"), "");
    assert_eq!(call.text("gen_ai.usage.input_tokens"), "5");
}

#[tokio::test]
async fn a_tool_of_mcp_is_a_request_within_that_to_mcp() {
    let upstream = Upstream::playing();
    let (collector, server) = traced(&upstream).await;
    let arguments = json!({"schema": fixture::schema(), "input": person(1)});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "extract", "arguments": arguments}});
    let client = server
        .with_header("traceparent", &traceparent("01"))
        .with_header("accept", "application/json, text/event-stream");
    client.post("/mcp", &message).await.ok();
    let spans = collector.until("POST /mcp", 1).await;
    check_trace(&spans);
    let lines = tree(&spans, PARENT);
    assert_eq!(lines[0], "POST /mcp 200");
    assert_eq!(lines[1], "  POST /v1/extract 200");
    assert_eq!(lines[2], "    item 0 succeeded");
}
