//! Of equal items that are under way at the same time one is called, and the others take what it brings: whoever sent them, in
//! whatever form, and whatever becomes of the one that is called.

mod leader_ends;
mod sharing;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{self, batch, found, person, schema, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// The item that many ask for.
const X: usize = 7;

/// Starts a provider that answers nothing until the gate is opened.
fn gated() -> (Upstream, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    (Upstream::start(move |_| Reply::Played.behind(&held)), gate)
}

/// Returns a batch of `count` equal items.
fn equal(count: usize) -> Value {
    json!({"inputs": vec![person(X); count], "schema": schema()})
}

/// Waits until one is called, and so many others wait for what it brings: admitted, and without a slot.
async fn until_shared(client: &Client, others: u64) {
    let waits = async || (settled(client).await == others).then_some(());
    eventually(LIMIT, "one is called and the others wait for it", waits).await;
}

/// Returns the number of admitted items beside the called one, once none of them waits for a turn. The number is read three
/// times in a row, because an item notices its leader only a moment after its admission.
async fn settled(client: &Client) -> u64 {
    let mut seen = Vec::new();
    eventually(
        LIMIT,
        "one is called and nobody waits for a turn",
        async || {
            let limits = client.get("/v1/limits").await.ok()["limits"].clone();
            let row = |kind: &str| {
                limits
                    .as_array()?
                    .iter()
                    .find(|row| row["kind"] == kind && row["scope"] == "all")
            };
            let (slots, queue) = (row("concurrency")?, row("queue")?);
            if slots["in_use"] != 1 || slots["waiting"] != 0 {
                seen.clear();
                return None;
            }
            seen.push(queue["in_use"].as_u64()?);
            let last = *seen.last()?;
            (seen.len() >= 3 && seen.iter().rev().take(3).all(|count| *count == last))
                .then_some(last)
        },
    )
    .await
}

/// Fails the test unless all have `data`, one of them by a call and the others without having used anything.
#[track_caller]
fn check_one_called<'a>(results: impl IntoIterator<Item = &'a Value>, data: &Value) {
    let (mut called, mut shared) = (0, 0);
    for result in results {
        assert_eq!(
            (&result["status"], &result["data"]),
            (&json!("succeeded"), data),
            "{result}"
        );
        if result["cached"] == true {
            shared += 1;
            assert_eq!(
                result["attempts"], 0,
                "the model was not asked for it: {result}"
            );
            assert_eq!(result["usage"]["total_tokens"], 0, "{result}");
            assert_eq!(result["usage"]["input_tokens"], 0, "{result}");
            assert_eq!(result["usage"]["output_tokens"], 0, "{result}");
        } else {
            called += 1;
            assert_eq!(
                (&result["attempts"], &result["usage"]["total_tokens"]),
                (&json!(1), &json!(15)),
                "{result}"
            );
        }
    }
    assert_eq!(called, 1, "called, beside {shared} that were not");
}

/// Sends a body as so many singles at once.
fn at_once(client: &Client, bodies: impl IntoIterator<Item = Value>) -> JoinSet<Answer> {
    let mut requests = JoinSet::new();
    for body in bodies {
        let client = client.clone();
        requests.spawn(async move { client.extract(&body).await });
    }
    requests
}

/// Starts a server with a caller `slow` of these quotas and a caller `other` without any.
async fn with_slow(upstream: &Upstream, slots: usize, quotas: &str) -> (Server, Client, Client) {
    let config = format!(
        "[cache]\nshared = true\n[callers.slow]\nkey = \"key-slow\"\n{quotas}\n[callers.other]\nkey = \"key-other\"\nrole = \"operator\"\n"
    );
    let server = Server::asking(upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", slots)
        .config(&config)
        .start()
        .await;
    let (slow, other) = (server.with_key("key-slow"), server.with_key("key-other"));
    (server, slow, other)
}

#[tokio::test]
async fn an_equal_item_in_another_callers_slow_queue_delays_nobody() {
    let upstream = Upstream::playing();
    let (_server, slow, other) = with_slow(&upstream, 4, "requests_per_minute = 1").await;
    slow.extract(&single(person(0))).await.ok();
    let waiting = at_once(&slow, [single(person(X))]);
    let row = async || other.limit_of("queue", "caller:slow").await;
    eventually(LIMIT, "it waits for its turn", async || {
        (row().await?["in_use"] == 1).then_some(())
    })
    .await;
    // Its turn comes in a minute.
    assert_eq!(
        other.extract(&single(person(X))).await.ok()["cached"],
        false
    );
    for answer in waiting.join_all().await {
        let reply = answer.ok();
        assert_eq!(
            (&reply["data"], &reply["cached"]),
            (&found(X), &json!(true)),
            "and it has what the other brought"
        );
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn batches_of_equal_items_are_not_slowed_by_one_slot() {
    // Every other item is equal; the slot serves them in turn, and all end.
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .start()
        .await;
    let inputs: Vec<_> = (0..40)
        .map(|number| person(if number % 2 == 0 { X } else { 100 + number }))
        .collect();
    let body = json!({"inputs": inputs, "schema": schema()});
    let (one, two) = tokio::join!(server.batch(&body), server.batch(&body));
    for reply in [one.ok(), two.ok()] {
        assert_eq!(reply["summary"]["succeeded"], 40, "{}", reply["summary"]);
    }
    assert!(
        upstream.seen(|log| log.max_in_flight) == 1 && upstream.calls() < 80,
        "{} calls",
        upstream.calls()
    );
    assert_eq!(
        server.batch(&batch(10)).await.ok()["summary"]["succeeded"],
        10
    );
}
