//! The leader disconnects, fails, stops or times out.

use super::*;

#[tokio::test]
async fn when_the_leaders_client_disconnects_a_waiting_item_is_called() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    for round in 1..=3 {
        let mut first = at_once(&server, [single(person(X))]);
        upstream
            .wait_for("the first is called", LIMIT, |log| log.in_flight == 1)
            .await;
        let others = at_once(&server, vec![single(person(X)); 20]);
        until_shared(&server, 20).await;
        first.abort_all();
        while first.join_next().await.is_some() {}
        check_one_in_its_place(&upstream, &server, round, 19).await;
        gate.let_through(1);
        let replies: Vec<_> = others.join_all().await.iter().map(Answer::ok).collect();
        check_one_called(&replies, &found(X));
        assert_eq!(upstream.calls(), 2 * round);
        server.wait_until_idle(LIMIT).await;
    }
}

/// Checks that one other item is called after the client disconnected, and that so many wait for it.
async fn check_one_in_its_place(upstream: &Upstream, server: &Server, round: usize, others: u64) {
    upstream
        .wait_for("its call is aborted", LIMIT, |log| log.aborted == round)
        .await;
    upstream
        .wait_for("another is called", LIMIT, |log| {
            log.calls.len() == 2 * round && log.in_flight == 1
        })
        .await;
    until_shared(server, others).await;
    assert_eq!(upstream.calls(), 2 * round, "exactly one");
}

#[tokio::test]
async fn when_the_leaders_batch_disconnects_an_item_of_another_batch_is_called() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    for round in 1..=3 {
        let first = server
            .open("/v1/extract/batch", "text/event-stream", &equal(5))
            .await
            .expect(200);
        upstream
            .wait_for("the first is called", LIMIT, |log| log.in_flight == 1)
            .await;
        let body = equal(10);
        let test = async {
            until_shared(&server, 24).await;
            drop(first);
            check_one_in_its_place(&upstream, &server, round, 19).await;
            gate.let_through(1);
        };
        let (one, two, ()) = tokio::join!(server.batch(&body), server.batch(&body), test);
        let (one, two) = (one.ok(), two.ok());
        check_one_called(
            [&one, &two]
                .into_iter()
                .flat_map(|reply| reply["results"].as_array().unwrap()),
            &found(X),
        );
        assert_eq!(upstream.calls(), 2 * round);
        server.wait_until_idle(LIMIT).await;
    }
}

#[tokio::test]
async fn when_all_clients_but_one_disconnect_its_item_is_called() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    let mut leaving = at_once(&server, vec![single(person(X)); 10]);
    until_shared(&server, 9).await;
    let stays = at_once(&server, [single(person(X))]);
    until_shared(&server, 10).await;
    leaving.abort_all();
    while leaving.join_next().await.is_some() {}
    until_shared(&server, 0).await;
    gate.open();
    let replies: Vec<_> = stays.join_all().await.iter().map(Answer::ok).collect();
    check_one_called(&replies, &found(X));
    assert_eq!(
        upstream.seen(|log| log.answered),
        1,
        "{} calls",
        upstream.calls()
    );
}

#[tokio::test]
async fn a_permanent_failure_is_shared() {
    let refused = || Reply::error(413, "this model does not like you");
    let wrong = || Reply::Json(fixture::wrong());
    let truncated = || Reply::Truncated("{\"name\": \"Ad".to_owned());
    let declined = || Reply::Refusal("not this one".to_owned());
    type Say = fn() -> Reply;
    let ends: [(Say, u16, &str, usize); 4] = [
        (refused, 502, "upstream_error", 1),
        (wrong, 502, "extraction_failed", 2),
        (truncated, 502, "output_truncated", 1),
        (declined, 502, "model_refused", 1),
    ];
    for (say, status, code, calls) in ends {
        let gate = Gate::closed();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| say().behind(&held));
        let server = Server::with(&upstream).await;
        let more = json!({"max_attempts": 2, "max_output_tokens": 50});
        let requests = at_once(&server, vec![with(single(person(X)), more.clone()); 5]);
        upstream
            .wait_for("one of the singles is called", LIMIT, |log| {
                log.in_flight == 1
            })
            .await;
        until_shared(&server, 4).await;
        let body = with(equal(20), more);
        let test = async {
            until_shared(&server, 24).await;
            gate.open();
        };
        let (reply, ()) = tokio::join!(server.batch(&body), test);
        let reply = reply.ok();
        let mut details = std::collections::HashSet::new();
        let mut check = |problem: &Value| {
            check_problem(problem, status, code);
            details.insert(problem["detail"].as_str().unwrap().to_owned());
        };
        for answer in requests.join_all().await {
            check(&answer.problem(status, code));
        }
        for result in reply["results"].as_array().unwrap() {
            assert_eq!(result["status"], "failed", "{result}");
            check(&result["error"]);
        }
        assert_eq!(details.len(), 1, "all are told the same: {details:?}");
        assert_eq!(upstream.calls(), calls, "{code}: one of them all");
        server.wait_until_idle(LIMIT).await;
    }
}

#[tokio::test]
async fn a_stop_at_the_first_failure_holds_for_equal_items_too() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.item() {
        Some(X) => Reply::error(413, "no").behind(&held),
        _ => Reply::Played,
    });
    let server = Server::with(&upstream).await;
    let mut inputs = vec![person(X); 10];
    inputs.extend((100..110).map(person));
    let body = json!({"inputs": inputs, "schema": schema(), "on_error": "stop"});
    let test = async {
        upstream
            .wait_for("the others are done", LIMIT, |log| {
                log.answered == 10 && log.in_flight == 1
            })
            .await;
        until_shared(&server, 9).await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(server.batch(&body), test);
    let reply = reply.ok();
    assert_eq!(reply["status"], "stopped", "{reply}");
    fixture::check_each_once(reply["results"].as_array().unwrap(), 20);
    let summary = &reply["summary"];
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert!(
        count("failed") >= 1 && count("failed") + count("cancelled") == 10,
        "{summary}"
    );
    assert_eq!(count("succeeded"), 10, "{summary}");
    assert_eq!(
        upstream.calls(),
        11,
        "none of the equal ones is called after the stop"
    );
    server.wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn the_stop_of_one_batch_leaves_its_call_to_an_equal_item_elsewhere() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.item() {
        Some(X) => Reply::Played.behind(&held),
        _ => Reply::error(413, "no").behind(&held),
    });
    let server = Server::with(&upstream).await;
    let body = json!({"inputs": [person(X), person(100)], "schema": schema(), "on_error": "stop"});
    let stopping = tokio::spawn({
        let client = server.clone();
        async move { client.batch(&body).await }
    });
    upstream
        .wait_for("both are called", LIMIT, |log| log.in_flight == 2)
        .await;
    let body = equal(3);
    let test = async {
        let waits = async || (server.limit_of("queue", "all").await?["in_use"] == 3).then_some(());
        eventually(LIMIT, "the others wait for it", waits).await;
        // Both calls end; whichever the server sees first, the failure stops the batch.
        gate.open();
    };
    let (beside, ()) = tokio::join!(server.batch(&body), test);
    let reply = stopping.await.unwrap().ok();
    assert_eq!(reply["status"], "stopped", "{reply}");
    assert_eq!(beside.ok()["summary"]["succeeded"], 3);
    server.wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn a_leader_that_times_out_leaves_the_call_to_an_item_that_waits_longer() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.index {
        0 => Reply::error(429, "slow down")
            .with_header("retry-after-ms", 300)
            .behind(&held),
        _ => Reply::Played.behind(&held),
    });
    let server = Server::asking(&upstream)
        .config("[limits]\nmax_wait_ms = 0\nmax_batch_wait_ms = 60000\n")
        .start()
        .await;
    let hasty = at_once(&server, [single(person(X))]);
    upstream
        .wait_for("it is called", LIMIT, |log| log.in_flight == 1)
        .await;
    let body = equal(1);
    let test = async {
        let here = async || {
            let (slots, queue) = (
                server.limit_of("concurrency", "all").await?,
                server.limit_of("queue", "all").await?,
            );
            (slots["in_use"].as_u64()? + queue["in_use"].as_u64()? == 2).then_some(())
        };
        eventually(LIMIT, "both are there", here).await;
        gate.open();
    };
    let (patient, ()) = tokio::join!(server.batch(&body), test);
    for answer in hasty.join_all().await {
        answer.problem(503, "upstream_rate_limited");
    }
    let patient = patient.ok();
    assert_eq!(patient["results"][0]["data"], found(X), "{patient}");
}

#[tokio::test]
async fn an_item_of_a_job_does_not_share_the_failure_of_a_single_that_gave_up_sooner() {
    // A single is called three times, an item of a job up to eight times.
    let upstream = Upstream::start(|call| match call.index {
        0..=3 => Reply::error(500, "out of order"),
        _ => Reply::Played,
    });
    let server = Server::with(&upstream).await;
    let single = {
        let client = (*server).clone();
        tokio::spawn(async move { client.extract(&single(person(X))).await })
    };
    upstream
        .wait_for("the single is called", LIMIT, |log| log.answered >= 1)
        .await;
    let body = json!({"inputs": [person(X)], "schema": crate::support::fixture::schema()});
    let job = server.post("/v1/jobs", &body).await;
    assert_eq!(job.status, 202);
    let path = format!("/v1/jobs/{}", job.json()["id"].as_str().unwrap());
    single.await.unwrap().problem(502, "upstream_error");
    let job = eventually(LIMIT, "the job ends", async || {
        let job = server.get(&path).await.ok();
        (job["status"] == "completed").then_some(job)
    })
    .await;
    assert_eq!(job["counts"]["succeeded"], 1, "{job}");
}
