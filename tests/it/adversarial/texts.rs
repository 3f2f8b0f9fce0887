//! Characters: what is not UTF-8, and what is and seldom occurs, in texts, names, paths, queries and headers.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{BATCH, EXTRACT, JSON, NDJSON, Siege};
use crate::support::client::check_pointer;
use crate::support::fixture::{self, person, schema, schema_query, single, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

const MIB: u64 = 32;

/// Bytes that are not UTF-8, each in a way of its own.
const BROKEN: [&[u8]; 7] = [
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\xe2\x82",
    b"\x80",
    b"\xf0\x9f\x98",
];

#[tokio::test]
async fn bodies_that_are_not_utf_8() {
    let siege = Siege::begin().await;
    for broken in BROKEN {
        let place =
            |before: &str, after: &str| [before.as_bytes(), broken, after.as_bytes()].concat();
        let schema = schema();
        for (what, body) in [
            (
                "the input",
                place("{\"input\": \"a", &format!("\", \"schema\": {schema}}}")),
            ),
            (
                "a field's name",
                place(
                    "{\"",
                    &format!("\": 1, \"input\": \"a\", \"schema\": {schema}}}"),
                ),
            ),
            (
                "the schema",
                place("{\"input\": \"a\", \"schema\": {\"title\": \"", "\"}}"),
            ),
            (
                "metadata",
                place(
                    &format!("{{\"input\": \"a\", \"schema\": {schema}, \"metadata\": {{\"a\": \""),
                    "\"}}",
                ),
            ),
            (
                "an output",
                place(
                    &format!(
                        "{{\"input\": \"a\", \"schema\": {schema}, \"examples\": [{{\"input\": \"a\", \"output\": \""
                    ),
                    "\"}]}",
                ),
            ),
            (
                "outside of all",
                place(&format!("{{\"input\": \"a\", \"schema\": {schema}}}"), ""),
            ),
        ] {
            let problem = siege
                .refused(
                    &format!("{broken:x?} in {what}"),
                    MIB,
                    siege.single(body),
                    400,
                    "invalid_json",
                )
                .await;
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .contains("is not UTF-8: byte"),
                "{problem}"
            );
        }
        siege
            .refused(
                "a registered schema",
                MIB,
                siege.put("a", place("{\"title\": \"", "\"}")),
                400,
                "invalid_json",
            )
            .await;
        siege
            .refused(
                "a batch",
                MIB,
                siege.post(BATCH, JSON, place("{\"inputs\": [\"", "\"]}")),
                400,
                "invalid_json",
            )
            .await;
    }
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn paths_and_queries_that_are_not_utf_8() {
    let siege = Siege::begin().await;
    for broken in ["%ff", "%c0%af", "%ed%a0%80", "%80", "a%ffb"] {
        let get = |path: String| siege.server.request(Method::GET, &path);
        siege
            .refused(
                "a path",
                MIB,
                get(format!("/v1/schemas/{broken}")),
                404,
                "not_found",
            )
            .await;
        siege
            .refused(
                "a path to nothing",
                MIB,
                get(format!("/v1/{broken}")),
                404,
                "not_found",
            )
            .await;
        siege
            .refused(
                "a path to be put",
                MIB,
                siege.put(broken, "{}"),
                404,
                "not_found",
            )
            .await;
        for (query, pointer) in [
            (
                format!("{}&instructions={broken}", schema_query()),
                "/instructions",
            ),
            (format!("schema={broken}"), "/schema"),
            (format!("{}&{broken}=1", schema_query()), ""),
            (
                format!("{}&metadata=%7B%22a%22:%22{broken}%22%7D", schema_query()),
                "/metadata",
            ),
        ] {
            let request = siege.post(&format!("{BATCH}?{query}"), NDJSON, "\"Ada\"\n");
            let problem = siege
                .refused(&query, MIB, request, 422, "invalid_request")
                .await;
            assert!(
                problem["detail"].as_str().unwrap().contains("not UTF-8"),
                "{problem}"
            );
            check_pointer(&problem, pointer);
        }
        siege
            .refused(
                "a query of a view",
                MIB,
                get(format!("/v1/schemas?after={broken}")),
                422,
                "invalid_request",
            )
            .await;
        siege
            .refused(
                "a query of none",
                MIB,
                get(format!("/v1/models?{broken}")),
                422,
                "invalid_request",
            )
            .await;
    }
    for bytes in [&b"\xff\xfe"[..], b"\xe2\x82\xac", b"\0", b"\x7f"] {
        let request = [
            b"GET /v1/schemas/",
            bytes,
            b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        ]
        .concat();
        let answer = siege
            .raw(&format!("raw bytes in a path: {bytes:x?}"), MIB, &request)
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 404"),
            "{answer}"
        );
    }
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn headers_that_are_not_utf_8() {
    let siege = Siege::begin().await;
    let body = single(person(1)).to_string();
    let ask = |name: &str, content_type: &str| {
        let head = format!(
            "POST {EXTRACT} HTTP/1.1\r\nhost: {}\r\n{content_type}content-length: {}\r\nconnection: close\r\n{name}: ",
            siege.server.address(),
            body.len()
        );
        [
            head.as_bytes(),
            b"caf\xe9 \xff\xfe\r\n\r\n",
            body.as_bytes(),
        ]
        .concat()
    };
    let typed = format!("content-type: {JSON}\r\n");
    for name in [
        "x-request-id",
        "accept",
        "traceparent",
        "user-agent",
        "x-anything",
        "authorization",
        "expect",
        "origin",
        "cookie",
    ] {
        let answer = siege.raw(name, MIB, &ask(name, &typed)).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{name} does not matter: {answer}"
        );
        assert!(answer.contains("x-request-id: req_"), "{answer}");
    }
    for (name, code) in [
        ("content-type", "unsupported_media_type"),
        ("content-encoding", "unsupported_media_type"),
    ] {
        let answer = siege
            .raw(
                name,
                MIB,
                &ask(name, if name == "content-type" { "" } else { &typed }),
            )
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 415") && answer.contains(code),
            "{answer}"
        );
    }
    let host = "POST /v1/extract HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\nhost: ";
    let answer = siege
        .raw(
            "host",
            MIB,
            &[host.as_bytes(), b"\xff\xfe\r\n\r\n"].concat(),
        )
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("\"forbidden\""),
        "{answer}"
    );
}

#[tokio::test]
async fn keys_that_are_not_utf_8() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a")
        .start()
        .await;
    for key in [
        &b"Bearer \xff\xfe"[..],
        b"Bearer key-a\xff",
        b"\xff",
        b"Bearer",
        b"Bearer ",
        b"Basic a2V5LWE=",
        b"Bearer key-a key-a",
    ] {
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: ",
            server.address()
        );
        let answer = server
            .raw(
                &[head.as_bytes(), key, b"\r\n\r\n"].concat(),
                Duration::from_secs(1),
            )
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("\"unauthorized\""),
            "{key:x?}: {answer}"
        );
    }
    server
        .with_header("authorization", "Bearer key-a")
        .get("/v1/models")
        .await
        .ok();
}

#[tokio::test]
async fn nul_and_other_odd_characters_pass_through() {
    let siege = Siege::begin().await;
    let odd = "\0 \u{1} \u{7f} \u{85} \u{feff} \u{200b} \u{202e} \u{2028} \u{e000} \u{ffff} \u{10ffff} e\u{301} 👩‍👩‍👧";
    let text = format!("{odd} {}", person(1));
    let more = json!({"metadata": {odd: odd}, "instructions": odd,
                      "examples": [{"input": odd, "output": {"name": odd, "age": 1, "occupation": odd}}]});
    let body = with(single(text.clone()), more);
    let reply = siege
        .attack(
            "odd characters",
            MIB,
            siege.single(body.to_string()).answer(),
        )
        .await
        .ok();
    assert_eq!(
        (&reply["data"], &reply["metadata"]),
        (&fixture::found(1), &json!({odd: odd}))
    );
    let call = siege
        .upstream
        .log()
        .calls
        .into_iter()
        .find(|call| call.item() == Some(1))
        .unwrap();
    assert!(call.prompt().contains(&text), "{:?}", call.prompt());
    assert!(
        call.prompt().contains(&Value::from(odd).to_string()),
        "the example's output, as JSON: {:?}",
        call.prompt()
    );
}

#[tokio::test]
async fn nul_characters_in_names_are_handled() {
    let siege = Siege::begin().await;
    let body = |more: Value| with(single("Ada"), more).to_string();
    for (what, body, pointer) in [
        ("a field", body(json!({"\0": 1})), "/\0"),
        (
            "a field that begins like a known one",
            body(json!({"seed\0": 1})),
            "/seed\0",
        ),
        (
            "a schema's name",
            body(json!({"schema": "a\0b"})),
            "/schema",
        ),
        ("a model's name", body(json!({"model": "\0"})), "/model"),
        (
            "a provider's name",
            body(json!({"model": "open\0ai/test"})),
            "/model",
        ),
        ("a mode", body(json!({"mode": "te\0xt"})), "/mode"),
    ] {
        let problem = siege
            .refused(what, MIB, siege.single(body), 422, "invalid_request")
            .await;
        check_pointer(&problem, pointer);
    }
    siege
        .refused(
            "a name to be put",
            MIB,
            siege.put("a%00b", "{}"),
            422,
            "invalid_request",
        )
        .await;
    let request = |method, path: &str| siege.server.request(method, path);
    siege
        .refused(
            "a name to be got",
            MIB,
            request(Method::GET, "/v1/schemas/%00"),
            404,
            "not_found",
        )
        .await;
    siege
        .refused(
            "a name to be deleted",
            MIB,
            request(Method::DELETE, "/v1/schemas/a%00"),
            404,
            "not_found",
        )
        .await;
    siege
        .refused(
            "a name out of its folder",
            MIB,
            siege.put("..%2f..%2fevil", "{}"),
            422,
            "invalid_request",
        )
        .await;
    let query = format!("{BATCH}?{}&%00=1", schema_query());
    let problem = siege
        .refused(
            "a parameter",
            MIB,
            siege.post(&query, NDJSON, "\"Ada\"\n"),
            422,
            "invalid_request",
        )
        .await;
    check_pointer(&problem, "/\0");
    // A property may be called so.
    let schema =
        json!({"type": "object", "properties": {"a\0b": {"type": "string"}}, "required": ["a\0b"]});
    let body = json!({"input": person(1), "schema": schema, "mode": "json_schema"}).to_string();
    let reply = siege
        .attack("a property", MIB, siege.single(body).answer())
        .await
        .ok();
    assert!(reply["data"]["a\0b"].is_string(), "{reply}");
}

#[tokio::test]
async fn duplicate_keys_are_rejected() {
    let siege = Siege::begin().await;
    let schema = schema();
    let whole = |more: &str| format!("{{\"input\": \"a\", \"schema\": {schema}{more}}}");
    for (what, path, body, pointer) in [
        ("a field", EXTRACT, whole(", \"input\": \"b\""), "/input"),
        (
            "a field in other letters",
            EXTRACT,
            whole(", \"\\u0069nput\": \"b\""),
            "/input",
        ),
        ("a schema", EXTRACT, whole(", \"schema\": {}"), "/schema"),
        (
            "a field that is null",
            EXTRACT,
            whole(", \"seed\": null, \"seed\": 1"),
            "/seed",
        ),
        (
            "an item's field",
            BATCH,
            format!(
                "{{\"inputs\": [{{\"input\": \"a\", \"input\": \"b\"}}], \"schema\": {schema}}}"
            ),
            "/inputs/0",
        ),
        (
            "a part's field",
            EXTRACT,
            whole("").replace(
                "\"a\"",
                "[{\"type\": \"text\", \"text\": \"a\", \"text\": \"b\"}]",
            ),
            "/input/0",
        ),
        (
            "an example's field",
            EXTRACT,
            whole(", \"examples\": [{\"input\": \"a\", \"input\": \"b\", \"output\": 1}]"),
            "/examples/0",
        ),
    ] {
        let problem = siege
            .refused(
                what,
                MIB,
                siege.post(path, JSON, body),
                422,
                "invalid_request",
            )
            .await;
        assert!(
            problem["detail"].as_str().unwrap().contains("twice")
                || problem["detail"].as_str().unwrap().contains("duplicate")
        );
        check_pointer(&problem, pointer);
    }
    assert_eq!(siege.calls(), 0);
    // In what is the caller's own, the last one counts, as in most readers of JSON (RFC 8259, section 4).
    let twice = "{\"type\": \"string\", \"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}, \"a\": {\"type\": \"integer\"}}}";
    let body = format!(
        "{{\"input\": \"{}\", \"schema\": {twice}, \"metadata\": {{\"a\": \"1\", \"a\": \"2\"}}, \"mode\": \"tools\"}}",
        person(1)
    );
    let reply = siege
        .attack("a schema's keyword", MIB, siege.single(body).answer())
        .await
        .ok();
    assert!(reply["data"]["a"].is_i64(), "{reply}");
    assert_eq!(reply["metadata"], json!({"a": "2"}));
}
