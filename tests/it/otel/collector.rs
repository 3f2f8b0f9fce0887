//! An OTLP receiver, and the trees of the spans that it received.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as ProtoSpan;
use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::support::client::{LIMIT, eventually};
use crate::support::server::Builder;

/// Collector on a port of its own.
pub struct Collector {
    url: String,
    received: Arc<Received>,
    task: AbortHandle,
}

/// Requests that a collector received.
#[derive(Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    bodies: Mutex<Vec<Vec<u8>>>,
    headers: Mutex<Vec<HeaderMap>>,
    resources: Mutex<Vec<Attributes>>,
    behaviour: Behaviour,
}

/// Behaviour of a collector.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Accepts,
    /// Rejects every request, for good.
    Rejects,
    /// Never answers.
    Stalls,
}

pub type Attributes = BTreeMap<String, Value>;

/// Span that was received.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty: the span is a root.
    pub parent: String,
    pub state: String,
    pub name: String,
    /// Kind as OTLP numbers it: 1 internal, 2 server, 3 client.
    pub kind: i32,
    pub start: u64,
    pub end: u64,
    pub attributes: Attributes,
    pub is_error: bool,
    pub message: String,
}

impl Span {
    fn new(span: ProtoSpan) -> Self {
        let status = span.status.unwrap_or_default();
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state,
            name: span.name,
            kind: span.kind,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            is_error: status.code == 2,
            message: status.message,
        }
    }

    /// Returns an attribute as text; empty if the span does not have it.
    pub fn text(&self, key: &str) -> String {
        match self.attributes.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// Returns the name with what matters most.
    fn label(&self) -> String {
        let about = [
            "extractd.item.index",
            "extractd.item.outcome",
            "extractd.attempt",
            "extractd.wait.limit",
            "extractd.validation.outcome",
            "http.response.status_code",
        ];
        let parts = about.map(|key| self.text(key));
        let error = if self.is_error {
            format!("!{}", self.text("error.type"))
        } else {
            String::new()
        };
        let parts = parts.into_iter().chain([error]);
        let parts: Vec<_> = [self.name.clone()]
            .into_iter()
            .chain(parts.filter(|part| !part.is_empty()))
            .collect();
        parts.join(" ")
    }
}

impl Collector {
    /// Starts a collector that accepts everything.
    pub async fn start() -> Self {
        Self::behaving(Behaviour::Accepts).await
    }

    pub async fn behaving(behaviour: Behaviour) -> Self {
        let received = Arc::new(Received {
            behaviour,
            ..Received::default()
        });
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            received,
            task: serving.abort_handle(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a server export to this collector, without delay.
    pub fn configure(&self, server: Builder) -> Builder {
        server
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url)
            .env("OTEL_BSP_SCHEDULE_DELAY", 20)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().unwrap().clone()
    }

    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.received.bodies.lock().unwrap().clone()
    }

    pub fn headers(&self) -> Vec<HeaderMap> {
        self.received.headers.lock().unwrap().clone()
    }

    pub fn resource(&self) -> Attributes {
        self.received.resources.lock().unwrap()[0].clone()
    }

    /// Waits until a span has this name and these many spans of the name are there. Returns all spans, once a moment has passed
    /// in which none came.
    pub async fn until(&self, name: &str, count: usize) -> Vec<Span> {
        eventually(LIMIT, name, async || {
            let spans = self.spans();
            let named = spans.iter().filter(|span| span.name == name).count();
            (named >= count).then_some(())
        })
        .await;
        let mut spans = self.spans();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.spans();
            if now.len() == spans.len() {
                return spans;
            }
            spans = now;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(received): State<Arc<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match received.behaviour {
        Behaviour::Accepts => {}
        Behaviour::Rejects => return StatusCode::FORBIDDEN,
        Behaviour::Stalls => std::future::pending().await,
    }
    let body = if headers.get("content-encoding").is_some() {
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut decoded)
            .expect("the body is gzip");
        decoded
    } else {
        body.to_vec()
    };
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(&body[..]).expect("the body is OTLP");
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        received.resources.lock().unwrap().push(resource);
        let spans = of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        received.spans.lock().unwrap().extend(spans.map(Span::new));
    }
    received.bodies.lock().unwrap().push(body);
    received.headers.lock().unwrap().push(headers);
    StatusCode::OK
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    let value = |pair: KeyValue| (pair.key, pair.value.map_or(Value::Null, json));
    pairs.into_iter().map(value).collect()
}

fn json(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(value)) => value.into(),
        Some(any_value::Value::IntValue(value)) => value.into(),
        Some(any_value::Value::DoubleValue(value)) => value.into(),
        Some(any_value::Value::ArrayValue(array)) => array
            .values
            .into_iter()
            .map(json)
            .collect::<Vec<_>>()
            .into(),
        other => panic!("no attribute is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the tree of the spans below `parent`, one line each. Waits for a turn or a slot are left out, because they depend on
/// the machine.
pub fn tree(spans: &[Span], parent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    add_children(spans, parent, 0, &mut lines);
    lines
}

fn add_children(spans: &[Span], parent: &str, depth: usize, lines: &mut Vec<String>) {
    let is_steady = |span: &&Span| {
        span.name != "wait"
            || matches!(
                &*span.text("extractd.wait.limit"),
                "backoff" | "single_flight"
            )
    };
    let mut children: Vec<_> = spans
        .iter()
        .filter(|span| span.parent == parent)
        .filter(is_steady)
        .collect();
    children.sort_by_key(|span| (span.text("extractd.item.index"), span.start, span.end));
    for span in children {
        lines.push(format!("{}{}", "  ".repeat(depth), span.label()));
        add_children(spans, &span.id, depth + 1, lines);
    }
}

/// Checks that each span lies within its parent, if the parent is there and does not end before its parts by design.
pub fn check_times(spans: &[Span]) {
    for span in spans {
        assert!(span.start <= span.end, "{span:?}");
        let Some(parent) = spans.iter().find(|parent| parent.id == span.parent) else {
            continue;
        };
        if parent.kind != 2 {
            assert!(
                parent.start <= span.start && span.end <= parent.end,
                "{span:?} is not within {parent:?}"
            );
        }
    }
}
