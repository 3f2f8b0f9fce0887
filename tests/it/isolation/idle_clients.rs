//! Clients that send nothing, or read nothing: they hold nothing that others need, and are disconnected after
//! `server.idle_timeout_ms`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{open, until_nothing_is_held, with_attacker};
use crate::openai_endpoint::{PATH, chat};
use crate::support::client::{LIMIT, eventually, within};
use crate::support::fixture::{person, schema_query, single, with};
use crate::upstream::{Gate, Reply, Upstream};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const SSE: &str = "text/event-stream";

/// Head of a request by the attacker, with these further lines.
fn head(address: SocketAddr, target: &str, more: &str) -> String {
    format!(
        "{target} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer key-attacker\r\n{more}\r\n"
    )
}

fn upload_head(address: SocketAddr) -> String {
    let target = format!("POST /v1/extract/batch?{}", schema_query());
    head(
        address,
        &target,
        "content-type: application/x-ndjson\r\naccept: application/x-ndjson\r\ntransfer-encoding: chunked\r\n",
    )
}

/// Returns one input as a chunk of a body.
fn one_line() -> String {
    let line = format!("\"{}\"\n", person(1));
    format!("{:x}\r\n{line}\r\n", line.len())
}

/// Reads a response to its end.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    let reading = stream.read_to_end(&mut response);
    within(LIMIT, "the response ends", reading).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn idle_uploads_hold_no_place_in_the_waiting_room() {
    let upstream = Upstream::playing();
    let (server, attacker, victim) = with_attacker(&upstream, "[limits]\nmax_queue = 100").await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(open(server.address(), &upload_head(server.address())).await);
    }
    within(
        LIMIT,
        "others are served",
        victim.extract(&single(person(1))),
    )
    .await
    .ok();
    let queue = attacker.limit("queue").await.unwrap();
    assert_eq!(queue["in_use"], 0, "{queue}");
    drop(idle);
}

#[tokio::test]
async fn an_upload_that_sends_nothing_ends_with_the_reason() {
    let upstream = Upstream::playing();
    let (server, ..) = with_attacker(&upstream, "[server]\nidle_timeout_ms = 700").await;
    let began = Instant::now();
    let mut stream = open(server.address(), &upload_head(server.address())).await;
    let chunk = one_line();
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let response = rest_of(&mut stream).await;
    assert!(began.elapsed() >= Duration::from_millis(700));
    for words in [
        "\"status\":\"succeeded\"",
        "no input arrived for 0.7 s",
        "server.idle_timeout_ms",
    ] {
        assert!(response.contains(words), "{words}: {response}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_result_before_it_sends_more_is_not_idle() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let (server, ..) = with_attacker(&upstream, "[server]\nidle_timeout_ms = 500").await;
    let mut stream = open(server.address(), &upload_head(server.address())).await;
    let chunk = one_line();
    stream.write_all(chunk.as_bytes()).await.unwrap();
    upstream
        .wait_for("the item is called", LIMIT, |log| log.in_flight == 1)
        .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.open();
    stream
        .write_all(format!("{chunk}0\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut response = String::new();
    let reading = async {
        while !response.contains("\"succeeded\":2") {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the response ended early: {response}");
            response.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    within(LIMIT, "both items have results", reading).await;
}

#[tokio::test]
async fn a_job_whose_inputs_do_not_come_is_not_created() {
    let upstream = Upstream::playing();
    let (server, attacker, _) = with_attacker(&upstream, "[server]\nidle_timeout_ms = 700").await;
    let target = format!("POST /v1/jobs?{}", schema_query());
    let more = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n";
    let mut stream = open(server.address(), &head(server.address(), &target, more)).await;
    let chunk = one_line();
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let response = rest_of(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    for words in ["no input arrived for 0.7 s", "no job was created"] {
        assert!(response.contains(words), "{words}: {response}");
    }
    assert_eq!(attacker.get("/v1/jobs").await.ok()["data"], json!([]));
}

/// Responses that are much longer than the buffers between server and client, in each form.
#[tokio::test]
async fn a_reader_that_takes_nothing_is_disconnected_in_every_form() {
    let text = json!({"text": "t".repeat(200_000)});
    let upstream = Upstream::light(move |call| {
        if call.body()["stream"] == true {
            let pieces = vec![text.to_string()];
            Reply::Streamed(pieces, Gate::open_from_the_start(), true)
        } else {
            Reply::Json(text.clone())
        }
    });
    let (server, attacker, _) = with_attacker(&upstream, "[server]\nidle_timeout_ms = 700").await;
    let schema =
        json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let inputs: Vec<_> = (0..60).map(|number| format!("text {number}")).collect();
    let batch = json!({"inputs": inputs, "schema": schema});
    // A page of jobs has their metadata.
    let note = json!({"inputs": ["text"], "metadata": {"note": "n".repeat(60_000)}});
    for _ in 0..8 {
        attacker
            .post("/v1/jobs", &with(batch.clone(), note.clone()))
            .await
            .json();
    }
    let job = attacker.post("/v1/jobs", &batch).await.json();
    let id = job["id"].as_str().unwrap();
    eventually(LIMIT, "all jobs have ended", async || {
        let jobs = attacker.get("/v1/jobs").await.ok();
        let jobs = jobs["data"].as_array().unwrap();
        (jobs.iter().all(|job| job["status"] == "completed")).then_some(())
    })
    .await;
    let job = attacker.get(&format!("/v1/jobs/{id}")).await.ok();
    let link = job["links"]["events"].as_str().unwrap();
    let post = |path: &str, accept: &str, body: &Value| {
        let body = body.to_string();
        let more = format!(
            "content-type: application/json\r\naccept: {accept}\r\ncontent-length: {}\r\n",
            body.len()
        );
        head(server.address(), &format!("POST {path}"), &more) + &body
    };
    let get = |path: &str, accept: &str| {
        let accept = format!("accept: {accept}\r\n");
        head(server.address(), &format!("GET {path}"), &accept)
    };
    let results = format!("/v1/jobs/{id}/results");
    let single = json!({"input": "text", "schema": schema, "stream": true});
    let completion = with(chat("text"), json!({"stream": true}));
    let response = json!({"model": "test-model", "input": "text", "stream": true});
    let tool = json!({"name": "extract", "arguments": {"input": "text", "schema": schema}});
    let tool = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool});
    let mcp = format!("{JSON}, {SSE}");
    let forms = [
        post("/v1/extract/batch", JSON, &batch),
        post("/v1/extract/batch", NDJSON, &batch),
        post("/v1/extract/batch", SSE, &batch),
        post("/v1/extract", SSE, &single),
        post(PATH, SSE, &completion),
        post("/v1/responses", SSE, &response),
        post("/mcp", &mcp, &tool),
        get("/v1/jobs", JSON),
        get(&results, JSON),
        get(&results, NDJSON),
        get(&format!("/v1/jobs/{id}/events"), SSE),
        format!("GET {link} HTTP/1.1\r\nhost: {}\r\n\r\n", server.address()),
    ];
    for (number, request) in forms.iter().enumerate() {
        let first_line = request.lines().next().unwrap();
        let warned = server.output().matches("did not read its response").count();
        let stream = open(server.address(), request).await;
        let what = format!("{number}: {first_line}: disconnected");
        eventually(LIMIT, &what, async || {
            let now = server.output().matches("did not read its response").count();
            (now > warned).then_some(())
        })
        .await;
        drop(stream);
    }
    until_nothing_is_held(&attacker).await;
    attacker.wait_until_idle(LIMIT).await;
}
