//! A job as callers see it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::problem::Problem;
use super::super::responses::{ItemResult, Summary};
use crate::jobs::store::{ItemCounts, Job, Millis, Status};
use crate::jobs::{JobRate, Renderers};
use crate::types::{Counts, Metadata, Usage};

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Running,
    /// All items have ended, however.
    Completed,
    /// A failed item ended it, as `on_error` said.
    Stopped,
    Cancelling,
    Cancelled,
    /// It could not run at all; `error` says why.
    Failed,
}

impl From<Status> for JobStatus {
    fn from(status: Status) -> Self {
        match status {
            // A deleted job is never shown.
            Status::Uploading | Status::Queued | Status::Deleting => Self::Queued,
            Status::Running => Self::Running,
            Status::Cancelling => Self::Cancelling,
            Status::Completed => Self::Completed,
            Status::Stopped => Self::Stopped,
            Status::Cancelled => Self::Cancelled,
            Status::Failed => Self::Failed,
        }
    }
}

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
            created_at: time(job.created_at),
            started_at: job.started_at.map(time),
            finished_at: job.finished_at.map(time),
            expires_at: job.expires_at.map(time),
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

/// The last event of a job.
#[derive(Serialize)]
struct JobDone<'a> {
    status: JobStatus,
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
}

/// What a webhook is sent, in the form that Standard Webhooks recommends.
#[derive(Serialize)]
struct JobResultContext<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    data: TellsOf<'a>,
}

#[derive(Serialize)]
struct TellsOf<'a> {
    id: &'a str,
    #[serde(flatten)]
    done: JobDone<'a>,
}

/// The form in which results are kept and told.
#[must_use]
pub fn form() -> Renderers {
    Renderers {
        result: |outcome, request_id| json(&ItemResult::of_batch(outcome, request_id)),
        done: |job| with_done(job, |done| json(&done)),
        problem: |error, request_id| json(&Problem::new(error, request_id)),
        webhook: |job| {
            with_done(job, |done| {
                let status = serde_json::to_value(done.status).unwrap_or_default();
                json(&JobResultContext {
                    kind: format!("job.{}", status.as_str().unwrap_or_default()),
                    timestamp: time(job.finished_at.unwrap_or(job.created_at)),
                    data: TellsOf { id: &job.id, done },
                })
            })
        },
    }
}

fn with_done<T>(job: &Job, then: impl FnOnce(JobDone<'_>) -> T) -> T {
    let ItemCounts {
        succeeded,
        failed,
        invalid,
        cancelled,
        ..
    } = job.counts;
    let [succeeded, failed, invalid, cancelled] =
        [succeeded, failed, invalid, cancelled].map(|count| count as usize);
    let tally = Counts {
        succeeded,
        failed,
        invalid,
        cancelled,
        usage: job.usage,
    };
    let began = job.started_at.unwrap_or(job.created_at);
    let elapsed = job
        .finished_at
        .map_or(0, |finished| finished.saturating_sub(began));
    let summary = Summary::of(
        job.counts.total as usize,
        tally,
        Duration::from_millis(u64::try_from(elapsed).unwrap_or(0)),
    );
    let error = job
        .error
        .as_ref()
        .and_then(|error| RawValue::from_string(error.clone()).ok());
    then(JobDone {
        status: job.status.into(),
        summary,
        error: error.as_deref(),
        metadata: job.metadata.as_ref(),
    })
}

/// What is written here has only string keys, so it cannot fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn time(at: Millis) -> String {
    let at = UNIX_EPOCH
        .checked_add(Duration::from_millis(u64::try_from(at).unwrap_or(0)))
        .unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(at).to_string()
}

fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn eta_ms(pace: JobRate) -> Option<u64> {
    pace.left
        .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}
