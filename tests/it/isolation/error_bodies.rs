//! Bodies of errors: the answers of failed items in them count in the caller's memory until they are read.

use serde_json::json;

use super::{open, until_nothing_is_held, with_attacker};
use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{person, single, with};
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn an_unread_error_with_a_large_answer_is_counted() {
    const ANSWER_BYTES: usize = 4 << 20;
    let answer = json!({"text": "t".repeat(ANSWER_BYTES)});
    let upstream = Upstream::light(move |_| Reply::Json(answer.clone()));
    let (server, attacker, _victim) = with_attacker(&upstream, "").await;
    let schema = json!({"type": "object", "properties": {"text": {"type": "integer"}}});
    let body = with(
        single(person(1)),
        json!({"schema": schema, "max_attempts": 1}),
    );
    let body = body.to_string();
    let request = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    let unread = open(server.address(), &request).await;
    eventually(LIMIT, "the model is called", async || {
        (upstream.calls() == 1).then_some(())
    })
    .await;
    attacker.wait_until_idle(LIMIT).await;
    eventually(LIMIT, "the body is counted", async || {
        let held = attacker.limit_of("memory_bytes", "responses").await?;
        let inputs = attacker.limit_of("memory_bytes", "inputs").await?;
        let is_ended = inputs["in_use"] == 0;
        (is_ended && held["in_use"].as_u64()? >= ANSWER_BYTES as u64).then_some(())
    })
    .await;
    drop(unread);
    until_nothing_is_held(&attacker).await;
}
