//! Each code of section 6 that can occur without jobs, provoked once over HTTP. `internal` is a bug and has no way to be
//! provoked.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::client::LIMIT;
use crate::support::fixture::{self, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// Starts a server whose provider replies with `reply`, sends one single with `more`, and checks the problem.
async fn provoke(reply: fn() -> Reply, more: Value, status: u16, code: &str) -> Value {
    let upstream = Upstream::start(move |_| reply());
    let server = Server::with(&upstream).await;
    server
        .extract(&with(single("Ada"), more))
        .await
        .problem(status, code)
}

#[tokio::test]
async fn invalid_json() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let request = server
        .request(Method::POST, "/v1/extract")
        .header("content-type", "application/json")
        .bytes("{\n\"input\" 7}");
    let problem = request.answer().await.problem(400, "invalid_json");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("line 2") && detail.contains("column"),
        "{detail}"
    );
}

#[tokio::test]
async fn invalid_request() {
    let problem = provoke(
        || Reply::Played,
        json!({"max_attempts": 99}),
        422,
        "invalid_request",
    )
    .await;
    assert_eq!(problem["errors"][0]["pointer"], "/max_attempts");
}

#[tokio::test]
async fn invalid_schema() {
    let problem = provoke(
        || Reply::Played,
        json!({"schema": {"properties": {"age": {"type": "number!"}}}}),
        422,
        "invalid_schema",
    )
    .await;
    assert_eq!(
        problem["errors"][0]["pointer"],
        "/schema/properties/age/type"
    );
}

#[tokio::test]
async fn unauthorized() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a")
        .start()
        .await;
    server
        .extract(&single("Ada"))
        .await
        .problem(401, "unauthorized");
}

#[tokio::test]
async fn forbidden() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    server
        .with_header("host", "evil.example")
        .extract(&single("Ada"))
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn not_found_and_method_not_allowed() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    server.get("/v1/nothing").await.problem(404, "not_found");
    server
        .get("/v1/extract")
        .await
        .problem(405, "method_not_allowed");
}

#[tokio::test]
async fn conflict() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream);
    std::fs::write(
        server.folder().join("person.json"),
        fixture::schema().to_string(),
    )
    .unwrap();
    let folder = server.folder().display().to_string();
    let server = server.env("EXTRACTD_SCHEMAS_DIR", folder).start().await;
    server
        .request(Method::PUT, "/v1/schemas/person")
        .json(&fixture::schema())
        .answer()
        .await
        .problem(409, "conflict");
}

#[tokio::test]
async fn payload_too_large() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let head = format!(
        "PUT /v1/schemas/big HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n{{",
        server.address()
    );
    let answer = server.raw(head.as_bytes(), Duration::from_secs(5)).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("\"payload_too_large\""),
        "{answer}"
    );
}

#[tokio::test]
async fn unsupported_media_type() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let request = server
        .request(Method::POST, "/v1/extract")
        .header("content-type", "text/csv")
        .bytes("a,b");
    request
        .answer()
        .await
        .problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn overloaded() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .env("EXTRACTD_MAX_QUEUE", 1)
        .start()
        .await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..3 {
        let client = server.clone();
        requests.spawn(async move { client.extract(&single("Ada")).await });
        if number == 0 {
            upstream
                .wait_for("the slot is taken", LIMIT, |log| log.in_flight == 1)
                .await;
        }
    }
    let first =
        crate::support::client::within(LIMIT, "one of three is refused", requests.join_next())
            .await
            .unwrap()
            .unwrap();
    first.problem(503, "overloaded");
    gate.open();
    for answer in requests.join_all().await {
        answer.ok();
    }
}

#[tokio::test]
async fn extraction_failed() {
    let problem = provoke(
        || Reply::Json(fixture::wrong()),
        json!({}),
        502,
        "extraction_failed",
    )
    .await;
    assert_eq!(
        (&problem["attempts"], &problem["candidate"]),
        (&json!(3), &fixture::wrong())
    );
}

#[tokio::test]
async fn model_refused() {
    provoke(
        || Reply::Refusal("No.".into()),
        json!({}),
        502,
        "model_refused",
    )
    .await;
}

#[tokio::test]
async fn output_truncated() {
    provoke(
        || Reply::Truncated("{\"name\": \"A".into()),
        json!({"max_output_tokens": 3}),
        502,
        "output_truncated",
    )
    .await;
}

#[tokio::test]
async fn upstream_error() {
    provoke(
        || Reply::error(404, "no such model"),
        json!({}),
        502,
        "upstream_error",
    )
    .await;
}

#[tokio::test]
async fn upstream_rate_limited() {
    let problem = || Reply::error(429, "come back tomorrow").with_header("retry-after", 86_400);
    provoke(problem, json!({}), 503, "upstream_rate_limited").await;
}

#[tokio::test]
async fn upstream_unauthorized() {
    let problem = provoke(
        || Reply::error(401, "Incorrect API key provided: sk-test"),
        json!({}),
        502,
        "upstream_unauthorized",
    )
    .await;
    assert!(!problem.to_string().contains("sk-test"), "{problem}");
}

#[tokio::test]
async fn timeout() {
    provoke(|| Reply::Stall, json!({"timeout_ms": 100}), 504, "timeout").await;
}

#[tokio::test]
async fn shutting_down() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    let client = server.clone();
    let in_flight = tokio::spawn(async move { client.extract(&single("Ada")).await });
    upstream
        .wait_for("one is in flight", LIMIT, |log| log.in_flight == 1)
        .await;
    server.terminate();
    let draining = async || (server.get("/readyz").await.status == 503).then_some(());
    crate::support::client::eventually(Duration::from_secs(5), "it drains", draining).await;
    server
        .extract(&single("too late"))
        .await
        .problem(503, "shutting_down");
    gate.open();
    in_flight.await.unwrap().ok();
}

#[tokio::test]
async fn a_problem_carries_the_callers_request_id() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let problem = server
        .with_header("x-request-id", "mine-17")
        .extract(&json!({}))
        .await
        .problem(422, "invalid_request");
    assert_eq!(problem["request_id"], "mine-17");
}
