//! Requests and tokens per minute: they delay items and reject none.

use super::*;

/// Fails the test when a call went out sooner than `burst` at once and then `per_second` allow, counted from before the first
/// was sent: late calls are nobody's fault, early ones are.
#[track_caller]
fn check_paced(upstream: &Upstream, sent: Instant, burst: f64, per_second: f64) {
    let mut arrivals = upstream.log().arrivals();
    arrivals.sort();
    for (number, arrived) in (1_u32..).zip(arrivals) {
        let due = Duration::from_secs_f64(((f64::from(number) - burst) / per_second).max(0.0));
        let came = arrived - sent;
        assert!(
            came >= due,
            "call {number} came after {came:?}, and was due after {due:?}"
        );
    }
}

#[tokio::test]
async fn requests_per_minute_delay_a_callers_items_and_reject_none() {
    let upstream = Upstream::playing();
    let (_server, slow, _) = with_slow(&upstream, 16, "requests_per_minute = 1200").await;
    let sent = Instant::now();
    let reply = slow.batch(&batch(60)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 60, "{}", reply["summary"]);
    assert_eq!(upstream.calls(), 60);
    // At most a second's worth at once.
    check_paced(&upstream, sent, 20.0, 20.0);
    assert!(
        sent.elapsed() < Duration::from_secs(20),
        "the rate is used: {:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn a_validation_retry_counts_toward_the_callers_rate() {
    let upstream = Upstream::start(|call| {
        if call.index % 5 == 1 {
            Reply::Json(fixture::wrong())
        } else {
            Reply::Played
        }
    });
    let (_server, slow, _) = with_slow(&upstream, 16, "requests_per_minute = 1200").await;
    let sent = Instant::now();
    let reply = slow
        .batch(&with(batch(30), json!({"max_attempts": 10})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 30, "{}", reply["summary"]);
    assert!(upstream.calls() >= 36, "{} calls", upstream.calls());
    check_paced(&upstream, sent, 20.0, 20.0);
}

#[tokio::test]
async fn tokens_per_minute_delay_a_callers_items_and_reject_none() {
    // Each call takes 15 tokens.
    let upstream = Upstream::playing();
    let (_server, slow, _) = with_slow(&upstream, 16, "tokens_per_minute = 18000").await;
    let sent = Instant::now();
    let reply = slow.batch(&batch(60)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 60, "{}", reply["summary"]);
    check_paced(&upstream, sent, 20.0, 20.0);
    assert!(
        sent.elapsed() < Duration::from_secs(20),
        "the rate is used: {:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn the_callers_rates_do_not_pace_another() {
    let upstream = Upstream::playing();
    let (_server, slow, other) = with_slow(
        &upstream,
        16,
        "requests_per_minute = 1\ntokens_per_minute = 1",
    )
    .await;
    let waiting = slow
        .open("/v1/extract/batch", "text/event-stream", &batch(30))
        .await
        .expect(200);
    upstream
        .wait_for("the only call that it may make", LIMIT, |log| {
            log.answered == 1
        })
        .await;
    assert_eq!(
        other.batch(&batch_from(OTHER, 300)).await.ok()["summary"]["succeeded"],
        300
    );
    assert_eq!(upstream.calls(), 301);
    drop(waiting);
}

#[tokio::test]
async fn nobody_is_refused_a_free_slot_because_a_paced_caller_fills_the_waiting_room() {
    let upstream = Upstream::playing();
    let config = "[limits]\nmax_queue = 6\n[callers.slow]\nkey = \"key-slow\"\nrequests_per_minute = 1\nmax_queue = 100\n\
                  [callers.other]\nkey = \"key-other\"\n";
    let server = serving(&upstream, 4, config).await;
    let (slow, other) = (server.with_key("key-slow"), server.with_key("key-other"));
    slow.extract(&single(fixture::person(0))).await.ok();
    let _waiting = slow
        .open("/v1/extract/batch", "text/event-stream", &batch_from(1, 50))
        .await
        .expect(200);
    let row = other
        .limit_of("queue", "all")
        .await
        .expect("a row for the queue");
    assert!(
        row["in_use"].as_u64() <= Some(6),
        "no more wait than may: {row}"
    );
    other.extract(&single(fixture::person(OTHER))).await.ok();
    assert_eq!(
        other.batch(&batch_from(OTHER + 1, 10)).await.ok()["summary"]["succeeded"],
        10
    );
}

#[tokio::test]
async fn the_huge_batch_of_a_paced_caller_leaves_the_free_slots_to_others() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if is_others(call) {
            Reply::Played.behind(&held)
        } else {
            Reply::Played
        }
    });
    let (_server, slow, other) =
        with_slow(&upstream, 4, "requests_per_minute = 60\nmax_queue = 10000").await;
    let mut huge = Vec::new();
    for _ in 0..3 {
        huge.push(
            slow.open("/v1/extract/batch", "text/event-stream", &batch(10_000))
                .await
                .expect(200),
        );
    }
    upstream
        .wait_for("it is at work", LIMIT, |log| log.answered >= 1)
        .await;
    let before = upstream.calls();
    let test = async {
        upstream
            .wait_for("half of the slots are the other's", LIMIT, |log| {
                log.calls.iter().filter(|call| is_others(call)).count() == 2
            })
            .await;
        let of_the_slow = upstream.log().calls[before..]
            .iter()
            .filter(|call| !is_others(call))
            .count();
        assert!(
            of_the_slow <= 2,
            "{of_the_slow} calls of the slow one went first"
        );
        gate.open();
    };
    let (body, beside) = (batch_from(OTHER, 20), single(fixture::person(OTHER + 20)));
    let (reply, beside, ()) = tokio::join!(other.batch(&body), other.extract(&beside), test);
    assert_eq!(reply.ok()["summary"]["succeeded"], 20);
    beside.ok();
    drop(huge);
}
