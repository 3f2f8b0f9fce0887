//! NDJSON bodies: lines that are too deep, too wide or without end, and bodies of nothing.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{BATCH, NDJSON, SOON, Siege, deep_array, deep_object};
use crate::support::client::{Response, Sending, check_problem, within};
use crate::support::fixture::{self, check_each_once, person, schema_query};

/// Returns an upload whose results come as lines.
fn upload(siege: &Siege) -> Sending {
    let request = siege
        .server
        .request(Method::POST, &format!("{BATCH}?{}", schema_query()));
    request
        .header("content-type", NDJSON)
        .header("accept", NDJSON)
}

fn text(number: usize) -> String {
    Value::from(person(number)).to_string()
}

/// Returns the results in the order of their lines, and the summary.
async fn results(response: Response) -> (Vec<Value>, Value) {
    let mut lines = response.expect(200).lines().await;
    let summary = lines.pop().expect("a summary")["summary"].take();
    check_each_once(&lines, lines.len());
    lines.sort_by_key(|line| line["index"].as_u64());
    (lines, summary)
}

#[tokio::test]
async fn an_invalid_line_fails_only_its_own_item() {
    let siege = Siege::begin().await;
    let wide: String = (0..80_000).map(|n| format!("\"k{n}\":1,")).collect();
    let kinds: Vec<(&str, Vec<u8>)> = vec![
        ("arrays in arrays", deep_array().into()),
        ("objects in objects", deep_object("input").into()),
        ("left open", "[".repeat(500_000).into()),
        (
            "very many keys",
            format!("{{{wide}\"input\":\"a\"}}").into(),
        ),
        (
            "very many parts",
            format!("[{}0]", "0,".repeat(400_000)).into(),
        ),
        ("a key twice", br#"{"input":"a","input":"b"}"#.to_vec()),
        ("no UTF-8", b"\"\xff\xfe\"".to_vec()),
        ("a long form of a short character", b"\"\xc0\xaf\"".to_vec()),
        ("a raw NUL", b"\"a\0b\"".to_vec()),
        ("NULs alone", vec![0; 1000]),
        ("a number beyond all", b"1e400".to_vec()),
        ("a very long number", "9".repeat(100_000).into()),
        ("a byte order mark", b"\xef\xbb\xbf\"a\"".to_vec()),
        ("two values", b"\"a\" \"b\"".to_vec()),
        (
            "packed",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00".to_vec(),
        ),
    ];
    for (what, line) in kinds {
        let body = [text(0).as_bytes(), &line, text(2).as_bytes()].join(&b'\n');
        let (lines, summary) = siege
            .attack(what, 48, async {
                results(upload(&siege).bytes(body).send().await).await
            })
            .await;
        assert_eq!(
            (lines.len(), &summary["succeeded"]),
            (3, &json!(2)),
            "{what}: {summary}"
        );
        assert_eq!(
            (&lines[0]["data"], &lines[2]["data"]),
            (&fixture::found(0), &fixture::found(2)),
            "{what}"
        );
        check_problem(&lines[1]["error"], 400, "invalid_json");
        let told = lines[1].to_string();
        println!("  {told}");
        assert!(told.len() < 4096, "{what}: {} bytes", told.len());
    }
}

#[tokio::test]
async fn nul_characters_pass_through() {
    let siege = Siege::begin().await;
    let texts = [
        r#""[item-1] a\u0000b""#,
        r#"{"id":"\u0000","input":"[item-2] \u0000","metadata":{"\u0000":"\u0000"}}"#,
    ];
    let (lines, _) = siege
        .attack("NULs", 32, async {
            results(upload(&siege).lines(texts).send().await).await
        })
        .await;
    assert_eq!(
        (&lines[1]["id"], &lines[1]["metadata"]),
        (&json!("\0"), &json!({"\0": "\0"}))
    );
    let calls = siege.upstream.log().calls;
    for (item, text) in [(1, "a\0b"), (2, "[item-2] \0")] {
        let call = calls
            .iter()
            .find(|call| call.item() == Some(item))
            .expect("it was asked");
        assert!(call.prompt().contains(text), "{:?}", call.prompt());
    }
}

/// Returns a stream of `pieces` times `piece`, sent as it is taken.
fn stream(
    begin: &str,
    piece: &str,
    pieces: usize,
    end: &str,
) -> impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static {
    let (begin, piece, end) = [begin, piece, end]
        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        .into();
    let pieces = std::iter::repeat_n(piece, pieces);
    futures_util::stream::iter(
        std::iter::once(begin)
            .chain(pieces)
            .chain(std::iter::once(end)),
    )
}

#[tokio::test]
async fn an_endless_line_fails_in_bounded_memory() {
    let siege = Siege::begin().await;
    let long = "a".repeat(1 << 16);
    for (what, begin, end) in [
        (
            "that ends after 256 MiB",
            "\"",
            format!("\"\n{}\n", text(1)),
        ),
        ("that never was JSON", "[[", format!("\n{}\n", text(1))),
    ] {
        let body = stream(&format!("{}\n{begin}", text(0)), &long, 4096, &end);
        let (lines, _) = siege
            .attack(what, 48, async {
                results(upload(&siege).stream(body).send().await).await
            })
            .await;
        assert_eq!(lines.len(), 3, "{what}");
        check_problem(&lines[1]["error"], 413, "payload_too_large");
        assert!(
            lines[1]["error"]["detail"]
                .as_str()
                .unwrap()
                .contains("max_line_bytes")
        );
        assert_eq!(lines[0]["data"], fixture::found(0));
    }
    let body = stream("\"", &long, 2048, "");
    let (lines, _) = siege
        .attack("that ends with the body", 48, async {
            results(upload(&siege).stream(body).send().await).await
        })
        .await;
    assert_eq!(lines.len(), 1);
    check_problem(&lines[0]["error"], 413, "payload_too_large");
}

#[tokio::test]
async fn a_million_blank_lines_are_skipped() {
    let siege = Siege::begin().await;
    for (what, blank) in [
        ("line feeds", "\n"),
        ("with carriage returns", "\r\n"),
        ("with white space", " \t \n"),
    ] {
        let body = stream("", &blank.repeat(10_000), 100, &format!("{}\n", text(7)));
        let (lines, summary) = siege
            .attack(what, 48, async {
                results(upload(&siege).stream(body).send().await).await
            })
            .await;
        assert_eq!((lines.len(), &summary["total"]), (1, &json!(1)), "{what}");
        assert_eq!(lines[0]["data"], fixture::found(7), "{what}");
    }
    let body = stream("", &"\n".repeat(10_000), 100, "");
    let (lines, _) = siege
        .attack("nothing else", 48, async {
            results(upload(&siege).stream(body).send().await).await
        })
        .await;
    assert!(lines.is_empty());
}

#[tokio::test]
async fn a_hundred_thousand_invalid_lines_each_get_a_failed_result() {
    let siege = Siege::begin().await;
    let body = stream("", &"{]\n".repeat(1000), 100, "");
    // The client holds them all; the server does not.
    let (lines, summary) = siege
        .attack("bad lines", 64, async {
            results(upload(&siege).stream(body).send().await).await
        })
        .await;
    assert_eq!(
        (lines.len(), &summary["failed"]),
        (100_000, &json!(100_000))
    );
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn a_body_in_very_small_chunks_is_read() {
    let siege = Siege::begin().await;
    let mut body = format!(
        "POST {BATCH}?{} HTTP/1.1\r\nhost: {}\r\ncontent-type: {NDJSON}\r\naccept: {NDJSON}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n",
        schema_query(),
        siege.server.address()
    )
    .into_bytes();
    for byte in (0..200)
        .map(|number| text(number) + "\n")
        .collect::<String>()
        .bytes()
    {
        body.extend_from_slice(b"1\r\n");
        body.push(byte);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let answer = siege.raw("a byte in each chunk", 48, &body).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"succeeded\":200"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_upload_that_breaks_within_a_line_cancels_the_remaining_items() {
    let siege = Siege::begin().await;
    let head = format!(
        "POST {BATCH}?{} HTTP/1.1\r\nhost: {}\r\ncontent-type: {NDJSON}\r\naccept: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n",
        schema_query(),
        siege.server.address()
    );
    for (what, rest) in [
        ("a chunk whose size is no number", "zz\r\n"),
        (
            "a chunk of more bytes than there are numbers",
            "fffffffffffffffffff\r\n",
        ),
        ("a negative chunk", "-5\r\nhello\r\n"),
        ("a chunk without its line's end", "5\r\nhelloXX0\r\n\r\n"),
        (
            "a chunk with a long extension",
            &format!("1;why={}\r\n\"\r\n", "because".repeat(100_000)),
        ),
        ("a chunk without end", "7fffffffffffffff\r\n\"half a li"),
    ] {
        let line = text(1) + "\n";
        let body = format!("{head}{:x}\r\n{line}\r\n{rest}", line.len());
        let answer = within(SOON, what, siege.raw(what, 32, body.as_bytes())).await;
        let is_stopped =
            answer.contains(r#"{"status":"stopped","summary""#) && answer.contains(r#""error":{"#);
        assert!(
            is_stopped || !answer.contains("\"summary\""),
            "{what}: it is not passed off as whole: {answer}"
        );
    }
}
