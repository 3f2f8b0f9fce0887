//! Whoever waits next to a big batch waits for a slot, not for the batch (reliability.md, fair queue).

use std::time::Duration;

use serde_json::json;

use crate::client::LIMIT;
use crate::fixture::{self, batch, single};
use crate::server::Server;
use crate::upstream::{Reply, Upstream};

const SLOTS: usize = 2;
/// The item of whoever comes later; the big batch's items are below.
const LATER: usize = 100_000;

/// Long enough that a request is in the queue before the next slot is free, on a busy machine too.
const A_CALL: Duration = Duration::from_millis(40);

async fn busy() -> (Upstream, Server) {
    let upstream = Upstream::start(|_| Reply::Played.after(A_CALL));
    let server = Server::asking(&upstream).env("EXTRACTD_MAX_CONCURRENCY", SLOTS).start().await;
    (upstream, server)
}

#[tokio::test]
async fn a_single_beside_a_batch_of_thousands_waits_for_about_one_slot() {
    let (upstream, server) = busy().await;
    let big = server.open("/v1/extract/batch", "text/event-stream", &batch(5_000)).await.expect(200);
    upstream.wait_for("the batch is at work", LIMIT, |log| log.calls.len() >= 6).await;
    for number in 0..5 {
        let before = upstream.calls();
        let reply = server.extract(&single(fixture::person(LATER + number))).await.ok();
        assert_eq!(reply["data"], fixture::found(LATER + number));
        let items = upstream.log().items();
        let overtaken = items.iter().position(|item| *item == LATER + number).unwrap() - before;
        // One may have gone out while the request was on its way.
        assert!(overtaken <= SLOTS + 1, "{overtaken} calls of the batch went first");
    }
    drop(big);
}

#[tokio::test]
async fn two_batches_get_their_slots_in_turn() {
    let (upstream, server) = busy().await;
    let big = server.open("/v1/extract/batch", "text/event-stream", &batch(5_000)).await.expect(200);
    upstream.wait_for("the big one is at work", LIMIT, |log| log.calls.len() >= 6).await;
    let inputs: Vec<_> = (LATER..LATER + 20).map(fixture::person).collect();
    let small = server.batch(&json!({"inputs": inputs, "schema": fixture::schema()})).await.ok();
    assert_eq!(small["summary"]["succeeded"], 20);
    let items = upstream.log().items();
    let place = |item: usize| items.iter().position(|found| *found == item).unwrap();
    let span = &items[place(LATER)..=place(LATER + 19)];
    let of_the_big = span.iter().filter(|item| **item < LATER).count();
    assert!((10..=25).contains(&of_the_big), "{of_the_big} calls of the big batch among the 20 of the small one");
    drop(big);
}

#[tokio::test]
async fn keys_take_turns_however_many_requests_each_has() {
    let upstream = Upstream::start(|_| Reply::Played.after(A_CALL));
    let server =
        Server::asking(&upstream).env("EXTRACTD_MAX_CONCURRENCY", SLOTS).env("EXTRACTD_API_KEYS", "key-a,key-b").start().await;
    let greedy = server.with_header("authorization", "Bearer key-a");
    let modest = server.with_header("authorization", "Bearer key-b");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(greedy.open("/v1/extract/batch", "text/event-stream", &batch(1_000)).await.expect(200));
    }
    upstream.wait_for("the greedy key is at work", LIMIT, |log| log.calls.len() >= 6).await;
    let inputs: Vec<_> = (LATER..LATER + 10).map(fixture::person).collect();
    let reply = modest.batch(&json!({"inputs": inputs, "schema": fixture::schema()})).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 10);
    let items = upstream.log().items();
    let place = |item: usize| items.iter().position(|found| *found == item).unwrap();
    let of_the_greedy = items[place(LATER)..=place(LATER + 9)].iter().filter(|item| **item < LATER).count();
    assert!(of_the_greedy <= 13, "{of_the_greedy} calls of eight batches of one key among the 10 of the other");
}

#[tokio::test]
async fn a_batch_narrowed_to_one_does_not_hold_up_another() {
    let (upstream, server) = busy().await;
    let narrow = fixture::with(batch(1_000), json!({"concurrency": 1}));
    let narrow = server.open("/v1/extract/batch", "text/event-stream", &narrow).await.expect(200);
    upstream.wait_for("the narrow one is at work", LIMIT, |log| log.calls.len() >= 2).await;
    let before = upstream.calls();
    let inputs: Vec<_> = (LATER..LATER + 10).map(fixture::person).collect();
    server.batch(&json!({"inputs": inputs, "schema": fixture::schema()})).await.ok();
    let of_the_narrow = upstream.log().items()[before..].iter().filter(|item| **item < LATER).count();
    assert!(of_the_narrow <= 13, "{of_the_narrow} of the narrow batch beside 10 of the other");
    assert_eq!(upstream.seen(|log| log.max_in_flight), SLOTS, "the second slot was used");
    drop(narrow);
}
