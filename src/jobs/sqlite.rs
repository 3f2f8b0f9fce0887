//! The built-in job store: one SQLite file, opened by one process at a time.
//!
//! One thread writes. Writes that wait for it share a transaction (group commit), because a commit costs one fsync however many
//! writes it contains. A write is done when its commit is on disk. Reads have connections of their own and do not wait for
//! writes.

mod commands;
mod error;
mod health;
mod item_queries;
mod migrations;
mod queries;
mod readers;
mod recovery;
mod removal;
mod rowid;
mod store_impl;
#[cfg(test)]
mod tests;
mod write_thread;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::store::{JobKey, StoreError, Stored};
use error::{from_open, from_sqlite};
use health::Health;
use readers::Readers;
use write_thread::{RetryPolicy, Writer};

/// Settings of the connection that writes. `auto_vacuum` has to precede the first table.
const PRAGMAS: &str = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;";

/// Job store in an SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    health: Arc<Health>,
    /// Jobs whose upload or removal the previous process did not complete.
    orphaned: Vec<JobKey>,
    /// Lock file, locked until the process ends: a second process would run the same jobs.
    _lock: File,
}

impl Sqlite {
    /// Opens the file, or creates it, readable by its owner only. If the previous process died, the items that it had leased
    /// count one more crash.
    ///
    /// # Errors
    /// Another process has the file open, a newer version created it, it is damaged, or it cannot be written to.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock_file(&path.with_extension("lock"))?;
        open_private(path)?;
        let mut connection = connect_for_writing(path).map_err(|error| from_sqlite(&error))?;
        migrations::migrate(&mut connection)?;
        let orphaned = recover(&mut connection).map_err(|error| from_sqlite(&error))?;
        let health = Arc::new(Health::default());
        let writer = Writer::start(connection, Arc::clone(&health)).map_err(|error| {
            StoreError::Other(format!("cannot start the write thread: {error}"))
        })?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers::new(path, Arc::clone(&health))),
            health,
            orphaned,
            _lock: lock,
        })
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        Box::pin(Arc::clone(&self.readers).run(query))
    }

    fn write<T: Send + 'static>(
        &self,
        retry: RetryPolicy,
        statements: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        Box::pin(self.writer.run(retry, statements))
    }
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = open_private(path)?;
    file.try_lock().map_err(|_| StoreError::Locked)?;
    Ok(file)
}

/// Opens a file, or creates it, readable by its owner only.
fn open_private(path: &Path) -> Result<File, StoreError> {
    let open = || -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    open().map_err(|error| from_open(path, &error))
}

fn connect_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = readers::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

fn recover(connection: &mut Connection) -> rusqlite::Result<Vec<JobKey>> {
    let transaction = connection.transaction()?;
    let orphaned = recovery::recover(&transaction)?;
    transaction.commit()?;
    Ok(orphaned)
}
