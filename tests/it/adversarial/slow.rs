//! Slow lorises: heads and bodies that come a byte at a time, or not at all.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{BATCH, EXTRACT, JSON, NDJSON, Siege};
use crate::support::client::within;
use crate::support::fixture::{person, schema_query, single};
use crate::support::server::Server;
use crate::upstream::Upstream;

/// Time that the server waits for a body that trickles, with a margin for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const LENIENT: Duration = Duration::from_secs(60);

/// Sends `begin` at once, then the bytes of `rest` one by one, again and again, and reads until the connection ends. Returns the
/// response and the time that it took.
async fn drip(
    address: SocketAddr,
    begin: &[u8],
    rest: &[u8],
    pause: Duration,
) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut got = Vec::new();
    let write = async {
        let _ = writer.write_all(begin).await;
        for byte in rest.iter().cycle() {
            sleep(pause).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = timeout(LENIENT, reader.read_to_end(&mut got)) => {}
        () = write => {}
    }
    (String::from_utf8_lossy(&got).into_owned(), begun.elapsed())
}

#[tokio::test]
async fn slow_request_heads_time_out() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let config = builder.folder().join("slow.toml");
    std::fs::write(&config, "[server]\nheader_timeout_ms = 2000\n").unwrap();
    let siege = Siege {
        upstream,
        server: builder
            .env("EXTRACTD_CONFIG", config.display())
            .start()
            .await,
    };
    let address = siege.server.address();
    let begin = format!("POST {EXTRACT} HTTP/1.1\r\nhost: {address}\r\nx-slow: ");
    let attack = async {
        let kinds = (0..400).map(|number| {
            let begin = if number % 4 == 0 { "" } else { &begin };
            let rest: &[u8] = match number % 4 {
                0 => b"GET /healthz HTTP/1.1 and so on ",
                1 => b"\r\nx: y",
                _ => b"a",
            };
            // Some send nothing at all for as long as that.
            let pause = Duration::from_millis(if number % 4 == 2 { 60_000 } else { 100 });
            drip(address, begin.as_bytes(), rest, pause)
        });
        let served = async {
            for _ in 0..10 {
                sleep(Duration::from_millis(100)).await;
                within(
                    Duration::from_secs(10),
                    "others are served",
                    siege.server.extract(&single(person(1))),
                )
                .await
                .ok();
            }
        };
        tokio::join!(futures_util::future::join_all(kinds), served).0
    };
    for (answer, took) in siege.attack("400 slow heads", 64, attack).await {
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
        assert!(
            took < Duration::from_secs(25),
            "it was closed after {took:?}"
        );
    }
}

#[tokio::test]
async fn slow_request_bodies_time_out() {
    let siege = Siege::begin().await;
    let address = siege.server.address();
    let head = |method: &str, path: &str, framing: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {JSON}\r\n{framing}\r\n\r\n"
        )
    };
    let length = "content-length: 100000";
    let heads = [
        (head("POST", EXTRACT, length), &b" "[..], 100),
        (head("POST", BATCH, length), b" ", 100),
        (head("PUT", "/v1/schemas/slow", length), b" ", 100),
        (
            head("POST", EXTRACT, "transfer-encoding: chunked"),
            b"1\r\n \r\n",
            20,
        ),
        // Nothing after the head, and nothing after much.
        (head("POST", EXTRACT, length), b" ", 600_000),
        (
            head("POST", EXTRACT, length) + &" ".repeat(9000),
            b" ",
            600_000,
        ),
    ];
    // The attack takes as long as the server's patience, so it has no limit of its own.
    siege.server.forget_peak();
    let before = siege.server.resident_bytes();
    let attacks = heads.iter().map(|(head, rest, pause)| {
        drip(
            address,
            head.as_bytes(),
            rest,
            Duration::from_millis(*pause),
        )
    });
    let honest = async {
        // Three seconds for what could be sent at once is slow, and not too slow.
        let body = single(person(1)).to_string();
        let request = siege
            .server
            .request(http::Method::POST, EXTRACT)
            .header("content-type", JSON);
        let pieces: Vec<_> = body
            .as_bytes()
            .chunks(body.len() / 30 + 1)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        let slowly =
            futures_util::StreamExt::then(futures_util::stream::iter(pieces), async |piece| {
                sleep(Duration::from_millis(100)).await;
                piece
            });
        request.stream(slowly).answer().await.ok();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(attacks), honest);
    let grown = siege.server.peak_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    for ((head, ..), (answer, took)) in heads.iter().zip(answers) {
        let line = head.lines().next().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid_json\""),
            "{line}: {answer:?} after {took:?}"
        );
        assert!(
            answer.contains("500 bytes per second"),
            "it says what was too little: {answer}"
        );
        assert!(
            took + Duration::from_secs(1) >= PATIENCE && took < LENIENT,
            "{line}: {took:?}"
        );
    }
    siege.serves("slow bodies").await;
    assert_eq!(siege.calls(), 1);
}

#[tokio::test]
async fn slow_ndjson_uploads_are_allowed() {
    let siege = Siege::begin().await;
    let address = siege.server.address();
    let head = format!(
        "POST {BATCH}?{} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {NDJSON}\r\naccept: {NDJSON}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n",
        schema_query()
    );
    let line = format!("\"{}\"\n", person(1));
    let pieces: String = line
        .bytes()
        .map(|byte| format!("1\r\n{}\r\n", char::from(byte)))
        .collect();
    let body = pieces + "0\r\n\r\n";
    let attacks = (0..20).map(|_| {
        drip(
            address,
            head.as_bytes(),
            body.as_bytes(),
            Duration::from_millis(5),
        )
    });
    for (answer, _) in siege
        .attack(
            "20 slow uploads",
            32,
            futures_util::future::join_all(attacks),
        )
        .await
    {
        assert!(answer.contains("\"succeeded\":1"), "{answer}");
    }
}
