//! The maximum concurrency of a caller.

use super::*;

#[tokio::test]
async fn a_callers_max_concurrency_is_reached_and_never_exceeded() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream =
        Upstream::start(move |_| Reply::Played.after(Duration::from_millis(2)).behind(&held));
    let (server, narrow, other) = with_slow(&upstream, 8, "max_concurrency = 3").await;
    let beside = batch_from(OTHER, 100);
    let test = async {
        upstream
            .wait_for("its slots are taken", LIMIT, |log| log.in_flight == 3)
            .await;
        let beside = other.batch(&beside);
        tokio::pin!(beside);
        // It leaves five eighths of the slots, since how long its calls take is not known yet.
        let others = upstream.wait_for("its first call", LIMIT, |log| log.in_flight == 4);
        tokio::select! {
            () = others => {}
            _ = &mut beside => panic!("it cannot be done"),
        }
        let row = other
            .limit_of("concurrency", "caller:slow")
            .await
            .expect("a row for it");
        assert_eq!(
            (&row["limit"], &row["in_use"], &row["available"]),
            (&json!(3), &json!(3), &json!(0)),
            "{row}"
        );
        gate.open();
        beside.await
    };
    let (one, two, three) = (batch(60), batch_from(60, 60), single(fixture::person(120)));
    let (one, two, three, beside) = tokio::join!(
        narrow.batch(&one),
        narrow.batch(&two),
        narrow.extract(&three),
        test
    );
    for (reply, count) in [(one, 60), (two, 60), (beside, 100)] {
        assert_eq!(reply.ok()["summary"]["succeeded"], count);
    }
    three.ok();
    let calls: Vec<_> = upstream
        .log()
        .calls
        .into_iter()
        .filter(|call| !is_others(call))
        .collect();
    assert_eq!((calls.len(), most_at_once(&calls)), (121, 3));
    server.with_key("key-other").wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn a_small_waiting_room_does_not_narrow_what_may_be_in_flight() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let (_server, narrow, _) = with_slow(&upstream, 8, "max_concurrency = 6\nmax_queue = 1").await;
    let body = batch(30);
    let test = async {
        upstream
            .wait_for("all that it may have in flight", LIMIT, |log| {
                log.in_flight == 6
            })
            .await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(narrow.batch(&body), test);
    assert_eq!(reply.ok()["summary"]["succeeded"], 30);
    assert_eq!(upstream.seen(|log| log.max_in_flight), 6);
}
