//! Batches that the end of the grace cuts: what is finished is answered in each form, the rest is `cancelled`, and the problem says
//! why.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::client::{Answer, Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{self, batch, schema_query, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

const GRACE: Duration = Duration::from_millis(500);
/// Maximum time of the whole stop: the grace, and the time for closing.
const STOP: Duration = Duration::from_secs(6);

/// Starts a server whose provider answers the first `finished` items, and no other.
async fn with_finished(finished: usize) -> (Upstream, Server) {
    let upstream = Upstream::start(move |call| match call.item() {
        Some(item) if item < finished => Reply::Played,
        _ => Reply::Stall,
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_SHUTDOWN_GRACE_MS", GRACE.as_millis())
        .env("EXTRACTD_MAX_CONCURRENCY", 4)
        .start()
        .await;
    (upstream, server)
}

/// Stops the server once the provider holds this many calls, and checks that the process ends in time.
async fn stop(upstream: &Upstream, server: &mut Server, stuck: usize) {
    upstream
        .wait_for("calls are stuck", LIMIT, |log| log.in_flight == stuck)
        .await;
    let begun = Instant::now();
    server.terminate();
    assert_eq!(server.exit(STOP).await, Some(0), "{}", server.output());
    assert!(begun.elapsed() >= GRACE, "{:?}", begun.elapsed());
}

fn send(server: &Server, body: Value) -> JoinHandle<Answer> {
    let client = Client::clone(server);
    tokio::spawn(async move { client.batch(&body).await })
}

/// Checks the results in input order: the first are extracted, and the others cancelled.
fn check_results(results: &[Value], finished: usize, total: usize) {
    assert_eq!(results.len(), total);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
        if index < finished {
            assert_eq!(result["data"], fixture::found(index), "{result}");
        } else {
            assert_eq!(result["status"], "cancelled", "{result}");
            assert_eq!(result["id"], format!("text {index}"), "{result}");
        }
    }
}

fn check_summary(summary: &Value, finished: usize, total: usize) {
    let counts = ["total", "succeeded", "failed", "cancelled"].map(|count| summary[count].clone());
    let expected = [total, finished, 0, total - finished].map(|count| json!(count));
    assert_eq!(counts, expected, "{summary}");
}

/// A batch whose inputs have IDs and the texts of the scripted people.
fn named(count: usize) -> Value {
    let inputs: Vec<_> = (0..count)
        .map(|index| json!({"id": format!("text {index}"), "input": fixture::person(index)}))
        .collect();
    with(
        batch(0),
        json!({"inputs": inputs, "metadata": {"order": "7"}}),
    )
}

#[tokio::test]
async fn an_ordered_batch_is_answered_with_what_is_finished() {
    let (upstream, mut server) = with_finished(3).await;
    let request = send(&server, named(10));
    stop(&upstream, &mut server, 4).await;
    let reply = request.await.unwrap().ok();
    assert_eq!(
        (&reply["status"], &reply["metadata"]),
        (&json!("stopped"), &json!({"order": "7"}))
    );
    check_results(reply["results"].as_array().unwrap(), 3, 10);
    check_summary(&reply["summary"], 3, 10);
    check_problem(&reply["error"], 503, "shutting_down");
}

#[tokio::test]
async fn a_large_ordered_batch_is_answered_in_time() {
    let (upstream, mut server) = with_finished(0).await;
    let request = send(&server, batch(100_000));
    stop(&upstream, &mut server, 4).await;
    let reply = request.await.unwrap().ok();
    assert_eq!(reply["results"].as_array().unwrap().len(), 100_000);
    check_summary(&reply["summary"], 0, 100_000);
}

#[tokio::test]
async fn a_batch_that_stops_at_an_error_is_cut_like_any_other() {
    let (upstream, mut server) = with_finished(2).await;
    let request = send(
        &server,
        with(named(6), json!({"on_error": "stop", "concurrency": 1})),
    );
    stop(&upstream, &mut server, 1).await;
    let reply = request.await.unwrap().ok();
    check_results(reply["results"].as_array().unwrap(), 2, 6);
    check_problem(&reply["error"], 503, "shutting_down");
}

#[tokio::test]
async fn an_event_stream_ends_with_the_error_and_done() {
    let (upstream, mut server) = with_finished(3).await;
    let response = server
        .open("/v1/extract/batch", "text/event-stream", &named(10))
        .await
        .expect(200);
    let events = tokio::spawn(response.events());
    stop(&upstream, &mut server, 4).await;
    let mut events = events.await.unwrap();
    let done = events.pop().unwrap();
    assert_eq!(
        (done.name.as_str(), &done.data["status"]),
        ("done", &json!("stopped"))
    );
    check_summary(&done.data, 3, 10);
    let error = events.pop().unwrap();
    assert_eq!(error.name, "error");
    check_problem(&error.data, 503, "shutting_down");
    let mut results: Vec<_> = events
        .into_iter()
        .filter(|event| event.name == "result")
        .map(|event| event.data)
        .collect();
    results.sort_by_key(|result| result["index"].as_u64());
    check_results(&results, 3, 10);
}

#[tokio::test]
async fn lines_end_with_the_summary_and_the_error() {
    let (upstream, mut server) = with_finished(3).await;
    let response = server
        .open("/v1/extract/batch", "application/x-ndjson", &named(10))
        .await
        .expect(200);
    let lines = tokio::spawn(response.lines());
    stop(&upstream, &mut server, 4).await;
    let mut lines = lines.await.unwrap();
    let end = lines.pop().unwrap();
    assert_eq!(end["status"], "stopped", "{end}");
    check_summary(&end["summary"], 3, 10);
    check_problem(&end["error"], 503, "shutting_down");
    lines.sort_by_key(|result| result["index"].as_u64());
    check_results(&lines, 3, 10);
}

/// An upload that is still open has no known number of inputs: those that were not read have no result.
#[tokio::test]
async fn an_open_upload_is_cut_where_it_was_read() {
    let (upstream, mut server) = with_finished(2).await;
    let line = |index: usize| {
        let line = json!({"id": format!("text {index}"), "input": fixture::person(index)});
        Bytes::from(format!("{line}\n"))
    };
    let lines = stream::iter((0..4).map(line));
    let body = futures_util::StreamExt::chain(lines, stream::pending());
    let client = Client::clone(&server);
    let request = tokio::spawn(async move {
        client
            .request(
                Method::POST,
                &format!("/v1/extract/batch?{}", schema_query()),
            )
            .header("content-type", "application/x-ndjson")
            .stream(body)
            .answer()
            .await
    });
    stop(&upstream, &mut server, 2).await;
    let reply = request.await.unwrap().ok();
    check_results(reply["results"].as_array().unwrap(), 2, 4);
    let error = check_problem_detail(&reply["error"]);
    assert!(error.contains("after the first 4 were not read"), "{error}");
}

fn check_problem_detail(problem: &Value) -> String {
    check_problem(problem, 503, "shutting_down");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_single_extraction_ends_with_the_problem() {
    let (upstream, mut server) = with_finished(0).await;
    let client = Client::clone(&server);
    let plain = tokio::spawn(async move { client.extract(&single(fixture::person(1))).await });
    let response = server
        .open(
            "/v1/extract",
            "text/event-stream",
            &single(fixture::person(2)),
        )
        .await
        .expect(200);
    let events = tokio::spawn(response.events());
    stop(&upstream, &mut server, 2).await;
    plain.await.unwrap().problem(503, "shutting_down");
    let events = events.await.unwrap();
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["error", "done"]);
    check_problem(&events[0].data, 503, "shutting_down");
}

/// The results of an upload that broke off are worth as much as those of a batch that was cut.
#[tokio::test]
async fn an_idle_upload_keeps_its_results_in_an_ordered_response() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .config("[server]\nidle_timeout_ms = 1500")
        .start()
        .await;
    let lines = stream::iter(
        [1, 2].map(|index| Bytes::from(format!("{}\n", json!(fixture::person(index))))),
    );
    let reply = server
        .request(
            Method::POST,
            &format!("/v1/extract/batch?{}", schema_query()),
        )
        .header("content-type", "application/x-ndjson")
        .stream(futures_util::StreamExt::chain(lines, stream::pending()))
        .answer()
        .await
        .ok();
    assert_eq!(reply["results"][1]["data"], fixture::found(2), "{reply}");
    assert_eq!(
        (&reply["status"], &reply["summary"]["succeeded"]),
        (&json!("stopped"), &json!(2))
    );
    check_problem(&reply["error"], 400, "invalid_json");
    eventually(LIMIT, "the server is idle", async || {
        (server.limit("concurrency").await?["in_use"] == 0).then_some(())
    })
    .await;
}
