//! Traces that are exported over OTLP: from the caller's `traceparent` through queue, attempts, calls and validations, and never at
//! the cost of an answer (operations.md, traces).

mod collector;
mod export;
mod items;
mod propagation;

use serde_json::Value;

use crate::support::server::Server;
use crate::upstream::Upstream;
use collector::{Collector, Span};

/// Trace of the caller, and its span.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Returns the caller's `traceparent`.
fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// Starts a server that calls `upstream` and exports to a collector.
async fn traced(upstream: &Upstream) -> (Collector, Server) {
    let collector = Collector::start().await;
    let server = collector.configure(Server::asking(upstream)).start().await;
    (collector, server)
}

/// Returns the only span with this name.
#[track_caller]
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:#?}");
    named[0]
}

/// Returns the lines of the server's log that contain `text`.
fn lines_with(server: &Server, text: &str) -> Vec<String> {
    let output = server.output();
    let lines = output.lines().filter(|line| line.contains(text));
    lines.map(str::to_owned).collect()
}

/// Returns a sample of the metrics.
async fn metric(server: &Server, sample: &str) -> f64 {
    let metrics = server.get("/metrics").await;
    let line = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(sample));
    line.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

/// Returns an attribute that is JSON in a string.
fn embedded(span: &Span, key: &str) -> Value {
    serde_json::from_str(&span.text(key)).unwrap_or_else(|error| panic!("{key}: {error}: {span:?}"))
}
