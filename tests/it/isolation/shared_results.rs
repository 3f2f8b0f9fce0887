//! Results that items share: one call may have any number of followers, and what is made for each of them is reserved first.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{open, until_nothing_is_held, with_attacker};
use crate::support::client::{Client, LIMIT, eventually, within};
use crate::support::fixture::{person, schema, single};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

const MIB: u64 = 1 << 20;

/// Returns a schema of a long list of numbers.
fn numbers() -> Value {
    json!({
        "type": "object", "properties": {"numbers": {"type": "array", "items": {"type": "integer"}}},
        "required": ["numbers"], "additionalProperties": false,
    })
}

/// Starts a provider whose answers are so many numbers, once the gate is opened; and plays for the others.
fn counting(count: usize) -> (Upstream, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.item().is_some() {
            Reply::Played
        } else {
            Reply::Json(json!({"numbers": vec![7; count]})).behind(&held)
        }
    });
    (upstream, gate)
}

/// Sends a body to `/v1/extract` on a connection whose response is not read.
async fn unread(server: &Server, body: &Value) -> TcpStream {
    let body = body.to_string();
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    let mut stream = open(server.address(), &head).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

/// Waits until so many items are admitted and wait for the one that is called.
async fn until_shared(client: &Client, upstream: &Upstream, others: usize) {
    eventually(LIMIT, "the others wait for the called one", async || {
        let row = client.limit_of("queue", "all").await?;
        (upstream.calls() == 1 && row["in_use"] == others).then_some(())
    })
    .await;
    // An item notices its leader only a moment after its admission.
    sleep(Duration::from_millis(300)).await;
}

async fn held_by(client: &Client) -> u64 {
    let row = client.limit_of("memory_bytes", "caller:attacker").await;
    row.unwrap()["in_use"].as_u64().unwrap()
}

/// Returns the status of a response of which nothing was read.
async fn status_of(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    within(LIMIT, "there is a status", stream.read_exact(&mut line))
        .await
        .unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[tokio::test]
async fn unread_responses_of_equal_singles_stay_within_the_share_of_their_caller() {
    const SINGLES: usize = 60;
    let (upstream, gate) = counting(16_000);
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    let body = json!({"input": "the number 7", "schema": numbers(), "grounding": "report"});
    let mut streams = Vec::new();
    for _ in 0..SINGLES {
        streams.push(unread(&server, &body).await);
    }
    until_shared(&victim, &upstream, SINGLES - 1).await;
    gate.open();
    let mut most = 0;
    for _ in 0..200 {
        most = most.max(held_by(&attacker).await);
        sleep(Duration::from_millis(20)).await;
    }
    let mut statuses = Vec::new();
    for stream in &mut streams {
        statuses.push(status_of(stream).await);
    }
    let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    let (succeeded, refused) = (count("200"), count("503"));
    assert_eq!(succeeded + refused, SINGLES, "{statuses:?}");
    assert!(succeeded > 2 && refused > 0, "{statuses:?}");
    // A caller may hold half of what requests share, 64 MiB; and the called item's own result is recorded beyond it.
    assert!((MIB..44 * MIB).contains(&most), "{most}");
    victim.extract(&single(person(1))).await.ok();
    drop(streams);
    until_nothing_is_held(&victim).await;
}

#[tokio::test]
async fn the_many_texts_of_one_caller_leave_the_cached_results_of_others() {
    let upstream = Upstream::start(|_| Reply::Played);
    let cache = "[cache]\nmax_bytes = 100_000\n";
    let (_server, attacker, victim) = with_attacker(&upstream, cache).await;
    let body = |range: std::ops::Range<usize>| {
        let inputs: Vec<_> = range.map(person).collect();
        json!({"inputs": inputs, "schema": schema()})
    };
    victim.batch(&body(0..20)).await.ok();
    for round in 1..=5 {
        let first = round * 1_000;
        attacker.batch(&body(first..first + 1_000)).await.ok();
    }
    let calls = upstream.calls();
    let reply = victim.batch(&body(0..20)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 20, "{reply}");
    assert_eq!(upstream.calls(), calls, "its results are cached");
}
