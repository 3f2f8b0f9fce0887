//! Memory of what is made of a request before the provider is called: without room for it, the request is refused and holds nothing.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::responses::{RESPONSES, events_of};
use super::*;
use crate::isolation::until_nothing_is_held;
use crate::support::client::eventually;

/// Size of the long field of a request, in bytes.
const LONG: usize = 500_000;

/// Starts a server with 16 MiB for requests. A call for which there is no memory fails at once.
async fn small_server(upstream: &Upstream) -> Server {
    let config = "[limits]\nmax_memory_bytes = 33554432\nmax_wait_ms = 0\n";
    Server::asking(upstream).config(config).start().await
}

/// Holds the memory of the server but for `left` bytes until the connection is dropped, with a body whose last byte does not come.
async fn hold_all_but(server: &Server, left: usize) -> TcpStream {
    let all = server.limit_of("memory_bytes", "all").await.unwrap();
    let available = all["available"].as_u64().unwrap();
    let bytes = usize::try_from(available).unwrap() - left;
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n",
        server.address()
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes - 1]).await.unwrap();
    eventually(LIMIT, "the body is held", async || {
        let bodies = server.limit_of("memory_bytes", "request_bodies").await?;
        (bodies["in_use"] == bytes).then_some(())
    })
    .await;
    stream
}

/// Returns the bytes that are held as bodies, inputs and responses.
async fn held(server: &Server) -> Vec<Value> {
    let mut held = Vec::new();
    for held_as in ["request_bodies", "inputs", "responses"] {
        let row = server.limit_of("memory_bytes", held_as).await.unwrap();
        held.push(row["in_use"].clone());
    }
    held
}

/// Sends a request for which there is no memory. Returns the error's message.
async fn refused(server: &Server, path: &str, body: &Value) -> String {
    let before = held(server).await;
    let answer = server.post(path, body).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], "overloaded", "{error}");
    eventually(LIMIT, "what it held is returned", async || {
        (held(server).await == before).then_some(())
    })
    .await;
    error["message"].as_str().unwrap().to_owned()
}

/// The body, its values, and two copies of the body.
#[tokio::test]
async fn a_request_is_planned_if_there_is_memory_for_its_copies() {
    let message = json!({"role": "assistant", "content": "Hello"});
    let upstream = Upstream::start(move |_| provider_says(&message));
    let server = small_server(&upstream).await;
    let body = with(chat("Hi"), json!({"their_setting": "x".repeat(LONG)}));
    let length = body.to_string().len();

    let others = hold_all_but(&server, length * 15 / 4).await;
    let message = refused(&server, PATH, &body).await;
    assert!(message.contains("send NDJSON"), "{message}");
    assert_eq!(upstream.calls(), 0);
    drop(others);
    until_nothing_is_held(&server).await;

    let _others = hold_all_but(&server, length * 17 / 4).await;
    server.post(PATH, &body).await.ok();
    assert_eq!(upstream.calls(), 1);
}

/// The first two events of a stream have the settings at the same time.
#[tokio::test]
async fn a_response_repeats_the_settings_of_its_request_if_there_is_memory_for_two_copies() {
    let upstream = Upstream::start(|_| {
        let gate = Gate::open_from_the_start();
        Reply::Streamed(vec!["Hello".to_owned()], gate, true)
    });
    let server = small_server(&upstream).await;
    let prompt = "x".repeat(LONG);
    let body =
        json!({"model": "test-model", "input": "Hi", "instructions": prompt, "stream": true});

    // Room for its plan, or for the stream, but not for two copies of the settings beside the stream's 256 KiB.
    let left = 4 * body.to_string().len() + 100_000;
    let others = hold_all_but(&server, left).await;
    let message = refused(&server, RESPONSES, &body).await;
    assert!(message.contains("read or close the responses"), "{message}");
    assert_eq!(upstream.calls(), 0);
    drop(others);
    until_nothing_is_held(&server).await;

    let events = events_of(&server, &body).await;
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(first.name, "response.created");
    assert_eq!(last.name, "response.completed");
    for event in [first, &events[1], last] {
        let repeated = &event.data["response"]["instructions"];
        assert!(*repeated == prompt, "{}", event.name);
    }
    until_nothing_is_held(&server).await;
}
