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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::test_context::running_job;
    use super::*;
    use crate::types::Code;

    #[test]
    fn the_end_of_a_job_shows_its_counts_and_its_error() {
        let error = problem_json(&Error::new(Code::Internal, "a reason"), "req_1");
        let job = Job {
            status: Status::Failed,
            counts: ItemCounts {
                total: 14,
                succeeded: 2,
                failed: 3,
                invalid: 4,
                cancelled: 5,
            },
            started_at: Some(1_000),
            finished_at: Some(3_500),
            error: Some(String::from_utf8(error).unwrap()),
            ..running_job()
        };
        let done: Value = serde_json::from_slice(&done_json(&job)).unwrap();
        let counts = ["total", "succeeded", "failed", "invalid", "cancelled"];
        assert_eq!(
            counts.map(|name| done[name].as_u64().unwrap()),
            [14, 2, 3, 4, 5]
        );
        assert_eq!(
            (&done["status"], done["elapsed_ms"].as_f64()),
            (&json!("failed"), Some(2_500.0))
        );
        assert_eq!(
            (&done["error"]["code"], &done["error"]["detail"]),
            (&json!("internal"), &json!("a reason"))
        );
        let webhook: Value = serde_json::from_slice(&webhook_json(&job)).unwrap();
        assert_eq!(
            (&webhook["type"], &webhook["timestamp"]),
            (&json!("job.failed"), &json!("1970-01-01T00:00:03.500Z"))
        );
        assert_eq!(
            (&webhook["data"]["id"], &webhook["data"]["error"]),
            (&json!(job.id), &done["error"])
        );
    }

    #[test]
    fn a_result_has_the_position_of_its_input() {
        let outcome = Outcome::cancelled(7, Some("an id".to_owned()), None);
        let result: Value = serde_json::from_slice(&result_json(&outcome, "req_1")).unwrap();
        assert_eq!(
            (&result["index"], &result["id"], &result["status"]),
            (&json!(7), &json!("an id"), &json!("cancelled"))
        );
    }
}
