//! Crash recovery: leases of items, crash counts, and the record of the running process.

use rusqlite::{Connection, OptionalExtension, params};

use super::rowid::to_rowid;
use crate::jobs::store::{JobKey, Status};

/// Maximum number of items whose results a lease looks at: many times those of a page, so that the leases follow the results.
const MAX_ITEMS_PER_LEASE: u32 = 10_000;

/// Recovers the state that the previous process left. If it died, the items that it had leased count one more crash. The
/// idempotency keys of interrupted uploads are freed.
pub fn recover(connection: &Connection) -> rusqlite::Result<()> {
    let (has_crashed, isolated): (bool, Option<i64>) =
        connection.query_row("SELECT is_running, alone FROM process", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut in_flight = if has_crashed {
        leased_items(connection)?
    } else {
        Vec::new()
    };
    in_flight.extend(isolated.filter(|_| has_crashed));
    if in_flight.is_empty() {
        // A process that dies with no item in flight acquits the items of those before it.
        clear_crash_counts(connection)?;
    }
    let mut count = connection.prepare_cached(
        "INSERT INTO items (place, lost, alone) VALUES (?1, 1, ?2)
         ON CONFLICT (place) DO UPDATE SET lost = lost + 1, alone = alone + ?2 WHERE event IS NULL",
    )?;
    for rowid in in_flight {
        count.execute(params![rowid, isolated == Some(rowid)])?;
    }
    connection.execute("UPDATE jobs SET taken = 0 WHERE status < 4", [])?;
    connection.execute("UPDATE process SET is_running = 1, alone = NULL", [])?;
    // A client that repeats an interrupted upload creates a new job.
    connection
        .execute(
            "UPDATE jobs SET idempotency_key = NULL WHERE status = ?1",
            [Status::Uploading as i64],
        )
        .map(drop)
}

/// Returns the row IDs of the leased items without a result. Reads no inputs, which are contiguous: they can be much larger than what
/// is in flight.
fn leased_items(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let jobs: Vec<(u32, u32, u32)> = connection
        .prepare(
            "SELECT key, leased_from, taken FROM jobs WHERE status < 4 AND taken > leased_from",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT place FROM items WHERE place >= ?1 AND place < ?2 AND event IS NOT NULL ORDER BY place";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rowids = Vec::new();
    for (job, from, until) in jobs {
        let (mut next, end) = (to_rowid(JobKey(job), from), to_rowid(JobKey(job), until));
        let with_result = statement.query_map([next, end], |row| row.get(0))?;
        for rowid in with_result {
            let rowid: i64 = rowid?;
            rowids.extend(next..rowid);
            next = rowid + 1;
        }
        rowids.extend(next..end);
    }
    Ok(rowids)
}

/// Resets the crash counts of all items.
pub fn clear_crash_counts(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE items SET lost = 0, alone = 0 WHERE lost > 0", [])
        .map(drop)
}

/// Resets the crash count of an item without a result.
pub fn clear_suspicion(connection: &Connection, job: JobKey, index: u32) -> rusqlite::Result<()> {
    let sql = "UPDATE items SET lost = 0, alone = 0 WHERE place = ?1 AND event IS NULL";
    connection
        .prepare_cached(sql)?
        .execute([to_rowid(job, index)])
        .map(drop)
}

/// Records the only item in flight; `None`: no item is isolated.
pub fn set_isolated(connection: &Connection, item: Option<(JobKey, u32)>) -> rusqlite::Result<()> {
    let rowid = item.map(|(job, index)| to_rowid(job, index));
    connection
        .prepare_cached("UPDATE process SET alone = ?1")?
        .execute([rowid])
        .map(drop)
}

/// Leases the inputs with an index below `until`, and records from which one on they may have no result.
pub fn lease_until(connection: &Connection, job: JobKey, until: u32) -> rusqlite::Result<()> {
    let sql = "SELECT leased_from FROM jobs WHERE key = ?1";
    let from: Option<u32> = connection
        .prepare_cached(sql)?
        .query_row([job.0], |row| row.get(0))
        .optional()?;
    let Some(from) = from else {
        return Ok(());
    };
    let from = first_without_result(connection, job, from)?;
    connection
        .prepare_cached("UPDATE jobs SET taken = ?2, leased_from = ?3 WHERE key = ?1")?
        .execute([job.0, until, from])
        .map(drop)
}

/// Returns the index of the first item without a result, from the index `from` on, or that of an item before it if many have results.
fn first_without_result(connection: &Connection, job: JobKey, from: u32) -> rusqlite::Result<u32> {
    let sql =
        "SELECT place, event IS NOT NULL FROM items WHERE place >= ?1 ORDER BY place LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![to_rowid(job, from), MAX_ITEMS_PER_LEASE])?;
    let mut first = from;
    while let Some(row) = rows.next()? {
        let is_next = row.get::<_, i64>(0)? == to_rowid(job, first) && row.get(1)?;
        if !is_next {
            break;
        }
        first = first.saturating_add(1);
    }
    Ok(first)
}

/// Records that the process ends regularly, with no item in flight.
pub fn mark_clean_shutdown(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE jobs SET taken = 0 WHERE status < 4", [])?;
    connection
        .execute("UPDATE process SET is_running = 0, alone = NULL", [])
        .map(drop)
}

/// Writes without a change, to find out if the disk accepts writes again.
pub fn probe_write(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE process SET is_running = is_running")?
        .execute([])
        .map(drop)
}
