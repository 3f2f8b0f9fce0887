//! Creation of jobs: inputs, idempotency, and invalid requests.

use super::*;

#[tokio::test]
async fn a_job_runs_by_itself_and_keeps_its_results() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let job = made(&server, &with(batch(300), json!({"metadata": {"k": "v"}}))).await;
    assert!(
        ["queued", "running"].contains(&job["status"].as_str().unwrap()),
        "{job}"
    );
    assert_eq!(job["counts"]["total"], 300);
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["status"], &job["metadata"]),
        (&json!("completed"), &json!({"k": "v"}))
    );
    let counts = json!({"total": 300, "succeeded": 300, "failed": 0, "invalid": 0, "cancelled": 0, "in_flight": 0, "queued": 0});
    assert_eq!(job["counts"], counts);
    assert!(
        job["usage"]["total_tokens"].as_u64().unwrap() > 0 && job["expires_at"].is_string(),
        "{job}"
    );
    let in_order = results(&server, &job, "limit=70").await;
    assert_eq!(in_order.len(), 300);
    for (index, result) in in_order.iter().enumerate() {
        assert_eq!(
            (&result["index"], &result["data"]),
            (&json!(index), &found(index)),
            "{result}"
        );
    }
    check_each_once(
        &results(&server, &job, "order=completion&limit=1000").await,
        300,
    );
    let lines = server
        .request(Method::GET, &path(&job, "/results"))
        .header("accept", "application/x-ndjson")
        .send()
        .await;
    assert_eq!(lines.expect(200).lines().await, in_order);
    assert_eq!(upstream.calls(), 300);
}

#[tokio::test]
async fn an_ndjson_job_is_the_same_and_an_invalid_line_is_named() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let target = format!("{JOBS}?{}", schema_query());
    let send = async |lines: Vec<String>| {
        server
            .request(Method::POST, &target)
            .lines(lines)
            .answer()
            .await
    };
    let good: Vec<_> = (0..5_000)
        .map(|index| json!({"id": format!("i{index}"), "input": person(index)}).to_string())
        .collect();
    let answer = send(good.clone()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = ended(&server, &answer.json()).await;
    let results = results(&server, &job, "limit=1000").await;
    check_each_once(&results, 5_000);
    assert_eq!(
        (&results[4321]["id"], &results[4321]["data"]),
        (&json!("i4321"), &found(4321))
    );
    let mut bad = good;
    bad[3_000] = "{\"input\": 3}".to_owned();
    let refused = send(bad).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].clone()),
        (400, json!("invalid_json"))
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("line 3001"),
        "{}",
        refused.text()
    );
    assert_eq!(
        server.get(JOBS).await.ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "it left nothing"
    );
}

#[tokio::test]
async fn an_interrupted_upload_creates_no_job() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let line = Bytes::from(format!("{}\n", json!(person(0))).repeat(3_000));
    let never = futures_util::StreamExt::chain(stream::iter([line]), stream::pending());
    let request = server.request(Method::POST, &format!("{JOBS}?{}", schema_query()));
    let sending = request
        .header("content-type", "application/x-ndjson")
        .header("idempotency-key", "K")
        .stream(never)
        .send();
    assert!(
        tokio::time::timeout(Duration::from_secs(1), sending)
            .await
            .is_err(),
        "it waits for the rest"
    );
    assert_eq!(server.get(JOBS).await.ok()["data"], json!([]));
    // The key is free again, too.
    let again = with(batch(1), json!({}));
    eventually(LIMIT, "what was kept is gone", async || {
        let answer = server
            .request(Method::POST, JOBS)
            .header("idempotency-key", "K")
            .json(&again)
            .answer()
            .await;
        (answer.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_same_idempotency_key_and_body_create_one_job() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let send = async |key: &str, body: &serde_json::Value| {
        server
            .request(Method::POST, JOBS)
            .header("idempotency-key", key)
            .json(body)
            .answer()
            .await
    };
    let first = send("K", &batch(3)).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotent-replayed")),
        (202, "")
    );
    let second = send("K", &batch(3)).await;
    assert_eq!(
        (second.status.as_u16(), second.header("idempotent-replayed")),
        (202, "true")
    );
    assert_eq!(second.json()["id"], first.json()["id"]);
    for other in [
        batch(4),
        with(batch(3), json!({"max_attempts": 2})),
        with(batch(3), json!({"metadata": {"a": "b"}})),
    ] {
        let answer = send("K", &other).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].clone()),
            (422, json!("idempotency_mismatch"))
        );
    }
    assert_ne!(send("L", &batch(3)).await.json()["id"], first.json()["id"]);
    assert_eq!(send(&"x".repeat(256), &batch(3)).await.status, 422);
    assert_eq!(send(&"x".repeat(255), &batch(3)).await.status, 202);
}

#[tokio::test]
async fn a_job_keeps_the_schema_it_was_created_with() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = asking(&upstream, 1).start().await;
    let put = async |schema: serde_json::Value| {
        server
            .request(Method::PUT, "/v1/schemas/person")
            .json(&schema)
            .answer()
            .await
    };
    assert_eq!(put(crate::support::fixture::schema()).await.status, 201);
    let job = made(&server, &with(batch(3), json!({"schema": "person"}))).await;
    assert_eq!(
        put(json!({"type": "object", "required": ["other"]}))
            .await
            .status,
        200
    );
    let server = server.kill_and_restart().await;
    gate.open();
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], 3, "{job}");
}

#[tokio::test]
async fn an_invalid_request_is_rejected_before_anything_is_stored() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for (body, status, pointer) in [
        (json!({"inputs": ["a"]}), 422, "/schema"),
        (with(batch(1), json!({"stream": true})), 422, "/stream"),
        (
            with(batch(1), json!({"webhook": {"url": "ftp://a"}})),
            422,
            "/webhook/url",
        ),
        (
            with(batch(1), json!({"inputs": ["a", 3]})),
            422,
            "/inputs/1",
        ),
        (with(batch(1), json!({"model": "nobody"})), 422, "/model"),
    ] {
        let answer = server.post(JOBS, &body).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["errors"][0]["pointer"].clone()
            ),
            (status, json!(pointer)),
            "{body}"
        );
    }
    assert_eq!(server.get(JOBS).await.ok()["data"], json!([]));
    let empty = ended(&server, &made(&server, &batch(0)).await).await;
    assert_eq!(
        (&empty["status"], &empty["counts"]["total"]),
        (&json!("completed"), &json!(0))
    );
}
