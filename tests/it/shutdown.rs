//! SIGTERM: no new work, what is in flight finishes within the grace, exit code 0 (contract, sections 5 and 7).

mod cut_batches;

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::client::{Answer, Client, LIMIT, eventually};
use crate::support::fixture::{self, single};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

const PROMPTLY: Duration = Duration::from_secs(5);

async fn gated() -> (Upstream, Server, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    (upstream, server, gate)
}

async fn one_in_flight(upstream: &Upstream, server: &Server) -> JoinHandle<Answer> {
    let client = Client::clone(server);
    let request = tokio::spawn(async move { client.extract(&single(fixture::person(1))).await });
    upstream
        .wait_for("one is in flight", LIMIT, |log| log.in_flight == 1)
        .await;
    request
}

async fn until_draining(server: &Server) {
    eventually(PROMPTLY, "readyz says that it drains", async || {
        (server.get("/readyz").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let (_upstream, mut server, _gate) = gated().await;
    server.terminate();
    assert_eq!(server.exit(PROMPTLY).await, Some(0), "{}", server.output());
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_shutdown() {
    let (_upstream, mut server, _gate) = gated().await;
    let connection = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    let kept = server.request(http::Method::GET, "/healthz").send().await;
    server.terminate();
    assert_eq!(server.exit(PROMPTLY).await, Some(0), "{}", server.output());
    drop((connection, kept));
}

#[tokio::test]
async fn requests_in_flight_finish_and_new_ones_are_rejected() {
    let (upstream, mut server, gate) = gated().await;
    let request = one_in_flight(&upstream, &server).await;
    server.terminate();
    until_draining(&server).await;
    assert!(
        server.get("/readyz").await.text().contains("drain")
            || server.get("/readyz").await.text().contains("shut"),
        "it says why"
    );
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "it is alive while it drains"
    );
    server
        .extract(&single("too late"))
        .await
        .problem(503, "shutting_down");
    server
        .batch(&fixture::batch(2))
        .await
        .problem(503, "shutting_down");
    gate.open();
    assert_eq!(request.await.unwrap().ok()["data"], fixture::found(1));
    assert_eq!(server.exit(PROMPTLY).await, Some(0), "{}", server.output());
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_stream_in_flight_ends_with_done() {
    let (upstream, mut server, gate) = gated().await;
    let response = server
        .open(
            "/v1/extract/batch",
            "text/event-stream",
            &fixture::batch(10),
        )
        .await
        .expect(200);
    upstream
        .wait_for("ten in flight", LIMIT, |log| log.in_flight == 10)
        .await;
    server.terminate();
    until_draining(&server).await;
    gate.open();
    let events = response.events().await;
    let done = events.last().unwrap();
    assert_eq!(
        (done.name.as_str(), &done.data["succeeded"]),
        ("done", &json!(10))
    );
    assert_eq!(server.exit(PROMPTLY).await, Some(0), "{}", server.output());
}

#[tokio::test]
async fn requests_are_aborted_after_the_grace() {
    let upstream = Upstream::start(|_| Reply::Stall);
    let mut server = Server::asking(&upstream)
        .env("EXTRACTD_SHUTDOWN_GRACE_MS", 500)
        .start()
        .await;
    let client = server.clone();
    let stuck = tokio::spawn(async move {
        let request = client
            .request(http::Method::POST, "/v1/extract/batch")
            .header("accept", "text/event-stream");
        let mut response = request.json(&fixture::batch(2)).send().await;
        // A closed connection or a last word are both fine; what counts is that it ends.
        while let Ok(Some(_)) = response.try_chunk().await {}
    });
    upstream
        .wait_for("two are in flight", LIMIT, |log| log.in_flight == 2)
        .await;
    let begun = Instant::now();
    server.terminate();
    server.exit(Duration::from_millis(500) + PROMPTLY).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "it waited for them: {:?}",
        begun.elapsed()
    );
    stuck.await.unwrap();
    upstream
        .wait_for("the calls are aborted", Duration::from_secs(1), |log| {
            log.in_flight == 0
        })
        .await;
}
