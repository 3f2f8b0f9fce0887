//! A reader that stalls costs bounded memory, and gets everything once it goes on (contract, section 2; reliability.md, promise
//! 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::client::{LIMIT, Response, within};
use crate::support::fixture::{check_each_once, encoded};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

/// Lines in all; each tenth is for the model, the others are blank inputs, which cost nothing upstream and a result each
/// downstream. They are long enough, 300 bytes, that sockets cannot hold them all.
const LINES: usize = 200_000;
const EACH: usize = 10;
/// Size of the answer to each line: together 80 MB, far over the bound.
const ANSWER_BYTES: usize = 4_000;
/// Maximum growth of the server while its reader stalls. The results held back would be over 130 MB.
const BOUND_BYTES: u64 = 64 * 1024 * 1024;
/// Nothing moves any more when nothing has moved for so long.
const STILL: Duration = Duration::from_secs(1);

/// Returns the upload's lines, counted as they are taken from the test.
fn lines(
    sent: &Arc<AtomicUsize>,
) -> impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static + use<> {
    let sent = Arc::clone(sent);
    futures_util::stream::iter((0..LINES / 100).map(move |block| {
        sent.store((block + 1) * 100, Ordering::Relaxed);
        let lines = (block * 100..(block + 1) * 100).map(|line| {
            let text = if line % EACH == 0 {
                format!("line {line}")
            } else {
                String::new()
            };
            format!("\"{text:300}\"\n")
        });
        lines.collect::<String>().into()
    }))
}

/// Waits until neither the upload nor the calls move: everything between is full. With no backpressure it waits until all is
/// through.
async fn until_still(sent: &AtomicUsize, upstream: &Upstream) {
    let progress = || (sent.load(Ordering::Relaxed), upstream.calls());
    within(LIMIT, "the server stops reading and calling", async {
        let mut last = (progress(), Instant::now());
        while last.1.elapsed() < STILL {
            sleep(Duration::from_millis(50)).await;
            if progress() != last.0 {
                last = (progress(), Instant::now());
            }
        }
    })
    .await;
}

async fn read_on(mut response: Response) -> Vec<Value> {
    let mut lines = Vec::with_capacity(LINES + 1);
    while let Some(mut line) = response.line().await {
        if let Some(data) = line.get_mut("data") {
            assert_eq!(data["text"].as_str().map(str::len), Some(ANSWER_BYTES));
        }
        // Keep what is looked at below.
        lines.push(
            json!({"index": line["index"], "status": line["status"], "code": line["error"]["code"], "summary": line["summary"]}),
        );
    }
    lines
}

#[tokio::test]
async fn a_stalled_reader_costs_bounded_memory_and_loses_nothing() {
    let answer = json!({"text": "t".repeat(ANSWER_BYTES)});
    let upstream = Upstream::light(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let schema =
        json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let before = server.resident_bytes();

    let path = format!("/v1/extract/batch?schema={}", encoded(&schema.to_string()));
    let request = server
        .request(Method::POST, &path)
        .header("content-type", "application/x-ndjson");
    let response = request
        .header("accept", "application/x-ndjson")
        .stream(lines(&sent))
        .send()
        .await
        .expect(200);
    until_still(&sent, &upstream).await;
    assert!(
        upstream.calls() < LINES / EACH,
        "the server did not call on regardless"
    );
    assert!(
        sent.load(Ordering::Relaxed) < LINES,
        "the server did not read on regardless"
    );
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown < BOUND_BYTES,
        "{grown} bytes more while the reader stalls"
    );

    let mut results = within(
        Duration::from_secs(150),
        "everything comes through",
        read_on(response),
    )
    .await;
    let summary = results.pop().unwrap()["summary"].clone();
    check_each_once(&results, LINES);
    for result in &results {
        let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
        let expected = if index % EACH == 0 {
            json!("succeeded")
        } else {
            json!("failed")
        };
        assert_eq!(result["status"], expected, "{result}");
    }
    assert_eq!(
        (&summary["total"], &summary["succeeded"], &summary["failed"]),
        (
            &json!(LINES),
            &json!(LINES / EACH),
            &json!(LINES - LINES / EACH)
        )
    );
    assert_eq!(upstream.calls(), LINES / EACH);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < BOUND_BYTES, "{grown} bytes more at the end");
}

#[tokio::test]
async fn calls_of_a_stalled_reader_do_not_time_out() {
    // More results than sockets and buffers hold; the calls that are in flight when the reader stops still end well.
    let answer = json!({"text": "t".repeat(50_000)});
    let upstream =
        Upstream::light(move |_| Reply::Json(answer.clone()).after(Duration::from_millis(20)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 16)
        .start()
        .await;
    let inputs: Vec<_> = (0..600).map(|number| format!("line {number}")).collect();
    let schema =
        json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let body = json!({"inputs": inputs, "schema": schema, "timeout_ms": 1_500});
    let response = server
        .open("/v1/extract/batch", "application/x-ndjson", &body)
        .await
        .expect(200);
    until_still(&AtomicUsize::new(0), &upstream).await;
    // The time is what is tested here: longer than an item's timeout.
    sleep(Duration::from_secs(2)).await;
    let mut results = response.lines().await;
    let summary = results.pop().unwrap();
    check_each_once(&results, 600);
    assert_eq!(summary["summary"]["succeeded"], 600, "{summary}");
}
