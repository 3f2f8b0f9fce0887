//! Ending of a durable job: the last event of its stream, and the body of its webhook.

use serde::Serialize;
use serde_json::value::RawValue;

use super::batch::Summary;
use crate::types::SentMetadata;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Running,
    /// All items have ended, successfully or not.
    Completed,
    /// A failed item ended the job, because `on_error` is `stop`.
    Stopped,
    Cancelling,
    Cancelled,
    /// The job could not run; `error` has the reason.
    Failed,
}

impl JobStatus {
    /// Returns the status as written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Data of the `done` event, the last one of a job's event stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobDone<'a> {
    pub status: JobStatus,
    #[serde(flatten)]
    pub summary: Summary,
    /// Problem that kept the job from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::problem::Problem>)]
    pub error: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a SentMetadata>,
}

/// Body of a job's webhook, in the form that Standard Webhooks recommends: type, timestamp, data.
#[derive(Debug, Serialize)]
pub struct JobWebhook<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    data: JobWebhookData<'a>,
}

#[derive(Debug, Serialize)]
struct JobWebhookData<'a> {
    id: &'a str,
    #[serde(flatten)]
    done: JobDone<'a>,
}

impl<'a> JobWebhook<'a> {
    /// Creates the body for the job with this ID. `timestamp` is RFC 3339.
    #[must_use]
    pub fn new(id: &'a str, timestamp: String, done: JobDone<'a>) -> Self {
        Self {
            kind: format!("job.{}", done.status.as_str()),
            timestamp,
            data: JobWebhookData { id, done },
        }
    }
}
