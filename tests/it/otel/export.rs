//! The export itself: headers, compression, the end of the process, and collectors that do not work.

use std::time::Duration;

use tokio::time::Instant;

use super::collector::{Behaviour, Collector};
use super::{lines_with, metric, traced};
use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{Nobody, batch, person, single};
use crate::support::server::{Builder, Server};
use crate::upstream::Upstream;

const EXPORTED: &str = "extractd_trace_spans_total{result=\"exported\"}";
const FAILED: &str = "extractd_trace_spans_total{result=\"failed\"}";
const DROPPED: &str = "extractd_trace_spans_total{result=\"dropped\"}";

#[tokio::test]
async fn headers_compression_and_the_services_attributes_are_sent() {
    let upstream = Upstream::playing();
    let collector = Collector::start().await;
    let server = collector
        .configure(Server::asking(&upstream))
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20abc,x-team=a",
        )
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_SERVICE_NAME", "forms")
        .env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        )
        .start()
        .await;
    server.extract(&single(person(1))).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    let headers = &collector.headers()[0];
    assert_eq!(headers["authorization"], "Bearer abc");
    assert_eq!(headers["x-team"], "a");
    assert_eq!(headers["content-encoding"], "gzip");
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "forms");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    eventually(LIMIT, "the spans are counted", async || {
        (metric(&server, EXPORTED).await >= spans.len() as f64).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_last_spans_are_exported_before_the_end() {
    let upstream = Upstream::playing();
    let collector = Collector::start().await;
    let mut server = collector
        .configure(Server::asking(&upstream))
        .env("OTEL_BSP_SCHEDULE_DELAY", 600_000)
        .start()
        .await;
    server.batch(&batch(20)).await.ok();
    assert!(collector.spans().is_empty(), "they wait for their batch");
    server.terminate();
    assert_eq!(server.exit(LIMIT).await, Some(0));
    let spans = collector.spans();
    let items = spans.iter().filter(|span| span.name == "item");
    assert_eq!(items.count(), 20);
}

/// Starts a server whose collector does not work, and checks that it answers all the same.
async fn answers_with(server: Builder, requests: usize) -> Server {
    let server = server.env("OTEL_BSP_SCHEDULE_DELAY", 20).start().await;
    for number in 0..requests {
        server.extract(&single(person(number))).await.ok();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    server
}

#[tokio::test]
async fn an_unreachable_collector_is_logged_once_and_affects_no_answer() {
    let upstream = Upstream::playing();
    let rejecting = Collector::behaving(Behaviour::Rejects).await;
    let nobody = Nobody::new();
    let nobody = nobody.url().trim_end_matches("/v1").to_owned();
    for (url, reason) in [(&*nobody, "onnect"), (rejecting.url(), "403")] {
        let server = Server::asking(&upstream)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", 200);
        let mut server = answers_with(server, 10).await;
        eventually(LIMIT, "several exports failed", async || {
            (metric(&server, FAILED).await >= 15.0).then_some(())
        })
        .await;
        let warnings = lines_with(&server, "traces cannot be exported");
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(warning.contains("WARN"), "{warning}");
        assert!(warning.contains(url), "{warning}");
        assert!(warning.contains(reason), "{warning}");
        assert!(warning.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{warning}");
        server.terminate();
        assert_eq!(server.exit(LIMIT).await, Some(0));
    }
}

#[tokio::test]
async fn spans_that_find_the_queue_full_are_dropped_and_counted() {
    let upstream = Upstream::playing();
    let collector = Collector::behaving(Behaviour::Stalls).await;
    let server = Server::asking(&upstream)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_BSP_MAX_QUEUE_SIZE", 16)
        .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 4);
    let mut server = answers_with(server, 10).await;
    server.batch(&batch(20)).await.ok();
    let dropped = metric(&server, DROPPED).await;
    assert!(dropped > 0.0, "{dropped}");
    // What cannot be exported does not keep the server from ending.
    let started = Instant::now();
    server.terminate();
    assert_eq!(server.exit(LIMIT).await, Some(0));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_variable_that_is_wrong_is_logged_and_the_server_starts() {
    let upstream = Upstream::playing();
    let collector = Collector::start().await;
    let server = collector
        .configure(Server::asking(&upstream))
        .env("OTEL_TRACES_SAMPLER", "sometimes")
        .env("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "missing.pem")
        .start()
        .await;
    server.extract(&single(person(1))).await.ok();
    let warnings = lines_with(&server, "OTEL_TRACES_SAMPLER");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warnings = lines_with(&server, "no traces are exported");
    assert!(warnings[0].contains("missing.pem"), "{warnings:?}");
    let grpc = Server::asking(&upstream)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .start()
        .await;
    grpc.extract(&single(person(1))).await.ok();
    let warnings = lines_with(&grpc, "OTEL_EXPORTER_OTLP_PROTOCOL");
    assert!(warnings[0].contains("http/protobuf"), "{warnings:?}");
}

#[tokio::test]
async fn the_variables_of_opentelemetry_are_no_unknown_variables() {
    let upstream = Upstream::playing();
    let (_collector, server) = traced(&upstream).await;
    let warnings = lines_with(&server, "not known");
    assert!(warnings.is_empty(), "{warnings:?}");
}
