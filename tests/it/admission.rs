//! The waiting room: full, a request is `overloaded` at the door; what has been admitted is never refused later (contract,
//! section 7; reliability.md, limits).

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::{Answer, LIMIT, eventually};
use crate::support::fixture::{self, batch, single};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// Starts a server with its one slot and both places of its queue taken. Everything waits for the gate.
async fn full() -> (Upstream, Server, Gate, JoinSet<Answer>) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .env("EXTRACTD_MAX_QUEUE", 2)
        .start()
        .await;
    let mut requests = JoinSet::new();
    for number in 0..3 {
        let client = server.clone();
        requests.spawn(async move { client.extract(&single(fixture::person(number))).await });
        if number == 0 {
            upstream
                .wait_for("the slot is taken", LIMIT, |log| log.in_flight == 1)
                .await;
        }
    }
    eventually(LIMIT, "both places are taken", async || {
        let queue = server.limit("queue").await.expect("a row for the queue");
        assert_eq!(queue["limit"], 2, "{queue}");
        (queue["available"] == 0).then_some(())
    })
    .await;
    (upstream, server, gate, requests)
}

#[tokio::test]
async fn a_full_queue_rejects_at_once_with_retry_after() {
    let (upstream, server, gate, requests) = full().await;
    let refused = server.extract(&single("one too many")).await;
    refused.problem(503, "overloaded");
    let after: u64 = refused
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    assert!((1..=3_600).contains(&after), "{after}");
    assert_eq!(upstream.calls(), 1);
    gate.open();
    for answer in requests.join_all().await {
        answer.ok();
    }
    server.extract(&single("now there is room")).await.ok();
}

#[tokio::test]
async fn a_batch_is_rejected_at_admission_in_every_format() {
    let (_upstream, server, gate, requests) = full().await;
    for accept in [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
    ] {
        let refused = server
            .open("/v1/extract/batch", accept, &batch(3))
            .await
            .whole()
            .await;
        refused.problem(503, "overloaded");
        assert_ne!(refused.header("retry-after"), "");
    }
    let path = format!("/v1/extract/batch?{}", fixture::schema_query());
    let lines = server
        .request(http::Method::POST, &path)
        .lines(["\"Ada\""])
        .answer()
        .await;
    lines.problem(503, "overloaded");
    gate.open();
    assert_eq!(requests.join_all().await.len(), 3);
}

#[tokio::test]
async fn an_invalid_request_is_rejected_before_the_queue_is_checked() {
    let (_upstream, server, _gate, _requests) = full().await;
    server
        .extract(&json!({"input": "no schema"}))
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn an_admitted_batch_is_never_rejected_later() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(2)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 2)
        .env("EXTRACTD_MAX_QUEUE", 4)
        .start()
        .await;
    let reply = server.batch(&batch(200)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 200, "{}", reply["summary"]);
}

#[tokio::test]
async fn nothing_is_rejected_while_a_slot_is_free() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 4)
        .env("EXTRACTD_MAX_QUEUE", 1)
        .start()
        .await;
    for number in 0..50 {
        server.extract(&single(fixture::person(number))).await.ok();
    }
}

#[tokio::test]
async fn a_waiting_client_that_disconnects_frees_its_place() {
    let (_upstream, server, gate, mut requests) = full().await;
    let client = server.clone();
    client
        .extract(&single("one too many"))
        .await
        .problem(503, "overloaded");
    requests.abort_all();
    while requests.join_next().await.is_some() {}
    gate.open();
    eventually(LIMIT, "there is room again", async || {
        (server.extract(&single("Ada")).await.status == 200).then_some(())
    })
    .await;
}
