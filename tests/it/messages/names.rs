//! Names that are nearly right, paths that do not exist, and requests to other endpoints.

use http::Method;
use serde_json::json;

use super::requests::{JSON, NDJSON, message, post, server};
use super::{Said, check, check_words};
use crate::support::fixture::{self, with};

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
