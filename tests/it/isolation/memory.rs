//! The memory budget: bodies, inputs and responses stay within `limits.max_memory_bytes`, whoever sends them, and a large body
//! does not keep the server from answering.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{until_nothing_is_held, with_attacker, with_callers};
use crate::support::client::{Client, LIMIT, eventually, within};
use crate::support::fixture::{person, schema, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

const MIB: u64 = 1 << 20;
/// Memory that the process takes beside what requests reserve, in these tests.
const MARGIN: u64 = 96 * MIB;

/// Returns a body whose values take far more memory than its text.
fn dense_body(bytes: usize) -> String {
    let zeros = "0,".repeat(bytes / 2);
    format!(
        r#"{{"input": "a", "schema": {{"type": "object"}}, "examples": [{{"input": "b", "output": [{zeros}0]}}]}}"#
    )
}

/// Sends a request on a connection whose response is not read, and of which the kernel takes little.
async fn unread(server: &Server, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The budget bounds the process, which takes more than what requests hold.
#[tokio::test]
async fn a_part_of_the_budget_is_set_aside_for_the_process() {
    let upstream = Upstream::playing();
    let (_server, _, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    let process = victim.limit_of("memory_bytes", "process").await.unwrap();
    assert_eq!(process["in_use"], 64 * MIB, "{process}");
}

#[tokio::test]
async fn dense_bodies_are_refused_within_the_budget_and_the_server_goes_on_answering() {
    let upstream = Upstream::playing();
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    server.forget_peak();
    let before = server.resident_bytes();
    let mut attacks = JoinSet::new();
    for bytes in [300_000, 8_000_000, 20_000_000, 30_000_000] {
        let attacker = attacker.clone();
        attacks.spawn(async move {
            let request = attacker.request(http::Method::POST, "/v1/extract");
            let request = request.header("content-type", "application/json");
            request.bytes(dense_body(bytes)).answer().await
        });
    }
    let mut slowest = Duration::ZERO;
    while !attacks.is_empty() {
        let began = Instant::now();
        let answer = within(LIMIT, "the server answers", server.get("/healthz")).await;
        assert_eq!(answer.status, 200);
        slowest = slowest.max(began.elapsed());
        while attacks.try_join_next().is_some() {}
        sleep(Duration::from_millis(5)).await;
    }
    // 50 ms on an idle machine; tests share theirs with others.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    victim.extract(&single(person(1))).await.ok();
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    let refused = attacker.request(http::Method::POST, "/v1/extract");
    let refused = refused.header("content-type", "application/json");
    let problem = refused
        .bytes(dense_body(20_000_000))
        .answer()
        .await
        .problem(413, "payload_too_large");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("max_memory_bytes"),
        "{problem}"
    );
}

/// Each endpoint with a place for a value of any size, with the body around it.
const DENSE_PLACES: [(&str, &str, &str); 8] = [
    ("/v1/extract", r#"{"input": "a", "schema": {"enum": "#, "}}"),
    (
        "/v1/extract",
        r#"{"input": "a", "schema": {}, "extra_body": {"a": "#,
        "}}",
    ),
    ("/v1/extract/batch", r#"{"schema": {}, "inputs": "#, "}"),
    (
        "/v1/jobs",
        r#"{"schema": {}, "inputs": [], "examples": "#,
        "}",
    ),
    (
        "/v1/chat/completions",
        r#"{"messages": [{"role": "user", "content": "a"}], "tools": "#,
        "}",
    ),
    ("/v1/responses", r#"{"input": "a", "metadata": "#, "}"),
    (
        "/mcp",
        r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "extract", "arguments": {"input": "#,
        "}}}",
    ),
    ("/mcp", "", ""),
];

#[tokio::test]
async fn dense_bodies_are_refused_at_every_endpoint() {
    let upstream = Upstream::playing();
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    server.forget_peak();
    let before = server.resident_bytes();
    let value = format!("[{}0]", "0,".repeat(10_000_000));
    for (path, start, end) in DENSE_PLACES {
        let request = attacker
            .request(http::Method::POST, path)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let answer = request.bytes(format!("{start}{value}{end}")).answer().await;
        // Endpoints of OpenAI's API have its form of errors.
        let text = answer.text();
        assert_eq!(answer.status, 413, "{path}: {text}");
        assert!(text.contains("max_memory_bytes"), "{path}: {text}");
    }
    victim.extract(&single(person(1))).await.ok();
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    until_nothing_is_held(&victim).await;
}

/// The values of a reply take more than its text, and a tool's result has both.
#[tokio::test]
async fn large_replies_to_tools_stay_within_the_budget() {
    let upstream = Upstream::playing();
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    server.forget_peak();
    let before = server.resident_bytes();
    let arguments = json!({"inputs": vec![" "; 30_000], "schema": schema()});
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "extract_batch", "arguments": arguments},
    });
    let request = attacker
        .request(http::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream");
    let answer = request.json(&message).answer().await.ok();
    let error = answer["error"]["message"].as_str().unwrap();
    assert!(error.contains("max_memory_bytes"), "{error}");
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    victim.extract(&single(person(1))).await.ok();
    until_nothing_is_held(&victim).await;
}

#[tokio::test]
async fn unread_ordered_responses_stay_within_the_budget() {
    let upstream = Upstream::playing();
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    server.forget_peak();
    let before = server.resident_bytes();
    // Blank inputs need no call, and each has a result of about 300 bytes.
    let inputs = vec![""; 150_000];
    let body = json!({"inputs": inputs, "schema": schema()}).to_string();
    let mut readers = Vec::new();
    for _ in 0..6 {
        let head = format!(
            "POST /v1/extract/batch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            server.address(),
            body.len()
        );
        readers.push(unread(&server, &format!("{head}{body}")).await);
    }
    sleep(Duration::from_secs(3)).await;
    within(
        LIMIT,
        "others are served",
        victim.extract(&single(person(1))),
    )
    .await
    .ok();
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    drop(readers);
    until_nothing_is_held(&attacker).await;
}

/// The chunks of a stream take more than its text, and a reader may be slower than the provider.
#[tokio::test]
async fn unread_chunks_of_a_chat_are_counted_and_bounded() {
    let chunk = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": null}],
    });
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let stream = format!("{head}{}", format!("data: {chunk}\n\n").repeat(60_000));
    let upstream = Upstream::start(move |_| Reply::RawCut(stream.clone().into_bytes()));
    let (server, attacker, victim) = with_attacker(&upstream, "").await;
    let body = json!({
        "model": "test-model", "stream": true, "messages": [{"role": "user", "content": "a"}],
    })
    .to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    let reader = unread(&server, &format!("{head}{body}")).await;
    let responses = async || {
        let row = victim.limit_of("memory_bytes", "responses").await?;
        row["in_use"].as_u64()
    };
    let held = eventually(LIMIT, "the chunks wait", async || {
        responses().await.filter(|held| *held > MIB)
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    let later = responses().await.unwrap();
    assert!(later < 2 * MIB, "{held} {later}");
    drop(reader);
    until_nothing_is_held(&attacker).await;
}

/// An answer within an error is parsed as any other one.
#[tokio::test]
async fn dense_answers_within_errors_are_counted_before_they_are_parsed() {
    let error = json!({
        "message": "Failed to generate JSON. See 'failed_generation' for more details.",
        "type": "invalid_request_error", "code": "json_validate_failed",
        "failed_generation": format!("[{}0]", "0,".repeat(400_000)),
    });
    let body = json!({"error": error}).to_string();
    let upstream = Upstream::start(move |_| Reply::Status(400, Vec::new(), body.clone()));
    let (_server, attacker, _) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    let request = with(single(person(1)), json!({"timeout_ms": 2000}));
    let refused = attacker.extract(&request).await.json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("max_memory_bytes"), "{refused}");
    until_nothing_is_held(&attacker).await;
}

/// Requests of both forms of OpenAI's API.
fn chats() -> [(&'static str, serde_json::Value); 2] {
    let messages = json!([{"role": "user", "content": "a"}]);
    [
        (
            "/v1/chat/completions",
            json!({"model": "test-model", "messages": messages}),
        ),
        (
            "/v1/responses",
            json!({"model": "test-model", "input": "a"}),
        ),
    ]
}

/// Returns a provider with this reply to each call, and a server with a caller in front of it.
async fn replying(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Upstream, Server, Client) {
    let upstream = Upstream::start(move |_| reply());
    let config = "[limits]\nmax_memory_bytes = 536870912";
    let (server, attacker, _) = with_attacker(&upstream, config).await;
    server.forget_peak();
    (upstream, server, attacker)
}

/// As values, a provider's answer would take eighty times its text.
#[tokio::test]
async fn dense_answers_that_are_passed_through_stay_text() {
    const ZEROS: usize = 8_000_000;
    let dense = format!(
        r#"{{"id":"c","choices":[{{"delta":{{"content":"x"}},"message":{{"content":"x"}}}}],"x":[{}0]}}"#,
        "0,".repeat(ZEROS)
    );
    let whole = dense.clone();
    let (_upstream, server, attacker) =
        replying(move || Reply::Status(200, Vec::new(), whole.clone())).await;
    let before = server.resident_bytes();
    for (path, body) in chats() {
        let answer = attacker.post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}");
        let is_whole = answer.text().contains("0,0,0,0]");
        assert_eq!(is_whole, path == "/v1/chat/completions");
    }
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    until_nothing_is_held(&attacker).await;

    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let stream = format!("{head}data: {dense}\n\ndata: [DONE]\n\n");
    let (_upstream, server, attacker) =
        replying(move || Reply::RawCut(stream.clone().into_bytes())).await;
    let before = server.resident_bytes();
    for (path, body) in chats() {
        let body = with(body, json!({"stream": true}));
        let response = attacker.open(path, "text/event-stream", &body).await;
        let answer = response.expect(200).whole().await;
        let is_whole = answer.text().contains("0,0,0,0]");
        assert_eq!(is_whole, path == "/v1/chat/completions");
    }
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    until_nothing_is_held(&attacker).await;
}

/// Each change from content to refusal ends an item of a response, and the last event has all items.
#[tokio::test]
async fn streams_of_very_many_items_end_early() {
    let delta = |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
    let pair = delta(r#"{"content":"a"}"#) + &delta(r#"{"refusal":"b"}"#);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let stream = format!("{head}{}data: [DONE]\n\n", pair.repeat(40_000));
    let (_upstream, server, attacker) =
        replying(move || Reply::RawCut(stream.clone().into_bytes())).await;
    let before = server.resident_bytes();
    let body = json!({"model": "test-model", "input": "a", "stream": true});
    let response = attacker
        .open("/v1/responses", "text/event-stream", &body)
        .await;
    let events = response.expect(200).events().await;
    let (last, items) = events.split_last().unwrap();
    assert_eq!(last.name, "error", "{}", last.data);
    assert_eq!(last.data["code"], "upstream_error", "{}", last.data);
    let items = items.iter();
    let items = items.filter(|event| event.name == "response.output_item.done");
    assert!(items.count() < 1024);
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown}");
    until_nothing_is_held(&attacker).await;
}

/// Items that share a result, and those that find it in the cache, have its values once.
#[tokio::test]
async fn unread_results_that_are_shared_stay_within_the_budget() {
    const NUMBERS: usize = 20_000;
    let upstream = Upstream::start(|_| Reply::Json(json!(vec![7; NUMBERS])));
    let (server, attacker, victim) = with_attacker(
        &upstream,
        "[limits]\nmax_memory_bytes = 134217728\nmax_concurrency = 100\n[cache]\nmax_bytes = 8388608",
    )
    .await;
    let schema = json!({"type": "array", "items": {"type": "integer"}});
    attacker
        .extract(&json!({"input": "warm up", "schema": schema}))
        .await
        .ok();
    server.forget_peak();
    let before = server.resident_bytes();
    let body = json!({"inputs": vec!["the same"; 400], "schema": schema}).to_string();
    let mut readers = Vec::new();
    for _ in 0..2 {
        let head = format!(
            "POST /v1/extract/batch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\naccept: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            server.address(),
            body.len()
        );
        readers.push(unread(&server, &format!("{head}{body}")).await);
        sleep(Duration::from_secs(1)).await;
    }
    let row = victim.limit_of("memory_bytes", "responses").await.unwrap();
    assert!(row["in_use"].as_u64().unwrap() > MIB, "{row}");
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < MARGIN, "{grown}");
    drop(readers);
    until_nothing_is_held(&attacker).await;
}

/// Lists, results and events of jobs, as pages and as streams.
#[tokio::test]
async fn unread_jobs_stay_within_the_budget() {
    const JOBS: usize = 20;
    const READERS: usize = 100;
    let upstream = Upstream::playing();
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 67108864").await;
    let long = "x".repeat(60_000);
    let job = json!({"inputs": vec![""; 2_000], "schema": schema(), "metadata": {"a": long}});
    let mut paths = Vec::new();
    for _ in 0..JOBS {
        let created = attacker.post("/v1/jobs", &job).await;
        let id = created.json()["id"].as_str().unwrap().to_owned();
        paths = vec![
            ("/v1/jobs?limit=1000".to_owned(), "application/json"),
            (
                format!("/v1/jobs/{id}/results?limit=1000"),
                "application/json",
            ),
            (format!("/v1/jobs/{id}/results"), "application/x-ndjson"),
            (format!("/v1/jobs/{id}/events"), "text/event-stream"),
        ];
    }
    eventually(LIMIT, "the jobs end", async || {
        let running = attacker.get("/v1/jobs?status=queued,running").await;
        running.json()["data"].as_array()?.is_empty().then_some(())
    })
    .await;
    server.forget_peak();
    let before = server.resident_bytes();
    let mut readers = Vec::new();
    for (path, accept) in paths.iter().cycle().take(paths.len() * READERS) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer key-attacker\r\naccept: {accept}\r\n\r\n",
            server.address(),
        );
        readers.push(unread(&server, &head).await);
    }
    sleep(Duration::from_secs(2)).await;
    let answer = within(
        LIMIT,
        "others are served",
        victim.extract(&single(person(1))),
    )
    .await;
    assert_eq!(answer.status, 200);
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown}");
    drop(readers);
    until_nothing_is_held(&attacker).await;
}

/// A reader with a signed link has no share of its own.
#[tokio::test]
async fn a_signed_link_is_read_at_the_expense_of_the_jobs_caller() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let (server, attacker, victim) = with_attacker(&upstream, "").await;
    let job = json!({"inputs": [person(1)], "schema": schema()});
    let job = attacker.post("/v1/jobs", &job).await.json();
    let link = job["links"]["events"].as_str().unwrap();
    let request = format!("GET {link} HTTP/1.1\r\nhost: {}\r\n\r\n", server.address());
    let responses = async || {
        let row = victim.limit_of("memory_bytes", "responses").await.unwrap();
        row["in_use"].as_u64().unwrap()
    };
    let of_caller = async || {
        let row = attacker.limit_of("memory_bytes", "caller:attacker").await;
        row.unwrap()["in_use"].as_u64().unwrap()
    };
    upstream
        .wait_for("the item is called", LIMIT, |log| log.in_flight == 1)
        .await;
    let before = of_caller().await;
    let _reader = unread(&server, &request).await;
    let held = eventually(LIMIT, "the stream is open", async || {
        Some(responses().await).filter(|held| *held > 0)
    })
    .await;
    assert_eq!(of_caller().await, before + held);
    gate.open();
}

#[tokio::test]
async fn windows_of_long_lines_stay_within_the_budget_and_lose_nothing() {
    const LINES: usize = 120;
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.prompt().contains("victim") {
            Reply::Json(json!({"name": "V", "age": 1, "occupation": "v"}))
        } else {
            Reply::Json(json!({"name": "A", "age": 1, "occupation": "a"})).behind(&held)
        }
    });
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 67108864").await;
    server.forget_peak();
    let before = server.resident_bytes();
    let line = format!("\"{}\"\n", "long text ".repeat(100_000));
    let path = format!(
        "/v1/extract/batch?schema={}",
        crate::support::fixture::encoded(&schema().to_string())
    );
    let mut uploads = JoinSet::new();
    for _ in 0..2 {
        let chunks = (0..LINES).map({
            let line = line.clone();
            move |_| bytes::Bytes::from(line.clone())
        });
        let request = attacker
            .request(http::Method::POST, &path)
            .header("content-type", "application/x-ndjson")
            .header("accept", "application/x-ndjson")
            .stream(futures_util::stream::iter(chunks));
        uploads.spawn(async move { request.send().await.expect(200).lines().await });
    }
    sleep(Duration::from_secs(3)).await;
    let text = format!("victim: {}", person(1));
    within(LIMIT, "others are served", victim.extract(&single(text)))
        .await
        .ok();
    let memory = attacker.limit_of("memory_bytes", "inputs").await.unwrap();
    assert!(memory["in_use"].as_u64().unwrap() > 0, "{memory}");
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB + MARGIN, "{grown}");
    gate.open();
    for lines in within(LIMIT, "everything comes through", uploads.join_all()).await {
        let summary = &lines.last().unwrap()["summary"];
        assert_eq!(summary["succeeded"], LINES, "{summary}");
    }
}

#[tokio::test]
async fn large_answers_of_a_provider_stay_within_the_budget() {
    let large = "x".repeat(24_000_000);
    let upstream = Upstream::start(move |call| {
        if call.item().is_some_and(|item| item >= 100) {
            Reply::Text(large.clone())
        } else {
            Reply::Played
        }
    });
    let (server, attacker, victim) =
        with_attacker(&upstream, "[limits]\nmax_memory_bytes = 134217728").await;
    victim.extract(&single(person(0))).await.ok();
    server.forget_peak();
    let before = server.resident_bytes();
    let mut attacks = JoinSet::new();
    for number in 100..112 {
        let attacker = attacker.clone();
        attacks.spawn(async move { attacker.extract(&single(person(number))).await.status });
    }
    within(LIMIT, "all have ended", async {
        while attacks.join_next().await.is_some() {}
    })
    .await;
    victim.extract(&single(person(1))).await.ok();
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB + MARGIN, "{grown}");
    until_nothing_is_held(&victim).await;
}

/// The creation of a job goes on when its client leaves: what waits to be written counts until it is.
#[tokio::test]
async fn a_client_that_leaves_holds_memory_until_its_job_is_written() {
    const BYTES: u64 = 200_000;
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream).config(&with_callers(""));
    let folder = builder.folder().to_owned();
    let server = builder.start().await;
    let victim = server.with_key("key-victim");
    let store = rusqlite::Connection::open(folder.join("data/extractd.db")).unwrap();
    store.busy_timeout(LIMIT).unwrap();
    let long = "i".repeat(usize::try_from(BYTES).unwrap());
    let schema = json!({"type": "object", "description": long});
    let attacker = server.with_key("key-attacker");
    let registered = attacker.request(http::Method::PUT, "/v1/schemas/long");
    assert_eq!(registered.json(&schema).answer().await.status, 201);
    let held = async |held_as: &str| {
        let row = victim.limit_of("memory_bytes", held_as).await;
        row.unwrap()["in_use"].as_u64().unwrap()
    };
    for (fields, held_as) in [
        (
            json!({"schema": {}, "instructions": long}),
            "request_bodies",
        ),
        // The job has a copy of the registered schema.
        (json!({"schema": "long"}), "inputs"),
    ] {
        let mut body = fields;
        body["inputs"] = json!(["a"]);
        let body = body.to_string();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-attacker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut is_held = false;
        // On a busy machine, a client that leaves early has not begun a job.
        for stay in [100, 300, 1_000, 2_000] {
            // Nothing is written meanwhile.
            store.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut client = TcpStream::connect(server.address()).await.unwrap();
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(body.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(stay)).await;
            drop(client);
            sleep(Duration::from_secs(1)).await;
            is_held = held(held_as).await >= BYTES;
            store.execute_batch("ROLLBACK").unwrap();
            until_nothing_is_held(&victim).await;
            if is_held {
                break;
            }
        }
        assert!(
            is_held,
            "{held_as}: the memory of a waiting job is not counted"
        );
    }
}
