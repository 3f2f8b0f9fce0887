//! Items that share one call, and items that do not.

use super::*;

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
