//! The trace context on its way from the caller to the provider.

use super::collector::Collector;
use super::{PARENT, TRACE, only, traced, traceparent};
use crate::support::client::{Client, LIMIT, eventually};
use crate::support::fixture::{batch, person, single};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

/// Returns the client as a caller with a trace.
fn caller(server: &Server, flags: &str) -> Client {
    server
        .with_header("traceparent", &traceparent(flags))
        .with_header("tracestate", "congo=t61rcWkgMzE")
        .with_header("tracestate", "rojo=00f067aa0ba902b7")
}

const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

/// Returns the headers that the provider received with each call.
fn passed_on(upstream: &Upstream) -> Vec<(Option<String>, Option<String>)> {
    let headers = |call: &crate::upstream::Call| {
        ["traceparent", "tracestate"].map(|name| call.header(name).map(str::to_owned))
    };
    let calls = upstream.log().calls;
    calls.iter().map(|call| headers(call).into()).collect()
}

#[tokio::test]
async fn the_provider_receives_the_span_of_the_call() {
    let upstream = Upstream::saying([Reply::error(500, "x"), Reply::Played]);
    let (collector, server) = traced(&upstream).await;
    caller(&server, "01").extract(&single(person(1))).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    let mut calls: Vec<_> = spans.iter().filter(|span| span.kind == 3).collect();
    calls.sort_by_key(|span| span.start);
    let expected: Vec<_> = calls
        .iter()
        .map(|span| {
            (
                Some(format!("00-{TRACE}-{}-01", span.id)),
                Some(STATE.to_owned()),
            )
        })
        .collect();
    assert_eq!(passed_on(&upstream), expected);
    assert_eq!(only(&spans, "POST /v1/extract").parent, PARENT);
    assert!(spans.iter().all(|span| span.state == STATE), "{spans:#?}");
}

#[tokio::test]
async fn a_request_without_a_context_starts_a_trace() {
    let upstream = Upstream::playing();
    let (collector, server) = traced(&upstream).await;
    server.extract(&single(person(1))).await.ok();
    server
        .with_header("traceparent", "00-not-a-context")
        .extract(&single(person(2)))
        .await
        .ok();
    let spans = collector.until("POST /v1/extract", 2).await;
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 2, "{spans:#?}");
    assert_ne!(roots[0].trace, roots[1].trace);
    for (passed, _) in passed_on(&upstream) {
        let passed = passed.expect("the provider is part of the trace");
        let trace = passed.split('-').nth(1).unwrap().to_owned();
        assert!(roots.iter().any(|root| root.trace == trace), "{passed}");
    }
}

#[tokio::test]
async fn a_caller_that_is_not_sampled_is_not_exported() {
    let upstream = Upstream::playing();
    let (collector, server) = traced(&upstream).await;
    caller(&server, "00").batch(&batch(2)).await.ok();
    server.extract(&single(person(1))).await.ok();
    let spans = collector.until("POST /v1/extract", 1).await;
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
    for (parent, state) in &passed_on(&upstream)[..2] {
        let parent = parent.as_deref().unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert!(parent.ends_with("-00"), "{parent}");
        assert_eq!(state.as_deref(), Some(STATE));
    }
}

#[tokio::test]
async fn a_sampler_decides_without_the_caller_if_it_is_told_to() {
    let upstream = Upstream::playing();
    for (sampler, argument, exported) in [
        ("always_on", "", 2),
        ("always_off", "", 0),
        ("parentbased_traceidratio", "0", 1),
    ] {
        let collector = Collector::start().await;
        let server = collector
            .configure(Server::asking(&upstream))
            .env("OTEL_TRACES_SAMPLER", sampler)
            .env("OTEL_TRACES_SAMPLER_ARG", argument)
            .start()
            .await;
        caller(&server, "00").extract(&single(person(1))).await.ok();
        if sampler == "parentbased_traceidratio" {
            caller(&server, "01").extract(&single(person(2))).await.ok();
        } else {
            server.extract(&single(person(2))).await.ok();
        }
        let mut server = server;
        server.terminate();
        server.exit(LIMIT).await;
        let spans = collector.spans();
        let requests = spans.iter().filter(|span| span.kind == 2);
        assert_eq!(requests.count(), exported, "{sampler}: {spans:#?}");
    }
}

#[tokio::test]
async fn without_a_collector_the_callers_context_goes_to_the_provider() {
    let upstream = Upstream::playing();
    let collector = Collector::start().await;
    for disabled in [false, true] {
        let server = Server::asking(&upstream).env("OTEL_SERVICE_NAME", "x");
        let server = if disabled {
            collector.configure(server).env("OTEL_SDK_DISABLED", "true")
        } else {
            server
        };
        let mut server = server.start().await;
        caller(&server, "01").extract(&single(person(1))).await.ok();
        server.extract(&single(person(2))).await.ok();
        server.terminate();
        server.exit(LIMIT).await;
    }
    let with = (Some(traceparent("01")), Some(STATE.to_owned()));
    let without = (None, None);
    assert_eq!(
        passed_on(&upstream),
        [with.clone(), without.clone(), with, without]
    );
    assert!(collector.headers().is_empty());
}

#[tokio::test]
async fn pages_probes_and_metrics_have_no_spans() {
    let upstream = Upstream::playing();
    let (collector, server) = traced(&upstream).await;
    for path in ["/healthz", "/readyz", "/metrics", "/docs/", "/", "/nowhere"] {
        server.get(path).await;
    }
    server.get("/v1/models").await.ok();
    server.get("/v1/jobs/job_none").await;
    let spans = collector.until("GET /v1/jobs/{id}", 1).await;
    let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /v1/jobs/{id}", "GET /v1/models"]);
    eventually(LIMIT, "a client's mistake is no error", async || {
        let span = only(&spans, "GET /v1/jobs/{id}");
        (!span.is_error).then_some(())
    })
    .await;
}
