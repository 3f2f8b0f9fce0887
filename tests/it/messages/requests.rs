//! Wrong requests.

use http::Method;
use serde_json::{Value, json};

use super::{Said, check, check_words};
use crate::support::client::Client;
use crate::support::fixture::{self, Nobody, schema_query, with};
use crate::support::server::Server;

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

/// Starts a server whose provider cannot be reached, with a registered schema.
pub async fn server() -> (Server, Nobody) {
    let nobody = Nobody::new();
    let server = Server::asking_at(&nobody.url()).start().await;
    let put = server.request(Method::PUT, "/v1/schemas/person");
    let put = put.json(&fixture::schema()).answer().await;
    assert_eq!(put.status, 201);
    (server, nobody)
}

/// Returns the message of the answer to a wrong request: of the problem, OpenAI's error, or the first failed item. `None`: it was
/// accepted.
pub async fn message(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> Option<String> {
    let mut request = client.request(method, path).bytes(body.to_vec());
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let answer = request.answer().await;
    let body: Value = serde_json::from_str(answer.text()).ok()?;
    let item = &body["results"][0]["error"];
    let item = if item["code"] == "invalid_json" || item["code"] == "invalid_request" {
        item
    } else {
        &Value::Null
    };
    let messages = [&body["detail"], &body["error"]["message"], &item["detail"]];
    let message = messages.into_iter().find_map(Value::as_str);
    message.map(str::to_owned)
}

pub async fn post(client: &Client, path: &str, body: &str) -> Option<String> {
    message(client, Method::POST, path, JSON, body.as_bytes()).await
}

/// Values that are of the wrong type for most fields.
const VALUES: [&str; 12] = [
    "\"a\"",
    "3",
    "-1",
    "0.5",
    "1e30",
    "true",
    "[]",
    "[3]",
    "[\"a\"]",
    "{}",
    "{\"a\": 3}",
    "null",
];

/// Returns a body with one field replaced by a value.
fn body_with(body: &Value, field: &str, value: &str) -> String {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(field);
    let text = body.to_string();
    format!("{},\"{field}\":{value}}}", text.strip_suffix('}').unwrap())
}

#[tokio::test]
async fn values_of_the_wrong_type() {
    let (server, _nobody) = server().await;
    let single = with(fixture::single("Ada"), json!({"dry_run": true}));
    let document = server.get("/openapi.json").await.ok();
    let fields = |path: &str| {
        let schema = &document["paths"][path]["post"]["requestBody"]["content"][JSON]["schema"];
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let properties = document["components"]["schemas"][name]["properties"].as_object();
        properties.unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    let bodies = [
        ("/v1/extract", single),
        ("/v1/extract/batch", fixture::batch(0)),
        ("/v1/jobs", fixture::batch(0)),
    ];
    for (path, body) in bodies {
        for field in fields(path) {
            for value in VALUES {
                // It would be an extraction.
                let is_valid = (field == "dry_run" && value == "null")
                    || (field == "inputs" && value == "[\"a\"]");
                if is_valid {
                    continue;
                }
                let body = body_with(&body, &field, value);
                if let Some(message) = post(&server, path, &body).await {
                    assert!(
                        message.starts_with(&format!("/{field}")),
                        "{body}: {message}"
                    );
                    let wrong = format!("POST {path} \"{field}\": {value}");
                    all.push(Said {
                        topic: "Values of the wrong type",
                        wrong,
                        message,
                    });
                }
            }
        }
    }
    check(&all, 350);
}

#[tokio::test]
async fn nested_values_of_the_wrong_type() {
    let (server, _nobody) = server().await;
    let mut all = Vec::new();
    for (field, value) in [
        ("examples", "[{}]"),
        ("examples", "[{\"input\": 3, \"output\": 3}]"),
        (
            "examples",
            "[{\"input\": \"a\", \"output\": {\"name\": 3}}]",
        ),
        ("examples", "[{\"input\": \"a\", \"outptu\": {}}]"),
        ("rules", "[{\"expression\": 3, \"message\": \"a\"}]"),
        (
            "rules",
            "[{\"expression\": \"data.age <\", \"message\": \"a\"}]",
        ),
        ("rules", "[{\"expression\": \"true\"}]"),
        ("fallback_on", "[\"unavailble\"]"),
        ("metadata", "{\"a\": {}}"),
        ("extra_body", "{\"messages\": []}"),
        ("input", "[{\"type\": \"image\", \"text\": \"a\"}]"),
        ("input", "[{\"type\": 3, \"text\": \"a\"}]"),
        ("input", "[{\"text\": \"a\"}]"),
        ("schema", "{\"type\": \"strin\"}"),
        ("schema", "{\"type\": 3}"),
        ("schema", "{\"type\": \"object\", \"properties\": []}"),
        ("schema", "{\"type\": \"object\", \"required\": \"a\"}"),
        ("schema", "{\"enum\": {}}"),
        ("schema", "{\"minimum\": \"3\"}"),
        ("schema", "{\"pattern\": \"(\"}"),
        ("schema", "{\"$ref\": \"#/nowhere\"}"),
        ("schema", "{\"name\": \"string\"}"),
    ] {
        let body = body_with(&fixture::single("Ada"), field, value);
        let message = post(&server, "/v1/extract", &body).await;
        let message = message.unwrap_or_else(|| panic!("{body} was accepted"));
        all.push(Said {
            topic: "Nested values",
            wrong: format!("\"{field}\": {value}"),
            message,
        });
    }
    for (path, field, value) in [
        ("/v1/extract/batch", "inputs", "[{\"inptu\": \"a\"}]"),
        (
            "/v1/extract/batch",
            "inputs",
            "[{\"id\": 3, \"input\": \"a\"}]",
        ),
        ("/v1/extract/batch", "inputs", "[{\"id\": \"a\"}]"),
        (
            "/v1/jobs",
            "webhook",
            "{\"url\": \"example.com\", \"secret\": \"a\"}",
        ),
        ("/v1/jobs", "webhook", "{\"url\": \"https://example.com\"}"),
        (
            "/v1/jobs",
            "webhook",
            "{\"url\": \"https://example.com\", \"secret\": \"hush\"}",
        ),
        (
            "/v1/jobs",
            "webhook",
            "{\"url\": \"http://localhost/\", \"secret\": \"whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCEh\"}",
        ),
    ] {
        let body = body_with(&fixture::batch(1), field, value);
        let message = post(&server, path, &body).await;
        let message = message.unwrap_or_else(|| panic!("{body} was accepted"));
        all.push(Said {
            topic: "Nested values",
            wrong: format!("\"{field}\": {value}"),
            message,
        });
    }
    check(&all, 25);
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let (server, _nobody) = server().await;
    let utf_16: Vec<u8> = "{\"input\": \"a\"}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: [(&str, &[u8], &[&str]); 22] = [
        (JSON, b"", &["the body is empty"]),
        (JSON, b" \n", &["the body is empty"]),
        (JSON, b"hello", &["a value is expected here", "`hello`"]),
        (JSON, b"{'input': 'a'}", &["in double quotes"]),
        (JSON, b"{\"input\": 'a'}", &["double quotes only"]),
        (JSON, b"{input: \"a\"}", &["in double quotes"]),
        (JSON, b"{\"input\": \"a\",}", &["a comma"]),
        (JSON, b"{\"input\": \"a\"", &["a `}` is missing"]),
        (JSON, b"{\"input\": [\"a\"", &["a `]` is missing"]),
        (JSON, b"{\"input\": \"a", &["a closing `\"` is missing"]),
        (JSON, b"{\"input\": None}", &["`null`, `true` and `false`"]),
        (JSON, b"{\"coerce\": True}", &["`null`, `true` and `false`"]),
        (JSON, b"{\"input\": \"a\nb\"}", &["a line break"]),
        (JSON, b"{\"input\": \"C:\\dir\"}", &["no such escape"]),
        (JSON, b"{\"input\": \"M\xfcller\"}", &["not UTF-8"]),
        (JSON, &utf_16, &["UTF-16"]),
        (JSON, b"[]", &["expected a JSON object, found an array"]),
        (
            JSON,
            b"\"a\"",
            &["expected a JSON object, found the string"],
        ),
        (
            JSON,
            b"\"a\"\n\"b\"",
            &["more text", "application/x-ndjson"],
        ),
        (JSON, b"{\"input\": \"a\"} // a comment", &["more text"]),
        (
            "",
            b"{}",
            &["`Content-Type` header is missing", "application/json"],
        ),
        (
            "application/x-www-form-urlencoded",
            b"{}",
            &[
                "not supported",
                "-H 'Content-Type: application/json'",
                "--data-binary",
            ],
        ),
    ];
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for (content_type, body, expected) in cases {
        let message = message(&server, Method::POST, "/v1/extract", content_type, body).await;
        let wrong = format!(
            "POST /v1/extract {content_type} {}",
            String::from_utf8_lossy(body)
        );
        let message = message.unwrap_or_else(|| panic!("{wrong} was accepted"));
        words.push((wrong.clone(), message.clone(), expected));
        all.push(Said {
            topic: "Bodies",
            wrong,
            message,
        });
    }
    check(&all, 20);
    check_words(&words);
}

#[tokio::test]
async fn ndjson_that_lost_its_line_breaks_is_answered_with_data_binary() {
    let (server, _nobody) = server().await;
    let query = schema_query();
    for path in ["/v1/extract/batch", "/v1/jobs"] {
        let path = format!("{path}?{query}");
        for body in [
            "{\"input\": \"a\"}{\"input\": \"b\"}",
            "{\"input\": \"a\"} {\"input\": \"b\"}",
            "\"a\"\"b\"",
        ] {
            let said = message(&server, Method::POST, &path, NDJSON, body.as_bytes()).await;
            let said = said.unwrap();
            assert!(
                said.starts_with("line 1 has more than one JSON value")
                    && said.contains("--data-binary instead of -d")
                    || said.contains("by --data-binary, because -d removes"),
                "{body}: {said}"
            );
        }
        for (body, expected) in [
            ("hello", "line 1 is not a valid input: "),
            ("{\"input\": ", "it ends where a value is expected"),
            ("3", "expected a string, an array of content parts"),
            ("{\"text\": \"a\"}", "unknown field `text`"),
            ("{\"input\": \"a\"}}", "more text"),
        ] {
            let said = message(&server, Method::POST, &path, NDJSON, body.as_bytes()).await;
            let said = said.unwrap();
            assert!(said.contains(expected), "{body}: {said}");
            assert!(!said.contains("--data-binary"), "{body}: {said}");
            assert_eq!(super::rust_words(&said), Vec::<String>::new(), "{said}");
        }
    }
}
