//! Stored form of a job's spec: everything needed to run the job in another process.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Spec of a job, stored as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// Fields of a batch without its inputs. A registered schema is stored in full, not by name.
    pub batch: Box<RawValue>,
    /// ID of the request that created the job.
    pub request_id: String,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Webhook as the caller sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<RawValue>>,
}
