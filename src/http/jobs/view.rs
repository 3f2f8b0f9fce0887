//! A job as callers see it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::contract::{JobStatus, rfc3339};
use crate::jobs::JobRate;
use crate::jobs::store::{ItemCounts, Job};
use crate::types::{Metadata, Usage};

/// How many of a job's items are where.
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
    fn new(counts: ItemCounts, pace: JobRate) -> Self {
        let ItemCounts {
            total,
            succeeded,
            failed,
            invalid,
            cancelled,
        } = counts;
        let left = total.saturating_sub(counts.ended());
        let in_flight = pace.in_flight.min(left);
        Self {
            total,
            succeeded,
            failed,
            invalid,
            cancelled,
            in_flight,
            queued: left - in_flight,
        }
    }
}

/// Where the rest of a job is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobLinks {
    #[serde(rename = "self")]
    pub itself: String,
    results: String,
    /// Signed for a while, so that it can be followed without a key: a browser's `EventSource` cannot send one.
    events: String,
}

/// A durable job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// `job_…`
    id: String,
    status: JobStatus,
    counts: JobCounts,
    /// Items that ended in a second, over the last ten; `null` while it does not run.
    rate_per_s: Option<f64>,
    /// The time to its end at this rate; `null` while that is not known.
    eta_ms: Option<u64>,
    usage: Usage,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// Removed from then on; `null` until it has ended.
    expires_at: Option<String>,
    /// Why it could not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    error: Option<Box<RawValue>>,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    metadata: Option<Metadata>,
    pub links: JobLinks,
}

impl JobView {
    pub fn new(job: &Job, pace: JobRate, signature: &str) -> Self {
        let itself = format!("/v1/jobs/{}", job.id);
        let links = JobLinks {
            results: format!("{itself}/results"),
            events: format!("{itself}/events?signature={signature}"),
            itself,
        };
        let pace = if job.status.is_ended() {
            JobRate::default()
        } else {
            pace
        };
        Self {
            id: job.id.clone(),
            status: job.status.into(),
            counts: JobCounts::new(job.counts, pace),
            rate_per_s: pace.rate_per_s.map(tenths),
            eta_ms: eta_ms(pace),
            usage: job.usage,
            created_at: rfc3339(job.created_at),
            started_at: job.started_at.map(rfc3339),
            finished_at: job.finished_at.map(rfc3339),
            expires_at: job.expires_at.map(rfc3339),
            error: job
                .error
                .as_ref()
                .and_then(|error| RawValue::from_string(error.clone()).ok()),
            metadata: job.metadata.clone(),
            links,
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    pub data: Vec<JobView>,
    pub has_more: bool,
    /// The cursor of the next page, for `after`.
    pub next: Option<String>,
}

/// How far a job is, as its stream says now and then.
#[derive(Debug, Serialize)]
pub struct JobProgress {
    #[serde(flatten)]
    counts: JobCounts,
    rate_per_s: Option<f64>,
    eta_ms: Option<u64>,
    usage: Usage,
}

impl JobProgress {
    pub fn new(job: &Job, pace: JobRate) -> Self {
        Self {
            counts: JobCounts::new(job.counts, pace),
            rate_per_s: pace.rate_per_s.map(tenths),
            eta_ms: eta_ms(pace),
            usage: job.usage,
        }
    }
}

fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn eta_ms(pace: JobRate) -> Option<u64> {
    pace.left
        .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}
