//! Rules beyond the schema, asked again like a schema's error; and `on_failure: "best"`, which ends an item as `invalid` with the
//! nearest object (contract, sections 1, 2 and 6).

mod invalid_rules;
mod on_failure;
mod retries;

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, check_pointer, check_problem};
use crate::support::fixture::{encoded, with};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

const NDJSON: &str = "application/x-ndjson";

const SSE: &str = "text/event-stream";

fn schema() -> Value {
    let date = json!({"type": "string", "format": "date"});
    json!({"type": "object", "properties": {"start": date, "end": date, "guests": {"type": "integer"}},
           "required": ["start"], "additionalProperties": false})
}

fn rule(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": message})
}

fn rules() -> Value {
    json!([
        rule(
            "!has(data.end) || data.end >= data.start",
            "the end must not be before the start"
        ),
        rule(
            "!has(data.guests) || data.guests > 0",
            "somebody has to come"
        ),
    ])
}

fn stay(start: &str, end: &str, guests: i64) -> Value {
    json!({"start": start, "end": end, "guests": guests})
}

fn good() -> Value {
    stay("2026-01-01", "2026-01-05", 2)
}

/// Breaks one rule.
fn near() -> Value {
    stay("2026-01-01", "2026-01-05", 0)
}

/// Breaks both.
fn far() -> Value {
    stay("2026-01-05", "2026-01-01", 0)
}

fn single() -> Value {
    json!({"input": "We stay from the first to the fifth", "schema": schema(), "rules": rules()})
}

fn batch(count: usize) -> Value {
    let inputs: Vec<_> = (0..count)
        .map(|number| format!("[item-{number}] We stay"))
        .collect();
    json!({"inputs": inputs, "schema": schema(), "rules": rules(), "on_failure": "best", "max_attempts": 2})
}

/// Starts a provider for a batch of three items, of which the second is never valid and the third has no object.
fn mixed() -> Upstream {
    Upstream::start(|call| {
        Reply::Text(match call.item() {
            Some(1) => near().to_string(),
            Some(2) => "I cannot say.".to_owned(),
            _ => good().to_string(),
        })
    })
}

#[track_caller]
fn check_mixed<'a>(results: impl IntoIterator<Item = &'a Value>) {
    let mut results: Vec<_> = results.into_iter().collect();
    results.sort_by_key(|result| result["index"].as_u64());
    let [good_one, invalid, failed] = results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(
        (&good_one["status"], &good_one["data"]),
        (&json!("succeeded"), &good())
    );
    check_invalid(invalid, &near());
    assert_eq!(
        (&invalid["attempts"], &invalid["usage"]["total_tokens"]),
        (&json!(2), &json!(30))
    );
    check_problem(&failed["error"], 502, "extraction_failed");
    assert_eq!(
        failed["status"], "failed",
        "there is no object to be the nearest: {failed}"
    );
}

#[track_caller]
fn check_invalid(result: &Value, candidate: &Value) {
    assert_eq!(
        (&result["status"], &result["candidate"]),
        (&json!("invalid"), candidate),
        "{result}"
    );
    assert!(
        result.get("data").is_none() && result.get("error").is_none(),
        "{result}"
    );
    assert!(
        result["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty()),
        "{result}"
    );
    assert_eq!(result["model"], "openai/test-model", "{result}");
}

#[track_caller]
fn check_counts(summary: &Value) {
    let counts =
        ["total", "succeeded", "invalid", "failed", "cancelled"].map(|name| &summary[name]);
    assert_eq!(
        counts,
        [&json!(3), &json!(1), &json!(1), &json!(1), &json!(0)],
        "{summary}"
    );
}

#[tokio::test]
async fn rules_apply_in_every_response_format() {
    let upstream = mixed();
    let server = Server::with(&upstream).await;
    let ordered = server.batch(&batch(3)).await.ok();
    assert_eq!(ordered["status"], "completed");
    check_mixed(ordered["results"].as_array().unwrap());
    check_counts(&ordered["summary"]);

    let events = server
        .open("/v1/extract/batch", SSE, &batch(3))
        .await
        .expect(200)
        .events()
        .await;
    check_mixed(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
    );
    check_counts(&events.last().unwrap().data);

    let query = [
        ("schema", schema()),
        ("rules", rules()),
        ("max_attempts", json!(2)),
    ];
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(&value.to_string())))
        .collect();
    let upload = server.request(
        Method::POST,
        &format!("/v1/extract/batch?{}&on_failure=best", query.join("&")),
    );
    let inputs = batch(3)["inputs"].as_array().unwrap().clone();
    let lines = upload
        .header("accept", NDJSON)
        .lines(inputs.iter().map(Value::to_string))
        .send()
        .await
        .expect(200)
        .lines()
        .await;
    check_mixed(&lines[..3]);
    check_counts(&lines[3]["summary"]);

    let metrics = server.get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("extractd_items_total{status=\"invalid\"} 3"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_streamed_single_ends_with_result_and_done() {
    let upstream = Upstream::start(|_| Reply::Json(near()));
    let server = Server::with(&upstream).await;
    let ask = async |more: Value| {
        let mut events = server
            .open("/v1/extract", SSE, &with(single(), more))
            .await
            .expect(200)
            .events()
            .await;
        events.retain(|event| event.name != "partial");
        events
    };
    let events = ask(json!({"on_failure": "best"})).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["result", "done"]);
    check_invalid(&events[0].data, &near());
    assert_eq!(events[1].data["status"], "invalid");
    let events = ask(json!({})).await;
    assert_eq!(
        (events[0].name.as_str(), &events[1].data["status"]),
        ("error", &json!("failed"))
    );
}

#[tokio::test]
async fn an_invalid_item_does_not_stop_a_batch() {
    let upstream = Upstream::start(|call| {
        Reply::Json(if call.item() == Some(0) {
            near()
        } else {
            good()
        })
    });
    let server = Server::with(&upstream).await;
    let body = with(batch(4), json!({"on_error": "stop", "concurrency": 1}));
    let reply = server.batch(&body).await.ok();
    assert_eq!(
        (
            &reply["status"],
            &reply["summary"]["succeeded"],
            &reply["summary"]["invalid"]
        ),
        (&json!("completed"), &json!(3), &json!(1))
    );
    let reply = server
        .batch(&with(body, json!({"on_failure": "error"})))
        .await
        .ok();
    assert_eq!(
        (&reply["status"], &reply["summary"]["cancelled"]),
        (&json!("stopped"), &json!(3))
    );
}

#[tokio::test]
async fn equal_items_share_an_invalid_outcome_and_it_is_not_cached() {
    let upstream = Upstream::start(|_| Reply::Json(near()).after(Duration::from_millis(300)));
    let server = Server::asking(&upstream)
        .config("[cache]\nmax_bytes = 1000000\n")
        .start()
        .await;
    let best = with(single(), json!({"on_failure": "best", "max_attempts": 1}));
    let error = with(best.clone(), json!({"on_failure": "error"}));
    let (one, other, third) = tokio::join!(
        server.extract(&best),
        server.extract(&best),
        server.extract(&error)
    );
    check_invalid(&one.ok(), &near());
    check_invalid(&other.ok(), &near());
    assert_eq!(
        third.problem(502, "extraction_failed")["candidate"],
        near(),
        "each makes of it what it asked for"
    );
    assert_eq!(upstream.calls(), 1);
    check_invalid(&server.extract(&best).await.ok(), &near());
    assert_eq!(upstream.calls(), 2, "asked anew");
}

#[tokio::test]
async fn items_with_other_rules_are_not_equal() {
    let upstream = Upstream::start(|_| Reply::Json(near()));
    let server = Server::asking(&upstream)
        .config("[cache]\nmax_bytes = 1000000\n")
        .start()
        .await;
    let without = with(single(), json!({"rules": []}));
    assert_eq!(server.extract(&without).await.ok()["data"], near());
    assert_eq!(server.extract(&without).await.ok()["cached"], true);
    server
        .extract(&with(single(), json!({"max_attempts": 3})))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(upstream.calls(), 4);
}
