//! Errors of the jobs as a caller gets them: unknown jobs, invalid cursors, and failures of the store.

use std::time::Duration;

use super::store::StoreError;
use crate::types::{Code, Error};

/// `Retry-After` while the store cannot be written.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(10);
/// `Retry-After` of a caller whose stored jobs reach their limit.
const QUOTA_RETRY_AFTER: Duration = Duration::from_secs(60);
/// Characters of an unknown job ID that the error repeats.
const MAX_ID_CHARS: usize = 64;

/// Returns `not_found` for a job ID that is unknown, or belongs to another caller.
pub fn job_not_found(id: &str) -> Error {
    let id: String = id.chars().take(MAX_ID_CHARS).collect();
    let detail = format!(
        "there is no job \"{id}\" of this caller; it may have expired or been deleted, list the jobs to see those that exist"
    );
    Error::new(Code::NotFound, detail)
}

/// Returns `invalid_request` for a cursor that no page of jobs has returned.
pub fn invalid_cursor() -> Error {
    Error::invalid("/after", "expected the `next` of the previous page")
}

/// Converts an error of the store to the problem that a caller gets: `overloaded` if an operator can repair the store,
/// `internal` otherwise, with the reason in the log only.
pub fn store_problem(error: &StoreError) -> Error {
    match error {
        StoreError::Other(_) | StoreError::Newer { .. } => {
            tracing::error!(%error, "an operation of the job store failed");
            Error::new(
                Code::Internal,
                "the job store failed; the server's log has the reason",
            )
        }
        StoreError::Quota(quota) if quota.is_of_caller() => {
            Error::new(Code::QuotaExceeded, quota.to_string()).retry_after(QUOTA_RETRY_AFTER)
        }
        StoreError::Full
        | StoreError::ReadOnly
        | StoreError::Unopened(_)
        | StoreError::Gone(_)
        | StoreError::Quota(_)
        | StoreError::Locked
        | StoreError::Busy
        | StoreError::Io(_)
        | StoreError::Corrupt(_) => {
            let detail = format!("jobs cannot be recorded now: {error}");
            Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
        }
    }
}
