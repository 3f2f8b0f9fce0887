//! Removal of jobs: a mark first, then their rows in steps that do not delay other writes for long.
//!
//! Removed rows are overwritten with zeros, which writes as many bytes to the write-ahead log. Rows larger than a step are not
//! overwritten: on a full disk, the log has no room for them. Their pages are free at once, and the vacuum returns them.

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
    remove_spec(connection, job)?;
    for sql in [
        "DELETE FROM webhooks WHERE job = ?1",
        "DELETE FROM deliveries WHERE job = ?1",
        "DELETE FROM jobs WHERE key = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([job.0])?;
    }
    Ok(true)
}

fn remove_spec(connection: &Connection, job: JobKey) -> rusqlite::Result<()> {
    let sql = "SELECT octet_length(body) FROM specs WHERE job = ?1";
    let size_bytes: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row([job.0], |row| row.get(0))
        .optional()?;
    let is_large = size_bytes.is_some_and(is_larger_than_a_step);
    delete(connection, is_large, || {
        let sql = "DELETE FROM specs WHERE job = ?1";
        connection.prepare_cached(sql)?.execute([job.0]).map(drop)
    })
}

fn is_larger_than_a_step(size_bytes: i64) -> bool {
    usize::try_from(size_bytes).is_ok_and(|bytes| bytes > MAX_BYTES_PER_STEP)
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
    let mut is_large = false;
    for row in rows {
        let (rowid, size_bytes): (i64, i64) = row?;
        last_removed = Some(rowid);
        left.rows = left.rows.saturating_sub(1);
        is_large |= is_larger_than_a_step(size_bytes);
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
    delete(connection, is_large, || {
        let mut statement = connection.prepare_cached(&sql)?;
        statement.execute([first, last_removed]).map(drop)
    })
}

/// Executes a deletion. If a row of it is large, the pages that become free are not overwritten.
fn delete(
    connection: &Connection,
    is_large: bool,
    execute: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if !is_large {
        return execute();
    }
    let set = |sql| connection.query_row(sql, [], |_| Ok(()));
    set("PRAGMA secure_delete = FAST")?;
    let result = execute();
    set("PRAGMA secure_delete = ON")?;
    result
}

#[cfg(test)]
mod tests {
    use super::super::migrations;
    use super::super::tests::Folder;
    use super::*;

    const JOB: JobKey = JobKey(1);
    const MARK: &[u8] = b"the text of a caller";

    /// Returns a store with a job whose only input has so many bytes, copied from the write-ahead log into the file.
    fn store_with_input(folder: &Folder, bytes: usize) -> Connection {
        let mut connection = Connection::open(folder.file()).unwrap();
        connection
            .execute_batch(
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA secure_delete = ON;
                 PRAGMA wal_autocheckpoint = 0;",
            )
            .unwrap();
        migrations::migrate(&mut connection).unwrap();
        let sql = "INSERT INTO jobs (key, id, caller, status, created_at) VALUES (?1, 'job_a', '', ?2, 0)";
        let values = params![JOB.0, Status::Deleting as i64];
        connection.execute(sql, values).unwrap();
        let [first, _] = job_rowids(JOB);
        let input = MARK.repeat(bytes / MARK.len());
        let sql = "INSERT INTO inputs (place, body) VALUES (?1, ?2)";
        connection.execute(sql, params![first, input]).unwrap();
        truncate_log(&connection);
        connection
    }

    fn truncate_log(connection: &Connection) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        connection.query_row(sql, [], |_| Ok(())).unwrap();
    }

    fn remove_all(connection: &mut Connection) {
        for _ in 0..10 {
            let step = connection.transaction().unwrap();
            let is_removed = remove_step(&step, JOB).unwrap();
            step.commit().unwrap();
            if is_removed {
                return;
            }
        }
        panic!("the job is not removed in ten steps");
    }

    fn contains_mark(folder: &Folder) -> bool {
        let file = std::fs::read(folder.file()).unwrap();
        file.windows(MARK.len()).any(|window| window == MARK)
    }

    #[test]
    fn removing_a_large_input_takes_little_of_the_log_and_leaves_nothing_in_the_file() {
        let folder = Folder::new("large-removal");
        let mut connection = store_with_input(&folder, 3 * MAX_BYTES_PER_STEP);
        assert!(contains_mark(&folder));
        remove_all(&mut connection);
        let log = folder.file().with_extension("db-wal");
        let log_bytes = std::fs::metadata(log).unwrap().len();
        assert!(log_bytes < 1 << 20, "{log_bytes} bytes");
        let sql = "PRAGMA secure_delete";
        let is_on: u8 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(is_on, 1);
        let mut vacuum = connection.prepare("PRAGMA incremental_vacuum").unwrap();
        let mut pages = vacuum.query([]).unwrap();
        while pages.next().unwrap().is_some() {}
        drop(pages);
        drop(vacuum);
        truncate_log(&connection);
        assert!(!contains_mark(&folder));
    }

    #[test]
    fn small_inputs_are_overwritten_at_once() {
        let folder = Folder::new("small-removal");
        let mut connection = store_with_input(&folder, MAX_BYTES_PER_STEP / 4);
        assert!(contains_mark(&folder));
        remove_all(&mut connection);
        truncate_log(&connection);
        assert!(!contains_mark(&folder));
    }
}
