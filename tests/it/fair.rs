//! Fairness: a request beside a big batch waits for a slot, not for the batch (reliability.md, fair queue).

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, LIMIT, Response, eventually};
use crate::support::fixture::{self, batch, single};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

const SLOTS: usize = 2;
/// The item of whoever comes later; the big batch's items are below.
const LATER: usize = 100_000;

/// Long enough that a request is in the queue before the next slot is free, on a busy machine too.
const A_CALL: Duration = Duration::from_millis(40);

async fn busy() -> (Upstream, Server) {
    let upstream = Upstream::start(|_| Reply::Played.after(A_CALL));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", SLOTS)
        .start()
        .await;
    (upstream, server)
}

#[tokio::test]
async fn a_single_beside_a_batch_of_thousands_waits_for_about_one_slot() {
    let (upstream, server) = busy().await;
    let big = server
        .open("/v1/extract/batch", "text/event-stream", &batch(5_000))
        .await
        .expect(200);
    upstream
        .wait_for("the batch is at work", LIMIT, |log| log.calls.len() >= 6)
        .await;
    for number in 0..5 {
        let before = upstream.calls();
        let reply = server
            .extract(&single(fixture::person(LATER + number)))
            .await
            .ok();
        assert_eq!(reply["data"], fixture::found(LATER + number));
        let items = upstream.log().items();
        let overtaken = items
            .iter()
            .position(|item| *item == LATER + number)
            .unwrap()
            - before;
        // One may have gone out while the request was on its way.
        assert!(
            overtaken <= SLOTS + 1,
            "{overtaken} calls of the batch went first"
        );
    }
    drop(big);
}

#[tokio::test]
async fn two_batches_get_their_slots_in_turn() {
    let (upstream, server) = busy().await;
    let big = server
        .open("/v1/extract/batch", "text/event-stream", &batch(5_000))
        .await
        .expect(200);
    upstream
        .wait_for("the big one is at work", LIMIT, |log| log.calls.len() >= 6)
        .await;
    let inputs: Vec<_> = (LATER..LATER + 20).map(fixture::person).collect();
    let small = server
        .batch(&json!({"inputs": inputs, "schema": fixture::schema()}))
        .await
        .ok();
    assert_eq!(small["summary"]["succeeded"], 20);
    let items = upstream.log().items();
    let place = |item: usize| items.iter().position(|found| *found == item).unwrap();
    let span = &items[place(LATER)..=place(LATER + 19)];
    let of_the_big = span.iter().filter(|item| **item < LATER).count();
    assert!(
        (10..=25).contains(&of_the_big),
        "{of_the_big} calls of the big batch among the 20 of the small one"
    );
    drop(big);
}

#[tokio::test]
async fn keys_take_turns_however_many_requests_each_has() {
    let upstream = Upstream::start(|_| Reply::Played.after(A_CALL));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", SLOTS)
        .env("EXTRACTD_API_KEYS", "key-a,key-b")
        .start()
        .await;
    let greedy = server.with_header("authorization", "Bearer key-a");
    let modest = server.with_header("authorization", "Bearer key-b");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(
            greedy
                .open("/v1/extract/batch", "text/event-stream", &batch(1_000))
                .await
                .expect(200),
        );
    }
    upstream
        .wait_for("the greedy key is at work", LIMIT, |log| {
            log.calls.len() >= 6
        })
        .await;
    let inputs: Vec<_> = (LATER..LATER + 10).map(fixture::person).collect();
    let reply = modest
        .batch(&json!({"inputs": inputs, "schema": fixture::schema()}))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 10);
    let items = upstream.log().items();
    let place = |item: usize| items.iter().position(|found| *found == item).unwrap();
    let of_the_greedy = items[place(LATER)..=place(LATER + 9)]
        .iter()
        .filter(|item| **item < LATER)
        .count();
    assert!(
        of_the_greedy <= 13,
        "{of_the_greedy} calls of eight batches of one key among the 10 of the other"
    );
}

#[tokio::test]
async fn a_batch_narrowed_to_one_does_not_hold_up_another() {
    let (upstream, server) = busy().await;
    let narrow = fixture::with(batch(1_000), json!({"concurrency": 1}));
    let narrow = server
        .open("/v1/extract/batch", "text/event-stream", &narrow)
        .await
        .expect(200);
    upstream
        .wait_for("the narrow one is at work", LIMIT, |log| {
            log.calls.len() >= 2
        })
        .await;
    let before = upstream.calls();
    let inputs: Vec<_> = (LATER..LATER + 10).map(fixture::person).collect();
    server
        .batch(&json!({"inputs": inputs, "schema": fixture::schema()}))
        .await
        .ok();
    let of_the_narrow = upstream.log().items()[before..]
        .iter()
        .filter(|item| **item < LATER)
        .count();
    assert!(
        of_the_narrow <= 13,
        "{of_the_narrow} of the narrow batch beside 10 of the other"
    );
    assert_eq!(
        upstream.seen(|log| log.max_in_flight),
        SLOTS,
        "the second slot was used"
    );
    drop(narrow);
}

/// A server whose calls end one by one, so that who overtakes whom is counted and not timed.
struct Stepped {
    upstream: Upstream,
    server: Server,
    gate: Gate,
    /// Keeps the batches at work.
    open: Vec<Response>,
}

impl Stepped {
    async fn set(keys: usize) -> Self {
        let gate = Gate::closed();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
        let mut server = Server::asking(&upstream).env("EXTRACTD_MAX_CONCURRENCY", SLOTS);
        if keys > 0 {
            server = server.env(
                "EXTRACTD_API_KEYS",
                (0..keys)
                    .map(|key| format!("key-{key}"))
                    .collect::<Vec<_>>()
                    .join(","),
            );
        }
        Self {
            server: server.start().await,
            upstream,
            gate,
            open: Vec::new(),
        }
    }

    fn client(&self, key: usize) -> Client {
        self.server.with_key(&format!("key-{key}"))
    }

    async fn open(&mut self, client: &Client, body: &serde_json::Value) {
        self.open.push(
            client
                .open("/v1/extract/batch", "text/event-stream", body)
                .await
                .expect(200),
        );
    }

    async fn waiting(&self) -> u64 {
        let queue = self
            .client(0)
            .limit_of("queue", "all")
            .await
            .expect("a row for the queue");
        queue["waiting"].as_u64().unwrap()
    }

    async fn until_waiting(&self, count: u64) {
        let what = format!("{count} wait");
        eventually(LIMIT, &what, async || {
            (self.waiting().await == count).then_some(())
        })
        .await;
    }

    /// Lets one call end; the item of the call that goes out by it.
    async fn step(&self) -> usize {
        let before = self.upstream.calls();
        self.gate.let_through(1);
        self.upstream
            .wait_for("the next call", LIMIT, |log| log.calls.len() == before + 1)
            .await;
        self.upstream.seen(|log| log.calls[before].item().unwrap())
    }

    /// Sends a single for `item` while `waiting` others wait; how many calls go out before its own. Alone beside busy slots, that
    /// is none.
    async fn overtaken(&self, client: &Client, item: usize, waiting: u64) -> usize {
        // Whose call has ended comes back to the line.
        self.until_waiting(waiting).await;
        let single = tokio::spawn({
            let client = client.clone();
            async move { client.extract(&single(fixture::person(item))).await }
        });
        self.until_waiting(waiting + 1).await;
        let mut overtaken = 0;
        while self.step().await != item {
            overtaken += 1;
            assert!(overtaken < 100, "{overtaken} calls went first");
        }
        // It is answered after the calls that were in flight before it.
        while !single.is_finished() {
            self.step().await;
        }
        assert_eq!(single.await.unwrap().ok()["data"], fixture::found(item));
        self.until_waiting(waiting).await;
        overtaken
    }
}

#[tokio::test]
async fn a_single_beside_twenty_callers_with_huge_batches_waits_for_one_slot_more_than_alone() {
    let mut stage = Stepped::set(21).await;
    let huge = fixture::with(batch(10_000), json!({"cache": "off"}));
    for key in 0..20 {
        let client = stage.client(key);
        stage.open(&client, &huge).await;
    }
    let last = stage.client(20);
    check_overtaken(&stage, &last).await;
}

#[tokio::test]
async fn a_single_beside_twenty_huge_batches_of_its_caller_waits_for_one_slot_more_than_alone() {
    let mut stage = Stepped::set(0).await;
    let client = (*stage.server).clone();
    // Equal items would be called once.
    let huge = fixture::with(batch(10_000), json!({"cache": "off"}));
    for _ in 0..20 {
        stage.open(&client, &huge).await;
    }
    check_overtaken(&stage, &client).await;
}

/// Checks that ten singles of this client overtake twenty batches that have just arrived.
async fn check_overtaken(stage: &Stepped, client: &Client) {
    // Each has its window in line, twice the slots. None has had a turn but the first.
    let waiting = 20 * 2 * SLOTS as u64 - SLOTS as u64;
    stage.until_waiting(waiting).await;
    assert_eq!(stage.upstream.calls(), SLOTS, "the twenty have just come");
    for number in 0..10 {
        let overtaken = stage.overtaken(client, LATER + number, waiting).await;
        assert!(
            overtaken <= 1,
            "single {number}: {overtaken} calls of the others went first"
        );
        for _ in 0..number {
            stage.step().await;
        }
    }
}

#[tokio::test]
async fn a_caller_with_a_hundred_requests_gets_no_more_than_one_with_a_single_batch() {
    let mut stage = Stepped::set(2).await;
    let (greedy, modest) = (stage.client(0), stage.client(1));
    for number in 0..60 {
        let inputs: Vec<_> = (0..50)
            .map(|item| fixture::person(number * 100 + item))
            .collect();
        stage
            .open(
                &greedy,
                &json!({"inputs": inputs, "schema": fixture::schema()}),
            )
            .await;
    }
    let mut singles = tokio::task::JoinSet::new();
    for number in 0..40 {
        let greedy = greedy.clone();
        singles.spawn(async move {
            greedy
                .extract(&single(fixture::person(10_000 + number)))
                .await
        });
    }
    // It leaves one of the slots to the other caller.
    stage
        .until_waiting(60 * 2 * SLOTS as u64 - (SLOTS as u64 - 1) + 40)
        .await;
    let inputs: Vec<_> = (LATER..LATER + 1_000).map(fixture::person).collect();
    stage
        .open(
            &modest,
            &json!({"inputs": inputs, "schema": fixture::schema()}),
        )
        .await;
    stage
        .until_waiting(60 * 2 * SLOTS as u64 - SLOTS as u64 + 40 + 2 * SLOTS as u64)
        .await;
    (stage.upstream)
        .wait_for("a call of each", LIMIT, |log| log.calls.len() == SLOTS)
        .await;
    let mut shares = [0, 0];
    for _ in 0..80 {
        let item = stage.step().await;
        shares[usize::from(item >= LATER)] += 1;
        // Its next item takes its place in line once the one before has told its result.
        let window = stage
            .upstream
            .seen(|log| log.calls.iter().filter(|call| call.ended.is_none()).count());
        assert_eq!(window, SLOTS);
    }
    let [greedy, modest] = shares;
    assert!(
        greedy <= modest + 2,
        "{greedy} calls of the greedy one beside {modest} of the modest one"
    );
}

/// Checks that eleven requests take turns, ten of which have one item waiting at a time and one has many.
async fn check_turns(stage: Stepped, what: &str) {
    stage
        .until_waiting(10 - SLOTS as u64 + 2 * SLOTS as u64)
        .await;
    let mut of_the_wide = 0;
    for _ in 0..110 {
        let waiting = stage.waiting().await;
        of_the_wide += usize::from(stage.step().await >= LATER);
        // Whose call has ended is in line again.
        stage.until_waiting(waiting).await;
    }
    assert!(
        (8..=14).contains(&of_the_wide),
        "{of_the_wide} of 110 turns for one of eleven {what}"
    );
}

#[tokio::test]
async fn batches_one_at_a_time_and_a_wide_one_share_alike() {
    let mut stage = Stepped::set(0).await;
    let client = (*stage.server).clone();
    for _ in 0..10 {
        stage
            .open(
                &client,
                &fixture::with(batch(500), json!({"cache": "off", "concurrency": 1})),
            )
            .await;
    }
    let inputs: Vec<_> = (LATER..LATER + 500).map(fixture::person).collect();
    stage
        .open(
            &client,
            &json!({"inputs": inputs, "schema": fixture::schema()}),
        )
        .await;
    check_turns(stage, "batches").await;
}

#[tokio::test]
async fn callers_with_one_call_at_a_time_and_a_greedy_one_share_alike() {
    let mut stage = Stepped::set(11).await;
    for key in 0..10 {
        let client = stage.client(key);
        stage
            .open(
                &client,
                &fixture::with(batch(500), json!({"cache": "off", "concurrency": 1})),
            )
            .await;
    }
    let inputs: Vec<_> = (LATER..LATER + 500).map(fixture::person).collect();
    let client = stage.client(10);
    stage
        .open(
            &client,
            &json!({"inputs": inputs, "schema": fixture::schema()}),
        )
        .await;
    check_turns(stage, "callers").await;
}
