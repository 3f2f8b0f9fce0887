//! `concurrency` of a batch and the global semaphore are never exceeded by one, and are used in full (contract, sections 2 and
//! 7).

use std::time::Duration;

use serde_json::json;

use crate::support::fixture::{self, batch, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// Answers after a while, so that calls overlap.
fn slow() -> Upstream {
    Upstream::start(|_| Reply::Played.after(Duration::from_millis(5)))
}

#[tokio::test]
async fn the_global_limit_is_reached_and_never_exceeded() {
    let upstream = slow();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 8)
        .start()
        .await;
    // Equal items would be called once.
    let (body, beside) = (
        with(batch(150), json!({"cache": "off"})),
        single(fixture::person(1000)),
    );
    let (one, two, single) = tokio::join!(
        server.batch(&body),
        server.batch(&body),
        server.extract(&beside)
    );
    assert_eq!(
        (
            &one.ok()["summary"]["succeeded"],
            &two.ok()["summary"]["succeeded"]
        ),
        (&json!(150), &json!(150))
    );
    single.ok();
    assert_eq!(
        upstream.seen(|log| (log.calls.len(), log.max_in_flight)),
        (301, 8)
    );
}

#[tokio::test]
async fn the_global_limit_is_64_by_default() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    let mut response = server
        .open("/v1/extract/batch", "text/event-stream", &batch(100))
        .await
        .expect(200);
    upstream
        .wait_for("64 calls in flight", Duration::from_secs(10), |log| {
            log.in_flight == 64
        })
        .await;
    // One goes: exactly one comes.
    gate.let_through(1);
    assert_eq!(response.event_but_progress().await.unwrap().name, "result");
    upstream
        .wait_for("the 65th call", Duration::from_secs(10), |log| {
            log.calls.len() == 65
        })
        .await;
    gate.open();
    assert_eq!(
        response.events().await.last().unwrap().data["succeeded"],
        100
    );
    assert_eq!(upstream.seen(|log| log.max_in_flight), 64);
}

#[tokio::test]
async fn a_batchs_concurrency_is_reached_and_never_exceeded() {
    let upstream = slow();
    let server = Server::with(&upstream).await;
    for concurrency in [2, 3, 7] {
        let before = upstream.calls();
        let reply = server
            .batch(&with(batch(60), json!({"concurrency": concurrency})))
            .await
            .ok();
        assert_eq!(reply["summary"]["succeeded"], 60);
        let calls = upstream.log().calls.split_off(before);
        assert_eq!(
            most_at_once(&calls),
            concurrency,
            "concurrency {concurrency}"
        );
    }
}

/// Returns the maximum number of these calls that were in flight at one time.
pub fn most_at_once(calls: &[crate::upstream::Call]) -> usize {
    let mut moments: Vec<_> = calls
        .iter()
        .flat_map(|call| [(call.ended_at(), false), (call.arrived, true)])
        .collect();
    moments.sort();
    let (mut now, mut most) = (0, 0);
    for (_, comes) in moments {
        if comes {
            now += 1;
        } else {
            now -= 1;
        }
        most = most.max(now);
    }
    most
}

#[tokio::test]
async fn concurrency_1_processes_the_inputs_in_order() {
    let upstream = slow();
    let server = Server::with(&upstream).await;
    let reply = server
        .batch(&with(batch(40), json!({"concurrency": 1})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 40);
    assert_eq!(upstream.seen(|log| log.max_in_flight), 1);
    assert_eq!(upstream.log().items(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_limited_batches_have_each_their_own_limit_beside_the_global_one() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 10)
        .start()
        .await;
    let body = with(batch(12), json!({"concurrency": 3, "cache": "off"}));
    let test = async {
        upstream
            .wait_for("3 calls of each", Duration::from_secs(10), |log| {
                log.in_flight == 6
            })
            .await;
        gate.open();
    };
    let (one, two, ()) = tokio::join!(server.batch(&body), server.batch(&body), test);
    assert_eq!(
        (
            &one.ok()["summary"]["succeeded"],
            &two.ok()["summary"]["succeeded"]
        ),
        (&json!(12), &json!(12))
    );
    assert_eq!(upstream.seen(|log| log.max_in_flight), 6);
}

#[tokio::test]
async fn more_than_the_global_limit_is_accepted_and_has_no_further_effect() {
    let upstream = slow();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 4)
        .start()
        .await;
    let reply = server
        .batch(&with(batch(60), json!({"concurrency": 1_000_000})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 60);
    assert_eq!(upstream.seen(|log| log.max_in_flight), 4);
}

#[tokio::test]
async fn a_slot_is_held_to_the_answers_last_byte() {
    let upstream = Upstream::start(|_| Reply::SlowBody(Duration::from_millis(30)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 2)
        .start()
        .await;
    assert_eq!(
        server.batch(&batch(12)).await.ok()["summary"]["succeeded"],
        12
    );
    assert_eq!(upstream.seen(|log| log.max_in_flight), 2);
}

#[tokio::test]
async fn validation_retries_and_retries_stay_under_the_limit() {
    let upstream = Upstream::start(|call| match call.index % 5 {
        0 => Reply::Json(fixture::wrong()).after(Duration::from_millis(5)),
        1 if call.index < 20 => Reply::error(429, "slow down").with_header("retry-after-ms", 20),
        _ => Reply::Played.after(Duration::from_millis(5)),
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 3)
        .start()
        .await;
    let reply = server
        .batch(&with(batch(60), json!({"max_attempts": 10})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 60, "{reply}");
    assert_eq!(upstream.seen(|log| log.max_in_flight), 3);
}

#[tokio::test]
async fn a_slot_is_free_during_a_backoff() {
    // One item fails and waits for its next try; the only slot serves the others meanwhile.
    let upstream = Upstream::start(|call| match call.item() {
        Some(0) if call.index == 0 => Reply::error(500, "oops").with_header("retry-after", 1),
        _ => Reply::Played,
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .start()
        .await;
    assert_eq!(
        server.batch(&batch(5)).await.ok()["summary"]["succeeded"],
        5
    );
    assert_eq!(upstream.log().items(), [0, 1, 2, 3, 4, 0]);
}
