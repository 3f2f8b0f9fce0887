//! Trace of an item: its waits, calls and validations, in order. Recorded for requests with `trace` only.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::clock::rfc3339_of;
use super::error::FieldError;
use super::usage::Usage;

/// Kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Waiting for a permit, or for the time of a retry.
    Wait,
    /// A call to a provider.
    Call,
    /// Parsing and validating an answer.
    Validate,
}

/// One phase of an item.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Span {
    pub kind: SpanKind,
    /// Start, in milliseconds since the item started.
    #[serde(rename = "start_ms", serialize_with = "as_millis")]
    #[schema(value_type = f64)]
    pub start: Duration,
    /// End, in milliseconds since the item started.
    #[serde(rename = "end_ms", serialize_with = "as_millis")]
    #[schema(value_type = f64)]
    pub end: Duration,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Wait: the limit, as in the `holds` of `/v1/limits`; or `backoff`, `PROVIDER/retry_budget`, `single_flight` or
    /// `server/resources` (memory or file handles). Absent: other items had their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Call: the model, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Arc<str>>,
    /// Call: `answered`, `failed` or `timeout`. Validation: `valid`, `repaired`, `invalid`, `truncated` or `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Failure of a call, or the model's reason to decline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Call: the prompt as chat messages. Truncated if it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Call: the answer's text. Truncated if it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Validation: what was wrong with the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// Call: token usage and cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Span {
    /// Creates a span without details.
    #[must_use]
    pub const fn new(kind: SpanKind, start: Duration, end: Duration, attempt: u32) -> Self {
        Self {
            kind,
            start,
            end,
            attempt,
            limit: None,
            model: None,
            outcome: None,
            detail: None,
            prompt: None,
            answer: None,
            errors: Vec::new(),
            usage: None,
        }
    }
}

/// Phases of an item, in order.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Trace {
    /// Time at which the item started, in RFC 3339, UTC.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String)]
    pub started_at: SystemTime,
    pub spans: Vec<Span>,
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1000.0)
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339_of(*time))
}
