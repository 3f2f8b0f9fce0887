//! Quotas that change while items wait or are in flight.

use super::*;

#[tokio::test]
async fn a_changed_quota_applies_to_waiting_items() {
    let callers = |quota: &str| format!("{A}{quota}\n{B}");
    let stage = Stage::set(Upstream::playing(), &callers("requests_per_minute = 1")).await;
    let body = batch(40);
    let reply = stage
        .client("key-a")
        .open("/v1/extract/batch", "text/event-stream", &body)
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("the only call that it may make", LIMIT, |log| {
            log.answered == 1
        })
        .await;
    stage.replace(&callers("requests_per_minute = 60000"));
    until_limit(&stage, "requests_per_minute", json!(60_000)).await;
    check_whole(reply, 40).await;
    // And the other way.
    stage.replace(&callers("requests_per_minute = 1"));
    until_limit(&stage, "requests_per_minute", json!(1)).await;
    let before = stage.upstream.calls();
    let reply = stage
        .client("key-a")
        .open("/v1/extract/batch", "text/event-stream", &body)
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("the only call that it may make", LIMIT, |log| {
            log.answered == before + 1
        })
        .await;
    stage.client("key-b").extract(&single(person(1))).await.ok();
    assert_eq!(
        stage.upstream.calls(),
        before + 2,
        "the next is due in a minute"
    );
    drop(reply);
}

#[tokio::test]
async fn a_removed_quota_no_longer_delays_items() {
    let stage = Stage::set(
        Upstream::playing(),
        &format!("{A}requests_per_minute = 1\n{B}"),
    )
    .await;
    let reply = stage
        .client("key-a")
        .open("/v1/extract/batch", "text/event-stream", &batch(40))
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("the only call that it may make", LIMIT, |log| {
            log.answered == 1
        })
        .await;
    stage.replace(&format!("{A}{B}"));
    until_limit(&stage, "requests_per_minute", Value::Null).await;
    check_whole(reply, 40).await;
}

#[tokio::test]
async fn an_added_quota_applies_to_a_caller_with_items_in_flight() {
    let (stage, gate) = gated(&format!("{A}{B}")).await;
    let reply = at_work(&stage, "key-a").await;
    stage.replace(&format!(
        "{A}requests_per_minute = 60000\nmax_concurrency = 1\nmax_queue = 50\n{B}"
    ));
    until_limit(&stage, "requests_per_minute", json!(60_000)).await;
    gate.open();
    check_whole(reply, 40).await;
    stage.client("key-b").wait_until_idle(LIMIT).await;
    // What was under way at the change is not held against it, and it may use its room as before.
    let row = stage
        .client("key-b")
        .limit_of("queue", "caller:a")
        .await
        .unwrap();
    assert_eq!(
        (&row["limit"], &row["in_use"], &row["available"]),
        (&json!(50), &json!(0), &json!(50)),
        "{row}"
    );
    let reply = stage.client("key-a").batch(&batch(20)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 20);
    stage.client("key-a").extract(&single(person(1))).await.ok();
}

#[tokio::test]
async fn a_lowered_concurrency_counts_items_in_flight() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let stage = Stage::set_with(
        upstream,
        &format!("{A}{B}"),
        "[limits]\nmax_concurrency = 16\n",
    )
    .await;
    let body = with(batch(40), json!({"concurrency": 4}));
    let first = stage
        .client("key-a")
        .open("/v1/extract/batch", "text/event-stream", &body)
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("four in flight", LIMIT, |log| log.in_flight == 4)
        .await;
    stage.replace(&format!("{A}max_concurrency = 3\n{B}"));
    until_limit(&stage, "concurrency", json!(3)).await;
    let inputs: Vec<_> = (1_000..1_040).map(person).collect();
    let body = json!({"inputs": inputs, "schema": fixture::schema()});
    let second = stage
        .client("key-a")
        .open("/v1/extract/batch", "text/event-stream", &body)
        .await
        .expect(200);
    // Somebody else's call shows that a slot is free, and that it had its turn after whatever could go out before.
    let beside = tokio::spawn({
        let client = stage.client("key-b");
        async move { client.extract(&single(person(2_000))).await }
    });
    stage
        .upstream
        .wait_for("the other's call", LIMIT, |log| {
            log.calls.iter().any(|call| call.item() == Some(2_000))
        })
        .await;
    assert_eq!(
        stage.upstream.calls(),
        5,
        "four of a, which may have three, and one of b"
    );
    gate.open();
    beside.await.unwrap().ok();
    check_whole(first, 40).await;
    check_whole(second, 40).await;
}
