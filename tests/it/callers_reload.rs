//! The callers' file is read anew while the server runs: who is in it may call within seconds, nothing in flight is dropped, and
//! a file that is wrong changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, LIMIT, Response, eventually};
use crate::support::fixture::{self, batch, person, single, with};
use crate::support::server::{Builder, Server};
use crate::upstream::{Gate, Reply, Upstream};

/// So soon a change is in force.
const SOON: Duration = Duration::from_secs(10);

/// A server whose callers are in a file of their own.
struct Stage {
    upstream: Upstream,
    server: Server,
    file: PathBuf,
}

const A: &str = "[callers.a]\nkey = \"key-a\"\n";
const B: &str = "[callers.b]\nkey = \"key-b\"\n";

impl Stage {
    async fn set(upstream: Upstream, callers: &str) -> Self {
        Self::set_with(upstream, callers, "").await
    }

    async fn set_with(upstream: Upstream, callers: &str, config: &str) -> Self {
        let builder = Server::asking(&upstream);
        std::fs::write(builder.folder().join("callers.toml"), callers).unwrap();
        Self::start(upstream, builder, config).await
    }

    async fn start(upstream: Upstream, builder: Builder, config: &str) -> Self {
        let file = builder.folder().join("callers.toml");
        let server = builder
            .config(&format!("callers_file = \"callers.toml\"\n{config}"))
            .start()
            .await;
        Self {
            upstream,
            server,
            file,
        }
    }

    /// The whole file, as an editor or `mv` replaces it.
    fn replace(&self, callers: &str) {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, callers).unwrap();
        std::fs::rename(&beside, &self.file).unwrap();
    }

    async fn status(&self, key: &str) -> u16 {
        self.server
            .with_key(key)
            .get("/v1/models")
            .await
            .status
            .as_u16()
    }

    async fn until(&self, key: &str, status: u16) {
        let what = format!("{key} is answered {status}");
        eventually(SOON, &what, async || {
            (self.status(key).await == status).then_some(())
        })
        .await;
    }

    async fn until_logged(&self, words: &str) {
        let what = format!("{words:?} in the log");
        eventually(SOON, &what, async || {
            self.server.output().contains(words).then_some(())
        })
        .await;
    }

    fn client(&self, key: &str) -> Client {
        self.server.with_key(key)
    }
}

#[tokio::test]
async fn an_added_caller_is_accepted_and_a_removed_one_is_rejected() {
    let stage = Stage::set(Upstream::playing(), A).await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    stage.replace(&format!("{A}{B}"));
    stage.until("key-b", 200).await;
    stage.client("key-b").extract(&single(person(1))).await.ok();
    assert_eq!(stage.status("key-a").await, 200);
    stage.replace(B);
    stage.until("key-a", 401).await;
    stage
        .client("key-a")
        .extract(&single(person(1)))
        .await
        .problem(401, "unauthorized");
    assert_eq!(stage.status("key-b").await, 200);
}

#[tokio::test]
async fn a_file_that_is_rewritten_in_place_is_seen() {
    let stage = Stage::set(Upstream::playing(), A).await;
    std::fs::write(&stage.file, B).unwrap();
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
    // The same length, and within the same second.
    std::fs::write(&stage.file, A).unwrap();
    stage.until("key-a", 200).await;
    assert_eq!(stage.status("key-b").await, 401);
}

#[tokio::test]
async fn a_symbolic_link_that_is_switched_is_seen() {
    let builder = Server::asking_at("http://127.0.0.1:9/v1");
    // As a mounted volume of settings is laid out: file -> data -> a folder for each version.
    let folder = builder.folder().to_owned();
    for (version, callers) in [("v1", A), ("v2", B)] {
        std::fs::create_dir(folder.join(version)).unwrap();
        std::fs::write(folder.join(version).join("callers.toml"), callers).unwrap();
    }
    let switch = |version: &str| {
        std::os::unix::fs::symlink(version, folder.join("data.new")).unwrap();
        std::fs::rename(folder.join("data.new"), folder.join("data.link")).unwrap();
    };
    switch("v1");
    std::os::unix::fs::symlink(
        Path::new("data.link").join("callers.toml"),
        folder.join("callers.toml"),
    )
    .unwrap();
    let stage = Stage::start(Upstream::playing(), builder, "").await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    switch("v2");
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}

/// A batch at work with the key: two calls in flight, and more that wait.
async fn at_work(stage: &Stage, key: &str) -> Response {
    let reply = stage
        .client(key)
        .open("/v1/extract/batch", "text/event-stream", &batch(40))
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("it is at work", LIMIT, |log| log.in_flight == 2)
        .await;
    reply
}

async fn check_whole(reply: Response, count: usize) {
    let events = reply.events().await;
    let done = events.last().unwrap();
    assert_eq!(
        (done.name.as_str(), &done.data["status"]),
        ("done", &json!("completed")),
        "{done:?}"
    );
    assert_eq!(done.data["succeeded"], count, "{done:?}");
    fixture::check_each_once(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
        count,
    );
}

async fn gated(callers: &str) -> (Stage, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    (
        Stage::set_with(upstream, callers, "[limits]\nmax_concurrency = 2\n").await,
        gate,
    )
}

#[tokio::test]
async fn the_batch_of_a_removed_caller_runs_to_its_end() {
    for quota in ["", "requests_per_minute = 100000\nmax_concurrency = 2\n"] {
        let (stage, gate) = gated(&format!("{A}{quota}{B}")).await;
        let reply = at_work(&stage, "key-a").await;
        stage.replace(B);
        stage.until("key-a", 401).await;
        assert_eq!(
            stage.upstream.seen(|log| (log.in_flight, log.aborted)),
            (2, 0)
        );
        gate.open();
        check_whole(reply, 40).await;
        assert_eq!(stage.upstream.seen(|log| log.aborted), 0);
        stage.client("key-b").wait_until_idle(LIMIT).await;
    }
}

#[tokio::test]
async fn after_a_rotation_only_the_new_key_is_accepted() {
    let (stage, gate) = gated(A).await;
    let reply = at_work(&stage, "key-a").await;
    stage.replace("[callers.a]\nkey = \"key-a-2\"\n");
    stage.until("key-a-2", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
    gate.open();
    check_whole(reply, 40).await;
    stage
        .client("key-a-2")
        .extract(&single(person(1)))
        .await
        .ok();
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_authenticated() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::set(Upstream::playing(), &format!("{A}{B}")).await;
    let mut stream = tokio::net::TcpStream::connect(stage.server.address())
        .await
        .unwrap();
    let mut ask = async || {
        let head =
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 16 * 1024];
        let read = crate::support::client::within(LIMIT, "an answer", stream.read(&mut answer))
            .await
            .unwrap();
        String::from_utf8_lossy(&answer[..read])
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(ask().await, "HTTP/1.1 200 OK");
    stage.replace(B);
    stage.until("key-a", 401).await;
    assert_eq!(ask().await, "HTTP/1.1 401 Unauthorized");
}

async fn paced(stage: &Stage, kind: &str) -> Value {
    // Another caller looks: it takes nothing.
    let row = stage.client("key-b").limit_of(kind, "caller:a").await;
    row.map_or(Value::Null, |row| row["limit"].clone())
}

async fn until_limit(stage: &Stage, kind: &str, limit: Value) {
    let what = format!("{kind} is {limit}");
    eventually(SOON, &what, async || {
        (paced(stage, kind).await == limit).then_some(())
    })
    .await;
}

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
        "[limits]\nmax_concurrency = 8\n",
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

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_is_logged_with_its_position() {
    let own = "[callers.own]\nkey = \"key-own\"\n";
    let stage = Stage::set_with(Upstream::playing(), A, own).await;
    let broken = [
        // What is wrong, and where.
        (
            "[callers.b]\nkey = \"key-secret-1\"\n[callers.c\n".to_owned(),
            "callers.toml:3",
        ),
        (
            "[callers.b]\nkey = \"key-secret-2\"\n\n[callers.c]\nkey = \"key-secret-2\"\n"
                .to_owned(),
            "callers.toml:4",
        ),
        (
            "[callers.b]\nkey = \"key-secret-3\"\n\n\nrequest_per_minute = 5\n".to_owned(),
            "callers.toml:5",
        ),
        (
            "[callers.b]\nkey = \"key-secret-4\"\n\n\n\nmax_queue = \"many\"\n".to_owned(),
            "callers.toml:6",
        ),
        (
            "\n\n\n\n\n\n[callers.own]\nkey = \"key-secret-5\"\n".to_owned(),
            "callers.toml:7",
        ),
        (
            "\n\n\n\n\n\n\n[callers.b]\nkey = \"key-own\"\n".to_owned(),
            "callers.toml:8",
        ),
        (
            "\n\n\n\n\n\n\n\n[limits]\nmax_queue = 5\n".to_owned(),
            "callers.toml:9",
        ),
        (
            "\n\n\n\n\n\n\n\n\n[callers.b]\n".to_owned(),
            "callers.toml:10",
        ),
    ];
    for (text, place) in &broken {
        stage.replace(text);
        stage.until_logged(place).await;
        assert_eq!(
            (stage.status("key-a").await, stage.status("key-own").await),
            (200, 200),
            "{text}"
        );
    }
    for number in 1..=5 {
        let key = format!("key-secret-{number}");
        assert_eq!(stage.status(&key).await, 401);
        assert!(
            !stage.server.output().contains(&key),
            "the log tells no key"
        );
    }
    stage.replace(B);
    stage.until("key-b", 200).await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-own").await),
        (401, 200)
    );
}

#[tokio::test]
async fn a_missing_file_changes_nothing_until_it_is_back() {
    let stage = Stage::set(Upstream::playing(), A).await;
    std::fs::remove_file(&stage.file).unwrap();
    stage.until_logged("ERROR").await;
    assert!(
        stage.server.output().contains("callers.toml"),
        "{}",
        stage.server.output()
    );
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    stage.replace(B);
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}

#[tokio::test]
async fn an_empty_file_does_not_open_the_server_to_everyone() {
    let stage = Stage::set(Upstream::playing(), A).await;
    for (round, empty) in ["", "# nobody\n", "[callers]\n"].into_iter().enumerate() {
        stage.replace(empty);
        let told = async || (stage.server.output().matches("ERROR").count() > round).then_some(());
        eventually(SOON, "it is told", told).await;
        let nobody = &stage.server;
        nobody.get("/v1/models").await.problem(401, "unauthorized");
        nobody
            .extract(&single(person(1)))
            .await
            .problem(401, "unauthorized");
        assert_eq!(stage.status("key-c").await, 401);
        let (key, callers) = if round % 2 == 0 {
            ("key-b", B)
        } else {
            ("key-a", A)
        };
        stage.replace(callers);
        stage.until(key, 200).await;
    }
    assert_eq!(stage.upstream.calls(), 0);
}

#[tokio::test]
async fn an_emptied_file_leaves_the_other_configured_callers() {
    let stage = Stage::set_with(Upstream::playing(), A, "[callers.own]\nkey = \"key-own\"\n").await;
    stage.replace("");
    stage.until("key-a", 401).await;
    assert_eq!(stage.status("key-own").await, 200);
    stage
        .server
        .get("/v1/models")
        .await
        .problem(401, "unauthorized");
}

/// A model whose calls cost a dollar each.
const PRICED: &str = "[models.priced]\nprovider = \"openai\"\nmodel = \"test-model\"\n\
                      input_usd_per_million_tokens = 50000\noutput_usd_per_million_tokens = 100000\n";

/// Budgets begin anew at midnight, UTC: whoever tests one in the last minutes of a day learns nothing.
fn day_is_ending() -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    now.as_secs() % 86_400 > 86_400 - 120
}

async fn spend(client: &Client, first: usize, dollars: usize) {
    for number in first..first + dollars {
        client.extract(&single(person(number))).await.ok();
    }
}

#[tokio::test]
async fn the_spent_budget_survives_a_reload() {
    if day_is_ending() {
        return;
    }
    let callers = |quota: &str| format!("{A}{quota}\n{B}");
    let stage = Stage::set_with(
        Upstream::playing(),
        &callers("budget_usd_per_day = 2"),
        PRICED,
    )
    .await;
    let a = stage.client("key-a");
    spend(&a, 0, 2).await;
    a.extract(&single(person(2)))
        .await
        .problem(429, "quota_exceeded");
    // Another of its quotas is changed.
    stage.replace(&callers("budget_usd_per_day = 2\nmax_queue = 77"));
    until_limit(&stage, "queue", json!(77)).await;
    a.extract(&single(person(3)))
        .await
        .problem(429, "quota_exceeded");
    // Its key is rotated.
    stage.replace(&callers("budget_usd_per_day = 2\nmax_queue = 77").replace("key-a", "key-a-2"));
    stage.until("key-a-2", 200).await;
    let a = stage.client("key-a-2");
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
    // It gets a dollar more.
    stage.replace(&callers("budget_usd_per_day = 3\nmax_queue = 78"));
    until_limit(&stage, "queue", json!(78)).await;
    let a = stage.client("key-a");
    spend(&a, 5, 1).await;
    a.extract(&single(person(6)))
        .await
        .problem(429, "quota_exceeded");
    assert_eq!(stage.upstream.calls(), 3);
}

#[tokio::test]
async fn the_spent_budget_survives_a_temporary_removal_of_the_caller() {
    if day_is_ending() {
        return;
    }
    let callers = |quota: &str| format!("{A}{quota}\n{B}");
    let stage = Stage::set_with(
        Upstream::playing(),
        &callers("budget_usd_per_day = 2"),
        PRICED,
    )
    .await;
    let a = stage.client("key-a");
    spend(&a, 0, 2).await;
    stage.replace(B);
    stage.until("key-a", 401).await;
    stage.replace(&callers("budget_usd_per_day = 2"));
    stage.until("key-a", 200).await;
    a.extract(&single(person(2)))
        .await
        .problem(429, "quota_exceeded");
    // Nor by taking out its budget.
    stage.replace(&callers("max_queue = 77"));
    until_limit(&stage, "queue", json!(77)).await;
    spend(&a, 3, 1).await;
    stage.replace(&callers("max_queue = 78\nbudget_usd_per_day = 3"));
    until_limit(&stage, "queue", json!(78)).await;
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
    assert_eq!(stage.upstream.calls(), 3);
}

#[tokio::test]
async fn a_call_that_was_in_flight_when_its_caller_got_a_budget_does_not_pay_it_back() {
    if day_is_ending() {
        return;
    }
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.item() {
        Some(0) => Reply::Played.behind(&held),
        _ => Reply::Played,
    });
    // Who counts tokens reserves what a call is thought to cost, which is dear while nothing is known of the model.
    let config = format!("{PRICED}[providers.openai]\ntokens_per_minute = 100000000\n");
    let stage = Stage::set_with(upstream, &format!("{A}{B}"), &config).await;
    let a = stage.client("key-a");
    let early = tokio::spawn({
        let client = a.clone();
        async move { client.extract(&single(person(0))).await }
    });
    stage
        .upstream
        .wait_for("it is called", LIMIT, |log| log.in_flight == 1)
        .await;
    stage.replace(&format!("{A}budget_usd_per_day = 2\nmax_queue = 77\n{B}"));
    until_limit(&stage, "queue", json!(77)).await;
    let mut later = tokio::task::JoinSet::new();
    for number in 1..=3 {
        let client = a.clone();
        later.spawn(async move {
            client
                .extract(&single(person(number)))
                .await
                .status
                .as_u16()
        });
    }
    // They have been called, or wait for what the early one turns out to cost.
    eventually(LIMIT, "the later ones are under way", async || {
        let waiting =
            stage.client("key-b").limit_of("queue", "caller:a").await?["in_use"].as_u64()?;
        (waiting == 3 || stage.upstream.seen(|log| log.answered >= 2)).then_some(())
    })
    .await;
    gate.open();
    early.await.unwrap().ok();
    let succeeded = later
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 200)
        .count();
    assert!(
        (1..=2).contains(&succeeded),
        "{succeeded} calls at a dollar each, with two dollars"
    );
    stage.client("key-b").wait_until_idle(LIMIT).await;
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
}

#[tokio::test]
async fn a_key_file_that_changes_is_seen() {
    let builder = Server::asking_at("http://127.0.0.1:9/v1");
    std::fs::write(
        builder.folder().join("callers.toml"),
        format!("[callers.a]\nkey_file = \"key-of-a\"\n{B}"),
    )
    .unwrap();
    let key = builder.folder().join("key-of-a");
    std::fs::write(&key, "key-a\n").unwrap();
    let stage = Stage::start(Upstream::playing(), builder, "").await;
    assert_eq!(stage.status("key-a").await, 200);
    // So that it has been read since the start.
    stage.replace(&format!(
        "[callers.a]\nkey_file = \"key-of-a\"\n{B}[callers.c]\nkey = \"key-c\"\n"
    ));
    stage.until("key-c", 200).await;
    std::fs::write(&key, "key-a-2\n").unwrap();
    stage.until("key-a-2", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}
