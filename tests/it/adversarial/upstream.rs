//! A provider that lies: answers without end, of another kind, broken, packed, or longer or shorter than they say.

use serde_json::{Value, json};

use super::{SOON, Siege};
use crate::support::client::within;
use crate::support::fixture::{self, person};
use crate::upstream::Reply;

/// Returns a response with this body and these headers.
fn response(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body.as_ref());
    bytes
}

fn sized(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    response(
        &format!(
            "content-type: {content_type}\r\ncontent-length: {}",
            body.len()
        ),
        body,
    )
}

/// Returns a completion whose answer is `data`.
fn completion(data: &Value) -> String {
    json!({"choices": [{"message": {"role": "assistant", "content": data.to_string()}, "finish_reason": "stop"}]}).to_string()
}

fn ask(siege: &Siege, number: usize) -> crate::support::client::Sending {
    let body = fixture::with(
        fixture::single(person(number)),
        json!({"mode": "text", "model": format!("openai/model-{number}")}),
    );
    siege.single(body.to_string())
}

/// Kinds of completions that can be read, with content that is not the JSON that was asked for: an invalid answer each.
const READABLE: [&str; 6] = [
    "choices of another kind",
    "a message that is a number",
    "content that is nested",
    "no UTF-8",
    "half a surrogate",
    "server-sent events",
];

#[tokio::test]
async fn a_response_that_is_no_completion_is_an_upstream_error() {
    let json = "application/json";
    let right = completion(&fixture::right());
    let kinds: Vec<(&str, Vec<u8>, bool)> = vec![
        ("nothing", sized(json, ""), false),
        ("white space", sized(json, " \n "), false),
        (
            "a page of HTML",
            sized(
                "text/html",
                "<html><body>Welcome to the proxy</body></html>",
            ),
            false,
        ),
        (
            "a page of HTML that says it is JSON",
            sized(json, "<!doctype html><title>502</title>"),
            false,
        ),
        (
            "plain text",
            sized("text/plain", "upstream connect error"),
            false,
        ),
        ("JSON of another kind", sized(json, "[1, 2, 3]"), false),
        ("no choices", sized(json, "{\"choices\": []}"), false),
        (
            "choices of another kind",
            sized(json, "{\"choices\": {\"a\": 1}}"),
            false,
        ),
        (
            "a message that is a number",
            sized(json, "{\"choices\": [{\"message\": 5}]}"),
            false,
        ),
        (
            "content that is nested",
            sized(
                json,
                format!(
                    "{{\"choices\": [{{\"message\": {{\"content\": {}}}}}]}}",
                    super::deep_array()
                ),
            ),
            false,
        ),
        (
            "no UTF-8",
            sized(
                json,
                b"{\"choices\": [{\"message\": {\"content\": \"\xff\xfe\"}}]}",
            ),
            false,
        ),
        (
            "half a surrogate",
            sized(
                json,
                "{\"choices\": [{\"message\": {\"content\": \"\\ud800\"}}]}",
            ),
            false,
        ),
        (
            "server-sent events",
            sized(
                "text/event-stream",
                "data: {\"choices\": []}\n\ndata: [DONE]\n\n",
            ),
            false,
        ),
        (
            "packed",
            response(
                &format!("content-type: {json}\r\ncontent-encoding: gzip\r\ncontent-length: 10"),
                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
            ),
            false,
        ),
        (
            "less than it says",
            response(
                &format!(
                    "content-type: {json}\r\ncontent-length: {}",
                    right.len() + 1000
                ),
                &right,
            ),
            true,
        ),
        (
            "no end of its chunks",
            response(
                "transfer-encoding: chunked",
                format!("{:x}\r\n{right}\r\n", right.len()),
            ),
            true,
        ),
        (
            "chunks whose size is no number",
            response("transfer-encoding: chunked", "zz\r\nhello\r\n"),
            true,
        ),
        (
            "two lengths",
            response("content-length: 5\r\ncontent-length: 7", "hello"),
            true,
        ),
        (
            "a length that is no number",
            response("content-length: many", "hello"),
            true,
        ),
        (
            "10,000 headers",
            response(
                &format!("{}content-length: 2", "x: y\r\n".repeat(10_000)),
                "{}",
            ),
            true,
        ),
        (
            "a header without end",
            response(&format!("x: {}", "y".repeat(2_000_000)), ""),
            true,
        ),
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec(), true),
        (
            "a status that is none",
            b"HTTP/1.1 9999 -\r\ncontent-length: 0\r\n\r\n".to_vec(),
            true,
        ),
        (
            "an interim response without end",
            b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000),
            true,
        ),
    ];
    let replies: Vec<_> = kinds
        .iter()
        .map(|(_, bytes, closes)| (bytes.clone(), *closes))
        .collect();
    let siege =
        Siege::answering(
            move |call| match call.item().and_then(|item| replies.get(item)) {
                Some((bytes, true)) => Reply::RawCut(bytes.clone()),
                Some((bytes, false)) => Reply::Raw(bytes.clone()),
                None => Reply::Played,
            },
        )
        .await;
    // All at a time: each is tried three times, with a pause between.
    let all =
        futures_util::future::join_all((0..kinds.len()).map(|number| ask(&siege, number).answer()));
    let answers = siege.attack("all kinds", 64, all).await;
    for ((what, ..), answer) in kinds.iter().zip(answers) {
        let is_content = READABLE.contains(what);
        let code = if is_content {
            "extraction_failed"
        } else {
            "upstream_error"
        };
        let problem = answer.problem(502, code);
        println!("{what}: {}", problem["detail"]);
        // An invalid answer comes back as `raw`, up to 64 KiB.
        let is_long = *what == "content that is nested";
        let most = if is_long { 70_000 } else { 4096 };
        assert!(
            answer.body.len() < most,
            "{what}: {} bytes",
            answer.body.len()
        );
        assert!(
            is_content || problem["detail"].as_str().unwrap().contains("3 times"),
            "{what}: {problem}"
        );
    }
    assert_eq!(siege.calls(), 3 * kinds.len());
}

#[tokio::test]
async fn a_completion_of_the_wrong_type_is_taken_for_what_it_is() {
    let siege = Siege::answering(|_| {
        Reply::Raw(sized(
            "text/html; charset=latin1",
            completion(&fixture::right()),
        ))
    })
    .await;
    let answer = siege
        .attack("a completion called HTML", 32, ask(&siege, 1).answer())
        .await;
    assert_eq!(answer.ok()["data"], fixture::right());
}

#[tokio::test]
async fn an_endless_answer_is_aborted() {
    for (what, headers) in [
        (
            "of no length",
            "content-type: application/json\r\nconnection: close",
        ),
        (
            "of a length beyond all",
            "content-type: application/json\r\ncontent-length: 9000000000000000000",
        ),
        ("in chunks", "transfer-encoding: chunked"),
    ] {
        let piece = if what == "in chunks" {
            b"10000\r\n".to_vec()
        } else {
            Vec::new()
        };
        let piece = [
            piece,
            vec![b' '; 0x1_0000],
            if what == "in chunks" {
                b"\r\n".to_vec()
            } else {
                Vec::new()
            },
        ]
        .concat();
        let siege =
            Siege::answering(move |_| Reply::Endless(response(headers, ""), piece.clone())).await;
        let answer = siege.attack(what, 256, ask(&siege, 1).answer()).await;
        let problem = answer.problem(502, "upstream_error");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("longer than 33554432 bytes"),
            "{problem}"
        );
        siege
            .upstream
            .wait_for("the connection is closed", SOON, |log| log.in_flight == 0)
            .await;
    }
}

#[tokio::test]
async fn an_endless_error_body_is_aborted() {
    let siege = Siege::answering(|_| {
        let head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\r\n{\"error\": {\"message\": \"".to_vec();
        Reply::Endless(head, vec![b'a'; 0x1_0000])
    })
    .await;
    let answer = siege
        .attack("a message without end", 256, ask(&siege, 1).answer())
        .await;
    assert!(answer.body.len() < 4096, "{} bytes", answer.body.len());
    answer.problem(502, "upstream_error");
}

#[tokio::test]
async fn a_long_upstream_error_is_shortened() {
    let message =
        json!({"error": {"message": "é".repeat(2_000_000), "code": "x".repeat(1_000_000)}})
            .to_string();
    let nested = format!("{{\"error\": {}}}", super::deep_array());
    for (what, body) in [
        ("a long message", message),
        ("a nested error", nested),
        ("NULs", "\0".repeat(1000)),
    ] {
        let body = body.clone();
        let siege = Siege::answering(move |_| Reply::Status(400, vec![], body.clone())).await;
        let answer = siege.attack(what, 64, ask(&siege, 1).answer()).await;
        assert!(
            answer.body.len() < 8192,
            "{what}: {} bytes",
            answer.body.len()
        );
        answer.problem(502, "upstream_error");
    }
}

#[tokio::test]
async fn bytes_after_a_response_are_not_read_as_the_next_response() {
    // More than it says: the rest looks like the response to whatever is asked next on this connection.
    let smuggled = sized(
        "application/json",
        completion(&json!({"name": "Mallory", "age": 1, "occupation": "thief"})),
    );
    let siege = Siege::answering(move |call| match call.item() {
        Some(1) => Reply::Raw(
            [
                sized("application/json", completion(&fixture::right())),
                smuggled.clone(),
            ]
            .concat(),
        ),
        _ => Reply::Played,
    })
    .await;
    for _ in 0..10 {
        assert_eq!(
            siege
                .attack("an answer and a half", 32, ask(&siege, 1).answer())
                .await
                .ok()["data"],
            fixture::right()
        );
        let next = within(SOON, "the next", ask(&siege, 2).answer()).await;
        assert_eq!(next.ok()["data"], fixture::found(2));
    }
}
