//! Connections and open requests: whoever holds many of them leaves some to the others.

use tokio::io::AsyncReadExt;

use super::{open, with_callers};
use crate::support::client::{LIMIT, within};
use crate::support::fixture::{person, single};
use crate::support::server::{Builder, Server};
use crate::upstream::Upstream;

/// More than the server may have.
const MANY: usize = 400;

/// Limits the server to 256 descriptors, if it raises its own limit to that.
fn with_few_descriptors(builder: Builder) -> Builder {
    let script = "ulimit -S -n 64; ulimit -H -n 256; exec \"$0\" \"$@\"";
    builder.wrapped(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

async fn start(upstream: &Upstream) -> Server {
    // The timeout comes long after a test has failed.
    let config = with_callers("[server]\nidle_timeout_ms = 600000");
    let builder = Server::asking(upstream).config(&config);
    with_few_descriptors(builder).start().await
}

#[tokio::test]
async fn slow_bodies_of_one_caller_leave_connections_to_the_others() {
    let upstream = Upstream::playing();
    let server = start(&upstream).await;
    let address = server.address();
    let slow = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{{"
    );
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(open(address, &slow).await);
    }
    let victim = server.with_key("key-victim");
    let request = single(person(1));
    let answer = victim.extract(&request);
    within(LIMIT, "the victim is answered", answer).await.ok();
    let health = server.get("/healthz");
    assert_eq!(
        within(LIMIT, "a probe is answered", health).await.status,
        200
    );
    // Beyond its share, the attacker is told so.
    let mut last = held.pop().unwrap();
    let mut refusal = Vec::new();
    let reading = last.read_to_end(&mut refusal);
    within(LIMIT, "it is refused", reading).await.unwrap();
    let refusal = String::from_utf8_lossy(&refusal);
    assert!(
        refusal.starts_with("HTTP/1.1 429") && refusal.contains("quota_exceeded"),
        "{refusal}"
    );
    assert!(server.output().contains("max_connections=192"));
}

#[tokio::test]
async fn idle_connections_without_a_key_keep_nobody_out() {
    let upstream = Upstream::playing();
    let server = start(&upstream).await;
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(open(server.address(), "").await);
    }
    let victim = server.with_key("key-victim");
    let request = single(person(1));
    let answer = victim.extract(&request);
    within(LIMIT, "the victim is answered", answer).await.ok();
}

#[tokio::test]
async fn unread_responses_without_a_key_keep_nobody_out() {
    let upstream = Upstream::playing();
    let server = start(&upstream).await;
    let address = server.address();
    // Each is longer than what waits in the kernel for a client that does not read.
    let requests = [
        ("/openapi.json", 1),
        ("/v1/limits", 1000),
        ("/healthz", 1000),
    ]
    .map(|(path, times)| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(times));
    let mut held = Vec::new();
    for number in 0..MANY {
        held.push(open(address, &requests[number % 3]).await);
    }
    let victim = server.with_key("key-victim");
    let request = single(person(1));
    let answer = victim.extract(&request);
    within(LIMIT, "the victim is answered", answer).await.ok();
    let health = server.get("/healthz");
    let health = within(LIMIT, "a probe is answered", health).await;
    assert_eq!(health.status, 200);
}
