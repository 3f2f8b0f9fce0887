//! Traces, and what `/v1/limits` says of calls that wait: which limit holds them, and until when.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{self, batch, right, single, with, wrong};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// Returns the spans, after checking that they are in order and within the item's time.
fn spans(result: &Value) -> Vec<Value> {
    let spans = result["trace"]["spans"]
        .as_array()
        .expect("there is a trace")
        .clone();
    let total = result["timing"]["total_ms"].as_f64().unwrap();
    let mut last = 0.0;
    for span in &spans {
        let (start, end) = (&span["start_ms"], &span["end_ms"]);
        let (start, end) = (start.as_f64().unwrap(), end.as_f64().unwrap());
        assert!(last - 0.01 <= start && start <= end, "{spans:?}");
        assert!(end <= total + 1.0, "{end} of {total}: {spans:?}");
        last = end;
    }
    spans
}

fn kinds(spans: &[Value]) -> Vec<(&str, &str, u64)> {
    spans
        .iter()
        .filter(|span| span["kind"] != "wait")
        .map(|span| {
            let outcome = span["outcome"].as_str().unwrap_or_default();
            (
                span["kind"].as_str().unwrap_or_default(),
                outcome,
                span["attempt"].as_u64().unwrap_or_default(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_trace_has_each_call_with_prompt_and_answer_and_each_validation() {
    let upstream = Upstream::saying([
        Reply::error(500, "on fire"),
        Reply::Used(wrong().to_string(), 100, 20),
        Reply::Used(right().to_string(), 150, 21),
    ]);
    let server = Server::with(&upstream).await;
    let body = with(single(fixture::person(1)), json!({"trace": true}));
    let result = server.extract(&body).await.ok();
    let spans = spans(&result);
    assert_eq!(
        kinds(&spans),
        [
            ("call", "failed", 1),
            ("call", "answered", 1),
            ("validate", "invalid", 1),
            ("call", "answered", 2),
            ("validate", "valid", 2),
        ]
    );
    let calls: Vec<_> = spans.iter().filter(|span| span["kind"] == "call").collect();
    assert!(calls[0]["detail"].as_str().unwrap().contains("on fire"));
    for call in &calls {
        assert_eq!(call["model"], "openai/test-model");
        let prompt = call["prompt"].as_str().unwrap();
        assert!(prompt.contains(&fixture::person(1)), "{prompt}");
    }
    assert_eq!(calls[1]["answer"], wrong().to_string());
    assert_eq!(calls[1]["usage"]["total_tokens"], 120);
    assert!(calls[2]["prompt"].as_str().unwrap().contains("/age"));
    let invalid = spans.iter().find(|span| span["outcome"] == "invalid");
    assert_eq!(invalid.unwrap()["errors"][0]["pointer"], "/age");
    let waits: Vec<_> = spans
        .iter()
        .filter(|span| span["limit"] == "backoff")
        .collect();
    assert_eq!(waits.len(), 1, "the retry waited once: {spans:?}");
    assert!(
        result["trace"]["started_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
}

#[tokio::test]
async fn without_trace_results_have_none() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let result = server.extract(&single(fixture::person(1))).await.ok();
    assert!(result.get("trace").is_none(), "{result}");
    assert!(result["timing"]["ended_at_ms"].as_u64().unwrap() > 1_600_000_000_000);
    server
        .extract(&with(single("Ada"), json!({"trace": "yes"})))
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn a_wait_names_the_limit_that_held_the_item() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_REQUESTS_PER_MINUTE", 600)
        .start()
        .await;
    let body = with(batch(4), json!({"trace": true}));
    let reply = server.batch(&body).await.ok();
    let last = &reply["results"][3];
    let waits: Vec<_> = spans(last)
        .into_iter()
        .filter(|span| span["kind"] == "wait" && !span["limit"].is_null())
        .collect();
    assert!(!waits.is_empty(), "{last}");
    for wait in &waits {
        assert_eq!(wait["limit"], "openai/requests_per_minute", "{waits:?}");
    }
}

#[tokio::test]
async fn a_wait_names_the_trial_of_a_model() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(600)));
    let server = Server::with(&upstream).await;
    let body = with(batch(6), json!({"trace": true}));
    let reply = server.batch(&body).await.ok();
    let last = spans(&reply["results"][5]);
    let held = last
        .iter()
        .any(|span| span["limit"] == "openai/test-model/trial");
    assert!(held, "{last:?}");
}

/// Returns the limit that holds calls, once there is one.
async fn hold(server: &Server) -> Value {
    eventually(LIMIT, "a hold", async || {
        let limits = server.get("/v1/limits").await.ok();
        limits["holds"].get(0).cloned()
    })
    .await
}

#[tokio::test]
async fn limits_say_that_a_full_semaphore_holds_the_calls() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Gate(held.clone(), Box::new(Reply::Played)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 2)
        .start()
        .await;
    let body = batch(5);
    let (reply, held) = tokio::join!(server.batch(&body), async {
        let held = hold(&server).await;
        gate.open();
        held
    });
    assert_eq!(held["limit"], "concurrency");
    assert!(held["waiting"].as_u64().unwrap() > 0, "{held}");
    assert_eq!(held["model"], "openai/test-model");
    assert!(held.get("retry_in_ms").is_none(), "{held}");
    assert_eq!(reply.ok()["summary"]["succeeded"], 5);
    let limits = server.get("/v1/limits").await.ok();
    assert_eq!(limits["holds"], json!([]), "nothing waits any more");
}

#[tokio::test]
async fn limits_say_that_a_pause_holds_the_calls_and_until_when() {
    let upstream = Upstream::saying([
        Reply::error(429, "slow down").with_header("retry-after", 1),
        Reply::Played,
    ]);
    let server = Server::with(&upstream).await;
    let body = with(batch(1), json!({"trace": true}));
    let (reply, held) = tokio::join!(server.batch(&body), hold(&server));
    assert_eq!(held["limit"], "openai/test-model/pause");
    assert!(held["retry_in_ms"].as_f64().unwrap() <= 1000.0, "{held}");
    let reply = reply.ok();
    let waited = spans(&reply["results"][0])
        .into_iter()
        .find(|span| span["limit"] == "openai/test-model/pause");
    assert!(waited.is_some(), "{reply}");
}
