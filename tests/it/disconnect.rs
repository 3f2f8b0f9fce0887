//! A client that goes away stops everything at once, in every form: calls in flight are aborted, what waits is dropped, and all
//! limits are back where they were (contract, section 2).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::client::{LIMIT, Response, within};
use crate::support::fixture::{self, batch, schema_query, single};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

/// So soon the upstream must see it.
const SOON: Duration = Duration::from_secs(1);

struct Stage {
    upstream: Upstream,
    server: Server,
}

impl Stage {
    /// Starts a server of four slots whose upstream answers only item 9999.
    async fn set() -> Self {
        let upstream = Upstream::start(|call| {
            if call.item() == Some(9999) {
                Reply::Played
            } else {
                Reply::Stall
            }
        });
        let server = Server::asking(&upstream)
            .env("EXTRACTD_MAX_CONCURRENCY", 4)
            .start()
            .await;
        Self { upstream, server }
    }

    async fn until_called(&self, calls: usize) {
        self.upstream
            .wait_for("the calls are in flight", LIMIT, |log| {
                log.in_flight == calls
            })
            .await;
    }

    /// Checks that everything stops after the client disconnected.
    async fn check_stopped(self, calls: usize) {
        self.upstream
            .wait_for("every call is aborted", SOON, |log| {
                log.in_flight == 0 && log.aborted == calls
            })
            .await;
        self.server.wait_until_idle(SOON).await;
        // Whatever still waited would go out before this one.
        assert_eq!(
            self.server
                .extract(&single(fixture::person(9999)))
                .await
                .ok()["data"],
            fixture::found(9999)
        );
        assert_eq!(
            self.upstream.calls(),
            calls + 1,
            "nothing that waited was called"
        );
    }
}

#[tokio::test]
async fn disconnecting_while_a_single_is_answered_cancels_it() {
    let stage = Stage::set().await;
    let client = stage.server.clone();
    let request = tokio::spawn(async move { client.extract(&single("Ada")).await });
    stage.until_called(1).await;
    request.abort();
    stage.check_stopped(1).await;
}

#[tokio::test]
async fn disconnecting_while_a_single_is_queued_cancels_it() {
    let stage = Stage::set().await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..4 {
        let client = stage.server.clone();
        requests.spawn(async move { client.extract(&single(fixture::person(number))).await });
    }
    stage.until_called(4).await;
    let client = stage.server.clone();
    let waiting = tokio::spawn(async move { client.extract(&single("Ada")).await });
    crate::support::client::eventually(LIMIT, "one waits", async || {
        (waits(&stage.server).await > 0).then_some(())
    })
    .await;
    waiting.abort();
    crate::support::client::eventually(SOON, "none waits", async || {
        (waits(&stage.server).await == 0).then_some(())
    })
    .await;
    drop(requests);
    stage.check_stopped(4).await;
}

async fn waits(server: &Server) -> u64 {
    let rows = server.get("/v1/limits").await.ok()["limits"]
        .as_array()
        .unwrap()
        .clone();
    rows.iter()
        .filter_map(|row| row["waiting"].as_u64())
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn disconnecting_while_a_single_is_streamed_cancels_it() {
    let stage = Stage::set().await;
    let client = stage.server.clone();
    let request = tokio::spawn(async move {
        client
            .open("/v1/extract", "text/event-stream", &single("Ada"))
            .await
            .whole()
            .await
    });
    stage.until_called(1).await;
    request.abort();
    stage.check_stopped(1).await;
}

#[tokio::test]
async fn disconnecting_during_a_backoff_cancels_the_retry() {
    let upstream = Upstream::start(|_| Reply::error(500, "oops").with_header("retry-after", 1));
    let server = Server::with(&upstream).await;
    let client = server.clone();
    let request = tokio::spawn(async move { client.extract(&single("Ada")).await });
    upstream
        .wait_for("the first try has failed", LIMIT, |log| log.answered == 1)
        .await;
    request.abort();
    server.wait_until_idle(SOON).await;
    // The time is what is tested here: the next try would go out after one second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(upstream.calls(), 1);
}

async fn leave_batch(accept: &str) {
    let stage = Stage::set().await;
    let response = stage
        .server
        .open("/v1/extract/batch", accept, &batch(500))
        .await
        .expect(200);
    stage.until_called(4).await;
    drop(response);
    stage.check_stopped(4).await;
}

#[tokio::test]
async fn disconnecting_from_an_ordered_batch_cancels_its_items() {
    leave_batch("application/json").await;
}

#[tokio::test]
async fn disconnecting_from_an_sse_batch_cancels_its_items() {
    leave_batch("text/event-stream").await;
}

#[tokio::test]
async fn disconnecting_from_an_ndjson_batch_cancels_its_items() {
    leave_batch("application/x-ndjson").await;
}

/// Starts an upload that stays open after `lines` lines; dropping the sender ends it.
async fn upload(stage: &Stage, lines: usize, accept: &str) -> (mpsc::Sender<Bytes>, Response) {
    let (sender, received) = mpsc::channel::<Bytes>(1024);
    for number in 0..lines {
        sender
            .send(format!("{}\n", Value::from(fixture::person(number))).into())
            .await
            .unwrap();
    }
    let body = futures_util::stream::unfold(received, async |mut received| {
        received.recv().await.map(|line| (line, received))
    });
    let request = stage.server.request(
        Method::POST,
        &format!("/v1/extract/batch?{}", schema_query()),
    );
    let response = request
        .header("content-type", "application/x-ndjson")
        .header("accept", accept)
        .stream(body)
        .send()
        .await
        .expect(200);
    (sender, response)
}

#[tokio::test]
async fn disconnecting_during_an_ndjson_upload_cancels_its_items() {
    for accept in [
        "application/x-ndjson",
        "text/event-stream",
        "application/json",
    ] {
        let stage = Stage::set().await;
        let (sender, response) = upload(&stage, 3, accept).await;
        stage.until_called(3).await;
        drop(response);
        drop(sender);
        stage.check_stopped(3).await;
    }
}

#[tokio::test]
async fn disconnecting_within_a_line_cancels_the_waiting_items() {
    let stage = Stage::set().await;
    let (sender, response) = upload(&stage, 200, "application/x-ndjson").await;
    sender
        .send(Bytes::from_static(b"\"half a li"))
        .await
        .unwrap();
    stage.until_called(4).await;
    drop(response);
    drop(sender);
    stage.check_stopped(4).await;
}

#[tokio::test]
async fn disconnecting_during_the_upload_of_a_request_cancels_it() {
    let stage = Stage::set().await;
    let body = single("Ada").to_string();
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        stage.server.address(),
        body.len() + 10,
        body
    );
    // Nothing is to be answered to half a request; the connection closes after this while.
    stage
        .server
        .raw(head.as_bytes(), Duration::from_millis(200))
        .await;
    stage.check_stopped(0).await;
}

/// The end of what a client sends looks the same whether it has left or would still read its answer.
#[tokio::test]
async fn a_client_that_closes_its_sending_side_has_left() {
    let stage = Stage::set().await;
    let body = single("Ada").to_string();
    let request = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        stage.server.address(),
        body.len(),
    );
    let mut stream = TcpStream::connect(stage.server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stage.until_called(1).await;
    stream.shutdown().await.unwrap();
    stage.check_stopped(1).await;
    let mut response = Vec::new();
    let reading = stream.read_to_end(&mut response);
    drop(within(LIMIT, "the connection ends", reading).await);
    assert_eq!(String::from_utf8_lossy(&response), "");
}

#[tokio::test]
async fn a_disconnecting_client_does_not_disturb_the_others() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(20)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 4)
        .start()
        .await;
    let leaving = server
        .open("/v1/extract/batch", "text/event-stream", &batch(200))
        .await;
    let staying = server
        .open("/v1/extract/batch", "application/json", &batch(40))
        .await;
    upstream
        .wait_for("both are at work", LIMIT, |log| log.answered >= 10)
        .await;
    drop(leaving);
    assert_eq!(staying.whole().await.ok()["summary"]["succeeded"], 40);
    server.wait_until_idle(SOON).await;
    assert!(upstream.calls() < 200, "{} calls", upstream.calls());
}
