//! `POST /v1/extract/batch`, gathered: `results[i]` belongs to `inputs[i]` (contract, section 2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{check_pointer, check_problem};
use crate::support::fixture::{self, PEOPLE, batch, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

#[tokio::test]
async fn results_are_in_input_order_whatever_the_order_of_the_answers() {
    // The later an input stands, the sooner it is answered.
    let upstream = Upstream::start(|call| {
        Reply::Played.after(Duration::from_millis(
            300 - 10 * call.item().unwrap() as u64,
        ))
    });
    let server = Server::with(&upstream).await;
    let reply = server.batch(&batch(30)).await.ok();
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), 30);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
        assert_eq!(result["status"], "succeeded");
        assert_eq!(result["data"], fixture::found(index));
    }
    assert_eq!(upstream.calls(), 30);
}

#[tokio::test]
async fn the_reply_has_every_promised_field() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let inputs = json!([{"id": "a", "input": PEOPLE[0].0, "metadata": {"row": "7"}}, PEOPLE[1].0, [{"type": "text", "text": PEOPLE[2].0}]]);
    let answer = server
        .batch(&json!({"inputs": inputs, "schema": fixture::schema(), "metadata": {"run": "x"}}))
        .await;
    assert_eq!(answer.header("content-type"), "application/json");
    let reply = answer.ok();
    assert!(reply["id"].as_str().unwrap().starts_with("bat_"), "{reply}");
    assert_eq!(reply["status"], "completed");
    assert_eq!(reply["metadata"], json!({"run": "x"}));
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results[0]["id"], "a", "an id is echoed");
    assert_eq!(
        results[0]["metadata"],
        json!({"row": "7"}),
        "an item's metadata is echoed"
    );
    assert!(results[1].get("id").is_none(), "no id is made up: {reply}");
    for (result, (_, name, age, occupation)) in results.iter().zip(PEOPLE) {
        assert_eq!(
            result["data"],
            json!({"name": name, "age": age, "occupation": occupation})
        );
        assert_eq!(result["model"], "openai/test-model");
        assert_eq!(
            (&result["attempts"], &result["cached"]),
            (&json!(1), &json!(false))
        );
        assert_eq!(result["usage"]["total_tokens"], 15);
        assert!(
            result["timing"]["total_ms"].as_f64().unwrap() > 0.0,
            "{result}"
        );
    }
    let summary = &reply["summary"];
    assert_eq!(counts(summary), (3, 3, 0, 0, 0));
    assert_eq!(
        summary["usage"],
        json!({"input_tokens": 30, "output_tokens": 15, "total_tokens": 45}),
        "usage adds up"
    );
    assert!(summary["elapsed_ms"].as_f64().unwrap() > 0.0, "{summary}");
}

/// Returns the counts of a summary: total, succeeded, failed, invalid, cancelled.
fn counts(summary: &Value) -> (u64, u64, u64, u64, u64) {
    let count = |name: &str| {
        summary[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {summary}"))
    };
    (
        count("total"),
        count("succeeded"),
        count("failed"),
        count("invalid"),
        count("cancelled"),
    )
}

#[tokio::test]
async fn one_failed_item_never_fails_another() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(2) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let reply = server
        .batch(&with(batch(5), json!({"mode": "tools"})))
        .await
        .ok();
    assert_eq!(reply["status"], "completed");
    assert_eq!(counts(&reply["summary"]), (5, 4, 1, 0, 0));
    let failed = &reply["results"][2];
    assert_eq!(failed["status"], "failed");
    assert!(failed.get("data").is_none(), "{failed}");
    check_problem(&failed["error"], 502, "upstream_error");
    for index in [0, 1, 3, 4] {
        assert_eq!(reply["results"][index]["data"], fixture::found(index));
    }
}

#[tokio::test]
async fn a_blank_input_fails_alone_without_a_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = json!({"inputs": [fixture::person(0), " ", fixture::person(2)], "schema": fixture::schema()});
    let reply = server.batch(&body).await.ok();
    check_problem(&reply["results"][1]["error"], 422, "invalid_request");
    assert_eq!(counts(&reply["summary"]), (3, 2, 1, 0, 0));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn an_empty_batch_is_completed_at_once() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let reply = server.batch(&batch(0)).await.ok();
    assert_eq!(reply["status"], "completed");
    assert_eq!(reply["results"], json!([]));
    assert_eq!(counts(&reply["summary"]), (0, 0, 0, 0, 0));
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn an_input_of_the_wrong_type_is_rejected_before_any_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let mut body = batch(5);
    body["inputs"][3] = json!(17);
    check_pointer(
        &server.batch(&body).await.problem(422, "invalid_request"),
        "/inputs/3",
    );
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn stop_ends_the_batch_at_its_first_failure() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(2) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let body = with(
        batch(50),
        json!({"on_error": "stop", "concurrency": 1, "mode": "tools"}),
    );
    let reply = server.batch(&body).await.ok();
    assert_eq!(reply["status"], "stopped");
    assert_eq!(counts(&reply["summary"]), (50, 2, 1, 0, 47));
    assert_eq!(
        reply["results"].as_array().unwrap().len(),
        50,
        "each input has its result"
    );
    assert_eq!(
        reply["results"][49],
        json!({"index": 49, "status": "cancelled"})
    );
    assert_eq!(upstream.calls(), 3, "nothing is called after the failure");
}

#[tokio::test]
async fn stop_aborts_calls_in_flight() {
    let upstream = Upstream::start(|call| match call.item() {
        Some(3) => Reply::error(413, "no").after(Duration::from_millis(200)),
        _ => Reply::Stall,
    });
    let server = Server::with(&upstream).await;
    let reply = server
        .batch(&with(
            batch(8),
            json!({"on_error": "stop", "mode": "tools"}),
        ))
        .await
        .ok();
    assert_eq!(reply["status"], "stopped");
    assert_eq!(counts(&reply["summary"]), (8, 0, 1, 0, 7));
    upstream
        .wait_for(
            "the calls in flight are aborted",
            Duration::from_secs(1),
            |log| log.in_flight == 0,
        )
        .await;
}

#[tokio::test]
async fn the_headers_go_out_at_admission() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    let response = server
        .open("/v1/extract/batch", "*/*", &batch(3))
        .await
        .expect(200);
    assert_eq!(
        upstream.seen(|log| log.answered),
        0,
        "the status is there before any answer is"
    );
    gate.open();
    assert_eq!(response.whole().await.ok()["summary"]["succeeded"], 3);
}

#[tokio::test]
async fn ids_need_not_be_unique_and_may_have_255_characters() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let id = "ü".repeat(255);
    let input = json!({"id": id, "input": "Ada"});
    let reply = server
        .batch(&json!({"inputs": [input, input], "schema": fixture::schema()}))
        .await
        .ok();
    assert_eq!(
        (&reply["results"][0]["id"], &reply["results"][1]["id"]),
        (&json!(id), &json!(id))
    );
}
