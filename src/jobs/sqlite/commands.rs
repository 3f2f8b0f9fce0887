//! Writes of jobs, inputs, results and deliveries. Each runs within the write thread's transaction, and runs again if the
//! commit failed.

use std::num::NonZeroU64;

use rusqlite::{Connection, OptionalExtension, params};

use super::queries::{self, JobRow, cost_to_store};
use super::quota::{CurrentLimits, add_bytes, inputs_bytes};
use super::rowid::to_rowid;
use crate::jobs::store::{
    DeliveryAttempt, DeliveryState, Digest, FinishedItem, ItemStatus, JobEnd, JobKey, NewJob,
    Status, UnixMillis,
};
use crate::types::{EvidenceCounts, SentMetadata, Usage};

/// Bytes that an input or a result takes in the write-ahead log besides its body: those of a failed result, which takes most (measured
/// with 2,000 of them in one write).
pub const ROW_BYTES: usize = 110;

/// Creates a job in the state `Uploading`, and returns its key; or, as the inner error, the job that exists for the same idempotency
/// key.
pub fn create_uploading(
    connection: &Connection,
    job: &NewJob,
    limits: CurrentLimits,
) -> rusqlite::Result<Result<JobKey, Box<JobRow>>> {
    if let Some(existing) = find_idempotent(connection, job)? {
        return Ok(Err(Box::new(existing)));
    }
    let metadata = job.metadata.as_ref().map(SentMetadata::json);
    let stored_bytes = (job.spec.len() + metadata.map_or(0, str::len)) as u64;
    limits.check_new_job(connection, &job.caller, stored_bytes)?;
    let idempotency = job.idempotency.as_ref();
    let sql = "INSERT INTO jobs (id, caller, metadata, status, created_at, idempotency_key, idempotency_until, stored_bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        job.id,
        job.caller,
        metadata,
        Status::Uploading as i64,
        job.created_at,
        idempotency.map(|idempotency| &idempotency.key),
        idempotency.map(|idempotency| idempotency.until),
        i64::try_from(stored_bytes).unwrap_or(i64::MAX),
    ])?;
    let key = u32::try_from(connection.last_insert_rowid())
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?;
    connection
        .prepare_cached("INSERT INTO specs (job, body) VALUES (?1, ?2)")?
        .execute(params![key, job.spec])?;
    Ok(Ok(JobKey(key)))
}

/// Returns the job of the same caller and idempotency key; `None` without a key, or if the key or the job has expired.
fn find_idempotent(connection: &Connection, job: &NewJob) -> rusqlite::Result<Option<JobRow>> {
    let Some(idempotency) = &job.idempotency else {
        return Ok(None);
    };
    let sql =
        "SELECT id FROM jobs WHERE caller = ?1 AND idempotency_key = ?2 AND idempotency_until > ?3
               AND (expires_at IS NULL OR expires_at > ?3)";
    let id: Option<String> = connection
        .prepare_cached(sql)?
        .query_row(
            params![job.caller, idempotency.key, job.created_at],
            |row| row.get(0),
        )
        .optional()?;
    id.map_or(Ok(None), |id| queries::job_by_id(connection, &id))
}

/// Adds inputs to a job that is being uploaded.
pub fn add_inputs(
    connection: &Connection,
    job: JobKey,
    first: u32,
    inputs: &[Vec<u8>],
) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO inputs (place, body) VALUES (?1, ?2)")?;
    for (index, input) in (first..).zip(inputs) {
        insert.execute(params![to_rowid(job, index), input])?;
    }
    add_bytes(connection, job, inputs_bytes(inputs))
}

/// Ends the upload of a job: it becomes `Queued`. An error if it is not being uploaded.
pub fn finalize(
    connection: &Connection,
    job: JobKey,
    total: u32,
    digest: &Digest,
) -> rusqlite::Result<JobRow> {
    let sql = "UPDATE jobs SET status = ?2, total = ?3, digest = ?4 WHERE key = ?1 AND status = ?5";
    let changed = connection.prepare_cached(sql)?.execute(params![
        job.0,
        Status::Queued as i64,
        total,
        digest,
        Status::Uploading as i64
    ])?;
    if changed == 0 {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    queries::job_by_key(connection, job)
}

/// Records results, each with its event, and adds them to the job's counts and usage. A second result of an item is ignored.
pub fn record_results(
    connection: &Connection,
    job: JobKey,
    items: &[FinishedItem],
) -> rusqlite::Result<JobRow> {
    let mut last_event: u32 = connection
        .prepare_cached("SELECT last_event FROM jobs WHERE key = ?1")?
        .query_row([job.0], |row| row.get(0))?;
    let mut counts = [0_u32; ItemStatus::ALL.len()];
    let (mut usage, mut stored_bytes) = (Usage::default(), 0);
    let mut grounding: Option<EvidenceCounts> = None;
    for item in items {
        if !record_result(connection, job, last_event + 1, item)? {
            tracing::warn!(
                job = job.0,
                index = item.index,
                "an item has a result already; its second result is ignored"
            );
            continue;
        }
        last_event += 1;
        if let Some(count) = counts.get_mut(item.status as usize) {
            *count += 1;
        }
        usage += item.usage;
        if let Some(counts) = item.grounding {
            *grounding.get_or_insert_default() += counts;
        }
        stored_bytes += item.body.len() as u64;
    }
    add_to_job(connection, job, last_event, counts, &usage)?;
    add_bytes(connection, job, stored_bytes)?;
    let recorded = queries::job_by_key(connection, job)?;
    match grounding {
        None => Ok(recorded),
        Some(grounding) => add_grounding(connection, recorded, grounding),
    }
}

/// Adds to a job's values by status of their evidence. Returns the job with the new counts.
fn add_grounding(
    connection: &Connection,
    mut row: JobRow,
    counts: EvidenceCounts,
) -> rusqlite::Result<JobRow> {
    let sum = row.job.grounding.get_or_insert_default();
    *sum += counts;
    let json = serde_json::to_string(sum).unwrap_or_default();
    connection
        .prepare_cached("UPDATE jobs SET grounding = ?2 WHERE key = ?1")?
        .execute(params![row.job.key.0, json])?;
    Ok(row)
}

/// Records a result and its event. Returns false if the item has a result already.
fn record_result(
    connection: &Connection,
    job: JobKey,
    event: u32,
    item: &FinishedItem,
) -> rusqlite::Result<bool> {
    let status = item.status as i64;
    let sql = "INSERT INTO items (place, event, status) VALUES (?1, ?2, ?3)
               ON CONFLICT (place) DO UPDATE SET event = ?2, status = ?3, lost = 0, alone = 0 WHERE event IS NULL";
    let changed = connection.prepare_cached(sql)?.execute(params![
        to_rowid(job, item.index),
        event,
        status
    ])?;
    if changed == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO events (place, item, status, body) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![
        to_rowid(job, event),
        item.index,
        status,
        item.body
    ])?;
    Ok(true)
}

/// Sets the number of a job's last event, and adds to its counts and usage.
fn add_to_job(
    connection: &Connection,
    job: JobKey,
    last_event: u32,
    [succeeded, failed, invalid, cancelled]: [u32; 4],
    usage: &Usage,
) -> rusqlite::Result<()> {
    // A sum over this is a REAL in SQLite, which the column cannot store.
    let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let details = |details: Option<NonZeroU64>| tokens(details.map_or(0, NonZeroU64::get));
    let sql = "UPDATE jobs SET last_event = ?2, succeeded = succeeded + ?3, failed = failed + ?4, invalid = invalid + ?5,
               cancelled = cancelled + ?6, input_tokens = min(input_tokens + ?7, ?12),
               output_tokens = min(output_tokens + ?8, ?12), cached_tokens = min(cached_tokens + ?9, ?12),
               reasoning_tokens = min(reasoning_tokens + ?10, ?12),
               cost = CASE WHEN ?11 IS NULL THEN cost ELSE min(coalesce(cost, 0) + ?11, ?12) END
               WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        last_event,
        succeeded,
        failed,
        invalid,
        cancelled,
        tokens(usage.input_tokens),
        tokens(usage.output_tokens),
        details(usage.cached_input_tokens),
        details(usage.reasoning_tokens),
        usage.cost_usd.map(cost_to_store),
        i64::MAX,
    ])?;
    Ok(())
}

/// Moves a job from one of the states `from` to the state `to`. Returns false if it is in another state, or was removed.
pub fn transition(
    connection: &Connection,
    job: JobKey,
    from: &[Status],
    to: Status,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    if !queries::status(connection, job)?.is_some_and(|status| from.contains(&status)) {
        return Ok(false);
    }
    let sql = "UPDATE jobs SET status = ?2, started_at = CASE WHEN ?3 THEN coalesce(started_at, ?4) ELSE started_at END
               WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        to as i64,
        to == Status::Running,
        now
    ])?;
    Ok(true)
}

/// Ends a job that is in the state `from`, with its last event and its webhook delivery. Returns `None` if it is in another
/// state, or was removed.
pub fn complete(
    connection: &Connection,
    job: JobKey,
    from: Status,
    end: &JobEnd,
) -> rusqlite::Result<Option<JobRow>> {
    let current = queries::job_by_key(connection, job).optional()?;
    let Some(current) = current.filter(|row| row.job.status == from) else {
        return Ok(None);
    };
    let event = current.job.last_event + 1;
    connection
        .prepare_cached("INSERT INTO events (place, body) VALUES (?1, ?2)")?
        .execute(params![to_rowid(job, event), end.body])?;
    add_bytes(connection, job, end.body.len() as u64)?;
    let sql = "UPDATE jobs SET status = ?2, last_event = ?3, finished_at = ?4, expires_at = ?5, error = ?6, taken = 0,
               requeued = 0
               WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        end.status as i64,
        event,
        end.finished_at,
        end.expires_at,
        end.error
    ])?;
    if let Some(body) = &end.webhook {
        let sql = "INSERT OR REPLACE INTO webhooks (job, event, due_at, tries, body, caller) VALUES (?1, ?2, ?3, 0, ?4, ?5)";
        connection.prepare_cached(sql)?.execute(params![
            job.0,
            event,
            end.finished_at,
            body,
            current.job.caller
        ])?;
        let sql = "INSERT OR REPLACE INTO deliveries (job, state, attempts, next_at) VALUES (?1, ?2, 0, ?3)";
        connection.prepare_cached(sql)?.execute(params![
            job.0,
            DeliveryState::Pending as i64,
            end.finished_at
        ])?;
    }
    Ok(Some(queries::job_by_key(connection, job)?))
}

/// Records an attempt of a webhook delivery, which ends it or schedules the next one. Does nothing if another end of the job is
/// to be delivered by now.
pub fn record_delivery(
    connection: &Connection,
    job: JobKey,
    event: u32,
    attempt: &DeliveryAttempt,
) -> rusqlite::Result<()> {
    let changed = match attempt.next_at {
        Some(due_at) => connection
            .prepare_cached(
                "UPDATE webhooks SET due_at = ?3, tries = tries + 1 WHERE job = ?1 AND event = ?2",
            )?
            .execute(params![job.0, event, due_at]),
        None => connection
            .prepare_cached("DELETE FROM webhooks WHERE job = ?1 AND event = ?2")?
            .execute([job.0, event]),
    };
    if changed? == 0 {
        return Ok(());
    }
    let state = match (attempt.next_at, &attempt.error) {
        (Some(_), _) => DeliveryState::Pending,
        (None, None) => DeliveryState::Delivered,
        (None, Some(_)) => DeliveryState::GivenUp,
    };
    let sql = "UPDATE deliveries SET state = ?2, attempts = attempts + 1, attempted_at = ?3, http_status = ?4, reason = ?5,
               next_at = ?6 WHERE job = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        state as i64,
        attempt.at,
        attempt.http_status,
        attempt.error,
        attempt.next_at
    ])?;
    Ok(())
}
