//! Span of a request to the API, in a trace that is exported. It ends with the response's body.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::super::body_frames::{MappedBody, NextFrame};
use super::super::trace_context::trace_context;
use super::request_id::RequestId;
use crate::telemetry::{ActiveSpan, Attribute, SpanRole, SpanStart, Traces, shortened};

/// Starts of the routes that have spans: the API, and not the pages, probes and metrics around it.
const TRACED: [&str; 2] = ["/v1/", "/mcp"];

/// Starts the span of a request, if traces are on. The handler finds the span's context in place of the client's, so that what
/// it starts belongs to the span.
pub fn start(
    traces: &Traces,
    request: &mut Request,
    route: Option<&str>,
    request_id: &RequestId,
) -> ActiveSpan {
    let Some(route) = route.filter(|route| TRACED.iter().any(|start| route.starts_with(start)))
    else {
        return ActiveSpan::default();
    };
    let parent = traces
        .is_on()
        .then(|| trace_context(request.headers()))
        .flatten();
    let span = traces.span(parent.as_ref(), || SpanStart {
        name: format!("{} {route}", shortened(request.method().as_str())).into(),
        role: SpanRole::Server,
        at: None,
        attributes: attributes(request, route, request_id),
    });
    if let Some(context) = span.context() {
        let headers = request.headers_mut();
        let values = [
            ("traceparent", Some(context.parent)),
            ("tracestate", context.state),
        ];
        for (name, value) in values {
            headers.remove(name);
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
    }
    span
}

/// Attributes of OpenTelemetry's conventions for HTTP servers.
/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span> (November 2026)
fn attributes(request: &Request, route: &str, request_id: &RequestId) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::new(
            "http.request.method",
            shortened(request.method().as_str()).to_owned(),
        ),
        Attribute::new("http.route", route.to_owned()),
        Attribute::new("url.path", shortened(request.uri().path()).to_owned()),
        Attribute::new("url.scheme", "http"),
        Attribute::new("extractd.request.id", request_id.0.to_string()),
    ];
    let agent = request.headers().get(header::USER_AGENT);
    if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
        attributes.push(Attribute::new(
            "user_agent.original",
            shortened(agent).to_owned(),
        ));
    }
    attributes
}

/// Adds the response to the span, which then ends with the response's body.
pub fn complete(mut span: ActiveSpan, response: Response) -> Response {
    if !span.is_recording() {
        return response;
    }
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        let reason = status.canonical_reason().unwrap_or_default();
        span.fail(status.as_str().to_owned(), reason);
    }
    // The span ends with the body, or is dropped with it if the client leaves before.
    let follow = move |frame: NextFrame| {
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => span.fail("body", "the response was cut off"),
            None => drop(std::mem::take(&mut span)),
        }
        frame
    };
    response.map(|body| Body::new(MappedBody::new(body, follow)))
}
