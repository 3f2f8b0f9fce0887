//! Errors in OpenAI's shape.

use http::Method;

use super::*;

/// The error of a response with this status.
#[track_caller]
fn error(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    let error = body["error"].clone();
    for name in ["message", "type", "param", "code"] {
        assert!(error.get(name).is_some(), "{name}: {body}");
    }
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    error
}

#[tokio::test]
async fn what_is_not_supported_is_named() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let image = json!([{"type": "image_url", "image_url": {"url": "data:,"}}]);
    let image = json!({"messages": [{"role": "user", "content": image}]});
    let unsupported = json!({"type": "json_schema", "json_schema": {"schema": {"type": "text"}}});
    for (has_schema, fields, param) in [
        (false, json!({"n": 2}), Some("n")),
        (true, json!({"n": 0}), Some("n")),
        (
            false,
            json!({"modalities": ["text", "audio"]}),
            Some("modalities"),
        ),
        (false, json!({"audio": {"voice": "alloy"}}), Some("audio")),
        (false, json!({"messages": []}), Some("messages")),
        (false, json!({"messages": "Hi"}), Some("messages")),
        (false, json!({"messages": null}), Some("messages")),
        (false, json!({"temperature": "hot"}), Some("temperature")),
        (
            false,
            json!({"tools": [tool("A"), {"type": "function", "function": {}}]}),
            Some("tools[1]"),
        ),
        (false, json!({"stream": "yes"}), Some("stream")),
        (false, json!({"model": 4}), Some("model")),
        (
            false,
            json!({"response_format": {"type": "xml"}}),
            Some("response_format.type"),
        ),
        (
            false,
            json!({"response_format": unsupported}),
            Some("response_format.json_schema.schema.type"),
        ),
        (true, json!({"logprobs": true}), Some("logprobs")),
        (true, json!({"top_logprobs": 3}), Some("top_logprobs")),
        (true, json!({"stop": ["a"]}), Some("stop")),
        (true, image, Some("messages[0].content[0]")),
        (true, json!({"temperature": 2.5}), Some("temperature")),
        (
            true,
            json!({"max_tokens": 0}),
            Some("max_completion_tokens"),
        ),
        (
            true,
            json!({"extractd": {"max_attempts": 99}}),
            Some("extractd.max_attempts"),
        ),
        (
            true,
            json!({"extractd": {"ruels": []}}),
            Some("extractd.ruels"),
        ),
        (
            true,
            json!({"extractd": {"temperature": 1}}),
            Some("extractd.temperature"),
        ),
        (
            false,
            json!({"extractd": {"rules": []}}),
            Some("extractd.rules"),
        ),
        (true, json!({"extractd": 3}), Some("extractd")),
    ] {
        let body = if has_schema {
            asking_for("Ada", &schema())
        } else {
            chat("Ada")
        };
        let answer = server.post(PATH, &with(body, fields.clone())).await;
        let error = error(&answer, 400);
        assert_eq!(error["param"].as_str(), param, "{fields}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{fields}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_body_or_path_that_cannot_be_read_is_an_error_of_openais_shape() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .config("[server]\nmax_body_bytes = 1024\n")
        .start()
        .await;
    let send = |method, path: &str, kind: &str, body: String| {
        let request = server.request(method, path);
        request.header("content-type", kind).bytes(body).answer()
    };
    let json = "application/json";
    for (answer, status, code) in [
        (
            send(Method::POST, PATH, json, "{".to_owned()).await,
            400,
            "invalid_json",
        ),
        (
            send(Method::POST, PATH, json, "[]".to_owned()).await,
            400,
            "invalid_request",
        ),
        (
            send(Method::POST, PATH, "text/plain", "{}".to_owned()).await,
            415,
            "unsupported_media_type",
        ),
        (
            send(Method::POST, PATH, json, " ".repeat(2000)).await,
            413,
            "payload_too_large",
        ),
        (
            send(Method::GET, PATH, json, String::new()).await,
            405,
            "method_not_allowed",
        ),
        (
            send(Method::POST, "/v1/embeddings", json, "{}".to_owned()).await,
            404,
            "unknown_url",
        ),
        (
            send(Method::POST, "/chat/completions", json, "{}".to_owned()).await,
            404,
            "unknown_url",
        ),
    ] {
        let error = error(&answer, status);
        assert_eq!(error["code"], code);
        assert_eq!(error["type"], "invalid_request_error");
        if code == "unknown_url" {
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("POST /v1/chat/completions"), "{message}");
        }
        assert!(answer.header("content-type").starts_with(json));
    }
    let unknown = server.get("/v1/models/none").await;
    unknown.problem(404, "not_found");
    assert_eq!(error(&unknown, 404)["code"], "unknown_url");
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let server = Server::configured(
        "model = \"m\"\n[providers.p]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n[models.m]\nprovider = \"p\"\nmodel = \"x\"\n",
    );
    let server = server.start().await;
    let long = with(
        chat("Hi"),
        json!({"model": "p/".to_owned() + &"x".repeat(300)}),
    );
    assert_eq!(
        error(&server.post(PATH, &long).await, 400)["param"],
        "model"
    );
    let upstream = Upstream::start(|_| {
        let body =
            json!({"error": {"message": "The model does not exist", "code": "model_not_found"}});
        Reply::Status(404, vec![], body.to_string())
    });
    let server = Server::with(&upstream).await;
    let error = error(&server.post(PATH, &chat("Hi")).await, 404);
    assert_eq!(error["code"], "model_not_found");
}

#[tokio::test]
async fn keys_quotas_and_overload_have_their_status() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let config =
        "[callers.a]\nkey = \"key-a\"\n[callers.b]\nkey = \"key-b\"\nbudget_usd_per_day = 1.0\n";
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .env("EXTRACTD_MAX_QUEUE", 1)
        .config(config)
        .start()
        .await;
    let nobody = server.post(PATH, &chat("Hi")).await;
    let unauthorized = error(&nobody, 401);
    assert_eq!(unauthorized["code"], "invalid_api_key");
    assert_eq!(unauthorized["type"], "authentication_error");
    let models = server.get("/v1/models").await;
    models.problem(401, "unauthorized");
    assert_eq!(error(&models, 401)["code"], "invalid_api_key");
    let poor = server.with_key("key-b").post(PATH, &chat("Hi")).await;
    let forbidden = error(&poor, 403);
    assert_eq!(forbidden["type"], "permission_error");

    let a = server.with_key("key-a");
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..10 {
        let text = number.to_string();
        let client = a.clone();
        requests.spawn(async move { client.post(PATH, &chat(&text)).await });
    }
    // Those that wait for the gate end last.
    let first = within(LIMIT, "a rejection", requests.join_next()).await;
    let refused = first.unwrap().unwrap();
    gate.open();
    let status = refused.status.as_u16();
    assert!(matches!(status, 429 | 503), "{status}");
    let error = error(&refused, status);
    assert!(error["retry_after_ms"].is_u64(), "{error}");
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn failures_of_the_provider_have_their_status() {
    for (reply, status, code, retries) in [
        (
            Reply::error(400, "context too odd"),
            400,
            "upstream_error",
            true,
        ),
        (
            Reply::error(401, "bad key"),
            502,
            "upstream_unauthorized",
            false,
        ),
    ] {
        let upstream = Upstream::saying([reply]);
        let server = Server::with(&upstream).await;
        let answer = server.post(PATH, &chat("Hi")).await;
        assert_eq!(error(&answer, status)["code"], code);
        let should_retry = answer.header("x-should-retry");
        assert_eq!(should_retry.is_empty(), retries);
    }
    let upstream = Upstream::start(|_| Reply::Json(wrong()));
    let server = Server::with(&upstream).await;
    let answer = server.post(PATH, &asking_for("Ada", &schema())).await;
    let error = error(&answer, 502);
    assert_eq!(error["code"], "extraction_failed");
    assert_eq!(error["attempts"], 3);
    assert_eq!(error["errors"][0]["pointer"], "/age");
    assert_eq!(error["param"], Value::Null);
    assert!(error["usage"]["total_tokens"].is_u64(), "{error}");
    assert_eq!(answer.header("x-should-retry"), "false");
}
