//! Read connections: a bounded pool, used on blocking threads, and the vacuum of free pages.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::database::{
    checkpoint, count_free_pages, set_checkpoint_on_close, truncate_log, vacuum_pages,
};
use super::error::{from_connect, from_sqlite, to_sqlite};
use super::health::Health;
use super::identity::Identity;
use super::read_gate::ReadGate;
use crate::jobs::store::StoreError;

/// Time for which a connection waits for a lock, while the file is checkpointed or vacuumed.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Steps of SQLite's virtual machine between two looks at whether a read is to end: some tenths of a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;
/// Maximum number of concurrent reads, each with a connection of its own.
const MAX_READERS: usize = 8;
/// Maximum number of transactions in a vacuum step.
const VACUUMS_PER_STEP: u32 = 50;
/// Time for which a vacuum waits for other connections, which have precedence.
const VACUUM_BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// Pool of read connections.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    gate: Arc<ReadGate>,
    health: Arc<Health>,
    identity: Arc<Identity>,
}

impl Readers {
    /// Returns a pool for the file at `path`, which reports I/O errors to `health`. Reads begin while `gate` is open.
    pub fn new(
        path: &Path,
        gate: Arc<ReadGate>,
        health: Arc<Health>,
        identity: Arc<Identity>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_READERS)),
            gate,
            health,
            identity,
        }
    }

    /// Closes the idle connections, and lets no further read begin.
    pub fn close(&self) {
        self.permits.close();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.clear();
    }

    /// Runs `query` on a read connection, until the future is dropped.
    ///
    /// # Errors
    /// The query failed. A permanent error stops the store.
    pub async fn run<T: Send + 'static>(
        self: Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        self.run_blocking(move |readers| readers.with_connection(&dropped, query))
            .await
    }

    /// Returns some free pages to the file system, and finally truncates the write-ahead log. Returns false if there is more
    /// to do.
    ///
    /// # Errors
    /// The vacuum failed. A permanent error stops the store.
    pub async fn vacuum_step(self: Arc<Self>) -> Result<bool, StoreError> {
        self.run_blocking(Self::vacuum).await
    }

    async fn run_blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Other("the store is closed".to_owned()))?;
        // The folder may have been replaced by another store.
        if let Some(error @ StoreError::Gone(_)) = self.health.error() {
            return Err(error);
        }
        self.gate.wait_until_open().await;
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&self);
            if let Err(error) = &result
                && error.is_permanent()
            {
                self.health.set_error(error.clone());
            }
            drop(permit);
            result
        });
        let panicked = |_| {
            Err(StoreError::Other(
                "a read of the store panicked; this is a bug".to_owned(),
            ))
        };
        task.await.unwrap_or_else(panicked)
    }

    /// Runs `query` on an idle or a new connection, and interrupts it once nobody waits for it.
    fn with_connection<T>(
        &self,
        dropped: &CancellationToken,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle.pop();
        drop(idle);
        let connect = || self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY);
        let mut connection = reused.map_or_else(connect, Ok)?;
        let dropped = dropped.clone();
        let is_to_end = move || dropped.is_cancelled();
        let result = connection
            .progress_handler(STEPS_PER_LOOK, Some(is_to_end))
            .and_then(|()| query(&connection))
            .map_err(|error| from_sqlite(&connection, &error));
        let handler = None::<fn() -> bool>;
        let reset = connection.progress_handler(0, handler);
        reset.map_err(|error| from_connect(&error))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.permits.is_closed() {
            idle.push(connection);
        }
        result
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let connection = connect(&self.path, flags).map_err(|error| from_connect(&error))?;
        // The file at the path may be another one by now.
        self.identity.check()?;
        Ok(connection)
    }

    fn vacuum(&self) -> Result<bool, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let vacuumed = self.vacuum_with(&connection).and_then(|is_done| {
            // The store may have been closed meanwhile.
            set_checkpoint_on_close(&connection, self.health.permanent_error().is_none())?;
            Ok(is_done)
        });
        vacuumed.map_err(|error| from_sqlite(&connection, &error))
    }

    fn vacuum_with(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.busy_timeout(VACUUM_BUSY_TIMEOUT)?;
        // Automatic checkpoints ignore their errors.
        connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 0")?;
        let mut free_pages = count_free_pages(connection)?;
        for _ in 0..VACUUMS_PER_STEP {
            if let Some(error) = self.health.permanent_error() {
                return Err(to_sqlite(error));
            }
            if free_pages == 0 {
                // The log still contains what was removed.
                return truncate_log(connection, &self.gate);
            }
            vacuum_pages(connection)?;
            checkpoint(connection)?;
            let before = std::mem::replace(&mut free_pages, count_free_pages(connection)?);
            if free_pages >= before {
                // The file was not created with `auto_vacuum`, so it cannot shrink.
                free_pages = 0;
            }
        }
        Ok(false)
    }
}

/// Opens a connection to the file at `path`, which exists. It writes nothing when it is dropped.
pub fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    set_checkpoint_on_close(&connection, false)?;
    Ok(connection)
}
