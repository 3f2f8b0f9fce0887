//! Reads of webhook deliveries that are due, by caller.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::jobs::store::{JobKey, PendingDelivery, UnixMillis};

/// Returns deliveries that are due, by caller, of each the longest due first and at most `per_caller`. Those of the jobs
/// `except` are left out.
pub fn due_webhooks(
    connection: &Connection,
    now: UnixMillis,
    per_caller: usize,
    except: &HashSet<JobKey>,
) -> rusqlite::Result<Vec<PendingDelivery>> {
    let mut due = Vec::new();
    let mut caller = next_caller(connection, None)?;
    while let Some(name) = caller {
        let jobs = due_jobs(connection, &name, now, per_caller + except.len())?;
        let jobs = jobs.into_iter().filter(|job| !except.contains(job));
        for job in jobs.take(per_caller) {
            due.extend(delivery(connection, job)?);
        }
        caller = next_caller(connection, Some(&name))?;
    }
    Ok(due)
}

/// Returns the first caller with a delivery after the caller `after`, by name.
fn next_caller(connection: &Connection, after: Option<&str>) -> rusqlite::Result<Option<String>> {
    // One look into the index, however many deliveries a caller has.
    let sql = match after {
        None => "SELECT min(caller) FROM webhooks WHERE caller >= ?1",
        Some(_) => "SELECT min(caller) FROM webhooks WHERE caller > ?1",
    };
    connection
        .prepare_cached(sql)?
        .query_row([after.unwrap_or_default()], |row| row.get(0))
}

fn due_jobs(
    connection: &Connection,
    caller: &str,
    now: UnixMillis,
    limit: usize,
) -> rusqlite::Result<Vec<JobKey>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql =
        "SELECT job FROM webhooks WHERE caller = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3";
    connection
        .prepare_cached(sql)?
        .query_map(params![caller, now, limit], |row| row.get(0).map(JobKey))?
        .collect()
}

fn delivery(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<PendingDelivery>> {
    let from_row = |row: &Row<'_>| {
        Ok(PendingDelivery {
            job,
            event: row.get(0)?,
            failed_attempts: row.get(1)?,
            caller: row.get(2)?,
        })
    };
    connection
        .prepare_cached("SELECT event, tries, caller FROM webhooks WHERE job = ?1")?
        .query_row([job.0], from_row)
        .optional()
}

/// Returns the body of a delivery; `None` if there is no longer one of this event.
pub fn delivery_body(
    connection: &Connection,
    job: JobKey,
    event: u32,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT body FROM webhooks WHERE job = ?1 AND event = ?2")?
        .query_row([job.0, event], |row| row.get(0))
        .optional()
}
