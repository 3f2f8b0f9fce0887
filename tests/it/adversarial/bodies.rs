//! Bodies that are too large, too deep, too wide or packed.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{BATCH, DEEP, EXTRACT, JSON, NDJSON, Siege, deep_array, deep_object, million_keys};
use crate::support::client::check_pointer;
use crate::support::fixture::{self, schema_query};
use crate::support::server::Server;
use crate::upstream::Upstream;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn bodies_over_the_limit_are_rejected() {
    let siege = Siege::begin().await;
    for (method, path) in [
        ("POST", EXTRACT),
        ("POST", BATCH),
        ("PUT", "/v1/schemas/big"),
    ] {
        let head = |framing: &str| {
            let host = siege.server.address();
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {JSON}\r\n{framing}\r\n\r\n").into_bytes()
        };
        let mut declared = head(&format!("content-length: {}", 65 * MIB));
        declared.resize(declared.len() + 65 * MIB, b' ');
        let mut chunked = head("transfer-encoding: chunked");
        for _ in 0..66 {
            chunked.extend_from_slice(b"100000\r\n");
            chunked.resize(chunked.len() + MIB, b' ');
            chunked.extend_from_slice(b"\r\n");
        }
        // What is announced is not read; the other is held up to the limit, in a buffer that doubles: 64 MiB and 128 at its height.
        for (what, bytes, mib) in [("announced", declared, 32), ("chunked", chunked, 224)] {
            // Reading it may take seconds on a busy machine.
            let answer = siege.server.raw(&bytes, Duration::from_secs(20));
            let answer = siege.attack(&format!("{path}, {what}"), mib, answer).await;
            assert!(
                answer.starts_with("HTTP/1.1 413") && answer.contains("\"payload_too_large\""),
                "{answer}"
            );
            assert!(answer.contains("NDJSON"), "it says what to do: {answer}");
        }
    }
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn the_memory_of_rejected_bodies_is_released() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let config = builder.folder().join("small.toml");
    std::fs::write(
        &config,
        "[server]\nmax_body_bytes = 1048576\n[limits]\nmax_queue_bytes = 1048576\n",
    )
    .unwrap();
    let server = builder
        .env("EXTRACTD_CONFIG", config.display())
        .start()
        .await;
    let siege = Siege { upstream, server };
    let large = || vec![b' '; 3 * MIB / 2];
    let stream = |bytes: Vec<u8>| {
        futures_util::stream::iter(
            bytes
                .chunks(10_000)
                .map(Bytes::copy_from_slice)
                .collect::<Vec<_>>(),
        )
    };
    for round in 0..5 {
        let what = format!("round {round}");
        let request = siege
            .server
            .request(http::Method::POST, EXTRACT)
            .header("content-type", JSON)
            .stream(stream(large()));
        siege
            .refused(&what, 32, request, 413, "payload_too_large")
            .await;
        siege
            .refused(
                &what,
                32,
                siege.single(vec![b'x'; 900_000]),
                400,
                "invalid_json",
            )
            .await;
        siege
            .refused(
                &what,
                32,
                siege.single(format!("{{\"input\": \"{}\"}}", "a".repeat(900_000))),
                422,
                "invalid_request",
            )
            .await;
    }
    let mut body = fixture::single(fixture::person(1)).to_string();
    body.push_str(&" ".repeat(MIB - body.len()));
    siege
        .attack(
            "as large as all may be together",
            32,
            siege.single(body).answer(),
        )
        .await
        .ok();
}

#[tokio::test]
async fn deeply_nested_bodies_are_rejected() {
    let siege = Siege::begin().await;
    let schema = fixture::schema();
    for (kind, bomb) in [("arrays", deep_array()), ("objects", deep_object("a"))] {
        let in_field = |field: &str| {
            format!("{{\"input\": \"Ada\", \"schema\": {schema}, \"{field}\": {bomb}}}")
        };
        for (what, body, place) in [
            ("the body", bomb.clone(), ""),
            (
                "the input",
                format!("{{\"input\": {bomb}, \"schema\": {schema}}}"),
                "/input",
            ),
            ("metadata", in_field("metadata"), "/metadata"),
            ("the seed", in_field("seed"), "/seed"),
            ("an unknown field", in_field("x"), "/x"),
            ("the examples", in_field("examples"), "/examples"),
        ] {
            let problem = siege
                .refused(
                    &format!("{kind} in {what}"),
                    32,
                    siege.single(body),
                    422,
                    "invalid_request",
                )
                .await;
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
            assert!(pointer.starts_with(place), "{kind} in {what}: {pointer}");
        }
        let examples = format!(
            "{{\"input\": \"Ada\", \"schema\": {schema}, \"examples\": [{{\"input\": \"a\", \"output\": {bomb}}}]}}"
        );
        let problem = siege
            .refused(
                &format!("{kind} in an output"),
                32,
                siege.single(examples),
                422,
                "invalid_request",
            )
            .await;
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("nested too deeply"),
            "{problem}"
        );

        let items = format!("{{\"inputs\": [\"a\", {bomb}], \"schema\": {schema}}}");
        siege
            .refused(
                &format!("{kind} in inputs"),
                32,
                siege.post(BATCH, JSON, items),
                422,
                "invalid_request",
            )
            .await;
        let open = &bomb[..DEEP];
        siege
            .refused(
                &format!("{kind}, left open"),
                32,
                siege.single(open.to_owned()),
                400,
                "invalid_json",
            )
            .await;
    }
    for (what, bomb) in [
        ("items", deep_object("items")),
        ("anyOf", "{\"anyOf\":[".repeat(DEEP) + &"]}".repeat(DEEP)),
    ] {
        for request in [siege.with_schema(&bomb), siege.put("deep", bomb.clone())] {
            let problem = siege
                .refused(
                    &format!("{what} in the schema"),
                    32,
                    request,
                    422,
                    "invalid_schema",
                )
                .await;
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("levels deep") || detail.contains("longer than"),
                "{detail}"
            );
        }
    }
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn bodies_with_a_million_keys_are_rejected() {
    let siege = Siege::begin().await;
    let keys = million_keys("1");
    let problem = siege
        .refused(
            "as a body",
            64,
            siege.single(keys.clone()),
            422,
            "invalid_request",
        )
        .await;
    check_pointer(&problem, "/k0");
    let with = |field: &str, value: &str| {
        format!(
            "{{\"input\": \"Ada\", \"schema\": {{\"type\": \"object\"}}, \"{field}\": {value}}}"
        )
    };
    siege
        .refused(
            "as an unknown field",
            64,
            siege.single(with("x", &keys)),
            422,
            "invalid_request",
        )
        .await;
    for request in [siege.with_schema(&keys), siege.put("wide", keys.clone())] {
        siege
            .refused("as a schema", 64, request, 422, "invalid_schema")
            .await;
    }
    let properties = format!("{{\"properties\": {}}}", million_keys("{}"));
    siege
        .refused(
            "as properties",
            64,
            siege.with_schema(&properties),
            422,
            "invalid_schema",
        )
        .await;
    // A value takes 80 bytes of memory, its name 40 more.
    let examples = with(
        "examples",
        &format!("[{{\"input\": \"a\", \"output\": {keys}}}]"),
    );
    let problem = siege
        .refused(
            "as an example's output",
            400,
            siege.single(examples),
            422,
            "invalid_request",
        )
        .await;
    check_pointer(&problem, "/examples/0");
    let problem = siege
        .refused(
            "as metadata",
            400,
            siege.single(with("metadata", &keys)),
            422,
            "invalid_request",
        )
        .await;
    check_pointer(&problem, "/metadata/k0");
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn long_names_and_values_are_shortened_in_problems() {
    let siege = Siege::begin().await;
    let long = "é".repeat(8 * MIB);
    let schema = fixture::schema();
    let with = |field: &str, value: &str| {
        format!("{{\"input\": \"Ada\", \"schema\": {schema}, \"{field}\": {value}}}")
    };
    for (what, body) in [
        ("an unknown field", with(&long, "1")),
        ("a mode", with("mode", &format!("\"{long}\""))),
        ("a number", with("max_attempts", &format!("\"{long}\""))),
        (
            "a key of metadata",
            with("metadata", &format!("{{\"{long}\": 1}}")),
        ),
        (
            "a part's type",
            with("metadata", "1").replace(
                "\"Ada\"",
                &format!("[{{\"type\": \"{long}\", \"text\": \"\"}}]"),
            ),
        ),
        (
            "an id",
            format!(
                "{{\"inputs\": [{{\"id\": \"{long}\", \"input\": \"a\"}}], \"schema\": {schema}}}"
            ),
        ),
    ] {
        let path = if what == "an id" { BATCH } else { EXTRACT };
        siege
            .refused(
                what,
                160,
                siege.post(path, JSON, body),
                422,
                "invalid_request",
            )
            .await;
    }
    let schema = json!({"type": "object", "properties": {"k".repeat(500_000): {"type": "strin"}}});
    let problem = siege
        .refused(
            "a name in a schema",
            32,
            siege.with_schema(&schema.to_string()),
            422,
            "invalid_schema",
        )
        .await;
    check_pointer(&problem, "/schema/properties");
}

#[tokio::test]
async fn compressed_bodies_are_rejected() {
    let siege = Siege::begin().await;
    // A gzip of `{}`, and one that would unpack to much: it is not looked into.
    let packed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00"
            .to_vec();
    for encoding in [
        "gzip",
        "GZIP",
        "deflate",
        "br",
        "zstd",
        "gzip, identity",
        "x-unheard-of",
    ] {
        for request in [
            siege.single(packed.clone()),
            siege.post(BATCH, JSON, packed.clone()),
            siege.post(
                &format!("{BATCH}?{}", schema_query()),
                NDJSON,
                packed.clone(),
            ),
            siege.put("packed", packed.clone()),
        ] {
            let request = request.header("content-encoding", encoding);
            let problem = siege
                .refused(encoding, 32, request, 415, "unsupported_media_type")
                .await;
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("content encoding")
                    && detail.contains("send the body uncompressed"),
                "{detail}"
            );
        }
    }
    let plain = siege
        .single(fixture::single(fixture::person(1)).to_string())
        .header("content-encoding", "identity");
    assert_eq!(
        siege.attack("identity", 32, plain.answer()).await.ok()["data"],
        fixture::found(1)
    );
    siege
        .refused(
            "packed, and not said to be",
            32,
            siege.single(packed),
            400,
            "invalid_json",
        )
        .await;
    assert_eq!(siege.calls(), 1);
}

#[tokio::test]
async fn a_client_that_disconnects_within_a_body_leaves_nothing_behind() {
    let siege = Siege::begin().await;
    let head = format!(
        "POST {EXTRACT} HTTP/1.1\r\nhost: {}\r\ncontent-type: {JSON}\r\ncontent-length: 60000000\r\n\r\n",
        siege.server.address()
    );
    let before = siege.server.resident_bytes();
    for _ in 0..8 {
        let mut bytes = head.clone().into_bytes();
        bytes.resize(bytes.len() + 20 * MIB, b' ');
        let answer = siege
            .attack(
                "20 of 60 MB",
                96,
                siege
                    .server
                    .raw(&bytes, std::time::Duration::from_millis(200)),
            )
            .await;
        assert_eq!(answer, "", "nothing is answered to half a request");
    }
    let grown = siege.server.resident_bytes().saturating_sub(before);
    assert!(
        grown < 160 << 20,
        "eight times as much as once: {grown} bytes"
    );
}
