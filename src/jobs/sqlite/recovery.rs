//! Crash recovery: leases of items, crash counts, and the record of the running process.

use rusqlite::{Connection, params};

use super::rowid::to_rowid;
use crate::jobs::store::{JobKey, Status};

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

/// Returns the row IDs of the leased items without a result.
fn leased_items(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let jobs: Vec<(u32, u32)> = connection
        .prepare("SELECT key, taken FROM jobs WHERE status < 4 AND taken > 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT inputs.place FROM inputs LEFT JOIN items USING (place)
               WHERE inputs.place >= ?1 AND inputs.place < ?2 AND items.event IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rowids = Vec::new();
    for (job, until) in jobs {
        let found = statement.query_map(
            [to_rowid(JobKey(job), 0), to_rowid(JobKey(job), until)],
            |row| row.get(0),
        )?;
        rowids.extend(found.collect::<rusqlite::Result<Vec<i64>>>()?);
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

/// Leases the inputs with an index below `until`.
pub fn lease_until(connection: &Connection, job: JobKey, until: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET taken = ?2 WHERE key = ?1")?
        .execute([job.0, until])
        .map(drop)
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
