//! Results that items share: one call may have any number of followers, and what is made for each of them is reserved first.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{open, until_nothing_is_held, with_attacker};
use crate::openai_endpoint::{PATH, asking_for};
use crate::support::client::{Client, LIMIT, eventually, within};
use crate::support::fixture::{person, single, with};
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

/// The called item is paid for: its result is recorded, although there is no room for another one.
#[tokio::test]
async fn the_called_item_of_equal_ones_is_never_refused() {
    let schema = numbers();
    let text = "the number 7";
    let grounded = json!({"extractd": {"grounding": "report"}});
    for (path, body) in [
        (
            "/v1/extract",
            json!({"input": text, "schema": schema, "grounding": "report"}),
        ),
        (PATH, with(asking_for(text, &schema), grounded)),
    ] {
        let (upstream, gate) = counting(30_000);
        let (_server, attacker, victim) =
            with_attacker(&upstream, "[limits]\nmax_memory_bytes = 67108864").await;
        let mut requests = JoinSet::new();
        for _ in 0..2 {
            let (attacker, body) = (attacker.clone(), body.clone());
            requests.spawn(async move { attacker.post(path, &body).await });
        }
        until_shared(&victim, &upstream, 1).await;
        gate.open();
        let answers = within(LIMIT, "both end", requests.join_all()).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 503], "{path}");
        let refused = answers.iter().find(|answer| answer.status == 503).unwrap();
        assert!(refused.text().contains("max_memory_bytes"), "{path}");
        assert_eq!(upstream.calls(), 1);
        until_nothing_is_held(&victim).await;
    }
}
