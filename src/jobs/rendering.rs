//! JSON of a job's records: item results, problems, the `done` event and the webhook body.
//!
//! Results are stored in the form in which they are sent, so that reading them needs no conversion.

use std::time::Duration;

use serde_json::value::RawValue;

use super::store::{ItemCounts, Job, Status};
use crate::contract::{ItemResult, JobDone, JobStatus, JobWebhook, Problem, Summary};
use crate::contract::{rfc3339, to_json};
use crate::types::{Counts, Error, Outcome};

impl From<Status> for JobStatus {
    fn from(status: Status) -> Self {
        match status {
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

/// Returns an item's result as JSON. `request_id` is the ID of the request that created the job.
pub fn result_json(outcome: &Outcome, request_id: &str) -> Vec<u8> {
    to_json(&ItemResult::of_batch(outcome, request_id))
}

/// Returns the problem of a job that could not run, as JSON.
pub fn problem_json(error: &Error, request_id: &str) -> Vec<u8> {
    to_json(&Problem::new(error, request_id))
}

/// Returns the data of the `done` event of a job that has ended.
pub fn done_json(job: &Job) -> Vec<u8> {
    let error = stored_error(job);
    to_json(&job_done(job, error.as_deref()))
}

/// Returns the webhook body of a job that has ended.
pub fn webhook_json(job: &Job) -> Vec<u8> {
    let error = stored_error(job);
    let timestamp = rfc3339(job.finished_at.unwrap_or(job.created_at));
    to_json(&JobWebhook::new(
        &job.id,
        timestamp,
        job_done(job, error.as_deref()),
    ))
}

fn stored_error(job: &Job) -> Option<Box<RawValue>> {
    let error = job.error.as_ref()?;
    RawValue::from_string(error.clone()).ok()
}

fn job_done<'a>(job: &'a Job, error: Option<&'a RawValue>) -> JobDone<'a> {
    let started_at = job.started_at.unwrap_or(job.created_at);
    let elapsed_ms = job
        .finished_at
        .map_or(0, |finished| finished.saturating_sub(started_at));
    let elapsed = Duration::from_millis(u64::try_from(elapsed_ms).unwrap_or(0));
    JobDone {
        status: job.status.into(),
        summary: Summary::with_total(job.counts.total as usize, counts(job), elapsed),
        error,
        metadata: job.metadata.as_ref(),
    }
}

fn counts(job: &Job) -> Counts {
    let ItemCounts {
        succeeded,
        failed,
        invalid,
        cancelled,
        ..
    } = job.counts;
    let [succeeded, failed, invalid, cancelled] =
        [succeeded, failed, invalid, cancelled].map(|count| count as usize);
    Counts {
        succeeded,
        failed,
        invalid,
        cancelled,
        usage: job.usage,
        grounding: job.grounding,
    }
}
