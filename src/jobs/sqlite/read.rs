//! What is read.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::write::place;
use crate::jobs::store::{Counts, Event, ItemStatus, Job, JobKey, Millis, Order, Pending, Status};
use crate::model::{Usage, Usd};

const JOB: &str = "SELECT key, id, caller, spec, metadata, status, total, succeeded, failed, invalid, cancelled, last_event, \
                   input_tokens, output_tokens, cost, created_at, started_at, finished_at, expires_at, error FROM jobs";

fn as_job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let count = |name: &str| row.get::<_, u32>(name);
    let tokens = |name: &str| row.get::<_, i64>(name).map(|tokens| u64::try_from(tokens).unwrap_or(0));
    let cost: Option<i64> = row.get("cost")?;
    let metadata: Option<String> = row.get("metadata")?;
    let status: u8 = row.get("status")?;
    Ok(Job {
        key: JobKey(row.get("key")?),
        id: row.get("id")?,
        caller: row.get("caller")?,
        spec: row.get("spec")?,
        metadata: metadata.and_then(|metadata| serde_json::from_str(&metadata).ok()),
        status: Status::ALL.get(usize::from(status)).copied().unwrap_or(Status::Failed),
        counts: Counts {
            total: count("total")?,
            succeeded: count("succeeded")?,
            failed: count("failed")?,
            invalid: count("invalid")?,
            cancelled: count("cancelled")?,
        },
        last_event: count("last_event")?,
        usage: Usage { cost_usd: cost.map(cost_from_store), ..Usage::new(tokens("input_tokens")?, tokens("output_tokens")?) },
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        expires_at: row.get("expires_at")?,
        error: row.get("error")?,
    })
}

/// Costs are kept in millionths of a millionth of a dollar, as they are counted.
pub fn cost_to_store(cost: Usd) -> i64 {
    i64::try_from(cost.0).unwrap_or(i64::MAX)
}

fn cost_from_store(cost: i64) -> Usd {
    Usd(u64::try_from(cost).unwrap_or(0))
}

pub fn job_of(connection: &Connection, job: JobKey) -> rusqlite::Result<Job> {
    connection.prepare_cached(&format!("{JOB} WHERE key = ?1"))?.query_row([job.0], as_job)
}

/// The job of this id, whosever it is, and also while it is being uploaded.
pub fn any_job(connection: &Connection, id: &str) -> rusqlite::Result<Option<Job>> {
    connection.prepare_cached(&format!("{JOB} WHERE id = ?1"))?.query_row([id], as_job).optional()
}

pub fn job(connection: &Connection, id: &str, caller: &str) -> rusqlite::Result<Option<Job>> {
    Ok(any_job(connection, id)?.filter(|job| job.caller == caller && job.status != Status::Uploading))
}

pub fn jobs(connection: &Connection, caller: &str, before: Option<JobKey>, limit: u32) -> rusqlite::Result<Vec<Job>> {
    let before = before.map_or(u32::MAX, |before| before.0);
    connection
        .prepare_cached(&format!("{JOB} WHERE caller = ?1 AND key < ?2 AND status != ?3 ORDER BY key DESC LIMIT ?4"))?
        .query_map(params![caller, before, Status::Uploading as i64, limit], as_job)?
        .collect()
}

pub fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<Job>> {
    connection.prepare_cached(&format!("{JOB} WHERE status < 4 ORDER BY key"))?.query_map([], as_job)?.collect()
}

pub fn expired(connection: &Connection, now: Millis) -> rusqlite::Result<Vec<JobKey>> {
    connection
        .prepare_cached("SELECT key FROM jobs WHERE expires_at IS NOT NULL AND expires_at <= ?1 ORDER BY key LIMIT 100")?
        .query_map([now], |row| row.get(0).map(JobKey))?
        .collect()
}

pub fn pending(connection: &Connection, job: JobKey, from: u32, limit: u32) -> rusqlite::Result<Vec<Pending>> {
    let sql = "SELECT inputs.place, inputs.body, coalesce(items.lost, 0) FROM inputs LEFT JOIN items USING (place)
               WHERE inputs.place BETWEEN ?1 AND ?2 AND items.event IS NULL ORDER BY inputs.place LIMIT ?3";
    connection
        .prepare_cached(sql)?
        .query_map(params![place(job, from), place(job, u32::MAX), limit], |row| {
            Ok(Pending { index: number_of(row.get(0)?), input: row.get(1)?, lost: row.get(2)? })
        })?
        .collect()
}

pub fn events(connection: &Connection, job: JobKey, after: u32, limit: u32) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT place, item, status, body FROM events WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3";
    connection.prepare_cached(sql)?.query_map(params![place(job, after), place(job, u32::MAX), limit], as_event)?.collect()
}

pub fn results(
    connection: &Connection,
    job: JobKey,
    order: Order,
    only: Option<ItemStatus>,
    after: Option<u32>,
    limit: u32,
) -> rusqlite::Result<Vec<Event>> {
    let from = after.map_or_else(|| place(job, 0), |after| place(job, after) + 1);
    let end = match order {
        Order::Input => first_without(connection, job, from, only.is_none().then_some(limit))?,
        Order::Completion => None,
    };
    let end = end.map_or_else(|| place(job, u32::MAX), |first| first - 1);
    let only = only.map(|status| status as i64);
    let values = params![from, end, only, limit];
    match order {
        // A result that was replaced (its item was tried again) is not the item's any more.
        Order::Completion => connection
            .prepare_cached(
                "SELECT events.place, events.item, events.status, events.body FROM events
                 JOIN items ON items.place = ((events.place >> 32) << 32) | events.item
                 WHERE events.place BETWEEN ?1 AND ?2 AND events.item IS NOT NULL AND items.event = events.place & 4294967295
                 AND (?3 IS NULL OR events.status = ?3) ORDER BY events.place LIMIT ?4",
            )?
            .query_map(values, as_event)?
            .collect(),
        Order::Input => connection
            .prepare_cached(
                "SELECT events.place, events.item, events.status, events.body FROM items
                 JOIN events ON events.place = ((items.place >> 32) << 32) | items.event
                 WHERE items.place BETWEEN ?1 AND ?2 AND items.event IS NOT NULL AND (?3 IS NULL OR events.status = ?3)
                 ORDER BY items.place LIMIT ?4",
            )?
            .query_map(values, as_event)?
            .collect(),
    }
}

/// The first input from a place on that has no result; looks at the next `within` inputs, or at all of a job that has not ended.
fn first_without(connection: &Connection, job: JobKey, from: i64, within: Option<u32>) -> rusqlite::Result<Option<i64>> {
    if job_of(connection, job)?.status.is_ended() {
        return Ok(None);
    }
    let last = within.map_or_else(|| place(job, u32::MAX), |within| from + i64::from(within));
    let sql = "SELECT inputs.place FROM inputs LEFT JOIN items USING (place)
               WHERE inputs.place BETWEEN ?1 AND ?2 AND items.event IS NULL ORDER BY inputs.place LIMIT 1";
    connection.prepare_cached(sql)?.query_row(params![from, last], |row| row.get(0)).optional()
}

fn as_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let item: Option<u32> = row.get(1)?;
    let status: Option<u8> = row.get(2)?;
    let status = status.and_then(|status| ItemStatus::ALL.get(usize::from(status)).copied());
    Ok(Event { number: number_of(row.get(0)?), item: item.zip(status), body: row.get(3)? })
}

/// The lower half of a place.
fn number_of(place: i64) -> u32 {
    u32::try_from(place & i64::from(u32::MAX)).unwrap_or_default()
}
