//! HTTP that is none, or could be read in two ways: heads without end, two lengths, nonsense for chunks.

use super::{BATCH, EXTRACT, JSON, NDJSON, Siege};
use crate::support::fixture::{person, schema_query, single};

const MIB: u64 = 32;

/// Returns the statuses of all the responses that came.
fn statuses(answer: &str) -> Vec<u16> {
    answer
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, line)| answer.get(at + line.len()..)?.get(..3)?.parse().ok())
        .collect()
}

#[tokio::test]
async fn endless_request_heads_are_rejected() {
    let siege = Siege::begin().await;
    let get = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n";
    let long = "a".repeat(2_000_000);
    for (what, bytes, expected) in [
        (
            "one huge header",
            format!("{get}x-long: {long}\r\n\r\n"),
            431,
        ),
        ("a header without end", format!("{get}x-long: {long}"), 431),
        ("a header's name without end", format!("{get}{long}"), 431),
        (
            "10,000 headers",
            format!("{get}{}\r\n", "x: y\r\n".repeat(10_000)),
            431,
        ),
        (
            "101 headers",
            format!("{get}{}\r\n", "x: y\r\n".repeat(100)),
            431,
        ),
        (
            "headers without end",
            format!("{get}{}", "x: y\r\n".repeat(200_000)),
            431,
        ),
        // What comes with the last read may be twice what is held: beyond that, nothing is read.
        (
            "a million cookies in one header",
            format!("{get}cookie: {}\r\n\r\n", "a=b; ".repeat(1_000_000)),
            431,
        ),
        ("a request line without end", format!("GET /{long}"), 431),
        (
            "a query without end",
            format!("POST {BATCH}?schema={long}"),
            431,
        ),
        (
            "a path of 70,000 bytes",
            format!(
                "GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
                "a".repeat(70_000)
            ),
            414,
        ),
        ("a method without end", long.clone(), 431),
        ("nothing but line ends", "\r\n".repeat(500_000), 431),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), 400),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        (
            "HTTP/9.9",
            "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
            400,
        ),
    ] {
        let answer = siege.raw(what, MIB, bytes.as_bytes()).await;
        println!("  {:?}", answer.get(..answer.len().min(60)));
        let seen = statuses(&answer);
        // To one who speaks HTTP/2 there is nothing to say that would be understood.
        assert!(
            seen == [expected] || answer.is_empty() && what == "HTTP/2",
            "{what}: {seen:?} in {answer:?}"
        );
    }
}

#[tokio::test]
async fn ambiguous_framing_headers_are_rejected() {
    let siege = Siege::begin().await;
    for (what, header) in [
        ("a folded header", "x: a\r\n b\r\n"),
        ("white space before the colon", "content-length : 5\r\n"),
        ("white space before the name", " x: a\r\n"),
        ("no colon", "x\r\n"),
        ("no name", ": a\r\n"),
        ("a NUL in a name", "x\0: a\r\n"),
        ("a NUL in a value", "x: a\0b\r\n"),
        ("a carriage return in a value", "x: a\rb\r\n"),
        ("a length that is negative", "content-length: -1\r\n"),
        ("a length with a sign", "content-length: +5\r\n"),
        ("a length in hexadecimal", "content-length: 0x5\r\n"),
        (
            "a length beyond all numbers",
            "content-length: 18446744073709551616\r\n",
        ),
        ("no length", "content-length: \r\n"),
        ("two lengths in one", "content-length: 5, 6\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        (
            "an unknown transfer encoding",
            "transfer-encoding: xchunked\r\n",
        ),
        (
            "chunked, but not last",
            "transfer-encoding: chunked, identity\r\n",
        ),
        ("no transfer encoding", "transfer-encoding: \r\n"),
        (
            "chunked by another name",
            "transfer-encoding: \u{b}chunked\r\n",
        ),
    ] {
        let bytes = format!(
            "POST {EXTRACT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n{header}\r\nhelloGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        let answer = siege.raw(what, MIB, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{what}: {answer:?}");
    }
    let old = format!(
        "POST {EXTRACT} HTTP/1.0\r\nhost: localhost\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    assert_eq!(
        statuses(&siege.raw("chunks in HTTP/1.0", MIB, old.as_bytes()).await),
        [400]
    );
    assert_eq!(siege.calls(), 0);
}

/// A second request, hidden where only one of two readers sees it.
const HIDDEN: &str = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_smuggled_request_is_never_answered() {
    let siege = Siege::begin().await;
    let post = |headers: &str, body: &str| {
        format!(
            "POST {EXTRACT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n{headers}\r\n\r\n{body}"
        )
    };
    let hidden = format!("0\r\n\r\n{HIDDEN}");
    let (chunked, length) = (
        "transfer-encoding: chunked",
        format!("content-length: {}", hidden.len()),
    );
    for (what, bytes) in [
        (
            "a length, then chunks",
            post(&format!("{length}\r\n{chunked}"), &hidden),
        ),
        (
            "chunks, then a length",
            post(&format!("{chunked}\r\n{length}"), &hidden),
        ),
        (
            "chunks, then a short length",
            post(&format!("{chunked}\r\ncontent-length: 4"), &hidden),
        ),
        (
            "chunks twice",
            post(&format!("{chunked}\r\n{chunked}\r\n{length}"), &hidden),
        ),
        (
            "chunks in capitals",
            post(&format!("{length}\r\nTransfer-Encoding: CHUNKED"), &hidden),
        ),
        (
            "chunks of what is packed",
            post(
                &format!("{length}\r\ntransfer-encoding: gzip, chunked"),
                &hidden,
            ),
        ),
        (
            "behind a chunk that lies",
            post(chunked, &format!("5\r\n{{}}\r\n0\r\n\r\n{HIDDEN}")),
        ),
        (
            "behind a chunk's size with a sign",
            post(chunked, &format!("+0\r\n\r\n{HIDDEN}")),
        ),
        (
            "behind a chunk's size in two bases",
            post(chunked, &format!("0x0\r\n\r\n{HIDDEN}")),
        ),
        (
            "behind a chunk's size with a space",
            post(chunked, &format!(" 0\r\n\r\n{HIDDEN}")),
        ),
        (
            "behind a chunk's size that wraps",
            post(chunked, &format!("10000000000000000\r\n\r\n{HIDDEN}")),
        ),
        (
            "behind a chunk's line feed alone",
            post(chunked, &format!("0\n\n{HIDDEN}")),
        ),
        (
            "behind a trailer without end",
            post(
                chunked,
                &format!("0\r\nx: {}\r\n\r\n{HIDDEN}", "a".repeat(100_000)),
            ),
        ),
        ("in a body that says its length", post(&length, &hidden)),
    ] {
        let answer = siege.raw(what, MIB, bytes.as_bytes()).await;
        let seen = statuses(&answer);
        assert!(
            matches!(seen[..], [] | [400..=499]),
            "{what}: {seen:?} in {answer}"
        );
        assert!(!answer.contains("\"object\":\"list\""), "{what}: {answer}");
    }
    // The same length twice is one length (RFC 9110, section 8.6); what follows it is the next request, and hidden to nobody.
    let body = single(person(1)).to_string();
    let twice = post(
        &format!("content-length: {0}\r\ncontent-length: {0}", body.len()),
        &format!("{body}{HIDDEN}"),
    );
    assert_eq!(
        statuses(
            &siege
                .raw("the same length twice", MIB, twice.as_bytes())
                .await
        ),
        [200, 200]
    );
    assert_eq!(siege.calls(), 1);
}

#[tokio::test]
async fn malformed_chunks_are_rejected() {
    let siege = Siege::begin().await;
    let head = |path: &str, content_type: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
    };
    for chunks in [
        "zz\r\n",
        "-1\r\n{}\r\n",
        "\r\n\r\n",
        "5\r\n{}",
        "ffffffffffffffffff\r\n{}\r\n",
        "2\r\n{}X0\r\n\r\n",
        "{}\r\n",
        "2;\0\r\n{}\r\nx\r\n",
    ] {
        let answer = siege
            .raw(
                &format!("{chunks:?}"),
                MIB,
                (head(EXTRACT, JSON) + chunks).as_bytes(),
            )
            .await;
        println!("  {answer:?}");
        // One that is only not there yet is waited for.
        assert!(
            answer.is_empty() && chunks == "5\r\n{}"
                || answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid_json\""),
            "{answer}"
        );
    }
    let body = single(person(1)).to_string();
    let pieces: String = body
        .bytes()
        .map(|byte| format!("1\r\n{}\r\n", char::from(byte)))
        .collect();
    let answer = siege
        .raw(
            "a byte in each",
            MIB,
            format!("{}{pieces}0\r\nx-trailer: 1\r\n\r\n", head(EXTRACT, JSON)).as_bytes(),
        )
        .await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    let extended = format!(
        "{}{:x};{}\r\n{body}\r\n0\r\n\r\n",
        head(EXTRACT, JSON),
        body.len(),
        "a=b;".repeat(50_000)
    );
    let answer = siege
        .raw("an extension without end", MIB, extended.as_bytes())
        .await;
    assert!(matches!(statuses(&answer)[..], [] | [400]), "{answer}");
    let path = format!("{BATCH}?{}", schema_query());
    let answer = siege
        .raw(
            "nothing at all, as lines",
            MIB,
            (head(&path, NDJSON) + "0\r\n\r\n").as_bytes(),
        )
        .await;
    assert_eq!(statuses(&answer), [200], "{answer}");
}

#[tokio::test]
async fn a_thousand_requests_at_once_on_one_connection() {
    let siege = Siege::begin().await;
    let bytes = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    let answer = siege.raw("a pipeline", MIB, bytes.as_bytes()).await;
    assert_eq!(statuses(&answer), [200; 1000]);
    let wrong = format!("POST {EXTRACT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\ncontent-length: 2\r\n\r\n{{}}")
        .repeat(1000);
    let answer = siege
        .raw("a pipeline of bad requests", MIB, wrong.as_bytes())
        .await;
    assert_eq!(statuses(&answer), [422; 1000]);
}
