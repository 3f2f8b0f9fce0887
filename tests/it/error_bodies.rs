//! Errors repeat what a caller sent in a bounded length, at every endpoint, and count in the caller's memory until they are read.

use http::Method;
use serde_json::{Value, json};

use crate::openai_endpoint::{PATH, asking_for, chat, tool};
use crate::support::client::{Answer, Client};
use crate::support::fixture::{batch, person, single, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

const MIB: usize = 1 << 20;
/// Maximum size of an error about a request.
const MAX_BODY: usize = 16 * 1024;

/// Returns texts of a megabyte that grow when they are escaped, in a pointer or in JSON, or cannot be cut anywhere.
fn long_texts() -> Vec<String> {
    ["~", "é", "\u{1}"].map(|text| text.repeat(MIB)).into()
}

async fn refused(client: &Client, path: &str, body: &Value) -> Answer {
    let request = client.request(Method::POST, path);
    let request = request.header("accept", "application/json, text/event-stream");
    let answer = request.json(body).answer().await;
    check(&format!("POST {path}"), &answer);
    answer
}

fn check(what: &str, answer: &Answer) {
    let text = answer.text();
    let start: String = text.chars().take(300).collect();
    assert!(
        answer.status.is_client_error(),
        "{what}: {} {start}",
        answer.status
    );
    assert!(
        text.len() < MAX_BODY,
        "{what}: {} bytes: {start}",
        text.len()
    );
}

/// Returns bodies of a chat with a name or value of this text.
fn chats(text: &str) -> Vec<Value> {
    let named = json!({"type": "function", "function": {"name": text}});
    vec![
        with(chat("a"), json!({"extractd": {text: 1}})),
        with(asking_for("a", &json!({"type": text})), json!({})),
        with(chat("a"), json!({"response_format": {"type": text}})),
        with(
            chat("a"),
            json!({"tools": [tool(text)], "tool_choice": {"type": "function", "function": {"name": "other"}}}),
        ),
        with(
            chat("a"),
            json!({"tools": [tool("other")], "tool_choice": named}),
        ),
        with(chat("a"), json!({"model": format!("none/{text}")})),
        with(chat("a"), json!({"n": text})),
        with(
            asking_for("a", &json!({"type": "object"})),
            json!({"messages": [{"role": text, "content": "a"}]}),
        ),
    ]
}

#[tokio::test]
async fn a_name_or_value_of_a_megabyte_gives_a_short_error_at_every_endpoint() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for text in long_texts() {
        let spec = [
            json!({&text: 1}),
            json!({"schema": {"type": "object", "properties": {&text: {"type": "objekt"}}}}),
            json!({"schema": &text}),
            json!({"model": format!("none/{text}")}),
            json!({"mode": &text}),
            json!({"extra_body": {"messages": &text}}),
            json!({"rules": [{"expression": &text, "message": "m"}]}),
            json!({"examples": [{"input": "a", "output": &text}]}),
            json!({"examples": vec![json!({"input": "a", "output": 1}); 20_000]}),
        ];
        for fields in &spec {
            refused(
                &server,
                "/v1/extract",
                &with(single(person(1)), fields.clone()),
            )
            .await;
            for path in ["/v1/extract/batch", "/v1/jobs"] {
                refused(&server, path, &with(batch(1), fields.clone())).await;
            }
        }
        for body in chats(&text) {
            refused(&server, PATH, &body).await;
        }
        for fields in [
            json!({"extractd": {&text: 1}}),
            json!({"text": {"format": {"type": &text}}}),
            json!({"tools": [{"type": &text}]}),
            json!({"tool_choice": {"type": &text}}),
            json!({"input": [{"type": &text}]}),
            json!({"model": format!("none/{text}")}),
        ] {
            let body = with(json!({"model": "test-model", "input": "a"}), fields);
            refused(&server, "/v1/responses", &body).await;
        }
        let put = server.request(Method::PUT, "/v1/schemas/a");
        let answer = put.json(&json!({"type": &text})).answer().await;
        check("PUT /v1/schemas/a", &answer);
        messages_of_mcp(&server, &text).await;
    }
}

async fn messages_of_mcp(server: &Client, text: &str) {
    let arguments = json!({"input": "a", "schema": {}, text: 1});
    for (method, params) in [
        (
            "tools/call",
            json!({"name": "extract", "arguments": arguments}),
        ),
        ("tools/call", json!({"name": text, "arguments": {}})),
        (
            "tools/call",
            json!({"name": "job_status", "arguments": {"id": text}}),
        ),
        ("resources/read", json!({"uri": text})),
        ("resources/list", json!({"cursor": text})),
        (text, json!({})),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = server
            .request(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream");
        let answer = request.json(&message).answer().await;
        let size = answer.text().len();
        let start: String = method.chars().take(20).collect();
        assert!(size < MAX_BODY, "{start}: {size} bytes");
    }
}

#[tokio::test]
async fn a_long_name_has_the_pointer_of_the_object_that_it_is_in() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = with(chat("a"), json!({"extractd": {"~".repeat(MIB): 1}}));
    let error = refused(&server, PATH, &body).await;
    let error = &serde_json::from_str::<Value>(error.text()).unwrap()["error"];
    assert_eq!(error["param"], "extractd", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("/extractd: unknown field"), "{message}");
}
