//! The cache of results: there only where it is configured, an equal item's result without a call, and bounded in time and bytes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, LIMIT, eventually};
use crate::support::fixture::{self, person, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

/// The item that is asked for again and again.
const X: usize = 7;

/// Starts a provider whose answers contain the number of the call, so that no two are equal.
fn numbering() -> Upstream {
    Upstream::start(|call| Reply::Json(numbered(call.index)))
}

fn numbered(call: usize) -> Value {
    json!({"name": "Ada Byron", "age": call, "occupation": "tester"})
}

async fn caching(upstream: &Upstream, settings: &str) -> Server {
    Server::asking(upstream)
        .config(&format!("[cache]\n{settings}\n"))
        .start()
        .await
}

async fn ask(client: &Client, more: Value) -> Value {
    client.extract(&with(single(person(X)), more)).await.ok()
}

#[track_caller]
fn check_called(result: &Value, call: usize) {
    assert_eq!(
        (&result["data"], &result["cached"]),
        (&numbered(call), &json!(false)),
        "{result}"
    );
    assert_eq!(
        (&result["attempts"], &result["usage"]["total_tokens"]),
        (&json!(1), &json!(15)),
        "{result}"
    );
}

#[track_caller]
fn check_cached(result: &Value, call: usize) {
    assert_eq!(result["status"], "succeeded", "{result}");
    assert_eq!(
        (&result["data"], &result["cached"]),
        (&numbered(call), &json!(true)),
        "{result}"
    );
    assert_eq!(result["model"], "openai/test-model", "{result}");
    assert_eq!(result["attempts"], 0, "the model was not asked: {result}");
    for field in ["input_tokens", "output_tokens", "total_tokens"] {
        assert_eq!(result["usage"][field], 0, "{result}");
    }
    assert!(
        result["usage"]
            .get("cost_usd")
            .is_none_or(|cost| cost.as_f64() == Some(0.0)),
        "{result}"
    );
}

#[tokio::test]
async fn the_cache_is_off_by_default() {
    let upstream = numbering();
    let server = Server::with(&upstream).await;
    for (call, more) in [
        json!({}),
        json!({"cache": "use"}),
        json!({"cache": "refresh"}),
        json!({"cache": "use"}),
    ]
    .into_iter()
    .enumerate()
    {
        check_called(&ask(&server, more).await, call);
    }
    assert!(
        server.get("/v1/limits").await.ok().get("cache").is_none(),
        "there is nothing to show"
    );
}

#[tokio::test]
async fn the_memory_of_the_cache_is_set_aside() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    let held = server.limit_of("memory_bytes", "cache").await.unwrap();
    assert_eq!(held["in_use"], 1_000_000);
    let all = server.limit_of("memory_bytes", "all").await.unwrap();
    assert!(all["in_use"].as_u64().unwrap() >= 1_000_000, "{all}");
}

#[tokio::test]
async fn a_later_equal_item_is_answered_without_a_call() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    check_called(&ask(&server, json!({})).await, 0);
    check_cached(&ask(&server, json!({})).await, 0);
    check_cached(
        &ask(
            &server,
            json!({"cache": "use", "metadata": {"ticket": "4711"}}),
        )
        .await,
        0,
    );
    // In every form.
    let body = json!({"inputs": [{"id": "a", "input": person(X)}, person(X), person(X + 1)], "schema": fixture::schema()});
    let reply = server.batch(&body).await.ok();
    check_cached(&reply["results"][0], 0);
    check_cached(&reply["results"][1], 0);
    check_called(&reply["results"][2], 1);
    assert_eq!(
        reply["summary"]["usage"]["total_tokens"], 15,
        "{}",
        reply["summary"]
    );
    let events = server
        .open("/v1/extract", "text/event-stream", &single(person(X + 1)))
        .await
        .expect(200)
        .events()
        .await;
    check_cached(
        &events
            .iter()
            .find(|event| event.name == "result")
            .unwrap()
            .data,
        1,
    );
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn callers_share_results_only_if_configured() {
    let upstream = numbering();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a,key-b")
        .config("[cache]\nmax_bytes = 1000000\nshared = true\n");
    let server = server.start().await;
    check_called(&ask(&server.with_key("key-a"), json!({})).await, 0);
    check_cached(&ask(&server.with_key("key-b"), json!({})).await, 0);

    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "key-a,key-b")
        .config("[cache]\nmax_bytes = 1000000\n");
    let server = server.start().await;
    check_called(&ask(&server.with_key("key-a"), json!({})).await, 1);
    check_called(&ask(&server.with_key("key-b"), json!({})).await, 2);
    check_cached(&ask(&server.with_key("key-a"), json!({})).await, 1);
}

#[tokio::test]
async fn an_item_that_differs_in_a_relevant_field_is_called() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    check_called(&ask(&server, json!({})).await, 0);
    let example =
        json!([{"input": "Rex, four", "output": {"name": "Rex", "age": 4, "occupation": "guard"}}]);
    let mut looser = fixture::schema();
    looser["properties"]["age"] = json!({"type": "integer", "minimum": 0});
    let differences = [
        json!({"input": person(X + 1)}),
        json!({"schema": looser}),
        json!({"instructions": "Be brief."}),
        json!({"examples": example}),
        json!({"model": "openai/another-model"}),
        json!({"mode": "json_object"}),
        json!({"seed": 1}),
        json!({"max_output_tokens": 100}),
        json!({"temperature": 0.5, "seed": 1}),
    ];
    for (call, difference) in (1..).zip(differences) {
        let result = ask(&server, difference.clone()).await;
        assert_eq!(
            (&result["cached"], &result["data"]),
            (&json!(false), &numbered(call)),
            "{difference}"
        );
    }
    let calls = upstream.calls();
    for _ in 0..2 {
        assert_eq!(
            ask(&server, json!({"temperature": 0.5})).await["cached"],
            false,
            "not meant to be the same each time"
        );
    }
    assert_eq!(upstream.calls(), calls + 2);
    check_cached(&ask(&server, json!({})).await, 0);
}

#[tokio::test]
async fn a_replaced_registered_schema_misses_the_cache() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    let put = async |schema: Value| {
        server
            .request(http::Method::PUT, "/v1/schemas/person")
            .json(&schema)
            .answer()
            .await
    };
    assert_eq!(put(fixture::schema()).await.status, 201);
    let named = json!({"schema": "person"});
    check_called(&ask(&server, named.clone()).await, 0);
    check_cached(&ask(&server, named.clone()).await, 0);
    let mut looser = fixture::schema();
    looser["properties"]["age"] = json!({"type": "integer", "minimum": 0});
    assert_eq!(put(looser).await.status, 200);
    check_called(&ask(&server, named.clone()).await, 1);
    check_cached(&ask(&server, named).await, 1);
}

#[tokio::test]
async fn refresh_calls_the_model_and_replaces_the_entry() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    check_called(&ask(&server, json!({})).await, 0);
    check_called(&ask(&server, json!({"cache": "refresh"})).await, 1);
    check_cached(&ask(&server, json!({})).await, 1);
    check_called(&ask(&server, json!({"cache": "refresh"})).await, 2);
    check_called(&ask(&server, json!({"cache": "refresh"})).await, 3);
    check_cached(&ask(&server, json!({"cache": "use"})).await, 3);
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test]
async fn an_entry_created_by_refresh_is_used() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    check_called(&ask(&server, json!({"cache": "refresh"})).await, 0);
    check_cached(&ask(&server, json!({})).await, 0);
}

#[tokio::test]
async fn cache_off_neither_reads_nor_writes() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000").await;
    check_called(&ask(&server, json!({"cache": "off"})).await, 0);
    check_called(&ask(&server, json!({})).await, 1);
    check_called(&ask(&server, json!({"cache": "off"})).await, 2);
    check_cached(&ask(&server, json!({})).await, 1);
}

#[tokio::test]
async fn an_entry_expires_after_its_ttl() {
    let upstream = numbering();
    let server = caching(&upstream, "max_bytes = 1000000\nttl_ms = 1000").await;
    check_called(&ask(&server, json!({})).await, 0);
    check_cached(&ask(&server, json!({})).await, 0);
    // Being used does not make it younger.
    let result = eventually(Duration::from_secs(20), "it is called again", async || {
        let result = ask(&server, json!({})).await;
        (result["cached"] == false).then_some(result)
    })
    .await;
    check_called(&result, 1);
    let calls = upstream.log().calls;
    let age = calls[1].arrived - calls[0].ended_at();
    assert!(age >= Duration::from_millis(995), "it was good for {age:?}");
    check_cached(&ask(&server, json!({})).await, 1);
}

#[tokio::test]
async fn a_failure_is_not_cached() {
    let upstream = Upstream::start(|call| match call.index {
        0 => Reply::error(413, "no"),
        1 => Reply::Json(fixture::wrong()),
        2 => Reply::Refusal("no".to_owned()),
        3 => Reply::Truncated("{".to_owned()),
        index => Reply::Json(numbered(index)),
    });
    let server = caching(&upstream, "max_bytes = 1000000").await;
    let body = with(
        single(person(X)),
        json!({"max_attempts": 1, "max_output_tokens": 50}),
    );
    for code in [
        "upstream_error",
        "extraction_failed",
        "model_refused",
        "output_truncated",
    ] {
        server.extract(&body).await.problem(502, code);
    }
    check_called(&server.extract(&body).await.ok(), 4);
    check_cached(&server.extract(&body).await.ok(), 4);
}

#[tokio::test]
async fn a_cached_result_reports_its_repairs() {
    let upstream = Upstream::saying([Reply::Text(format!(
        "Here you are:\n```json\n{}\n```",
        fixture::right()
    ))]);
    let server = caching(&upstream, "max_bytes = 1000000").await;
    let body = with(single(person(X)), json!({"mode": "text"}));
    let (first, second) = (
        server.extract(&body).await.ok(),
        server.extract(&body).await.ok(),
    );
    assert_eq!(
        (&first["cached"], &second["cached"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&second["data"], &second["repairs"]),
        (&fixture::right(), &first["repairs"])
    );
}

#[tokio::test]
async fn a_cache_hit_does_not_use_the_callers_quota() {
    let upstream = numbering();
    let config = "[cache]\nmax_bytes = 1000000\n[callers.slow]\nkey = \"key-slow\"\nrequests_per_minute = 60\n";
    let server = Server::asking(&upstream).config(config).start().await;
    let slow = server.with_key("key-slow");
    check_called(&ask(&slow, json!({})).await, 0);
    let left = async || {
        slow.limit_of("requests_per_minute", "caller:slow")
            .await
            .unwrap()["available"]
            .clone()
    };
    // Not even a turn, while none is left.
    check_cached(&ask(&slow, json!({})).await, 0);
    eventually(LIMIT, "another call may go out", async || {
        (left().await == 1).then_some(())
    })
    .await;
    check_cached(&ask(&slow, json!({})).await, 0);
    assert_eq!(left().await, 1, "nothing was called");
}

#[tokio::test]
async fn the_cache_is_bounded_in_bytes_and_visible_in_the_limits() {
    const MAX_BYTES: u64 = 4 << 20;
    const ANSWER_BYTES: usize = 200_000;
    let upstream = Upstream::light(|_| Reply::Json(json!({"text": "x".repeat(ANSWER_BYTES)})));
    let server = caching(&upstream, &format!("max_bytes = {MAX_BYTES}")).await;
    let ask = async |first: usize, count: usize| {
        let inputs: Vec<_> = (first..first + count).map(person).collect();
        let body = json!({"inputs": inputs, "schema": {"type": "object"}, "concurrency": 8});
        let mut lines = server
            .open("/v1/extract/batch", "application/x-ndjson", &body)
            .await
            .expect(200);
        let mut succeeded = 0;
        while let Some(line) = lines.line().await {
            succeeded += usize::from(line["status"] == "succeeded");
        }
        assert_eq!(succeeded, count);
    };
    // Long enough for the allocator to have what it keeps.
    ask(0, 400).await;
    let warm = server.resident_bytes();
    // A hundred megabytes more.
    ask(400, 500).await;
    let cache = server.get("/v1/limits").await.ok()["cache"].clone();
    let (entries, bytes) = (
        cache["entries"].as_u64().unwrap(),
        cache["size_bytes"].as_u64().unwrap(),
    );
    assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&bytes), "{cache}");
    assert!((10..=21).contains(&entries), "{cache}");
    let grown = server.resident_bytes().saturating_sub(warm);
    assert!(
        grown <= 24 << 20,
        "{grown} bytes more than after the first four hundred"
    );
}

#[tokio::test]
async fn an_answer_larger_than_the_cache_is_returned() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"text": "x".repeat(10_000)})));
    let server = caching(&upstream, "max_bytes = 1024").await;
    let body = json!({"input": "large", "schema": {"type": "object"}});
    for _ in 0..3 {
        assert_eq!(
            server.extract(&body).await.ok()["data"]["text"]
                .as_str()
                .unwrap()
                .len(),
            10_000
        );
    }
    let cache = server.get("/v1/limits").await.ok()["cache"].clone();
    assert!(cache["size_bytes"].as_u64() <= Some(1024), "{cache}");
    assert_eq!(upstream.calls(), 3);
}
