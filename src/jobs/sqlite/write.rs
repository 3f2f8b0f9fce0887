//! What is written. Each may be done again after a transaction that was not committed.

use rusqlite::{Connection, OptionalExtension, params};

use super::read;
use crate::jobs::store::{End, Finished, ItemStatus, Job, JobKey, Millis, NewJob, Status};
use crate::model::Usage;

/// Where a row of a job is, in the tables in which they lie together.
pub fn place(job: JobKey, number: u32) -> i64 {
    (i64::from(job.0) << 32) | i64::from(number)
}

/// Rows that one step of a removal takes: about as many as a transaction should hold up the others for.
const REMOVED_AT_ONCE: u32 = 10_000;

pub fn begin(connection: &Connection, job: &NewJob) -> rusqlite::Result<Result<JobKey, Job>> {
    if let Some(idempotency) = &job.idempotency {
        let sql = "SELECT id FROM jobs WHERE caller = ?1 AND idempotency_key = ?2 AND idempotency_until > ?3";
        let found: Option<String> = connection
            .prepare_cached(sql)?
            .query_row(params![job.caller, idempotency.key, job.created_at], |row| row.get(0))
            .optional()?;
        if let Some(id) = found
            && let Some(earlier) = read::any_job(connection, &id)?
        {
            return Ok(Err(earlier));
        }
    }
    let metadata = job.metadata.as_ref().and_then(|metadata| serde_json::to_string(metadata).ok());
    connection
        .prepare_cached(
            "INSERT INTO jobs (id, caller, spec, metadata, status, created_at, idempotency_key, idempotency_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            job.id,
            job.caller,
            job.spec,
            metadata,
            Status::Uploading as i64,
            job.created_at,
            job.idempotency.as_ref().map(|idempotency| &idempotency.key),
            job.idempotency.as_ref().map(|idempotency| idempotency.until),
        ])?;
    let key = u32::try_from(connection.last_insert_rowid()).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?;
    Ok(Ok(JobKey(key)))
}

pub fn add_inputs(connection: &Connection, job: JobKey, first: u32, inputs: &[Vec<u8>]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO inputs (place, body) VALUES (?1, ?2)")?;
    for (index, input) in (first..).zip(inputs) {
        insert.execute(params![place(job, index), input])?;
    }
    Ok(())
}

pub fn commit(connection: &Connection, job: JobKey, total: u32) -> rusqlite::Result<Job> {
    connection.prepare_cached("UPDATE jobs SET status = ?2, total = ?3 WHERE key = ?1")?.execute(params![
        job.0,
        Status::Queued as i64,
        total
    ])?;
    read::job_of(connection, job)
}

/// What the process before has left: items that it had taken up are free again, and each end of a process counts.
pub fn recover(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE items SET leased = 0, lost = lost + 1 WHERE leased = 1 AND event IS NULL", [])?;
    let uploads: Vec<u32> = connection
        .prepare("SELECT key FROM jobs WHERE status = ?1")?
        .query_map([Status::Uploading as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for job in uploads {
        while !remove_some(connection, JobKey(job))? {}
    }
    Ok(())
}

/// Removes some of what is a job's; true when nothing is left.
pub fn remove_some(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    let (first, last) = (place(job, 0), place(job, u32::MAX));
    for table in ["inputs", "items", "events"] {
        let sql =
            format!("DELETE FROM {table} WHERE place IN (SELECT place FROM {table} WHERE place BETWEEN ?1 AND ?2 LIMIT ?3)");
        if connection.prepare_cached(&sql)?.execute(params![first, last, REMOVED_AT_ONCE])? > 0 {
            return Ok(false);
        }
    }
    connection.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([job.0])?;
    Ok(true)
}

pub fn lease(connection: &Connection, job: JobKey, items: &[u32]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO items (place, leased) VALUES (?1, 1) ON CONFLICT (place) DO UPDATE SET leased = 1";
    let mut lease = connection.prepare_cached(sql)?;
    for item in items {
        lease.execute([place(job, *item)])?;
    }
    Ok(())
}

pub fn release(connection: &Connection, job: JobKey, items: &[u32]) -> rusqlite::Result<()> {
    let mut release = connection.prepare_cached("UPDATE items SET leased = 0 WHERE place = ?1")?;
    for item in items {
        release.execute([place(job, *item)])?;
    }
    Ok(())
}

pub fn finish(connection: &Connection, job: JobKey, items: &[Finished]) -> rusqlite::Result<u32> {
    let mut number: u32 =
        connection.prepare_cached("SELECT last_event FROM jobs WHERE key = ?1")?.query_row([job.0], |row| row.get(0))?;
    let mut claim = connection.prepare_cached(
        "INSERT INTO items (place, event, leased) VALUES (?1, ?2, 0)
         ON CONFLICT (place) DO UPDATE SET event = ?2, leased = 0 WHERE event IS NULL",
    )?;
    let mut event = connection.prepare_cached("INSERT INTO events (place, item, status, body) VALUES (?1, ?2, ?3, ?4)")?;
    let mut counts = [0_u32; ItemStatus::ALL.len()];
    let mut usage = Usage::default();
    for item in items {
        if claim.execute(params![place(job, item.index), number + 1])? == 0 {
            tracing::warn!(index = item.index, "a second result for an item is thrown away");
            continue;
        }
        number += 1;
        event.execute(params![place(job, number), item.index, item.status as i64, item.body])?;
        if let Some(count) = counts.get_mut(item.status as usize) {
            *count += 1;
        }
        usage += item.usage;
    }
    let [succeeded, failed, invalid, cancelled] = counts;
    let cost = usage.cost_usd.map(read::cost_to_store);
    connection
        .prepare_cached(
            "UPDATE jobs SET last_event = ?2, succeeded = succeeded + ?3, failed = failed + ?4, invalid = invalid + ?5,
             cancelled = cancelled + ?6, input_tokens = input_tokens + ?7, output_tokens = output_tokens + ?8,
             cost = CASE WHEN ?9 IS NULL THEN cost ELSE coalesce(cost, 0) + ?9 END
             WHERE key = ?1",
        )?
        .execute(params![
            job.0,
            number,
            succeeded,
            failed,
            invalid,
            cancelled,
            i64::try_from(usage.input_tokens).unwrap_or(i64::MAX),
            i64::try_from(usage.output_tokens).unwrap_or(i64::MAX),
            cost,
        ])?;
    Ok(number)
}

pub fn turn(
    connection: &Connection,
    job: JobKey,
    from: &[Status],
    to: Status,
    at: Millis,
    ended: Option<&End>,
) -> rusqlite::Result<bool> {
    let found = read::job_of(connection, job)?;
    if !from.contains(&found.status) {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE jobs SET status = ?2, started_at = CASE WHEN ?3 THEN coalesce(started_at, ?4) ELSE started_at END WHERE key = ?1")?
        .execute(params![job.0, to as i64, to == Status::Running, at])?;
    if let Some(end) = ended {
        let number = found.last_event + 1;
        connection
            .prepare_cached("INSERT INTO events (place, body) VALUES (?1, ?2)")?
            .execute(params![place(job, number), end.body])?;
        connection
            .prepare_cached("UPDATE jobs SET last_event = ?2, finished_at = ?3, expires_at = ?4, error = ?5 WHERE key = ?1")?
            .execute(params![job.0, number, at, end.expires_at, end.error])?;
    }
    Ok(true)
}
