//! Trace context of a request (W3C Trace Context), which is forwarded to providers.

use axum::http::HeaderMap;

use crate::types::TraceContext;

/// Returns the trace context of a request: `traceparent`, if it is valid, and `tracestate`, which may be several headers.
pub fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let states: Vec<_> = headers
        .get_all("tracestate")
        .iter()
        .filter_map(|state| state.to_str().ok())
        .collect();
    TraceContext::parse(parent, Some(&states.join(",")))
}
