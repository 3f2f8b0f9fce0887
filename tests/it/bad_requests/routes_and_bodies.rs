//! Paths, methods, media types, and bodies that are no JSON.

use super::*;

#[tokio::test]
async fn invalid_requests_are_rejected_before_the_handler() {
    let body = fixture::single("Ada").to_string();
    let upload = |query: &str| format!("{BATCH}?{query}");
    check(
        vec![
            Bad::new(
                "no such path",
                "/v1/extrakt",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new(
                "no such version",
                "/v2/extract",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new(
                "a path below",
                "/v1/extract/one",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new("GET of an action", EXTRACT, "", 405, "method_not_allowed")
                .method(Method::GET)
                .content_type(None),
            Bad::new(
                "PUT of an action",
                EXTRACT,
                body.clone(),
                405,
                "method_not_allowed",
            )
            .method(Method::PUT),
            Bad::new("DELETE of a batch", BATCH, "", 405, "method_not_allowed")
                .method(Method::DELETE)
                .content_type(None),
            Bad::new(
                "POST of a view",
                "/v1/limits",
                "{}",
                405,
                "method_not_allowed",
            ),
            Bad::new(
                "the method comes before the type",
                EXTRACT,
                body.clone(),
                405,
                "method_not_allowed",
            )
            .method(Method::PATCH)
            .content_type(Some("text/plain")),
            Bad::new(
                "no content type",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(None),
            Bad::new(
                "plain text",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "a form, as curl -d sends it",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("application/x-www-form-urlencoded")),
            Bad::new(
                "NDJSON to a single",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("application/x-ndjson")),
            Bad::new(
                "a type that is no type",
                BATCH,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("json")),
            Bad::new(
                "the type comes before the body",
                EXTRACT,
                "{",
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "an unknown query parameter",
                "/v1/extract?verbose=1",
                body.clone(),
                422,
                "invalid_request",
            )
            .at_pointer("/verbose"),
            Bad::new(
                "an unknown query parameter of a batch",
                "/v1/extract/batch?verbose=1",
                fixture::batch(1).to_string(),
                422,
                "invalid_request",
            )
            .at_pointer("/verbose"),
            Bad::new(
                "the spec in the query of a JSON batch",
                "/v1/extract/batch?concurrency=2",
                fixture::batch(1).to_string(),
                422,
                "invalid_request",
            )
            .at_pointer("/concurrency"),
            Bad::new(
                "an unknown query parameter of a view",
                "/v1/models?verbose=1",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at_pointer("/verbose"),
            Bad::new(
                "NDJSON without a schema",
                &upload("mode=text"),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at_pointer("/schema"),
            Bad::new(
                "NDJSON with a schema that is not JSON",
                &upload("schema=%7B"),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .or(422, "invalid_schema")
            .content_type(Some("application/x-ndjson"))
            .at_pointer("/schema"),
            Bad::new(
                "NDJSON with a schema that is none",
                &upload("schema=%7B%22type%22%3A%22objekt%22%7D"),
                "\"Ada\"\n",
                422,
                "invalid_schema",
            )
            .content_type(Some("application/x-ndjson"))
            .at_pointer("/schema/type"),
            Bad::new(
                "NDJSON with inputs in the query",
                &upload(&format!("{}&inputs=%5B%5D", schema_query())),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at_pointer("/inputs"),
            Bad::new(
                "NDJSON with a parameter twice",
                &upload(&format!("{}&seed=1&seed=2", schema_query())),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at_pointer("/seed"),
        ],
        23,
    )
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_json_are_rejected() {
    let invalid = |what, body: &[u8]| Bad::new(what, EXTRACT, body, 400, "invalid_json");
    let deep = format!("{{\"input\": {}", "[".repeat(200_000));
    check(
        vec![
            invalid("nothing", b""),
            invalid("white space", b" \n "),
            invalid("a word", b"hello"),
            invalid("cut off", b"{\"input\": \"Ada\", \"schema\": {").says(&["line 1", "column"]),
            invalid(
                "a missing comma on line 3",
                b"{\n  \"input\": \"Ada\"\n  \"schema\": {}\n}",
            )
            .says(&["line 3", "column 3"]),
            invalid("a trailing comma", b"{\"input\": \"Ada\",}").says(&["line 1", "column 17"]),
            invalid("single quotes", b"{'input': 'Ada'}"),
            invalid("a comment", b"{\"input\": \"Ada\" /* who */}"),
            invalid(
                "something after it",
                b"{\"input\": \"Ada\", \"schema\": {}} {}",
            ),
            invalid(
                "invalid UTF-8",
                b"{\"input\": \"\xff\xfe\", \"schema\": {}}",
            ),
            invalid(
                "a raw newline in a string",
                b"{\"input\": \"A\nda\", \"schema\": {}}",
            )
            .says(&["line 2"]),
            invalid(
                "NaN",
                b"{\"input\": \"Ada\", \"schema\": {}, \"temperature\": NaN}",
            ),
            invalid(
                "a number beyond all",
                b"{\"input\": \"Ada\", \"schema\": {}, \"temperature\": 1e999}",
            )
            .or(422, "invalid_request"),
            invalid("a depth bomb", deep.as_bytes()),
            Bad::new(
                "a batch cut off",
                BATCH,
                "{\"inputs\": [\"a\", ",
                400,
                "invalid_json",
            )
            .says(&["line 1"]),
        ],
        15,
    )
    .await;
}

#[tokio::test]
async fn a_405_lists_the_allowed_methods() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let answer = server.get(EXTRACT).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn a_body_with_too_large_a_content_length_is_rejected_unread() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 70000000\r\nconnection: close\r\n\r\n{{",
        server.address()
    );
    let answer = server.raw(head.as_bytes(), Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("payload_too_large"), "{answer}");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_body_without_a_content_length_is_rejected_at_the_limit() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        server.address()
    );
    let mut endless = head.into_bytes();
    for _ in 0..66 {
        endless.extend_from_slice(b"100000\r\n");
        endless.resize(endless.len() + 0x10_0000, b' ');
        endless.extend_from_slice(b"\r\n");
    }
    let answer = server.raw(&endless, Duration::from_secs(10)).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"),
        "{answer}"
    );
}

#[tokio::test]
async fn malformed_http_gets_a_4xx_or_a_closed_connection() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let long_header = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\nx-long: {}\r\n\r\n",
        server.address(),
        "a".repeat(2_000_000)
    );
    let many_headers = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\n{}\r\n",
        server.address(),
        "x: y\r\n".repeat(20_000)
    );
    for bytes in [
        "hello\r\n\r\n",
        "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        &long_header,
        &many_headers,
    ] {
        let answer = server.raw(bytes.as_bytes(), Duration::from_secs(5)).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(server.get("/healthz").await.status, 200, "it still answers");
}
