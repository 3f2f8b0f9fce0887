//! Limits of what a caller may store: a caller that reaches them takes nothing from the others.

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::json;

use super::{JOBS, LIMIT, asking, ended, made, path};
use crate::support::client::{Answer, Client, eventually};
use crate::support::fixture::{batch, person, schema_query};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

pub(super) const CALLERS: &str = "
[callers.ann]
key = \"key-of-ann-long-enough\"
[callers.bob]
key = \"key-of-bob-long-enough\"
";

async fn limited(upstream: &Upstream, jobs: &str) -> (Server, Client, Client) {
    let config = format!("[jobs]\n{jobs}\n{CALLERS}");
    let server = asking(upstream, 4).config(&config).start().await;
    let ann = server.with_key("key-of-ann-long-enough");
    let bob = server.with_key("key-of-bob-long-enough");
    (server, ann, bob)
}

/// Creates a job of this many bytes.
pub(super) async fn upload(client: &Client, megabytes: usize) -> Answer {
    let line = Bytes::from(format!("{}\n", json!({"input": "z".repeat(100_000)})));
    client
        .request(Method::POST, &format!("{JOBS}?{}", schema_query()))
        .header("content-type", "application/x-ndjson")
        .stream(stream::iter(std::iter::repeat_n(line, megabytes * 10)))
        .answer()
        .await
}

#[tokio::test]
async fn a_caller_with_its_maximum_of_jobs_deletes_one_to_create_another() {
    let upstream = Upstream::playing();
    let (_server, ann, bob) = limited(&upstream, "max_per_caller = 2").await;
    let first = made(&ann, &batch(1)).await;
    made(&ann, &batch(1)).await;
    ended(&ann, &first).await;
    let refused = ann.post(JOBS, &batch(1)).await;
    let problem = refused.json();
    assert_eq!(
        (refused.status.as_u16(), &problem["code"]),
        (429, &json!("quota_exceeded")),
        "{problem}"
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("delete jobs"), "{detail}");
    made(&bob, &batch(1)).await;
    let deleted = ann.request(Method::DELETE, &path(&first, "")).answer();
    assert_eq!(deleted.await.status, 204);
    eventually(LIMIT, "another fits", async || {
        (ann.post(JOBS, &batch(1)).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upload_beyond_the_bytes_of_a_caller_is_refused_and_leaves_nothing() {
    let upstream = Upstream::playing();
    let (_server, ann, bob) = limited(&upstream, "max_bytes_per_caller = 4000000").await;
    upload(&ann, 8).await.problem(429, "quota_exceeded");
    eventually(LIMIT, "what it left is removed", async || {
        (upload(&ann, 2).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(upload(&bob, 2).await.status, 202);
    let jobs = ann.get(JOBS).await.ok();
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
}

#[tokio::test]
async fn one_of_several_callers_leaves_stored_bytes_to_the_others() {
    let upstream = Upstream::playing();
    let (_server, ann, bob) = limited(&upstream, "max_stored_bytes = 8000000").await;
    let mut of_ann = Vec::new();
    let refused = loop {
        let answer = upload(&ann, 1).await;
        if answer.status != 202 {
            break answer;
        }
        of_ann.push(answer.json());
        assert!(of_ann.len() < 8, "she may take all");
    };
    let problem = refused.problem(429, "quota_exceeded");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("delete jobs"), "{detail}");
    assert!(detail.contains("`jobs.max_stored_bytes`"), "{detail}");
    let of_bob = upload(&bob, 1).await;
    assert_eq!(of_bob.status, 202, "{}", of_bob.text());
    ended(&bob, &of_bob.json()).await;
    for job in &of_ann {
        ended(&ann, job).await;
    }
}

#[tokio::test]
async fn the_results_of_one_of_several_callers_leave_stored_bytes_to_the_others() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"text": "x".repeat(50_000)})));
    let (_server, ann, bob) = limited(&upstream, "max_stored_bytes = 16000000").await;
    let inputs: Vec<_> = (0..2_000).map(person).collect();
    let body = json!({"inputs": inputs, "schema": {"type": "object"}, "concurrency": 4});
    let large = made(&ann, &body).await;
    let waiting = eventually(LIMIT, "it waits for room", async || {
        let shown = ann.get(&path(&large, "")).await.ok();
        shown["waits_for_room"].as_str().map(str::to_owned)
    })
    .await;
    assert!(waiting.contains("`jobs.max_stored_bytes`"), "{waiting}");
    let of_bob = made(&bob, &batch(1)).await;
    ended(&bob, &of_bob).await;
    let calls = upstream.calls();
    assert!(calls < 500, "{calls} calls");
    let cancel = ann.request(Method::POST, &path(&large, "/cancel"));
    cancel.answer().await;
    let shown = ended(&ann, &large).await;
    assert_eq!(shown["status"], "cancelled", "{shown}");
    assert!(shown["counts"]["succeeded"].as_u64() > Some(100), "{shown}");
}

#[tokio::test]
async fn an_upload_beyond_the_bytes_of_all_is_refused() {
    let upstream = Upstream::playing();
    let config = "[jobs]\nmax_stored_bytes = 4000000\n";
    let server = asking(&upstream, 4).config(config).start().await;
    let first = upload(&server, 2).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let refused = upload(&server, 3).await;
    refused.problem(503, "overloaded");
    ended(&server, &first.json()).await;
}
