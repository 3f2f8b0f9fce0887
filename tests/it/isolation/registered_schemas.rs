//! Registered schemas: a caller neither sees nor changes those of another one, unless all share them.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::fixture::{found, person, schema, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

const CALLERS: &str = "[callers.ann]\nkey = \"key-ann\"\n[callers.bob]\nkey = \"key-bob\"\n";
const PATH: &str = "/v1/schemas/person";

async fn started(upstream: &Upstream, more: &str) -> (Server, Client, Client) {
    let config = format!("{more}{CALLERS}");
    let server = Server::asking(upstream).config(&config).start().await;
    let (ann, bob) = (server.with_key("key-ann"), server.with_key("key-bob"));
    (server, ann, bob)
}

async fn send(client: &Client, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = client.request(method, path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    request.answer().await
}

async fn put(client: &Client, schema: &Value) -> u16 {
    let answer = send(client, Method::PUT, PATH, Some(schema.clone())).await;
    answer.status.as_u16()
}

/// Calls a method of the MCP server. Returns the whole message.
async fn mcp(client: &Client, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = client
        .request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .json(&message);
    request.answer().await.ok()
}

fn contains(list: &Value, field: &str, text: &str) -> bool {
    let rows = list.as_array().unwrap();
    rows.iter().any(|row| row[field] == text)
}

/// Returns each use of the schema `person` with this hash, and true if the caller sees it there.
async fn uses(client: &Client, hash: &str) -> Vec<(&'static str, bool)> {
    let named = |more| Some(with(json!({"schema": "person"}), more));
    let several = json!({"inputs": [person(1), person(2)]});
    let mut uses = Vec::new();
    for (what, method, path, body, (seen, unseen)) in [
        ("get", Method::GET, PATH.to_owned(), None, (200, 404)),
        (
            "versions",
            Method::GET,
            format!("{PATH}/versions"),
            None,
            (200, 404),
        ),
        (
            "version",
            Method::GET,
            format!("{PATH}?version={hash}"),
            None,
            (200, 404),
        ),
        (
            "single",
            Method::POST,
            "/v1/extract".to_owned(),
            named(json!({"input": person(1)})),
            (200, 422),
        ),
        (
            "batch",
            Method::POST,
            "/v1/extract/batch".to_owned(),
            named(several.clone()),
            (200, 422),
        ),
        (
            "job",
            Method::POST,
            "/v1/jobs".to_owned(),
            named(several.clone()),
            (202, 422),
        ),
    ] {
        let answer = send(client, method, &path, body).await;
        let status = answer.status.as_u16();
        assert!(
            [seen, unseen].contains(&status),
            "{what}: {}",
            answer.text()
        );
        let is_seen = status == seen;
        // Neither its members nor its hash are in an error; the request itself names the schema.
        let is_told = answer.text().contains("occupation");
        assert!(is_seen || !is_told, "{what}: {}", answer.text());
        uses.push((what, is_seen));
    }
    let list = client.get("/v1/schemas").await.ok();
    uses.push(("list", contains(&list["data"], "name", "person")));
    // A name that is near is proposed only to who sees it.
    let near = client.get("/v1/schemas/persom").await;
    uses.push(("proposal", near.text().contains("`person`")));

    let uri = "extractd://schemas/person";
    let listed = mcp(client, "resources/list", json!({})).await;
    let resources = &listed["result"]["resources"];
    uses.push(("MCP list", contains(resources, "uri", uri)));
    let read = mcp(client, "resources/read", json!({"uri": uri})).await;
    uses.push(("MCP read", read["result"]["contents"].is_array()));
    let arguments = json!({"input": person(1), "schema": "person"});
    let params = json!({"name": "extract", "arguments": arguments});
    let called = mcp(client, "tools/call", params).await;
    uses.push(("MCP tool", called["result"]["isError"] != true));
    uses
}

fn check_all(uses: &[(&str, bool)], are_seen: bool) {
    let others: Vec<_> = uses.iter().filter(|(_, seen)| *seen != are_seen).collect();
    assert!(others.is_empty(), "seen is not {are_seen}: {others:?}");
}

async fn hash(client: &Client) -> String {
    let versions = client.get(&format!("{PATH}/versions")).await.ok();
    versions["data"][0]["hash"].as_str().unwrap().to_owned()
}

async fn data(client: &Client) -> Value {
    let body = json!({"input": person(1), "schema": "person"});
    client.extract(&body).await.ok()["data"].clone()
}

#[tokio::test]
async fn a_caller_does_not_see_the_registered_schemas_of_another_one() {
    let upstream = Upstream::playing();
    let (_server, ann, bob) = started(&upstream, "").await;
    assert_eq!(put(&ann, &schema()).await, 201);
    let hash = hash(&ann).await;
    check_all(&uses(&ann, &hash).await, true);
    let calls = upstream.calls();
    check_all(&uses(&bob, &hash).await, false);
    send(&bob, Method::DELETE, PATH, None)
        .await
        .problem(404, "not_found");
    // The job of Ann may still call.
    assert!(upstream.calls() <= calls + 2, "{}", upstream.calls());
    assert_eq!(ann.get(PATH).await.ok(), schema());

    let own = json!({"type": "integer", "minimum": 5});
    assert_eq!(put(&bob, &own).await, 201, "it is new to him");
    assert_eq!(ann.get(PATH).await.ok(), schema());
    assert_eq!(bob.get(PATH).await.ok(), own);
    assert_eq!((data(&ann).await, data(&bob).await), (found(1), json!(5)));
    let versions = bob.get(&format!("{PATH}/versions")).await.ok();
    assert_eq!(versions["data"].as_array().unwrap().len(), 1, "{versions}");
    bob.get(&format!("{PATH}?version={hash}"))
        .await
        .problem(404, "not_found");
    let deleted = send(&bob, Method::DELETE, PATH, None).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    assert_eq!(ann.get(PATH).await.ok(), schema());
}

#[tokio::test]
async fn shared_schemas_are_seen_and_changed_by_all_callers() {
    let upstream = Upstream::playing();
    let (_server, ann, bob) = started(&upstream, "[schemas]\nshared = true\n").await;
    assert_eq!(put(&ann, &schema()).await, 201);
    let hash = hash(&ann).await;
    check_all(&uses(&bob, &hash).await, true);
    let other = json!({"type": "integer", "minimum": 5});
    assert_eq!(put(&bob, &other).await, 200, "it replaces Ann's");
    assert_eq!(ann.get(PATH).await.ok(), other);
    assert_eq!(data(&ann).await, 5);
    let deleted = send(&bob, Method::DELETE, PATH, None).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    check_all(&uses(&ann, &hash).await, false);
}
