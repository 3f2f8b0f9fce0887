//! Connection of the write thread: transactions, and checkpoints of the write-ahead log.
//!
//! SQLite's automatic checkpoints ignore their errors. These are made by the write thread, so that a failed fsync stops the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::from_sqlite;
use crate::jobs::store::StoreError;

/// Pages of the write-ahead log from which it is copied into the file: 4 MiB.
const LONG_LOG_PAGES: u32 = 1_000;
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
    busy_timeout: Duration,
}

impl Database {
    /// Takes over a connection, which waits for locks up to `busy_timeout`.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn new(mut connection: Connection, busy_timeout: Duration) -> rusqlite::Result<Self> {
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
            busy_timeout,
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn transaction(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.transaction_with_behavior(IMMEDIATE)
    }

    /// Copies the write-ahead log into the file if it is long, as far as reads permit.
    ///
    /// # Errors
    /// The log could not be copied. What was committed is in the log.
    pub fn checkpoint_if_long(&self) -> Result<(), StoreError> {
        if self.log_pages.load(Ordering::Relaxed) < LONG_LOG_PAGES {
            return Ok(());
        }
        ignore_busy(self.query("PRAGMA wal_checkpoint(PASSIVE)"))
    }

    /// Copies the write-ahead log into the file and truncates it, unless reads prevent it.
    ///
    /// # Errors
    /// The log could not be copied. What was committed is in the log.
    pub fn truncate_log(&self) -> Result<(), StoreError> {
        let truncate = || {
            self.connection.busy_timeout(TRUNCATION_TIMEOUT)?;
            let result = self.query("PRAGMA wal_checkpoint(TRUNCATE)");
            self.connection.busy_timeout(self.busy_timeout)?;
            result
        };
        ignore_busy(truncate())
    }

    /// Returns some free pages to the file system.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn vacuum(&self) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_VACUUM})");
        let mut statement = self.connection.prepare(&sql)?;
        // One row for each page; a page is freed when its row is read.
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Copies the write-ahead log into the file, and closes the connection.
    pub fn close(self) {
        if let Err(error) = self.truncate_log() {
            tracing::warn!(%error, "the job store's log could not be copied into its file; the next start does it");
        }
        // The last connection removes the log.
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the job store could not be closed");
        }
    }

    fn query(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.query_row(sql, [], |_| Ok(()))
    }
}

fn ignore_busy(result: rusqlite::Result<()>) -> Result<(), StoreError> {
    match result.map_err(|error| from_sqlite(&error)) {
        Err(StoreError::Busy) => Ok(()),
        result => result,
    }
}
