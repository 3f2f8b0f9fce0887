//! Wrong requests.

use http::Method;
use serde_json::{Value, json};

use super::{Said, check, check_words};
use crate::support::client::Client;
use crate::support::fixture::{self, Nobody, schema_query, with};
use crate::support::server::Server;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Starts a server whose provider cannot be reached, with a registered schema.
async fn server() -> (Server, Nobody) {
    let nobody = Nobody::new();
    let server = Server::asking_at(&nobody.url()).start().await;
    let put = server.request(Method::PUT, "/v1/schemas/person");
    let put = put.json(&fixture::schema()).answer().await;
    assert_eq!(put.status, 201);
    (server, nobody)
}

/// Returns the message of the answer to a wrong request: of the problem, OpenAI's error, or the first failed item. `None`: it was
/// accepted.
async fn message(
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
    let body: Value = serde_json::from_str(&answer.text()).ok()?;
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

async fn post(client: &Client, path: &str, body: &str) -> Option<String> {
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
        (JSON, &utf_16, &["not JSON"]),
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

#[tokio::test]
async fn names_that_are_nearly_right() {
    let (server, _nobody) = server().await;
    let single = fixture::single("Ada");
    let with_model = |model: &str| with(single.clone(), json!({"model": model})).to_string();
    let inputs = json!({"inputs": ["a"], "schema": "person"}).to_string();
    let texts = json!({"text": "a", "schema": "person"}).to_string();
    let posts: [(&str, String, &[&str]); 16] = [
        ("/v1/extract", inputs, &["/v1/extract/batch"]),
        ("/v1/extract", texts.clone(), &["did you mean `input`?"]),
        ("/v1/extract/batch", texts, &["`inputs`", "/v1/extract"]),
        (
            "/v1/extract/batch",
            single.to_string(),
            &["send one as `input` to /v1/extract"],
        ),
        (
            "/v1/extract",
            json!({"inptu": "a"}).to_string(),
            &["did you mean `input`?"],
        ),
        (
            "/v1/extract",
            json!({"sheme": {}}).to_string(),
            &["did you mean `schema`?"],
        ),
        (
            "/v1/extract",
            json!({"maxAttempts": 3}).to_string(),
            &["did you mean `max_attempts`?"],
        ),
        (
            "/v1/extract",
            json!({"max_tokens": 3}).to_string(),
            &["did you mean `max_output_tokens`?"],
        ),
        (
            "/v1/extract",
            json!({"messages": []}).to_string(),
            &["/v1/chat/completions"],
        ),
        (
            "/v1/extract",
            json!({"response_model": {}}).to_string(),
            &["did you mean `schema`?"],
        ),
        (
            "/v1/jobs",
            json!({"stream": true}).to_string(),
            &["/v1/jobs/{id}/events"],
        ),
        (
            "/v1/extract",
            json!({"mode": "json"}).to_string(),
            &["`json_object`"],
        ),
        (
            "/v1/extract",
            with_model("opnai/test-model"),
            &["did you mean \"openai/test-model\"?"],
        ),
        (
            "/v1/extract",
            with_model("test-model"),
            &["did you mean \"openai/test-model\"?"],
        ),
        (
            "/v1/extract",
            json!({"input": "a", "schema": "persn"}).to_string(),
            &["did you mean `person`?"],
        ),
        (
            "/v1/extract",
            json!({"input": "a", "schema": {"type": "objct"}}).to_string(),
            &["did you mean \"object\"?"],
        ),
    ];
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for (path, body, expected) in posts {
        let wrong = format!("POST {path} {body}");
        let message = post(&server, path, &body).await;
        let message = message.unwrap_or_else(|| panic!("{wrong} was accepted"));
        words.push((wrong.clone(), message.clone(), expected));
        all.push(Said {
            topic: "Names that are nearly right",
            wrong,
            message,
        });
    }
    check(&all, 16);
    check_words(&words);
}

#[tokio::test]
async fn paths_that_are_nearly_right() {
    let (server, _nobody) = server().await;
    let requests: [(Method, &str, &[&str]); 24] = [
        (Method::POST, "/v1/extract/", &["did you mean /v1/extract?"]),
        (Method::POST, "/extract", &["did you mean /v1/extract?"]),
        (
            Method::POST,
            "/v1/batch",
            &["did you mean /v1/extract/batch?"],
        ),
        (
            Method::POST,
            "/api/v1/extract",
            &["did you mean /v1/extract?"],
        ),
        (Method::POST, "/v2/extract", &["did you mean /v1/extract?"]),
        (Method::POST, "/v1/extrakt", &["did you mean /v1/extract?"]),
        (Method::GET, "/jobs", &["did you mean /v1/jobs?"]),
        (
            Method::GET,
            "/v1/job/job_1",
            &["did you mean /v1/jobs/job_1?"],
        ),
        (
            Method::GET,
            "/v1/jobs/job_1/result",
            &["did you mean /v1/jobs/job_1/results?"],
        ),
        (
            Method::GET,
            "/schemas/person",
            &["did you mean /v1/schemas/person?"],
        ),
        (Method::GET, "/health", &["did you mean /healthz?"]),
        (Method::GET, "/swagger", &["did you mean /docs?"]),
        (Method::GET, "/nothing/like/it", &["see /docs"]),
        (
            Method::GET,
            "/v1/extract",
            &["GET is not supported for this path; use POST"],
        ),
        (
            Method::PUT,
            "/v1/jobs",
            &["PUT is not supported for this path; use ", "POST", "GET"],
        ),
        (Method::GET, "/v1/jobs/job_1", &["job_1"]),
        (
            Method::GET,
            "/v1/schemas/persn",
            &["did you mean `person`?"],
        ),
        (Method::GET, "/v1/models/nothing", &["nothing"]),
        (Method::GET, "/v1/jobs?limt=3", &["did you mean `limit`?"]),
        (Method::GET, "/v1/jobs?limit=many", &["from 1 to 1000"]),
        (Method::GET, "/v1/jobs?status=done", &["`completed`"]),
        (
            Method::GET,
            "/v1/limits?limit=1",
            &["takes no query parameters"],
        ),
        (Method::GET, "/v1/jobs?after=x", &["`next`"]),
        (
            Method::POST,
            "/v1/extract/batch?schema=person&temperature=hot",
            &["/temperature: expected a number from 0 to 2"],
        ),
    ];
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for (method, path, expected) in requests {
        let wrong = format!("{method} {path}");
        let content_type = if method == Method::POST { NDJSON } else { "" };
        let message = message(&server, method, path, content_type, b"").await;
        let message = message.unwrap_or_else(|| panic!("{wrong} was accepted"));
        words.push((wrong.clone(), message.clone(), expected));
        all.push(Said {
            topic: "Paths and parameters",
            wrong,
            message,
        });
    }
    check(&all, 20);
    check_words(&words);
}

#[tokio::test]
async fn an_unreachable_provider_is_named_with_its_address() {
    let (server, nobody) = server().await;
    let body = with(
        fixture::single("Ada"),
        json!({"max_attempts": 1, "timeout_ms": 5000}),
    );
    let said = post(&server, "/v1/extract", &body.to_string())
        .await
        .unwrap();
    let address = nobody.url();
    let address = address.trim_end_matches("/v1");
    assert!(said.contains("openai") && said.contains(address), "{said}");
    check(
        &[Said {
            topic: "Providers",
            wrong: "POST /v1/extract while the provider is down".to_owned(),
            message: said,
        }],
        1,
    );
}

#[tokio::test]
async fn wrong_schemas_to_register() {
    let (server, _nobody) = server().await;
    let mut all = Vec::new();
    for body in [
        "",
        "[]",
        "3",
        "{",
        "{\"type\": \"strin\"}",
        "{\"typ\": \"object\"}",
        "{\"name\": \"string\"}",
        "{\"enum\": {}}",
        "{\"required\": 3}",
    ] {
        let said = message(&server, Method::PUT, "/v1/schemas/a", JSON, body.as_bytes()).await;
        all.push(Said {
            topic: "Schemas to register",
            wrong: format!("PUT /v1/schemas/a {body}"),
            message: said.unwrap_or_else(|| panic!("{body} was accepted")),
        });
    }
    let name = message(
        &server,
        Method::PUT,
        "/v1/schemas/A%20b",
        JSON,
        b"{\"type\": \"object\"}",
    )
    .await;
    all.push(Said {
        topic: "Schemas to register",
        wrong: "PUT /v1/schemas/A%20b".to_owned(),
        message: name.unwrap(),
    });
    check(&all, 10);
}

#[tokio::test]
async fn wrong_chat_completions() {
    let (server, _nobody) = server().await;
    let message = "\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]";
    let mut all = Vec::new();
    for more in [
        "\"temperature\": \"hot\"",
        "\"n\": 2",
        "\"response_format\": 3",
        "\"response_format\": {\"type\": \"x\"}",
        "\"response_format\": {\"type\": \"json_schema\"}",
        "\"tools\": 3",
        "\"max_tokens\": \"x\"",
        "\"stream\": \"x\"",
        "\"model\": 3",
        "\"seed\": \"x\"",
        "\"stop\": 3",
    ] {
        let body = format!("{{{message}, {more}}}");
        if let Some(message) = post(&server, "/v1/chat/completions", &body).await {
            all.push(Said {
                topic: "Chat completions",
                wrong: more.to_owned(),
                message,
            });
        }
    }
    for body in [
        "",
        "[]",
        "{}",
        "{\"messages\": \"a\"}",
        "{\"messages\": [{\"role\": \"user\", \"content\": 3}]}",
    ] {
        for path in ["/v1/chat/completions", "/v1/responses"] {
            all.push(Said {
                topic: "Chat completions",
                wrong: format!("POST {path} {body}"),
                message: post(&server, path, body).await.unwrap(),
            });
        }
    }
    check(&all, 15);
}
