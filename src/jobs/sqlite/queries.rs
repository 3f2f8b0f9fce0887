//! What is read.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::commands::item_rowid;
use crate::jobs::store::{
    CrashCount, Event, ItemCounts, ItemStatus, Job, JobKey, Millis, PendingDelivery, PendingItem,
    ResultOrder, Status,
};
use crate::types::{Usage, Usd};

const JOB: &str = "SELECT key, id, caller, metadata, status, total, succeeded, failed, invalid, cancelled, last_event, \
                   input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, created_at, started_at, finished_at, \
                   expires_at, error, digest FROM jobs";

fn as_job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let count = |name: &str| row.get::<_, u32>(name);
    let tokens = |name: &str| {
        row.get::<_, i64>(name)
            .map(|tokens| u64::try_from(tokens).unwrap_or(0))
    };
    let cost: Option<i64> = row.get("cost")?;
    let metadata: Option<String> = row.get("metadata")?;
    let status: u8 = row.get("status")?;
    Ok(Job {
        key: JobKey(row.get("key")?),
        id: row.get("id")?,
        caller: row.get("caller")?,
        metadata: metadata.and_then(|metadata| serde_json::from_str(&metadata).ok()),
        status: Status::ALL
            .get(usize::from(status))
            .copied()
            .unwrap_or(Status::Failed),
        counts: ItemCounts {
            total: count("total")?,
            succeeded: count("succeeded")?,
            failed: count("failed")?,
            invalid: count("invalid")?,
            cancelled: count("cancelled")?,
        },
        last_event: count("last_event")?,
        usage: Usage {
            cost_usd: cost.map(cost_from_store),
            ..Usage::new(tokens("input_tokens")?, tokens("output_tokens")?).with_details(
                Some(tokens("cached_tokens")?),
                Some(tokens("reasoning_tokens")?),
            )
        },
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        expires_at: row.get("expires_at")?,
        error: row.get("error")?,
        digest: row.get("digest")?,
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
    connection
        .prepare_cached(&format!("{JOB} WHERE key = ?1"))?
        .query_row([job.0], as_job)
}

/// Also while it is being uploaded.
pub fn any_job(connection: &Connection, id: &str) -> rusqlite::Result<Option<Job>> {
    connection
        .prepare_cached(&format!("{JOB} WHERE id = ?1"))?
        .query_row([id], as_job)
        .optional()
}

pub fn job(connection: &Connection, id: &str) -> rusqlite::Result<Option<Job>> {
    Ok(any_job(connection, id)?.filter(|job| job.status.is_visible()))
}

pub fn spec(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT body FROM specs WHERE job = ?1")?
        .query_row([job.0], |row| row.get(0))
        .optional()
}

pub fn jobs(
    connection: &Connection,
    caller: &str,
    before: Option<JobKey>,
    limit: u32,
) -> rusqlite::Result<Vec<Job>> {
    let before = before.map_or(u32::MAX, |before| before.0);
    connection
        .prepare_cached(&format!(
            "{JOB} WHERE caller = ?1 AND key < ?2 AND status NOT IN (?3, ?4) ORDER BY key DESC LIMIT ?5"
        ))?
        .query_map(
            params![
                caller,
                before,
                Status::Uploading as i64,
                Status::Deleting as i64,
                limit
            ],
            as_job,
        )?
        .collect()
}

pub fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<Job>> {
    connection
        .prepare_cached(&format!(
            "{JOB} WHERE status < 4 AND status > 0 ORDER BY key"
        ))?
        .query_map([], as_job)?
        .collect()
}

pub fn expired(connection: &Connection, now: Millis) -> rusqlite::Result<Vec<JobKey>> {
    connection
        .prepare_cached("SELECT key FROM jobs WHERE expires_at IS NOT NULL AND expires_at <= ?1 ORDER BY key LIMIT 100")?
        .query_map([now], |row| row.get(0).map(JobKey))?
        .collect()
}

pub fn pending(
    connection: &Connection,
    job: JobKey,
    from: u32,
    limit: u32,
) -> rusqlite::Result<Vec<PendingItem>> {
    let sql = "SELECT inputs.place, inputs.body, coalesce(items.lost, 0), coalesce(items.alone, 0) FROM inputs
               LEFT JOIN items USING (place)
               WHERE inputs.place BETWEEN ?1 AND ?2 AND items.event IS NULL ORDER BY inputs.place LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        params![item_rowid(job, from), item_rowid(job, u32::MAX), limit],
        |row| {
            let lost = CrashCount {
                times: row.get(2)?,
                alone: row.get(3)?,
            };
            Ok(PendingItem {
                index: item_number(row.get(0)?),
                input: row.get(1)?,
                lost,
            })
        },
    )?;
    up_to_a_megabyte(rows, |pending| pending.input.len())
}

pub fn crash_suspects(
    connection: &Connection,
    times: u32,
) -> rusqlite::Result<Vec<(JobKey, PendingItem)>> {
    let sql = "SELECT inputs.place, inputs.body, items.lost, items.alone FROM items CROSS JOIN inputs USING (place)
               WHERE items.lost > 0 AND items.lost >= ?1 AND items.event IS NULL ORDER BY items.alone, items.place LIMIT 10000";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([times], |row| {
        let place: i64 = row.get(0)?;
        let lost = CrashCount {
            times: row.get(2)?,
            alone: row.get(3)?,
        };
        let job = JobKey(u32::try_from(place >> 32).unwrap_or_default());
        Ok((
            job,
            PendingItem {
                index: item_number(place),
                input: row.get(1)?,
                lost,
            },
        ))
    })?;
    rows.collect()
}

pub fn due_webhooks(
    connection: &Connection,
    now: Millis,
) -> rusqlite::Result<Vec<PendingDelivery>> {
    connection
        .prepare_cached("SELECT job, event, body, tries FROM webhooks WHERE due_at <= ?1 ORDER BY due_at LIMIT 100")?
        .query_map([now], |row| Ok(PendingDelivery { job: JobKey(row.get(0)?), event: row.get(1)?, body: row.get(2)?, tries: row.get(3)? }))?
        .collect()
}

pub fn secret(connection: &Connection) -> rusqlite::Result<[u8; 32]> {
    connection.query_row("SELECT secret FROM process", [], |row| row.get(0))
}

pub fn events(
    connection: &Connection,
    job: JobKey,
    after: u32,
    limit: u32,
) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT place, item, status, body FROM events WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        params![item_rowid(job, after), item_rowid(job, u32::MAX), limit],
        as_event,
    )?;
    up_to_a_megabyte(rows, |event| event.body.len())
}

pub fn results(
    connection: &Connection,
    job: JobKey,
    order: ResultOrder,
    only: Option<ItemStatus>,
    after: Option<u32>,
    limit: u32,
) -> rusqlite::Result<Vec<Event>> {
    let from = after.map_or_else(|| item_rowid(job, 0), |after| item_rowid(job, after) + 1);
    let end = match order {
        ResultOrder::Input => {
            first_without(connection, job, from, only.is_none().then_some(limit))?
        }
        ResultOrder::Completion => None,
    };
    let end = end.map_or_else(|| item_rowid(job, u32::MAX), |first| first - 1);
    let (driving, joined) = match order {
        ResultOrder::Input => (
            "items",
            "events ON events.place = ((items.place >> 32) << 32) | items.event",
        ),
        ResultOrder::Completion => (
            "events",
            "items ON items.place = ((events.place >> 32) << 32) | events.item",
        ),
    };
    let only = match only {
        None => String::new(),
        Some(ItemStatus::Succeeded) => format!("AND {driving}.status = 0"),
        // In these words, so that the index of those that did not succeed, which are few, is used.
        Some(status) => format!(
            "AND {driving}.status = {} AND {driving}.status > 0",
            status as i64
        ),
    };
    // CROSS keeps the order of the tables. A result that was replaced (its item ran again) is not the item's any more.
    let sql = format!(
        "SELECT events.place, events.item, events.status, events.body FROM {driving} CROSS JOIN {joined}
         WHERE {driving}.place BETWEEN ?1 AND ?2 {only} AND items.event = events.place & 4294967295
         ORDER BY {driving}.place LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![from, end, limit], as_event)?;
    up_to_a_megabyte(rows, |event| event.body.len())
}

/// The first input from a place on that has no result; looks at the next `within` inputs, or at all of a job that has not ended.
fn first_without(
    connection: &Connection,
    job: JobKey,
    from: i64,
    within: Option<u32>,
) -> rusqlite::Result<Option<i64>> {
    if job_of(connection, job)?.status.is_ended() {
        return Ok(None);
    }
    let last = within.map_or_else(
        || item_rowid(job, u32::MAX),
        |within| from + i64::from(within),
    );
    let sql = "SELECT inputs.place FROM inputs LEFT JOIN items USING (place)
               WHERE inputs.place BETWEEN ?1 AND ?2 AND items.event IS NULL ORDER BY inputs.place LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row(params![from, last], |row| row.get(0))
        .optional()
}

/// The first rows, at least one: not much more than a megabyte of them.
fn up_to_a_megabyte<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    size_bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += size_bytes(&row);
        taken.push(row);
        if bytes >= 1 << 20 {
            break;
        }
    }
    Ok(taken)
}

fn as_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let item: Option<u32> = row.get(1)?;
    let status: Option<u8> = row.get(2)?;
    let status = status.and_then(|status| ItemStatus::ALL.get(usize::from(status)).copied());
    Ok(Event {
        number: item_number(row.get(0)?),
        item: item.zip(status),
        body: row.get(3)?,
    })
}

/// The lower half of a place.
fn item_number(place: i64) -> u32 {
    u32::try_from(place & i64::from(u32::MAX)).unwrap_or_default()
}
