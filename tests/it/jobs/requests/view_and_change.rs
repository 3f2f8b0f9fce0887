//! Listing, showing, cancelling, retrying, deleting and expiry of jobs.

use super::*;

#[tokio::test]
async fn a_job_belongs_to_its_caller() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "first-key,second-key")
        .start()
        .await;
    let (ann, bob) = (server.with_key("first-key"), server.with_key("second-key"));
    let job = made(&ann, &batch(1)).await;
    ended(&ann, &job).await;
    for rest in ["", "/results", "/events"] {
        let answer = bob.get(&path(&job, rest)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].clone()),
            (404, json!("not_found")),
            "{rest}"
        );
    }
    for rest in ["/cancel", "/retry"] {
        assert_eq!(post(&bob, &path(&job, rest)).await.status, 404, "{rest}");
    }
    assert_eq!(
        bob.request(Method::DELETE, &path(&job, ""))
            .answer()
            .await
            .status,
        404
    );
    assert_eq!(bob.get(JOBS).await.ok()["data"], json!([]));
    assert_eq!(ann.get(JOBS).await.ok()["data"][0]["id"], job["id"]);
    assert_eq!(server.get(&path(&job, "")).await.status, 401);
}

#[tokio::test]
async fn a_job_belongs_to_the_key_whatever_its_position_in_the_configuration() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream).env("EXTRACTD_API_KEYS", "first-key,second-key");
    let folder = builder.folder().join("data");
    let server = builder.start().await;
    let job = made(&server.with_key("second-key"), &batch(1)).await;
    ended(&server.with_key("second-key"), &job).await;
    let again = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "second-key")
        .env("EXTRACTD_DATA_DIR", folder.display());
    server.terminate();
    let mut server = server;
    server.exit(LIMIT).await;
    let again = again.start().await;
    assert_eq!(
        again
            .with_key("second-key")
            .get(&path(&job, ""))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn jobs_are_listed_newest_first_a_page_at_a_time() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(made(&server, &batch(1)).await["id"].clone());
    }
    ids.reverse();
    let first = server.get("/v1/jobs?limit=3").await.ok();
    let listed = |page: &serde_json::Value| {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (listed(&first), &first["has_more"]),
        (ids[..3].to_vec(), &json!(true))
    );
    let second = server
        .get(&format!(
            "/v1/jobs?limit=3&after={}",
            first["next"].as_str().unwrap()
        ))
        .await
        .ok();
    assert_eq!(
        (listed(&second), &second["has_more"], &second["next"]),
        (ids[3..].to_vec(), &json!(false), &json!(null))
    );
    let refused = server.get("/v1/jobs?after=x").await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.json()["errors"][0]["pointer"].clone()
        ),
        (422, json!("/after"))
    );
}

#[tokio::test]
async fn a_cancelled_job_keeps_its_recorded_results() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.item() == Some(0) {
            Reply::Played
        } else {
            Reply::Played.behind(&held)
        }
    });
    let server = asking(&upstream, 4).start().await;
    let job = made(&server, &batch(1_000)).await;
    eventually(
        LIMIT,
        "one is finished and four are under way",
        async || {
            let counts = show(&server, &job).await["counts"].clone();
            (counts["succeeded"] == 1 && counts["in_flight"] == 4).then_some(())
        },
    )
    .await;
    let cancelled = post(&server, &path(&job, "/cancel")).await;
    assert_eq!(
        (
            cancelled.status.as_u16(),
            cancelled.json()["status"].clone()
        ),
        (202, json!("cancelling"))
    );
    let job = ended(&server, &job).await;
    assert_eq!(
        (
            &job["status"],
            &job["counts"]["succeeded"],
            &job["counts"]["cancelled"]
        ),
        (&json!("cancelled"), &json!(1), &json!(999))
    );
    check_each_once(&results(&server, &job, "limit=1000").await, 1_000);
    assert_eq!(results(&server, &job, "status=succeeded").await.len(), 1);
    assert_eq!(post(&server, &path(&job, "/cancel")).await.status, 200);
    assert_eq!(upstream.calls(), 5, "what waited was never called");
    gate.open();
}

#[tokio::test]
async fn failed_items_are_retried() {
    let is_mended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mended = std::sync::Arc::clone(&is_mended);
    let upstream = Upstream::start(move |call| {
        let fails =
            call.item().unwrap() % 10 == 3 && !mended.load(std::sync::atomic::Ordering::SeqCst);
        if fails {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let job = made(&server, &with(batch(100), json!({"mode": "tools"}))).await;
    let first = ended(&server, &job).await;
    assert_eq!(
        (&first["status"], &first["counts"]["failed"]),
        (&json!("completed"), &json!(10))
    );
    let failed = results(&server, &job, "status=failed").await;
    assert!(
        failed
            .iter()
            .all(|result| result["error"]["code"] == "upstream_error"),
        "{failed:?}"
    );
    is_mended.store(true, std::sync::atomic::Ordering::SeqCst);
    let calls = upstream.calls();
    assert_eq!(post(&server, &path(&job, "/retry")).await.status, 202);
    let second = ended(&server, &job).await;
    assert_eq!(
        (&second["counts"]["failed"], &second["counts"]["succeeded"]),
        (&json!(0), &json!(100))
    );
    assert_eq!(upstream.calls() - calls, 10, "only those");
    check_each_once(&results(&server, &job, "").await, 100);
    assert_eq!(
        results(&server, &job, "status=failed").await,
        Vec::<serde_json::Value>::new()
    );
    let nothing = post(&server, &path(&job, "/retry")).await;
    assert_eq!(
        (
            nothing.status.as_u16(),
            nothing.json()["finished_at"].clone()
        ),
        (200, second["finished_at"].clone())
    );
}

#[tokio::test]
async fn on_error_stop_ends_a_job_at_its_first_failure() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(5) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = asking(&upstream, 1).start().await;
    let job = made(
        &server,
        &with(batch(500), json!({"on_error": "stop", "mode": "tools"})),
    )
    .await;
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["status"], &job["counts"]["failed"]),
        (&json!("stopped"), &json!(1))
    );
    check_each_once(&results(&server, &job, "limit=1000").await, 500);
    assert!(upstream.calls() < 20, "{}", upstream.calls());
    let logged = server.output();
    assert!(!logged.contains("was interrupted"), "{logged}");
}

#[tokio::test]
async fn only_the_items_of_one_status_are_retried_if_the_request_says_so() {
    let upstream = Upstream::start(|call| {
        if call.item().is_some_and(|item| item % 10 == 5) {
            Reply::error(422, "no")
        } else {
            Reply::Played
        }
    });
    let server = asking(&upstream, 1).start().await;
    let request = json!({"on_error": "stop", "concurrency": 1, "mode": "tools"});
    let job = made(&server, &with(batch(20), request)).await;
    let counts = async || {
        let counts = ended(&server, &job).await["counts"].clone();
        ["succeeded", "failed", "cancelled"].map(|name| counts[name].as_u64().unwrap())
    };
    assert_eq!(counts().await, [5, 1, 14]);
    let retry = async |query: &str| post(&server, &path(&job, &format!("/retry{query}"))).await;
    let unknown = retry("?status=succeeded").await;
    check_pointer(&unknown.problem(422, "invalid_request"), "/status");
    let unknown = retry("?only=failed").await;
    check_pointer(&unknown.problem(422, "invalid_request"), "/only");
    assert_eq!(retry("?status=invalid").await.status, 200, "there is none");
    assert_eq!(retry("?status=cancelled").await.status, 202);
    assert_eq!(
        counts().await,
        [14, 2, 4],
        "the earlier failure stays and does not stop it, the next one does"
    );
    assert_eq!(retry("?status=failed").await.status, 202);
    assert_eq!(counts().await[1], 1, "it fails again and stops the job");
    assert_eq!(retry("?status=cancelled").await.status, 202);
    let [succeeded, failed, _] = counts().await;
    assert!(succeeded >= 14 && failed >= 1, "{succeeded}, {failed}");
}

#[tokio::test]
async fn only_an_ended_job_can_be_deleted() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    let job = made(&server, &batch(2)).await;
    let delete = async || {
        server
            .request(Method::DELETE, &path(&job, ""))
            .answer()
            .await
    };
    assert_eq!(delete().await.status, 409);
    assert_eq!(post(&server, &path(&job, "/retry")).await.status, 409);
    gate.open();
    ended(&server, &job).await;
    assert_eq!(delete().await.status, 204);
    assert_eq!(delete().await.status, 404);
    assert_eq!(server.get(&path(&job, "/results")).await.status, 404);
}

#[tokio::test]
async fn an_expired_job_is_removed_from_the_disk() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).config("[jobs]\nretention_ms = 1000\n");
    let data = server.folder().join("data");
    let server = server.start().await;
    let secret = "a text that nobody may keep";
    let job = made(
        &server,
        &with(batch(1), json!({"inputs": [secret, person(1)]})),
    )
    .await;
    eventually(LIMIT, "the job is gone", async || {
        (server.get(&path(&job, "")).await.status == 404).then_some(())
    })
    .await;
    eventually(LIMIT, "so is its text", async || {
        let holds = |name: &str| {
            let bytes = std::fs::read(data.join(name)).unwrap_or_default();
            memchr::memmem::find(&bytes, secret.as_bytes()).is_some()
        };
        (!holds("extractd.db") && !holds("extractd.db-wal")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn jobs_are_filtered_by_status_and_metadata() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let mut ids = Vec::new();
    for (number, metadata) in [
        json!({"team": "a", "day.part": "am"}),
        json!({"team": "b"}),
        json!({"team": "a", "other": "b"}),
    ]
    .into_iter()
    .enumerate()
    {
        let job = made(&server, &with(batch(1), json!({"metadata": metadata}))).await;
        ended(&server, &job).await;
        ids.push((number, job["id"].as_str().unwrap().to_owned()));
    }
    let found = async |query: &str| {
        let page = server.get(&format!("{JOBS}?{query}")).await.ok();
        let jobs = page["data"].as_array().unwrap().clone();
        let numbers: Vec<_> = jobs
            .iter()
            .map(|job| {
                let known = ids.iter().find(|(_, id)| job["id"] == **id);
                known.expect("a known job").0
            })
            .collect();
        (numbers, page["next"].as_str().map(str::to_owned))
    };
    for (query, expected) in [
        ("status=completed", vec![2, 1, 0]),
        ("status=queued,running,failed", vec![]),
        ("status=running,completed&metadata.team=b", vec![1]),
        ("metadata.team=a", vec![2, 0]),
        ("metadata.team=a&metadata.other=b", vec![2]),
        ("metadata.day.part=am", vec![0]),
        ("metadata.other=a", vec![]),
        ("metadata.missing=a", vec![]),
        ("metadata.%22%27%3B--=a", vec![]),
    ] {
        assert_eq!(found(query).await, (expected, None), "{query}");
    }
    let (first, next) = found("metadata.team=a&limit=1").await;
    assert_eq!(first, [2]);
    let next = format!("metadata.team=a&limit=1&after={}", next.unwrap());
    assert_eq!(found(&next).await, (vec![0], None));
    for (query, pointer, words) in [
        ("status=done", "/status", "`completed`"),
        ("staus=failed", "/staus", "did you mean `status`?"),
        ("status=", "/status", "expected `queued`"),
    ] {
        let refused = server.get(&format!("{JOBS}?{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
        let problem = refused.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
}
