//! Connection of the write thread: transactions, and checkpoints of the write-ahead log.
//!
//! SQLite's automatic checkpoints ignore their errors. These are made by the write thread, so that a failed fsync stops the store.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::from_sqlite;
use super::read_gate::ReadGate;
use crate::jobs::store::StoreError;

/// Pages of the write-ahead log after which it is copied into the file, as far as reads permit, each time that it has got so many
/// more: 4 MiB.
const LONG_LOG_PAGES: u32 = 1_000;
/// Pages of the write-ahead log from which reads wait until it is truncated: 12 MiB. With the last group of writes, it fits into the
/// reserved space: on a full disk, it is copied into the file before anything can be removed. A larger write is made only if there is
/// room for it beside the reserve.
const MAX_LOG_PAGES: u32 = 3 * LONG_LOG_PAGES;
/// Number of free pages that are returned to the file system at once.
const PAGES_PER_VACUUM: u32 = 1_000;
/// Statements that the connection keeps prepared: more than all writes have. SQLite's binding keeps 16.
const CACHED_STATEMENTS: usize = 64;
/// Behaviour that locks the file from the first statement on: a transaction that reads first could find that another connection
/// has written meanwhile.
const IMMEDIATE: TransactionBehavior = TransactionBehavior::Immediate;
/// Time for which the truncation of the log waits for reads.
const TRUNCATION_TIMEOUT: Duration = Duration::from_secs(1);

/// Connection that writes.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// Pages of the write-ahead log after the last commit.
    log_pages: Arc<AtomicU32>,
    /// Pages of the write-ahead log at its last checkpoint.
    checkpointed_pages: Cell<u32>,
    /// Pages of the write-ahead log from which it is truncated.
    truncated_from: Cell<u32>,
    gate: Arc<ReadGate>,
    busy_timeout: Duration,
}

impl Database {
    /// Takes over a connection, which waits for locks up to `busy_timeout`. `gate` is that of the reads.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn new(
        mut connection: Connection,
        gate: Arc<ReadGate>,
        busy_timeout: Duration,
    ) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&log_pages);
        // It also replaces SQLite's automatic checkpoints.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        connection.busy_timeout(busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        Ok(Self {
            connection,
            log_pages,
            checkpointed_pages: Cell::new(0),
            truncated_from: Cell::new(MAX_LOG_PAGES),
            gate,
            busy_timeout,
        })
    }

    /// Returns the connection, for reads.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// It could not be begun.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        // There is one at a time, because `self` is borrowed.
        let begun = Transaction::new_unchecked(&self.connection, IMMEDIATE);
        begun.map_err(|error| from_sqlite(&self.connection, &error))
    }

    /// Copies the write-ahead log into the file if it is long, as far as reads permit. If it is too long, reads wait until it is
    /// truncated.
    ///
    /// # Errors
    /// The log could not be copied. What was committed is in the log.
    pub fn checkpoint_if_long(&self) -> Result<(), StoreError> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.checkpointed_pages.get() {
            // The log has begun anew since.
            self.set_truncated();
        }
        if pages - self.checkpointed_pages.get() < LONG_LOG_PAGES {
            return Ok(());
        }
        self.checkpointed_pages.set(pages);
        if pages < self.truncated_from.get() {
            return self.ignore_busy(checkpoint(&self.connection).map(drop));
        }
        let is_truncated = self.truncate();
        if matches!(is_truncated, Ok(false)) {
            // A backup can take minutes, and each attempt makes reads and writes wait.
            self.truncated_from.set(pages.saturating_mul(2));
        }
        self.ignore_busy(is_truncated.map(drop))
    }

    /// Copies the write-ahead log into the file and truncates it, unless reads prevent it for a second.
    ///
    /// # Errors
    /// The log could not be copied. What was committed is in the log.
    pub fn truncate_log(&self) -> Result<(), StoreError> {
        self.ignore_busy(self.truncate().map(drop))
    }

    /// Returns some free pages to the file system, if there are any. Returns false if there are none.
    ///
    /// # Errors
    /// The pages could not be returned.
    pub fn vacuum(&self) -> Result<bool, StoreError> {
        let vacuumed = count_free_pages(&self.connection).and_then(|pages| {
            if pages > 0 {
                vacuum_pages(&self.connection)?;
            }
            Ok(pages > 0)
        });
        vacuumed.map_err(|error| from_sqlite(&self.connection, &error))
    }

    /// Copies the write-ahead log into the file, and closes the connection. If it is only dropped, nothing is written.
    pub fn close(self) {
        if let Err(error) = self.truncate_log() {
            tracing::warn!(%error, "the job store's log could not be copied into its file; the next start does it");
            return;
        }
        // The last connection removes the log.
        let closed = match set_checkpoint_on_close(&self.connection, true) {
            Ok(()) => self.connection.close().map_err(|(_, error)| error),
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            tracing::warn!(%error, "the job store could not be closed");
        }
    }

    /// Truncates the log. Returns false if reads prevent it.
    fn truncate(&self) -> rusqlite::Result<bool> {
        // What can be copied beside the reads is copied before they have to wait. The log of a full disk is often empty.
        if checkpoint(&self.connection)? == 0 {
            return Ok(true);
        }
        self.connection.busy_timeout(TRUNCATION_TIMEOUT)?;
        let is_truncated = truncate_log(&self.connection, &self.gate);
        self.connection.busy_timeout(self.busy_timeout)?;
        if matches!(is_truncated, Ok(true)) {
            self.log_pages.store(0, Ordering::Relaxed);
            self.set_truncated();
        }
        is_truncated
    }

    fn set_truncated(&self) {
        self.checkpointed_pages.set(0);
        self.truncated_from.set(MAX_LOG_PAGES);
    }

    fn ignore_busy(&self, result: rusqlite::Result<()>) -> Result<(), StoreError> {
        match result.map_err(|error| from_sqlite(&self.connection, &error)) {
            Err(StoreError::Busy) => Ok(()),
            result => result,
        }
    }
}

/// Copies the write-ahead log into the file as far as reads permit. Returns its pages; the maximum if another connection copies it at
/// the moment, so that their number is unknown.
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<u32> {
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    let pages: i64 = connection.query_row(sql, [], |row| row.get(1))?;
    Ok(u32::try_from(pages).unwrap_or(u32::MAX))
}

/// Sets whether the connection, if it is the last one, copies the write-ahead log into the file and removes it when it is closed or
/// dropped. After a failed fsync, it must not.
pub fn set_checkpoint_on_close(connection: &Connection, is_made: bool) -> rusqlite::Result<()> {
    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, !is_made).map(drop)
}

/// Returns the number of pages that contain nothing.
pub fn count_free_pages(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))
}

/// Returns some free pages to the file system, in one transaction.
pub fn vacuum_pages(connection: &Connection) -> rusqlite::Result<()> {
    let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_VACUUM})");
    let mut statement = connection.prepare(&sql)?;
    // One row for each page; a page is freed when its row is read.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Copies the write-ahead log into the file and truncates it, while no read begins. Returns false if reads that have begun prevent it
/// for as long as the connection waits for locks.
pub fn truncate_log(connection: &Connection, gate: &ReadGate) -> rusqlite::Result<bool> {
    let _closed = gate.close();
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(!is_busy)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn free_pages_are_returned_until_there_are_none() {
        let connection = Connection::open_in_memory().unwrap();
        let database = Database::new(connection, Arc::default(), Duration::ZERO).unwrap();
        let table = "PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE texts (text)";
        database.connection.execute_batch(table).unwrap();
        assert_eq!(database.vacuum(), Ok(false), "nothing was removed");
        let bytes = 4096 * (PAGES_PER_VACUUM + 100);
        let insert = "INSERT INTO texts VALUES (zeroblob(?1))";
        database.connection.execute(insert, [bytes]).unwrap();
        database
            .connection
            .execute("DELETE FROM texts", [])
            .unwrap();
        let left = || count_free_pages(&database.connection).unwrap();
        let freed = left();
        assert!(freed > PAGES_PER_VACUUM);
        assert_eq!(database.vacuum(), Ok(true));
        assert_eq!(left(), freed - PAGES_PER_VACUUM);
        assert_eq!(database.vacuum(), Ok(true));
        assert_eq!((left(), database.vacuum()), (0, Ok(false)));
    }

    #[test]
    fn only_a_busy_checkpoint_is_no_error() {
        let connection = Connection::open_in_memory().unwrap();
        let database = Database::new(connection, Arc::default(), Duration::ZERO).unwrap();
        let result = |extended_code| {
            let error = ffi::Error::new(extended_code);
            database.ignore_busy(Err(rusqlite::Error::SqliteFailure(error, None)))
        };
        assert_eq!(result(ffi::SQLITE_BUSY), Ok(()));
        assert_eq!(result(ffi::SQLITE_FULL), Err(StoreError::Full));
        let failed = result(ffi::SQLITE_IOERR_FSYNC);
        assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    }
}
