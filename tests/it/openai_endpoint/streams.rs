//! Streams of chat completions.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Time in which a piece of the provider reaches the client: less than the 15 seconds after which a quiet stream sends a comment.
const SOON: Duration = Duration::from_secs(8);

/// The chunks of a stream, which `[DONE]` ends; or those before an error, and the error.
async fn chunks(response: Response) -> (Vec<Value>, Option<Value>) {
    chunks_after(String::new(), response).await
}

/// The same of a stream of which this was read.
async fn chunks_after(mut text: String, response: Response) -> (Vec<Value>, Option<Value>) {
    text.push_str(response.expect(200).whole().await.text());
    let mut chunks = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if line == "[DONE]" {
            assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
            return (chunks, None);
        }
        let chunk: Value = serde_json::from_str(line).unwrap();
        if chunk.get("error").is_some() {
            assert!(text.trim_end().ends_with(line), "{text}");
            return (chunks, Some(chunk["error"].clone()));
        }
        chunks.push(chunk);
    }
    panic!("the stream has no end: {text}")
}

/// The text of the chunks, as content or as arguments.
fn text(chunks: &[Value]) -> String {
    let deltas = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"].get(0))
        .map(|choice| &choice["delta"]);
    deltas
        .filter_map(|delta| {
            let arguments = &delta["tool_calls"][0]["function"]["arguments"];
            delta["content"].as_str().or(arguments.as_str())
        })
        .collect()
}

fn streamed(body: Value) -> Value {
    with(body, json!({"stream": true}))
}

fn with_usage(body: Value) -> Value {
    with(
        streamed(body),
        json!({"stream_options": {"include_usage": true}}),
    )
}

fn pieces(text: &[&str]) -> Vec<String> {
    text.iter().map(ToString::to_string).collect()
}

async fn open(server: &Server, body: &Value) -> Response {
    server.open(PATH, "text/event-stream", body).await
}

/// A stream of the provider with these chunks' deltas.
fn provider_streams(deltas: &[Value], end: bool) -> Reply {
    let mut body = String::new();
    for delta in deltas {
        let chunk = json!({"id": "theirs", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        body.push_str(&format!("data: {chunk}\n\n"));
    }
    if end {
        let last = json!({"id": "theirs", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let usage = json!({"id": "theirs", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
        body.push_str(&format!(
            "data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n"
        ));
    }
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    Reply::Status(200, headers, body)
}

#[tokio::test]
async fn an_extraction_is_streamed_while_the_model_writes() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| {
        let text = [
            r#"{"name": "Ada By"#,
            r#"ron", "age": 3"#,
            r#"6, "occupation": "tester"}"#,
        ];
        Reply::Streamed(pieces(&text), held.clone(), true)
    });
    let server = Server::with(&upstream).await;
    gate.let_through(1);
    let mut response = open(&server, &with_usage(asking_for("Ada", &schema())))
        .await
        .expect(200);
    assert_eq!(response.header("content-type"), "text/event-stream");
    let mut seen = String::new();
    while !seen.contains("Ada By") {
        let chunk = within(SOON, "the first piece", response.chunk()).await;
        seen.push_str(str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert!(!seen.contains("ron"), "{seen}");
    gate.open();
    seen.push_str(response.whole().await.text());
    let data = seen.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks: Vec<Value> = data
        .map(|line| serde_json::from_str(&format!("{{{line}")).unwrap())
        .collect();
    assert_eq!(text(&chunks), right().to_string());
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].is_u64(), "{last}");
    let finish = before.last().unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert!(before.iter().all(|chunk| chunk["usage"].is_null()));
    assert!(seen.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn what_is_not_valid_is_held_back_and_asked_again() {
    let upstream = Upstream::saying([Reply::Json(wrong()), Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    let body = with(
        chat("Ada"),
        json!({"tools": [tool("Person")], "tool_choice": "required"}),
    );
    let (chunks, error) = chunks(open(&server, &streamed(body)).await).await;
    assert_eq!(error, None);
    assert_eq!(text(&chunks), right().to_string());
    let call = &chunks[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "Person");
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(last["extractd"]["attempts"], 2);
}

#[tokio::test]
async fn a_correction_of_what_was_sent_is_an_error_unless_the_stream_waits() {
    let other = with(right(), json!({"name": "Bob", "age": 0}));
    let strict = with(
        schema(),
        json!({"properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 1}, "occupation": {"type": "string"}}}),
    );
    for (options, expected) in [
        (json!({}), Some("live")),
        (json!({"live": false}), None),
        (
            json!({"rules": [{"expression": "true", "message": "never"}]}),
            None,
        ),
    ] {
        let first = other.to_string();
        let gate = Gate::closed();
        let held = gate.clone();
        let upstream = Upstream::start(move |call| match call.index {
            0 => Reply::Streamed(pieces(&[&first[..14], &first[14..]]), held.clone(), true),
            _ => Reply::Json(right()),
        });
        let server = Server::with(&upstream).await;
        let body = with(asking_for("Ada", &strict), json!({"extractd": options}));
        let begin = async {
            let mut response = open(&server, &streamed(body)).await;
            let mut seen = String::new();
            while expected.is_some() && !seen.contains("Bob") {
                let chunk = within(SOON, "the first piece", response.chunk()).await;
                seen.push_str(str::from_utf8(&chunk.unwrap()).unwrap());
            }
            gate.open();
            (seen, response)
        };
        gate.let_through(1);
        if expected.is_none() {
            gate.open();
        }
        let (seen, response) = begin.await;
        let (chunks, error) = chunks_after(seen, response).await;
        match expected {
            None => {
                assert_eq!(error, None, "{options}");
                assert_eq!(text(&chunks), right().to_string());
            }
            Some(words) => {
                let error = error.expect("an error");
                assert!(
                    error["message"].as_str().unwrap().contains(words),
                    "{error}"
                );
                assert!(!text(&chunks).contains("age"), "{chunks:?}");
            }
        }
    }
}

/// Returns the sizes of the parts in which a response is sent, and its text.
async fn parts(server: &Server, body: &Value) -> (Vec<usize>, String) {
    let body = body.to_string();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    let read = connection.read_to_string(&mut response);
    within(LIMIT, "the response ends", read).await.unwrap();
    let (head, mut rest) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let (mut sizes, mut text) = (Vec::new(), String::new());
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (sizes, text);
        }
        sizes.push(size);
        text.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
}

/// Each poll writes a part of a long answer, so that other requests have their turns.
#[tokio::test]
async fn a_long_answer_is_sent_in_parts() {
    let name = "Ada ".repeat(150_000);
    let long = with(right(), json!({"name": name}));
    let upstream = Upstream::saying([Reply::Json(long.clone()), Reply::Json(long)]);
    let server = Server::with(&upstream).await;
    for live in [false, true] {
        let options = json!({"extractd": {"live": live, "cache": "off"}});
        let body = with(streamed(asking_for("Ada", &schema())), options);
        let (sizes, sent) = parts(&server, &body).await;
        if !live {
            let longest = sizes.iter().max().unwrap();
            assert!(*longest < 64 * 1024, "{longest} of {} parts", sizes.len());
        }
        let data = sent.lines().filter_map(|line| line.strip_prefix("data: "));
        let chunks: Vec<Value> = data
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        assert!(sent.ends_with("data: [DONE]\n\n"));
        assert!(text(&chunks).contains(&name), "live: {live}");
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_chunk_has_its_status() {
    let upstream = Upstream::start(|_| Reply::Json(wrong()));
    let server = Server::with(&upstream).await;
    let body = with(
        asking_for("Ada", &schema()),
        json!({"extractd": {"live": false}}),
    );
    let response = open(&server, &streamed(body)).await.expect(502);
    assert_eq!(response.header("x-should-retry"), "false");
    let error = response.whole().await.json();
    assert_eq!(error["error"]["code"], "extraction_failed");
    let upstream = Upstream::start(|_| Reply::error(400, "no such voice"));
    let server = Server::with(&upstream).await;
    let response = open(&server, &streamed(chat("Hi"))).await.expect(400);
    let error = response.whole().await.json();
    assert_eq!(error["error"]["type"], "invalid_request_error");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("no such voice"), "{message}");
}

#[tokio::test]
async fn chunks_are_passed_through_as_they_arrive() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream =
        Upstream::start(move |_| Reply::Streamed(pieces(&["Hel", "lo"]), held.clone(), true));
    let server = Server::with(&upstream).await;
    gate.let_through(1);
    let mut response = open(&server, &streamed(chat("Hi"))).await.expect(200);
    let mut seen = String::new();
    while !seen.contains("Hel") {
        let chunk = within(SOON, "the first piece", response.chunk()).await;
        seen.push_str(str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert!(!seen.contains("\"lo\""), "{seen}");
    gate.open();
    seen.push_str(response.whole().await.text());
    assert!(
        seen.contains("\"lo\"") && seen.ends_with("data: [DONE]\n\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn tool_calls_and_usage_are_passed_through() {
    let call = |index: u8, name: &str| json!({"tool_calls": [{"index": index, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}]});
    let deltas = [
        json!({"role": "assistant", "content": null}),
        call(0, "A"),
        call(1, "B"),
    ];
    let upstream = Upstream::start(move |_| provider_streams(&deltas, true));
    let server = Server::with(&upstream).await;
    let body = with(chat("Hi"), json!({"tools": [tool("A"), tool("B")]}));
    let (without, _) = chunks(open(&server, &streamed(body.clone())).await).await;
    assert_eq!(without.len(), 4, "{without:?}");
    assert_eq!(
        without[2]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"],
        "B"
    );
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(
        without
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk"),
        "what the provider left out is there"
    );
    let (all, _) = chunks(open(&server, &with_usage(body)).await).await;
    assert_eq!(all.len(), 5);
    assert_eq!(all[4]["usage"]["total_tokens"], 5);
    let sent = upstream.log().calls[0].body();
    assert_eq!(sent["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn a_stream_that_breaks_is_not_begun_again() {
    let deltas = [json!({"content": "Hel"})];
    let upstream = Upstream::start(move |_| provider_streams(&deltas, false));
    let server = Server::with(&upstream).await;
    let (chunks, error) = chunks(open(&server, &streamed(chat("Hi"))).await).await;
    assert_eq!(text(&chunks), "Hel");
    let error = error.expect("an error");
    assert_eq!(error["type"], "server_error");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream =
        Upstream::start(move |_| Reply::Streamed(pieces(&["Hel", "lo"]), held.clone(), true));
    let server = Server::with(&upstream).await;
    gate.let_through(1);
    let mut response = open(&server, &streamed(chat("Hi"))).await.expect(200);
    within(SOON, "the first piece", response.chunk()).await;
    drop(response);
    server.wait_until_idle(LIMIT).await;
    assert_eq!(upstream.calls(), 1);
}
