//! `/mcp`: the tools and resources of the Model Context Protocol, as a client without a library sends them.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::client::{Answer, Client, LIMIT, eventually, within};
use crate::support::fixture::{found, person, schema};
use crate::support::server::{Server, binary};
use crate::upstream::Upstream;

const ACCEPT: &str = "application/json, text/event-stream";

async fn post(client: &Client, message: &Value) -> Answer {
    client
        .request(Method::POST, "/mcp")
        .header("accept", ACCEPT)
        .header("mcp-protocol-version", "2025-06-18")
        .json(message)
        .answer()
        .await
}

/// Calls a method, and returns its result.
async fn call(client: &Client, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = post(client, &message).await.ok();
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

async fn call_tool(client: &Client, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    call(client, "tools/call", params).await
}

async fn running() -> (Upstream, Server) {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    (upstream, server)
}

#[tokio::test]
async fn a_client_initialises_and_sees_the_tools() {
    let (_upstream, server) = running().await;
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    });
    let hello = call(&server, "initialize", params).await;
    assert_eq!(hello["serverInfo"]["name"], "extractd", "{hello}");
    assert!(hello["capabilities"]["resources"].is_object(), "{hello}");
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(post(&server, &done).await.status, 202);
    let listed = call(&server, "tools/list", json!({})).await;
    let names: Vec<_> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "extract",
            "extract_batch",
            "start_job",
            "job_status",
            "job_results"
        ]
    );
}

#[tokio::test]
async fn texts_are_extracted_one_at_a_time_together_and_as_a_job() {
    let (_upstream, server) = running().await;
    let wanted = schema();
    let arguments = json!({"input": person(3), "schema": wanted});
    let one = call_tool(&server, "extract", arguments).await;
    assert_eq!(one["structuredContent"]["data"], found(3), "{one}");
    let text = one["content"][0]["text"].as_str().unwrap();
    let read: Value = serde_json::from_str(text).unwrap();
    assert_eq!(read["data"], found(3));

    let inputs: Vec<_> = (0..5).map(person).collect();
    let arguments = json!({"inputs": inputs, "schema": wanted});
    let several = call_tool(&server, "extract_batch", arguments.clone()).await;
    for index in 0..5 {
        let result = &several["structuredContent"]["results"][index];
        assert_eq!(result["data"], found(index), "{several}");
    }

    let job = call_tool(&server, "start_job", arguments).await;
    let id = job["structuredContent"]["id"].as_str().unwrap().to_owned();
    eventually(Duration::from_secs(20), "the job ends", async || {
        let shown = call_tool(&server, "job_status", json!({"id": id})).await;
        (shown["structuredContent"]["status"] == "completed").then_some(())
    })
    .await;
    let page = call_tool(&server, "job_results", json!({"id": id, "limit": 2})).await;
    let page = &page["structuredContent"];
    assert_eq!(page["data"][1]["data"], found(1), "{page}");
    assert_eq!(page["has_more"], true, "{page}");
    let next = json!({"id": id, "after": page["next"]});
    let rest = call_tool(&server, "job_results", next).await;
    assert_eq!(
        rest["structuredContent"]["data"].as_array().unwrap().len(),
        3
    );
}

#[tokio::test]
async fn an_error_of_the_api_is_a_result_that_the_assistant_can_read() {
    let (_upstream, server) = running().await;
    let arguments = json!({"input": "x", "schema": {"type": "objekt"}, "modle": "m"});
    let failed = call_tool(&server, "extract", arguments).await;
    assert_eq!(failed["isError"], true, "{failed}");
    let text = failed["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("modle") && text.contains("model"), "{text}");
    let failed = call_tool(&server, "job_status", json!({"id": "job_none"})).await;
    assert_eq!(failed["isError"], true, "{failed}");
    let message =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "extrakt"}});
    let answer = post(&server, &message).await.ok();
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("extract_batch"), "{answer}");
}

#[tokio::test]
async fn what_an_answer_repeats_is_short_and_not_in_the_log() {
    let (_upstream, server) = running().await;
    let long = "x".repeat(300_000);
    let params = json!({"protocolVersion": long, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}});
    for (message, pointer) in [
        (json!({"jsonrpc": "2.0", "id": long, "method": "x"}), "/id"),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}),
            "/params/protocolVersion",
        ),
    ] {
        let answer = post(&server, &message).await;
        assert_eq!(answer.status, 422, "{pointer}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let message = json!({"jsonrpc": "2.0", "id": "the-clients-own", "method": "x"});
    let answer = post(&server, &message).await.json();
    assert_eq!(answer["id"], "the-clients-own", "{answer}");
    let output = server.output();
    assert!(!output.contains("the-clients-own"), "{output}");
}

#[tokio::test]
async fn registered_schemas_are_resources() {
    let (_upstream, server) = running().await;
    for name in ["person", "ticket_v2"] {
        let put = server.request(Method::PUT, &format!("/v1/schemas/{name}"));
        assert_eq!(put.json(&schema()).answer().await.status, 201);
    }
    let listed = call(&server, "resources/list", json!({})).await;
    let uri = listed["resources"][1]["uri"].as_str().unwrap();
    assert_eq!(uri, "extractd://schemas/ticket_v2", "{listed}");
    let read = call(&server, "resources/read", json!({"uri": uri})).await;
    let text = read["contents"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), schema());
    for uri in ["extractd://schemas/none", "file:///etc/passwd"] {
        let message =
            json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri}});
        let answer = post(&server, &message).await.ok();
        assert!(answer["error"]["message"].is_string(), "{answer}");
    }
    let arguments = json!({"input": person(1), "schema": "person"});
    let one = call_tool(&server, "extract", arguments).await;
    assert_eq!(one["structuredContent"]["data"], found(1), "{one}");
}

#[tokio::test]
async fn a_key_is_needed_where_keys_are_configured_and_reaches_the_tools() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a,key-b")
        .start()
        .await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    post(&server, &message).await.problem(401, "unauthorized");
    let client = server.with_header("authorization", "Bearer key-a");
    let arguments = json!({"input": person(2), "schema": schema()});
    let one = call_tool(&client, "extract", arguments).await;
    assert_eq!(one["structuredContent"]["data"], found(2), "{one}");
}

#[tokio::test]
async fn what_is_no_message_of_the_protocol_is_refused() {
    let (_upstream, server) = running().await;
    let get = server.request(Method::GET, "/mcp").answer().await;
    assert_eq!(get.status, 405, "{}", get.text());
    let answer = post(&server, &json!({"hello": "there"})).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
    let other = server.with_header("host", "evil.example");
    post(&other, &json!({})).await.problem(403, "forbidden");
}

/// Runs `extractd mcp`, sends these lines, and returns the messages of its answer.
async fn over_stdio(command: &mut tokio::process::Command, lines: &[Value]) -> Vec<Value> {
    let mut process = command
        .arg("mcp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut messages = Vec::new();
    for line in lines {
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        if line.get("id").is_some() {
            let answer = within(LIMIT, "an answer", stdout.next_line())
                .await
                .unwrap();
            messages.push(serde_json::from_str(&answer.unwrap()).unwrap());
        }
    }
    drop(stdin);
    let ended = within(LIMIT, "the command ends", process.wait())
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
    messages
}

fn lines(job: bool) -> Vec<Value> {
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    });
    let arguments = if job {
        json!({"inputs": [person(1), person(2)], "schema": schema()})
    } else {
        json!({"input": person(4), "schema": schema()})
    };
    let name = if job { "start_job" } else { "extract" };
    vec![
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}}),
    ]
}

#[tokio::test]
async fn the_command_serves_over_standard_input_with_and_without_a_server() {
    let upstream = Upstream::playing();
    let folder = Server::bare();
    let mut command = binary();
    command
        .current_dir(folder.folder())
        .env("EXTRACTD_DATA_DIR", folder.folder().join("data"))
        .env("OPENAI_BASE_URL", upstream.url())
        .env("OPENAI_API_KEY", "sk-test")
        .env("EXTRACTD_MODEL", "openai/test-model");
    let answers = over_stdio(&mut command, &lines(false)).await;
    let data = &answers[1]["result"]["structuredContent"]["data"];
    assert_eq!(*data, found(4), "{answers:?}");

    let server = Server::with(&upstream).await;
    let mut command = binary();
    command.env("EXTRACTD_SERVER", format!("http://{}", server.address()));
    let answers = over_stdio(&mut command, &lines(true)).await;
    let id = answers[1]["result"]["structuredContent"]["id"].as_str();
    let job = format!("/v1/jobs/{}", id.unwrap());
    eventually(LIMIT, "the job ends after the session", async || {
        let shown = server.get(&job).await.ok();
        (shown["status"] == "completed").then_some(())
    })
    .await;
}

/// A read of standard input blocks a thread, which nothing interrupts.
#[tokio::test]
async fn the_command_ends_on_a_signal_while_its_input_is_open() {
    let (_upstream, server) = running().await;
    let mut process = binary()
        .env("EXTRACTD_SERVER", format!("http://{}", server.address()))
        .arg("mcp")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = format!("{}\n", lines(false)[0]);
    stdin.write_all(line.as_bytes()).await.unwrap();
    within(LIMIT, "an answer", stdout.next_line())
        .await
        .unwrap();
    let kill = format!("kill -TERM {}", process.id().unwrap());
    let done = std::process::Command::new("/bin/sh")
        .args(["-c", &kill])
        .status();
    assert!(done.unwrap().success(), "{kill}");
    let ended = within(LIMIT, "the command ends", process.wait())
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
    drop(stdin);
}
