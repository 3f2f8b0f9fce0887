//! Job as clients see it: status, counts, progress and links.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::contract::{JobStatus, Problem, rfc3339, rfc3339_of};
use crate::extraction::Outage;
use crate::jobs::JobRate;
use crate::jobs::store::{Delivery, DeliveryState, ItemCounts, Job};
use crate::types::{EvidenceCounts, FieldError, SentMetadata, Usage};

/// Number of a job's items per state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct JobCounts {
    total: u32,
    succeeded: u32,
    failed: u32,
    invalid: u32,
    cancelled: u32,
    in_flight: u32,
    queued: u32,
}

impl JobCounts {
    fn new(counts: ItemCounts, rate: &JobRate) -> Self {
        let unfinished = counts.total.saturating_sub(counts.ended());
        let in_flight = rate.in_flight.min(unfinished);
        Self {
            total: counts.total,
            succeeded: counts.succeeded,
            failed: counts.failed,
            invalid: counts.invalid,
            cancelled: counts.cancelled,
            in_flight,
            queued: unfinished - in_flight,
        }
    }
}

/// Reason why a running job calls no model. It continues by itself once a probe succeeds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobBlocked {
    /// `key_refused`, `access_denied`, `quota_exhausted`, `unknown_model` or `not_found`.
    #[schema(example = "key_refused")]
    reason: &'static str,
    since: String,
    /// Provider of the job's model.
    provider: String,
    /// Message of the provider.
    #[schema(value_type = String)]
    detail: Arc<str>,
    /// Time until the next probe, in milliseconds.
    retry_in_ms: u64,
}

impl JobBlocked {
    fn new(outage: &Outage) -> Self {
        Self {
            reason: outage.reason.as_str(),
            since: rfc3339_of(outage.since),
            provider: outage.provider.clone(),
            detail: Arc::clone(&outage.detail),
            retry_in_ms: whole_millis(outage.retry_in),
        }
    }
}

/// Paths of a job and its parts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobLinks {
    #[serde(rename = "self")]
    pub itself: String,
    results: String,
    /// Events, with a signature that is valid for a limited time in place of a key. For clients that cannot send a key, such as
    /// a browser's `EventSource`.
    events: String,
}

/// State of a webhook delivery.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Another attempt will be made.
    Pending,
    /// The receiver has accepted the webhook.
    Delivered,
    /// No further attempt is made.
    GivenUp,
}

/// Delivery of a job's webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobWebhook {
    status: DeliveryStatus,
    /// Number of attempts so far.
    attempts: u32,
    #[schema(format = DateTime)]
    last_attempt_at: Option<String>,
    /// HTTP status of the last response. `null` if the last attempt had none.
    last_status: Option<u16>,
    /// Failure of the last attempt.
    last_error: Option<String>,
    /// Time of the next attempt. `null` if there is none.
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
}

impl From<&Delivery> for JobWebhook {
    fn from(delivery: &Delivery) -> Self {
        Self {
            status: match delivery.state {
                DeliveryState::Pending => DeliveryStatus::Pending,
                DeliveryState::Delivered => DeliveryStatus::Delivered,
                DeliveryState::GivenUp => DeliveryStatus::GivenUp,
            },
            attempts: delivery.attempts,
            last_attempt_at: delivery.attempted_at.map(rfc3339),
            last_status: delivery.http_status,
            last_error: delivery.error.clone(),
            next_attempt_at: delivery.next_at.map(rfc3339),
        }
    }
}

/// A durable job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// Generated ID, `job_…`.
    id: String,
    status: JobStatus,
    counts: JobCounts,
    /// Items completed per second, averaged over the last ten seconds. `null` while the job does not run.
    rate_per_s: Option<f64>,
    /// Estimated time until the job ends, in milliseconds. `null` while unknown.
    eta_ms: Option<u64>,
    /// Present while no item can be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<JobBlocked>,
    /// Present while the job begins no further item, because its results would leave too little room to other callers: the limit, and what
    /// its caller can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for_room: Option<String>,
    usage: Usage,
    /// Values of the succeeded items so far by status of their evidence. Present from the first result with evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    grounding: Option<EvidenceCounts>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Time at which the job is deleted. `null` until it has ended.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Problem that kept the job from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Problem>)]
    error: Option<Box<RawValue>>,
    /// Metadata sent with the job, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    metadata: Option<SentMetadata>,
    /// Likely mistakes in the schema, each with a JSON Pointer into it. Only in the reply to the creation of the job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub warnings: Vec<FieldError>,
    /// Delivery of the job's webhook. Present once a job with a webhook has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<JobWebhook>,
    pub links: JobLinks,
}

impl JobView {
    /// Creates the view of a job. `signature` lets the client follow its events without a key.
    pub fn new(job: &Job, rate: JobRate, signature: &str) -> Self {
        let itself = format!("/v1/jobs/{}", job.id);
        let links = JobLinks {
            results: format!("{itself}/results"),
            events: format!("{itself}/events?signature={signature}"),
            itself,
        };
        let rate = if job.status.is_ended() {
            JobRate::default()
        } else {
            rate
        };
        Self {
            id: job.id.clone(),
            status: job.status.into(),
            counts: JobCounts::new(job.counts, &rate),
            rate_per_s: rate.rate_per_s.map(round_to_tenths),
            eta_ms: rate.remaining.map(whole_millis),
            blocked: rate.blocked.as_deref().map(JobBlocked::new),
            waits_for_room: rate.storage_quota.as_ref().map(ToString::to_string),
            usage: job.usage,
            grounding: job.grounding,
            created_at: rfc3339(job.created_at),
            started_at: job.started_at.map(rfc3339),
            finished_at: job.finished_at.map(rfc3339),
            expires_at: job.expires_at.map(rfc3339),
            error: job
                .error
                .as_ref()
                .and_then(|error| RawValue::from_string(error.clone()).ok()),
            metadata: job.metadata.clone(),
            warnings: Vec::new(),
            webhook: job.delivery.as_ref().map(JobWebhook::from),
            links,
        }
    }
}

/// A page of jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    pub data: Vec<JobView>,
    pub has_more: bool,
    /// Cursor of the next page, for `after`.
    pub next: Option<String>,
}

/// Data of a job's `progress` event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobProgress {
    #[serde(flatten)]
    counts: JobCounts,
    rate_per_s: Option<f64>,
    eta_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<JobBlocked>,
    /// Present while the job begins no further item.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for_room: Option<String>,
    usage: Usage,
}

impl JobProgress {
    /// Creates the event of a running job.
    pub fn new(job: &Job, rate: &JobRate) -> Self {
        Self {
            blocked: rate.blocked.as_deref().map(JobBlocked::new),
            waits_for_room: rate.storage_quota.as_ref().map(ToString::to_string),
            counts: JobCounts::new(job.counts, rate),
            rate_per_s: rate.rate_per_s.map(round_to_tenths),
            eta_ms: rate.remaining.map(whole_millis),
            usage: job.usage,
        }
    }
}

fn round_to_tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
