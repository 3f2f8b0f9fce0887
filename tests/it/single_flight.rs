//! Of equal items that are under way at the same time one is called, and the others take what it brings: whoever sent them, in
//! whatever form, and whatever becomes of the one that is called.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{self, batch, found, person, schema, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// The item that many ask for.
const X: usize = 7;

/// One that answers nothing until the gate is opened.
fn gated() -> (Upstream, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    (Upstream::start(move |_| Reply::Played.behind(&held)), gate)
}

/// A batch of `count` equal items.
fn equal(count: usize) -> Value {
    json!({"inputs": vec![person(X); count], "schema": schema()})
}

/// Waits until one is called, and so many others wait for what it brings: admitted, and without a slot.
async fn until_shared(client: &Client, others: u64) {
    let waits = async || (settled(client).await == others).then_some(());
    eventually(LIMIT, "one is called and the others wait for it", waits).await;
}

/// How many are admitted besides the one that is called, once none of them waits for a turn. Seen three times in a row, for who
/// was just admitted takes a moment to see that it may wait.
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

#[tokio::test]
async fn fifty_equal_items_of_a_batch_are_called_once() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    let body = equal(50);
    let test = async {
        until_shared(&server, 49).await;
        assert_eq!(upstream.calls(), 1);
        gate.open();
    };
    let (reply, ()) = tokio::join!(server.batch(&body), test);
    let reply = reply.ok();
    let results = reply["results"].as_array().unwrap();
    fixture::check_each_once(results, 50);
    check_one_called(results, &found(X));
    assert_eq!(
        reply["summary"]["usage"]["total_tokens"], 15,
        "{}",
        reply["summary"]
    );
    assert_eq!(upstream.calls(), 1);
    server.wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn fifty_equal_singles_are_called_once() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    // What is only echoed makes no difference.
    let bodies = (0..50).map(|number| {
        with(
            single(person(X)),
            json!({"metadata": {"number": number.to_string()}}),
        )
    });
    let requests = at_once(&server, bodies);
    until_shared(&server, 49).await;
    gate.open();
    let replies: Vec<_> = requests.join_all().await.iter().map(Answer::ok).collect();
    check_one_called(&replies, &found(X));
    assert_eq!(upstream.calls(), 1);
    for field in [
        |reply: &Value| reply["metadata"]["number"].clone(),
        |reply: &Value| reply["id"].clone(),
    ] {
        let own: std::collections::HashSet<_> = replies
            .iter()
            .map(|reply| field(reply).as_str().unwrap().to_owned())
            .collect();
        assert_eq!(own.len(), 50, "each has its own");
    }
    server.wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn equal_items_are_shared_among_callers_and_response_formats() {
    let (upstream, gate) = gated();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a,key-b,key-c")
        .config("[cache]\nshared = true\n")
        .start()
        .await;
    let [a, b, c] = ["key-a", "key-b", "key-c"].map(|key| server.with_key(key));
    let many = equal(2);
    let path = format!("/v1/extract/batch?{}", fixture::schema_query());
    let line = Value::from(person(X)).to_string();
    // Its lines come in one piece: once the first is called, the others wait. Their number is not known at the door.
    let request = b
        .request(http::Method::POST, &path)
        .header("accept", "application/x-ndjson")
        .lines([&line, &line, &line]);
    let lines = request.send().await.expect(200);
    upstream
        .wait_for("one is called", LIMIT, |log| log.in_flight == 1)
        .await;
    let uploaded = settled(&a).await;
    let test = async {
        until_shared(&a, uploaded + 4).await;
        assert_eq!(upstream.calls(), 1);
        gate.open();
    };
    let (ordered, events, lines, ()) = tokio::join!(
        c.batch(&many),
        async {
            a.open("/v1/extract/batch", "text/event-stream", &many)
                .await
                .expect(200)
                .events()
                .await
        },
        lines.lines(),
        test
    );
    let mut results = ordered.ok()["results"].as_array().unwrap().clone();
    results.extend(
        events
            .into_iter()
            .filter(|event| event.name == "result")
            .map(|event| event.data),
    );
    results.extend(lines.into_iter().filter(|line| line.get("index").is_some()));
    assert_eq!(results.len(), 2 + 2 + 3);
    check_one_called(&results, &found(X));
    assert_eq!(upstream.calls(), 1);
    a.wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn a_streamed_single_shares_with_a_plain_one() {
    let (upstream, gate) = gated();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a,key-b")
        .config("[cache]\nshared = true\n")
        .start()
        .await;
    let (a, b) = (server.with_key("key-a"), server.with_key("key-b"));
    let body = single(person(X));
    let test = async {
        until_shared(&a, 1).await;
        gate.open();
    };
    let (plain, streamed, ()) = tokio::join!(
        a.extract(&body),
        async {
            b.open("/v1/extract", "text/event-stream", &body)
                .await
                .expect(200)
                .events()
                .await
        },
        test
    );
    let result = streamed
        .into_iter()
        .find(|event| event.name == "result")
        .unwrap()
        .data;
    check_one_called(&[plain.ok(), result], &found(X));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn items_that_differ_in_a_relevant_field_are_each_called() {
    let (upstream, gate) = gated();
    let server = Server::with(&upstream).await;
    let example =
        json!([{"input": "Rex, four", "output": {"name": "Rex", "age": 4, "occupation": "guard"}}]);
    let other =
        json!([{"input": "Rex, five", "output": {"name": "Rex", "age": 5, "occupation": "guard"}}]);
    let mut looser = schema();
    looser["properties"]["age"] = json!({"type": "integer", "minimum": 0});
    let differences = [
        json!({}),
        json!({"input": person(X + 1)}),
        json!({"input": format!("{} ", person(X))}),
        json!({"schema": looser}),
        json!({"instructions": "Be brief."}),
        json!({"instructions": "Be exact."}),
        json!({"examples": example}),
        json!({"examples": other}),
        json!({"model": "openai/another-model"}),
        json!({"mode": "json_schema"}),
        json!({"mode": "json_object"}),
        json!({"mode": "text"}),
        json!({"seed": 1}),
        json!({"seed": 2}),
        json!({"max_output_tokens": 100}),
        json!({"max_output_tokens": 101}),
        json!({"temperature": 0.5, "seed": 1}),
        json!({"temperature": 0.6, "seed": 1}),
        // What is not asked to be the same each time, and what is not to be shared.
        json!({"temperature": 0.5}),
        json!({"temperature": 0.5}),
        json!({"temperature": 0.01}),
        json!({"cache": "off"}),
        json!({"cache": "off"}),
        json!({"cache": "off", "seed": 1}),
    ];
    let count = differences.len();
    let requests = at_once(
        &server,
        differences.map(|difference| with(single(person(X)), difference)),
    );
    // None waits for another.
    upstream
        .wait_for("each is called", LIMIT, |log| log.in_flight == count)
        .await;
    gate.open();
    for answer in requests.join_all().await {
        let reply = answer.ok();
        assert_eq!(
            (&reply["cached"], &reply["attempts"]),
            (&json!(false), &json!(1)),
            "{reply}"
        );
    }
    assert_eq!(upstream.calls(), count);
}

#[tokio::test]
async fn with_a_seed_any_temperature_is_shared() {
    for more in [
        json!({"temperature": 1.5, "seed": 3}),
        json!({"seed": 3}),
        json!({"temperature": 0.0}),
        json!({"cache": "use"}),
    ] {
        let (upstream, gate) = gated();
        let server = Server::with(&upstream).await;
        let requests = at_once(&server, vec![with(single(person(X)), more.clone()); 5]);
        until_shared(&server, 4).await;
        gate.open();
        let replies: Vec<_> = requests.join_all().await.iter().map(Answer::ok).collect();
        check_one_called(&replies, &found(X));
        assert_eq!(upstream.calls(), 1, "{more}");
    }
}

#[tokio::test]
async fn different_items_of_a_batch_are_all_called() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let inputs: Vec<_> = (0..60).map(|number| person(number % 20)).collect();
    let reply = server
        .batch(&json!({"inputs": inputs, "schema": schema()}))
        .await
        .ok();
    for (index, result) in reply["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&result["index"], &result["data"]),
            (&json!(index), &found(index % 20)),
            "each has its own text's result"
        );
    }
    let mut called = upstream.log().items();
    called.sort_unstable();
    called.dedup();
    assert_eq!(called, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_equal_item_that_comes_later_is_called_anew() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for _ in 0..3 {
        assert_eq!(
            server.extract(&single(person(X))).await.ok()["cached"],
            false
        );
    }
    assert_eq!(upstream.calls(), 3, "no cache is configured");
}

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

/// The client of a call has left: one other is called, and so many wait for it.
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

/// A server with a caller `slow` of these quotas, one `other` without any.
async fn with_slow(upstream: &Upstream, slots: usize, quotas: &str) -> (Server, Client, Client) {
    let config = format!(
        "[cache]\nshared = true\n[callers.slow]\nkey = \"key-slow\"\n{quotas}\n[callers.other]\nkey = \"key-other\"\n"
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
