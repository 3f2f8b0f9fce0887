//! The server itself: its views, headers and guards (contract, section 5).

mod api_document;
mod constraints;
mod origin_guards;

use http::Method;
use serde_json::{Value, json};

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
