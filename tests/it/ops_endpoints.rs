//! The server itself: its views, headers and guards (contract, section 5).

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::fixture::{self, single};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

async fn running() -> (Upstream, Server) {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    (upstream, server)
}

#[tokio::test]
async fn healthz_and_readyz_answer() {
    let (_upstream, server) = running().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn version_is_the_version_of_the_crate() {
    let (_upstream, server) = running().await;
    let version = server.get("/version").await;
    assert_eq!(
        version.ok()["version"],
        env!("CARGO_PKG_VERSION"),
        "{}",
        version.text()
    );
}

#[tokio::test]
async fn the_models_have_openais_list_shape() {
    let (_upstream, server) = running().await;
    let models = server.get("/v1/models").await.ok();
    assert_eq!(models["object"], "list");
    let model = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["default"] == true)
        .expect("one is the default");
    assert_eq!(
        (&model["id"], &model["object"], &model["provider"]),
        (
            &json!("openai/test-model"),
            &json!("model"),
            &json!("openai")
        )
    );
    assert!(
        model["created"].is_u64() && model["owned_by"].is_string(),
        "{model}"
    );
    let modes: Vec<_> = model["modes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for mode in ["json_schema", "tools", "json_object", "text"] {
        assert!(modes.contains(&mode), "{modes:?}");
    }
}

#[tokio::test]
async fn limits_show_usage_and_queues() {
    let gate = crate::upstream::Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 3)
        .start()
        .await;
    let batch = server
        .open("/v1/extract/batch", "*/*", &fixture::batch(20))
        .await
        .expect(200);
    upstream
        .wait_for("three in flight", crate::support::client::LIMIT, |log| {
            log.in_flight == 3
        })
        .await;
    let answer = server.get("/v1/limits").await.ok();
    for row in answer["limits"].as_array().unwrap() {
        let fields: Vec<_> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            fields,
            [
                "name",
                "kind",
                "scope",
                "limit",
                "in_use",
                "available",
                "waiting"
            ],
            "{row}"
        );
        assert!(
            [
                "concurrency",
                "requests_per_minute",
                "tokens_per_minute",
                "queue",
                "memory_bytes"
            ]
            .contains(&row["kind"].as_str().unwrap()),
            "{row}"
        );
    }
    let concurrency = server.limit("concurrency").await.unwrap();
    assert_eq!(
        (
            &concurrency["limit"],
            &concurrency["in_use"],
            &concurrency["available"]
        ),
        (&json!(3), &json!(3), &json!(0))
    );
    assert!(
        concurrency["waiting"].as_u64().unwrap() >= 1,
        "{concurrency}"
    );
    let queue = server.limit("queue").await.expect("a row for the queue");
    assert_eq!(queue["limit"], 100_000, "{queue}");
    gate.open();
    batch.whole().await.ok();
    server.wait_until_idle(crate::support::client::LIMIT).await;
}

#[tokio::test]
async fn the_metrics_are_prometheus_text() {
    let (_upstream, server) = running().await;
    server.extract(&single(fixture::person(1))).await.ok();
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.header("content-type").starts_with("text/plain"),
        "{:?}",
        metrics.headers
    );
    let samples: Vec<_> = metrics
        .text()
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert!(samples.len() >= 3, "{}", metrics.text());
    for sample in samples {
        let (name, value) = sample
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("a sample: {sample}"));
        assert!(
            name.starts_with("extractd_") || name.starts_with("process_"),
            "{sample}"
        );
        assert!(value.parse::<f64>().is_ok(), "{sample}");
    }
    for (name, kind) in [
        ("extractd_items_total", "counter"),
        ("extractd_upstream_calls_total", "counter"),
        ("extractd_model_cost_usd_total", "counter"),
        ("extractd_item_upstream_seconds", "histogram"),
        ("extractd_retry_budget_limit", "gauge"),
    ] {
        let declaration = format!("# TYPE {name} {kind}");
        assert!(
            metrics.text().lines().any(|line| line == declaration),
            "{declaration} in:\n{}",
            metrics.text()
        );
    }
}

#[tokio::test]
async fn the_openapi_document_is_3_1_and_names_every_path() {
    let (_upstream, server) = running().await;
    let document = server.get("/openapi.json").await;
    assert!(
        document
            .header("content-type")
            .starts_with("application/json"),
        "{:?}",
        document.headers
    );
    let document = document.ok();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let operations = [
        ("/v1/extract", "post"),
        ("/v1/extract/batch", "post"),
        ("/v1/schemas", "get"),
        ("/v1/schemas/{name}", "get"),
        ("/v1/schemas/{name}", "put"),
        ("/v1/schemas/{name}", "delete"),
        ("/v1/chat/completions", "post"),
        ("/v1/responses", "post"),
        ("/v1/models", "get"),
        ("/v1/models/{model}", "get"),
        ("/v1/limits", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/version", "get"),
    ];
    for (path, method) in operations {
        let operation = &document["paths"][path][method];
        assert!(
            operation["responses"].is_object(),
            "{method} {path}: {operation}"
        );
    }
    check_references(&document, &document);
}

/// Fails the test when a local reference of the document leads nowhere.
fn check_references(document: &Value, part: &Value) {
    if let Some(target) = part.get("$ref").and_then(Value::as_str) {
        let pointer = target
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{target} leads outside"));
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    match part {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "example" && *name != "examples")
            .for_each(|(_, field)| check_references(document, field)),
        Value::Array(elements) => elements
            .iter()
            .for_each(|element| check_references(document, element)),
        _ => {}
    }
}

/// Returns every request body that the document shows as an example.
fn examples(document: &Value, path: &str) -> Vec<Value> {
    let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
    let many = content["examples"]
        .as_object()
        .into_iter()
        .flat_map(|examples| examples.values().map(|example| example["value"].clone()));
    many.chain(content.get("example").cloned()).collect()
}

#[tokio::test]
async fn each_example_of_the_openapi_document_is_answered() {
    let (_upstream, server) = running().await;
    let document = server.get("/openapi.json").await.ok();
    for path in [
        "/v1/extract",
        "/v1/extract/batch",
        "/v1/chat/completions",
        "/v1/responses",
    ] {
        let examples = examples(&document, path);
        assert!(!examples.is_empty(), "{path} has an example");
        for example in examples {
            let answer = server.post(path, &example).await;
            assert_eq!(answer.status, 200, "{path} {example}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn the_reference_works_offline() {
    let (_upstream, server) = running().await;
    let mut page = server.get("/docs").await;
    let mut path = "/docs".to_owned();
    if page.status.is_redirection() {
        path = page.header("location").to_owned();
        page = server.get(&path).await;
    }
    assert_eq!(page.status, 200, "{path}");
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{:?}",
        page.headers
    );
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let resources = resources(page.text());
    for resource in &resources {
        assert!(
            !resource.starts_with("//") && !resource.contains("://"),
            "{resource} is elsewhere"
        );
        let target = if resource.starts_with('/') {
            resource.clone()
        } else {
            format!("{folder}/{}", resource.trim_start_matches("./"))
        };
        assert_eq!(server.get(&target).await.status, 200, "{target}");
    }
    assert!(
        !resources.is_empty() || page.text().contains("/v1/extract"),
        "the page shows something: {}",
        page.text()
    );
}

/// Returns the resources that a page loads: `src` of anything, `href` of `link`.
fn resources(page: &str) -> Vec<String> {
    let tags = page.split('<').filter(|tag| !tag.starts_with("a "));
    let attributes = tags.flat_map(|tag| {
        ["src=\"", "href=\""]
            .into_iter()
            .filter_map(move |name| tag.split_once(name))
    });
    let targets = attributes
        .filter_map(|(_, after)| after.split_once('"'))
        .map(|(target, _)| target.to_owned());
    targets
        .filter(|target| !target.starts_with("data:") && !target.starts_with('#'))
        .collect()
}

#[tokio::test]
async fn every_response_has_a_request_id_the_callers_if_it_is_valid() {
    let (_upstream, server) = running().await;
    let mut seen = std::collections::HashSet::new();
    for path in ["/healthz", "/v1/models", "/v1/nothing", "/openapi.json"] {
        let id = server.get(path).await.header("x-request-id").to_owned();
        assert!(
            id.len() >= 8 && seen.insert(id.clone()),
            "{path}: {id:?} is its own"
        );
    }
    let theirs = server
        .with_header("x-request-id", "their-id_1.2:3")
        .extract(&single("Ada"))
        .await;
    assert_eq!(theirs.header("x-request-id"), "their-id_1.2:3");
    for odd in ["a b", "<script>", &"x".repeat(5_000), "", "\"quoted\""] {
        let id = server
            .with_header("x-request-id", odd)
            .get("/healthz")
            .await
            .header("x-request-id")
            .to_owned();
        assert!(
            id != odd && id.len() >= 8,
            "{odd:?} is replaced, not echoed: {id:?}"
        );
    }
}

#[tokio::test]
async fn server_timing_has_the_time_of_each_phase() {
    let (_upstream, server) = running().await;
    let answer = server.extract(&single("Ada")).await;
    let timing = answer.header("server-timing");
    for part in ["queue", "upstream", "total"] {
        let found = timing
            .split(',')
            .map(str::trim)
            .find(|metric| metric.split(';').next() == Some(part));
        let duration = found
            .and_then(|metric| metric.split_once("dur="))
            .and_then(|(_, dur)| dur.parse::<f64>().ok());
        assert!(
            duration.is_some_and(|dur| dur >= 0.0),
            "{part} in {timing:?}"
        );
    }
    assert!(
        server
            .get("/v1/nothing")
            .await
            .header("server-timing")
            .contains("total"),
        "every reply carries it"
    );
}

const LOOPBACK: [&str; 5] = [
    "localhost",
    "localhost:8080",
    "127.0.0.1",
    "[::1]:8080",
    "127.0.0.1:1",
];

#[tokio::test]
async fn only_loopback_host_names_are_accepted() {
    let (upstream, server) = running().await;
    for host in LOOPBACK {
        assert_eq!(
            server
                .with_header("host", host)
                .get("/v1/models")
                .await
                .status,
            200,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "localhost@evil.example",
    ] {
        let stranger = server.with_header("host", host);
        stranger.get("/v1/models").await.problem(403, "forbidden");
        stranger
            .extract(&single("Ada"))
            .await
            .problem(403, "forbidden");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_configured_host_name_is_accepted() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_HOSTS", "extract.example,other.example")
        .start()
        .await;
    for host in [
        "extract.example",
        "other.example:8080",
        "EXTRACT.example",
        "localhost",
    ] {
        assert_eq!(
            server
                .with_header("host", host)
                .get("/v1/models")
                .await
                .status,
            200,
            "{host}"
        );
    }
    server
        .with_header("host", "evil.example")
        .get("/v1/models")
        .await
        .problem(403, "forbidden");
}

async fn preflight(client: &Client, origin: &str) -> Answer {
    let request = client
        .request(Method::OPTIONS, "/v1/extract")
        .header("origin", origin);
    request
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .answer()
        .await
}

#[tokio::test]
async fn cors_is_off_unless_origins_are_configured() {
    let (_upstream, server) = running().await;
    assert_eq!(
        preflight(&server, "https://app.example")
            .await
            .header("access-control-allow-origin"),
        ""
    );
    let answer = server
        .with_header("origin", "https://app.example")
        .get("/v1/models")
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn configured_origins_are_allowed_and_no_others() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_CORS_ORIGINS", "https://app.example")
        .start()
        .await;
    let allowed = preflight(&server, "https://app.example").await;
    assert!(allowed.status.is_success(), "{}", allowed.status);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("POST"),
        "{:?}",
        allowed.headers
    );
    assert_ne!(
        preflight(&server, "https://evil.example")
            .await
            .header("access-control-allow-origin"),
        "https://evil.example"
    );
    let answer = server
        .with_header("origin", "https://app.example")
        .get("/v1/models")
        .await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example"
    );
}

#[tokio::test]
async fn a_traceparent_is_honoured_and_passed_upstream() {
    let (upstream, server) = running().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let client = server.with_header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    client.extract(&single("Ada")).await.ok();
    client.batch(&fixture::batch(2)).await.ok();
    let calls = upstream.log().calls;
    assert_eq!(calls.len(), 3);
    for call in &calls {
        let passed = call.header("traceparent").expect("it is passed on");
        let fields: Vec<_> = passed.split('-').collect();
        assert_eq!(
            (fields.len(), fields[0], fields[1]),
            (4, "00", trace),
            "{passed}"
        );
    }
}

#[tokio::test]
async fn the_log_contains_no_input_output_or_key() {
    let upstream = Upstream::saying([
        Reply::Json(json!({"secret": "output-4711"})),
        Reply::Text("broken output-4712".into()),
        Reply::error(500, "x"),
    ]);
    let server = Server::asking(&upstream)
        .env("EXTRACTD_LOG", "trace")
        .start()
        .await;
    let body = json!({"input": "input-4711", "schema": {"type": "object"}, "instructions": "instruction-4711"});
    server.extract(&body).await.ok();
    server.extract(&body).await.ok();
    server
        .extract(&json!({"input": "input-4711", "schema": {}, "unknown": 1}))
        .await
        .problem(422, "invalid_request");
    let log = server.output();
    assert!(log.contains("listening on"), "there is a log: {log}");
    for secret in [
        "input-4711",
        "output-4711",
        "output-4712",
        "instruction-4711",
        "sk-test",
    ] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}

#[tokio::test]
async fn the_log_can_be_json() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_LOG_FORMAT", "json")
        .start()
        .await;
    server.extract(&single("Ada")).await.ok();
    let log = server.output();
    assert!(!log.is_empty());
    for line in log.lines() {
        assert!(
            serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_head_request_of_a_view_has_no_body() {
    let (_upstream, server) = running().await;
    let answer = server.request(Method::HEAD, "/healthz").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
}
