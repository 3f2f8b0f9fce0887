//! What is written. Each may be done again after a transaction that was not committed.

use rusqlite::{Connection, OptionalExtension, params};

use super::queries;
use crate::jobs::store::{
    BeginOutcome, Digest, FinishedItem, ItemStatus, Job, JobEnd, JobKey, Millis, NewJob, Status,
};
use crate::types::Usage;

/// Where a row of a job is, in the tables in which they lie together.
pub fn item_rowid(job: JobKey, number: u32) -> i64 {
    (i64::from(job.0) << 32) | i64::from(number)
}

/// Rows that one step of a removal takes: about as many as a transaction should hold up the others for.
const REMOVED_AT_ONCE: u32 = 10_000;
const REMOVED_BYTES: i64 = 4 << 20;

pub fn create_uploading(connection: &Connection, job: &NewJob) -> rusqlite::Result<BeginOutcome> {
    if let Some(idempotency) = &job.idempotency {
        let sql = "SELECT id FROM jobs WHERE caller = ?1 AND idempotency_key = ?2 AND idempotency_until > ?3";
        let found: Option<String> = connection
            .prepare_cached(sql)?
            .query_row(
                params![job.caller, idempotency.key, job.created_at],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(id) = found
            && let Some(earlier) = queries::any_job(connection, &id)?
        {
            return Ok(BeginOutcome::Known(Box::new(earlier)));
        }
    }
    let metadata = job
        .metadata
        .as_ref()
        .and_then(|metadata| serde_json::to_string(metadata).ok());
    connection
        .prepare_cached(
            "INSERT INTO jobs (id, caller, metadata, status, created_at, idempotency_key, idempotency_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            job.id,
            job.caller,
            metadata,
            Status::Uploading as i64,
            job.created_at,
            job.idempotency.as_ref().map(|idempotency| &idempotency.key),
            job.idempotency.as_ref().map(|idempotency| idempotency.until),
        ])?;
    let key = u32::try_from(connection.last_insert_rowid())
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?;
    connection
        .prepare_cached("INSERT INTO specs (job, body) VALUES (?1, ?2)")?
        .execute(params![key, job.spec])?;
    Ok(BeginOutcome::New(JobKey(key)))
}

pub fn add_inputs(
    connection: &Connection,
    job: JobKey,
    first: u32,
    inputs: &[Vec<u8>],
) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO inputs (place, body) VALUES (?1, ?2)")?;
    for (index, input) in (first..).zip(inputs) {
        insert.execute(params![item_rowid(job, index), input])?;
    }
    Ok(())
}

pub fn finalize(
    connection: &Connection,
    job: JobKey,
    total: u32,
    digest: &Digest,
) -> rusqlite::Result<Job> {
    connection
        .prepare_cached("UPDATE jobs SET status = ?2, total = ?3, digest = ?4 WHERE key = ?1")?
        .execute(params![job.0, Status::Queued as i64, total, digest])?;
    queries::job_of(connection, job)
}

/// Recovers what the previous process left. If it died, the items that it had leased are counted as lost once more. Returns the
/// jobs that are to be removed: interrupted uploads and unfinished deletions.
pub fn recover(connection: &Connection) -> rusqlite::Result<Vec<JobKey>> {
    let (has_died, alone): (bool, Option<i64>) =
        connection.query_row("SELECT is_running, alone FROM process", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut places = if has_died {
        leased_items(connection)?
    } else {
        Vec::new()
    };
    places.extend(alone.filter(|_| has_died));
    if places.is_empty() {
        // One that ends with nothing in hand does not end of what those before it had.
        clear_crash_counts(connection)?;
    }
    let mut count = connection.prepare_cached(
        "INSERT INTO items (place, lost, alone) VALUES (?1, 1, ?2)
         ON CONFLICT (place) DO UPDATE SET lost = lost + 1, alone = alone + ?2 WHERE event IS NULL",
    )?;
    for place in places {
        count.execute(params![place, alone == Some(place)])?;
    }
    connection.execute("UPDATE jobs SET taken = 0 WHERE status < 4", [])?;
    connection.execute("UPDATE process SET is_running = 1, alone = NULL", [])?;
    // A client that repeats an interrupted upload creates a new job.
    connection.execute(
        "UPDATE jobs SET idempotency_key = NULL WHERE status = ?1",
        [Status::Uploading as i64],
    )?;
    let invisible = [Status::Uploading as i64, Status::Deleting as i64];
    connection
        .prepare("SELECT key FROM jobs WHERE status IN (?1, ?2)")?
        .query_map(invisible, |row| row.get(0).map(JobKey))?
        .collect()
}

pub fn soft_delete(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    if !queries::job_of(connection, job)?.status.is_ended() {
        return Ok(false);
    }
    let sql =
        "UPDATE jobs SET status = ?2, idempotency_key = NULL, expires_at = NULL WHERE key = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![job.0, Status::Deleting as i64])?;
    Ok(true)
}

/// The places of all that a process had in hand.
fn leased_items(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let jobs: Vec<(u32, u32)> = connection
        .prepare("SELECT key, taken FROM jobs WHERE status < 4 AND taken > 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT inputs.place FROM inputs LEFT JOIN items USING (place)
               WHERE inputs.place >= ?1 AND inputs.place < ?2 AND items.event IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut places = Vec::new();
    for (job, until) in jobs {
        let of_job = statement.query_map(
            [item_rowid(JobKey(job), 0), item_rowid(JobKey(job), until)],
            |row| row.get(0),
        )?;
        places.extend(of_job.collect::<rusqlite::Result<Vec<i64>>>()?);
    }
    Ok(places)
}

/// Nothing that was lost so far is suspected any longer.
pub fn clear_crash_counts(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE items SET lost = 0, alone = 0 WHERE lost > 0", [])
        .map(drop)
}

pub fn clear_suspicion(connection: &Connection, job: JobKey, index: u32) -> rusqlite::Result<()> {
    let sql = "UPDATE items SET lost = 0, alone = 0 WHERE place = ?1 AND event IS NULL";
    connection
        .prepare_cached(sql)?
        .execute([item_rowid(job, index)])
        .map(drop)
}

pub fn set_isolated(connection: &Connection, item: Option<(JobKey, u32)>) -> rusqlite::Result<()> {
    let place = item.map(|(job, index)| item_rowid(job, index));
    connection
        .prepare_cached("UPDATE process SET alone = ?1")?
        .execute([place])
        .map(drop)
}

pub fn mark_clean_shutdown(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE jobs SET taken = 0 WHERE status < 4", [])?;
    connection
        .execute("UPDATE process SET is_running = 0, alone = NULL", [])
        .map(drop)
}

/// Says that there is room again.
pub fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE process SET is_running = is_running")?
        .execute([])
        .map(drop)
}

/// Removes some of what is a job's; true when nothing is left.
pub fn remove_some(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    for (table, size) in [
        ("inputs", "length(body)"),
        ("items", "0"),
        ("events", "length(body)"),
    ] {
        let sql = format!(
            "SELECT place, {size} FROM {table} WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(
            params![
                item_rowid(job, 0),
                item_rowid(job, u32::MAX),
                REMOVED_AT_ONCE
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (mut last, mut bytes) = (None, 0);
        for row in rows {
            let (place, size): (i64, i64) = row?;
            last = Some(place);
            bytes += size;
            if bytes >= REMOVED_BYTES {
                break;
            }
        }
        if let Some(last) = last {
            let sql = format!("DELETE FROM {table} WHERE place BETWEEN ?1 AND ?2");
            connection
                .prepare_cached(&sql)?
                .execute([item_rowid(job, 0), last])?;
            return Ok(false);
        }
    }
    for sql in [
        "DELETE FROM webhooks WHERE job = ?1",
        "DELETE FROM specs WHERE job = ?1",
        "DELETE FROM jobs WHERE key = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([job.0])?;
    }
    Ok(true)
}

pub fn lease_until(connection: &Connection, job: JobKey, until: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET taken = ?2 WHERE key = ?1")?
        .execute([job.0, until])
        .map(drop)
}

pub fn record_results(
    connection: &Connection,
    job: JobKey,
    items: &[FinishedItem],
) -> rusqlite::Result<Job> {
    let mut number: u32 = connection
        .prepare_cached("SELECT last_event FROM jobs WHERE key = ?1")?
        .query_row([job.0], |row| row.get(0))?;
    let mut claim = connection.prepare_cached(
        "INSERT INTO items (place, event, status) VALUES (?1, ?2, ?3)
         ON CONFLICT (place) DO UPDATE SET event = ?2, status = ?3, lost = 0, alone = 0 WHERE event IS NULL",
    )?;
    let mut event = connection
        .prepare_cached("INSERT INTO events (place, item, status, body) VALUES (?1, ?2, ?3, ?4)")?;
    let mut counts = [0_u32; ItemStatus::ALL.len()];
    let mut usage = Usage::default();
    for item in items {
        if claim.execute(params![
            item_rowid(job, item.index),
            number + 1,
            item.status as i64
        ])? == 0
        {
            tracing::warn!(
                index = item.index,
                "a second result for an item is thrown away"
            );
            continue;
        }
        number += 1;
        event.execute(params![
            item_rowid(job, number),
            item.index,
            item.status as i64,
            item.body
        ])?;
        if let Some(count) = counts.get_mut(item.status as usize) {
            *count += 1;
        }
        usage += item.usage;
    }
    let [succeeded, failed, invalid, cancelled] = counts;
    let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let part = |part: Option<std::num::NonZeroU64>| tokens(part.map_or(0, std::num::NonZero::get));
    connection
        .prepare_cached(
            "UPDATE jobs SET last_event = ?2, succeeded = succeeded + ?3, failed = failed + ?4, invalid = invalid + ?5,
             cancelled = cancelled + ?6, input_tokens = input_tokens + ?7, output_tokens = output_tokens + ?8,
             cached_tokens = cached_tokens + ?9, reasoning_tokens = reasoning_tokens + ?10,
             cost = CASE WHEN ?11 IS NULL THEN cost ELSE coalesce(cost, 0) + ?11 END
             WHERE key = ?1",
        )?
        .execute(params![
            job.0,
            number,
            succeeded,
            failed,
            invalid,
            cancelled,
            tokens(usage.input_tokens),
            tokens(usage.output_tokens),
            part(usage.cached_input_tokens),
            part(usage.reasoning_tokens),
            usage.cost_usd.map(queries::cost_to_store),
        ])?;
    queries::job_of(connection, job)
}

pub fn transition(
    connection: &Connection,
    job: JobKey,
    from: &[Status],
    to: Status,
    at: Millis,
) -> rusqlite::Result<bool> {
    let found = queries::job_of(connection, job)?;
    if !from.contains(&found.status) {
        return Ok(false);
    }
    let sql = "UPDATE jobs SET status = ?2, started_at = CASE WHEN ?3 THEN coalesce(started_at, ?4) ELSE started_at END
               WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        to as i64,
        to == Status::Running,
        at
    ])?;
    Ok(true)
}

pub fn complete(
    connection: &Connection,
    job: JobKey,
    from: Status,
    end: &JobEnd,
) -> rusqlite::Result<Option<Job>> {
    let found = queries::job_of(connection, job)?;
    if found.status != from {
        return Ok(None);
    }
    let number = found.last_event + 1;
    connection
        .prepare_cached("INSERT INTO events (place, body) VALUES (?1, ?2)")?
        .execute(params![item_rowid(job, number), end.body])?;
    let sql = "UPDATE jobs SET status = ?2, last_event = ?3, finished_at = ?4, expires_at = ?5, error = ?6, taken = 0 WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![
        job.0,
        end.status as i64,
        number,
        end.at,
        end.expires_at,
        end.error
    ])?;
    if let Some(body) = &end.webhook {
        let sql = "INSERT OR REPLACE INTO webhooks (job, event, due_at, tries, body) VALUES (?1, ?2, ?3, 0, ?4)";
        connection
            .prepare_cached(sql)?
            .execute(params![job.0, number, end.at, body])?;
    }
    Ok(Some(queries::job_of(connection, job)?))
}

pub fn requeue_failed(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<Job>> {
    if !queries::job_of(connection, job)?.status.is_ended() {
        return Ok(None);
    }
    connection.execute(
        "UPDATE items SET event = NULL, status = NULL WHERE place BETWEEN ?1 AND ?2 AND status > 0",
        [item_rowid(job, 0), item_rowid(job, u32::MAX)],
    )?;
    connection.execute(
        "UPDATE jobs SET status = ?2, failed = 0, invalid = 0, cancelled = 0, finished_at = NULL, expires_at = NULL, error = NULL
         WHERE key = ?1",
        params![job.0, Status::Queued as i64],
    )?;
    connection.execute("DELETE FROM webhooks WHERE job = ?1", [job.0])?;
    Ok(Some(queries::job_of(connection, job)?))
}

pub fn record_delivery(
    connection: &Connection,
    job: JobKey,
    event: u32,
    again: Option<Millis>,
) -> rusqlite::Result<()> {
    let done = match again {
        Some(at) => connection
            .prepare_cached(
                "UPDATE webhooks SET due_at = ?3, tries = tries + 1 WHERE job = ?1 AND event = ?2",
            )?
            .execute(params![job.0, event, at]),
        None => connection
            .prepare_cached("DELETE FROM webhooks WHERE job = ?1 AND event = ?2")?
            .execute([job.0, event]),
    };
    done.map(drop)
}
