//! Row IDs of inputs, items and events: the job's key in the upper half, the index or event number in the lower half. Rows of a
//! job are neighbours.

use crate::jobs::store::JobKey;

/// Returns the row ID of an item's index, or of an event's number.
pub fn to_rowid(job: JobKey, number: u32) -> i64 {
    (i64::from(job.0) << 32) | i64::from(number)
}

/// Returns the first and the last row ID of a job.
pub fn job_rowids(job: JobKey) -> [i64; 2] {
    [to_rowid(job, 0), to_rowid(job, u32::MAX)]
}

/// Returns the index or event number in a row ID.
pub fn number_of(rowid: i64) -> u32 {
    u32::try_from(rowid & i64::from(u32::MAX)).unwrap_or_default()
}

/// Returns the job of a row ID.
pub fn job_of(rowid: i64) -> JobKey {
    JobKey(u32::try_from(rowid >> 32).unwrap_or_default())
}
