//! What a job is made with, as its store keeps it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Everything that is needed to run a job again in another process.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// The fields of a batch, without its inputs; the schema itself, not its name.
    pub batch: Box<RawValue>,
    /// The id of the request that made it.
    pub request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// A webhook, as its caller sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<RawValue>>,
}
