//! Stored form of a job's spec: everything needed to run the job in another process.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::long_work::run_off_worker;
use crate::types::{TraceContext, is_long_to_parse};

/// Spec of a job, stored as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// Fields of a batch without its inputs. A registered schema is stored in full, not by name.
    pub batch: Box<RawValue>,
    /// ID of the request that created the job.
    pub request_id: String,
    /// Trace context of the request: `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Trace context of the request: `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// Webhook as the caller sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<RawValue>>,
}

impl JobSpec {
    /// Returns the trace context of the request that created the job.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::parse(self.traceparent.as_deref()?, self.tracestate.as_deref())
    }
}

/// Fields of a stored spec that the end of its job needs.
#[derive(Debug, Deserialize)]
pub struct EndFields<'a> {
    /// ID of the request that created the job.
    pub request_id: String,
    /// Webhook as the caller sent it.
    #[serde(default, borrow)]
    pub webhook: Option<&'a RawValue>,
}

impl<'a> EndFields<'a> {
    /// Parses the fields of a stored spec; `None` if this version cannot read it. The batch, which may be long, is skipped without a
    /// copy, which takes milliseconds.
    pub fn parse(json: &'a str) -> Option<Self> {
        let is_long = is_long_to_parse(json.as_bytes());
        run_off_worker(is_long, || serde_json::from_str(json).ok())
    }
}
