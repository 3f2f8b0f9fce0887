//! Removal of jobs: a mark first, then their rows in steps that do not delay other writes for long.

use rusqlite::{Connection, OptionalExtension, params};

use super::queries;
use super::rowid::job_rowids;
use crate::jobs::store::{JobKey, Status};

/// Maximum number of rows that a step removes.
const MAX_ROWS_PER_STEP: u32 = 10_000;
/// Bytes of removed rows at which a step ends.
pub const MAX_BYTES_PER_STEP: usize = 4 << 20;

/// Marks a job that has ended or is being cancelled as deleted, and forgets its idempotency key. Returns false if it is in
/// another state, or was removed.
pub fn soft_delete(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    if !queries::status(connection, job)?.is_some_and(Status::is_deletable) {
        return Ok(false);
    }
    let sql =
        "UPDATE jobs SET status = ?2, idempotency_key = NULL, expires_at = NULL WHERE key = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![job.0, Status::Deleting as i64])?;
    Ok(true)
}

/// Marks a job that is being uploaded as deleted, and forgets its idempotency key. Returns the bytes that it stores; `None` if the
/// job is visible or was removed.
pub fn abandon(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<usize>> {
    let sql =
        "UPDATE jobs SET status = ?2, idempotency_key = NULL WHERE key = ?1 AND status IN (?2, ?3)
               RETURNING stored_bytes";
    let stored_bytes: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(
            params![job.0, Status::Deleting as i64, Status::Uploading as i64],
            |row| row.get(0),
        )
        .optional()?;
    Ok(stored_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(0)))
}

/// Removes some rows of a job, its row in `jobs` last. Returns true if nothing is left.
pub fn remove_step(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    let mut left = StepLeft {
        rows: MAX_ROWS_PER_STEP,
        bytes: MAX_BYTES_PER_STEP,
    };
    for (table, size_bytes) in [
        ("inputs", "length(body)"),
        ("items", "0"),
        ("events", "length(body)"),
    ] {
        remove_rows(connection, job, table, size_bytes, &mut left)?;
        if left.is_none() {
            return Ok(false);
        }
    }
    for sql in [
        "DELETE FROM webhooks WHERE job = ?1",
        "DELETE FROM deliveries WHERE job = ?1",
        "DELETE FROM specs WHERE job = ?1",
        "DELETE FROM jobs WHERE key = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([job.0])?;
    }
    Ok(true)
}

/// Rows and bytes that a step may still remove.
struct StepLeft {
    rows: u32,
    bytes: usize,
}

impl StepLeft {
    const fn is_none(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }
}

/// Removes the first rows of a job from a table, as many as the step may. `size_bytes` is the SQL expression of a row's size.
fn remove_rows(
    connection: &Connection,
    job: JobKey,
    table: &str,
    size_bytes: &str,
    left: &mut StepLeft,
) -> rusqlite::Result<()> {
    let [first, last] = job_rowids(job);
    let sql = format!(
        "SELECT place, {size_bytes} FROM {table} WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![first, last, left.rows], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut last_removed: Option<i64> = None;
    for row in rows {
        let (rowid, size_bytes): (i64, i64) = row?;
        last_removed = Some(rowid);
        left.rows = left.rows.saturating_sub(1);
        let size_bytes = usize::try_from(size_bytes).unwrap_or(0);
        left.bytes = left.bytes.saturating_sub(size_bytes);
        if left.is_none() {
            break;
        }
    }
    let Some(last_removed) = last_removed else {
        return Ok(());
    };
    let sql = format!("DELETE FROM {table} WHERE place BETWEEN ?1 AND ?2");
    connection
        .prepare_cached(&sql)?
        .execute([first, last_removed])
        .map(drop)
}
