//! The store that is built in: one SQLite file.
//!
//! One thread writes, and whatever waits for it goes into one transaction: a commit costs a wait for the disk, so that many results
//! at a time cost hardly more than one. A write is done when its commit is on the disk. Reads have connections of their own and
//! wait for nobody.

mod commands;
mod migrations;
mod queries;
#[cfg(test)]
mod tests;
mod write_thread;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::Semaphore;

use super::store::{
    BeginOutcome, Digest, Event, FinishedItem, ItemStatus, Job, JobEnd, JobKey, Millis, NewJob,
    PendingDelivery, PendingItem, ResultOrder, Status, Store, StoreError, Stored,
};
use migrations::store_error;
use write_thread::{RetryPolicy, Writer};

/// How long one connection waits for another, while the file is checkpointed or made smaller.
const BUSY: Duration = Duration::from_secs(10);
/// Reads at a time, each with a connection of its own.
const READERS: usize = 8;
/// Pages that are given back to the disk in one transaction, and transactions of one go.
const FREED_AT_ONCE: u32 = 1_000;
const TIDY_STEPS: u32 = 50;
/// How long tidying waits for the others.
const TIDY_PATIENCE: Duration = Duration::from_millis(200);

/// Jobs in a file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    abandoned: Vec<JobKey>,
    /// Locked to the end of the process: a second one would run the same jobs again.
    _lock: File,
}

#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

impl Sqlite {
    /// Opens the file, or makes it, readable by its owner only. Counts what a process that died had in hand.
    ///
    /// # Errors
    /// When it is another process's, a newer version's, damaged, or cannot be written to.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = make(&path.with_extension("lock")).map_err(|error| failed(path, &error))?;
        lock.try_lock().map_err(|_| StoreError::Locked)?;
        make(path).map_err(|error| failed(path, &error))?;
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|error| store_error(&error))?;
        connection
            .execute_batch(
                // The first has to come before the first table.
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
                 PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;",
            )
            .map_err(|error| store_error(&error))?;
        migrations::migrate(&mut connection)?;
        let recovery = connection
            .transaction()
            .map_err(|error| store_error(&error))?;
        let abandoned = commands::recover(&recovery).map_err(|error| store_error(&error))?;
        recovery.commit().map_err(|error| store_error(&error))?;
        let writer =
            Writer::start(connection).map_err(|error| StoreError::Other(error.to_string()))?;
        let readers = Arc::new(Readers {
            path: path.to_owned(),
            idle: Mutex::default(),
            room: Arc::new(Semaphore::new(READERS)),
        });
        Ok(Self {
            writer,
            readers,
            abandoned,
            _lock: lock,
        })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        self.reading(|readers| readers.run(work))
    }

    /// Off the runtime's workers, and so many at a time as there are connections.
    fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Readers) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            let room = Arc::clone(&readers.room).acquire_owned().await;
            let reading = tokio::task::spawn_blocking(move || {
                let done = work(&readers);
                drop(room);
                done
            });
            match reading.await {
                Ok(done) => done.map_err(|error| store_error(&error)),
                Err(_) => Err(StoreError::Other("a read was given up".to_owned())),
            }
        })
    }

    fn write<T: Send + 'static>(
        &self,
        patience: RetryPolicy,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        Box::pin(self.writer.run(patience, work))
    }
}

impl Readers {
    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        let done = work(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(connection);
        done
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Gives some of what was removed back to the disk; at the end, leaves nothing of it in the log. False: there is more to do.
    fn tidy(&self) -> rusqlite::Result<bool> {
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // The others come first.
        connection.busy_timeout(TIDY_PATIENCE)?;
        connection.execute_batch("PRAGMA secure_delete = ON")?;
        let free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u32>(0));
        let mut left = free()?;
        for _ in 0..TIDY_STEPS {
            if left == 0 {
                let is_busy =
                    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                        row.get::<_, bool>(0)
                    })?;
                return Ok(!is_busy);
            }
            // A row for each page that is freed.
            let mut freeing =
                connection.prepare(&format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})"))?;
            let mut rows = freeing.query([])?;
            while rows.next()?.is_some() {}
            drop(rows);
            let before = std::mem::replace(&mut left, free()?);
            if left >= before {
                // The file was not made so that it can shrink.
                left = 0;
            }
        }
        Ok(false)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Opens a file of our own, and makes it if it is not there.
fn make(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Other(format!("{}: {error}", path.display())),
    }
}

impl Store for Sqlite {
    fn create_uploading(&self, job: NewJob) -> Stored<'_, BeginOutcome> {
        self.write(RetryPolicy::None, move |connection| {
            commands::create_uploading(connection, &job)
        })
    }

    fn add_inputs(&self, job: JobKey, first: u32, inputs: Vec<Vec<u8>>) -> Stored<'_, ()> {
        self.write(RetryPolicy::None, move |connection| {
            commands::add_inputs(connection, job, first, &inputs)
        })
    }

    fn finalize(&self, job: JobKey, total: u32, digest: Digest) -> Stored<'_, Job> {
        self.write(RetryPolicy::None, move |connection| {
            commands::finalize(connection, job, total, &digest)
        })
    }

    fn soft_delete(&self, job: JobKey) -> Stored<'_, bool> {
        self.write(RetryPolicy::None, move |connection| {
            commands::soft_delete(connection, job)
        })
    }

    fn orphaned(&self) -> Vec<JobKey> {
        self.abandoned.clone()
    }

    fn remove(&self, job: JobKey) -> Stored<'_, ()> {
        Box::pin(async move {
            while !self
                .write(RetryPolicy::Endless, move |connection| {
                    commands::remove_some(connection, job)
                })
                .await?
            {}
            Ok(())
        })
    }

    fn vacuum_step(&self) -> Stored<'_, bool> {
        self.reading(Readers::tidy)
    }

    fn cancel(&self, job: JobKey) -> Stored<'_, bool> {
        const LIVE: [Status; 2] = [Status::Queued, Status::Running];
        self.write(RetryPolicy::None, move |connection| {
            commands::transition(connection, job, &LIVE, Status::Cancelling, 0)
        })
    }

    fn job(&self, id: String) -> Stored<'_, Option<Job>> {
        self.read(move |connection| queries::job(connection, &id))
    }

    fn job_by_key(&self, job: JobKey) -> Stored<'_, Option<Job>> {
        self.read(move |connection| queries::job_of(connection, job).optional())
    }

    fn jobs(&self, caller: String, before: Option<JobKey>, limit: u32) -> Stored<'_, Vec<Job>> {
        self.read(move |connection| queries::jobs(connection, &caller, before, limit))
    }

    fn spec(&self, job: JobKey) -> Stored<'_, Option<String>> {
        self.read(move |connection| queries::spec(connection, job))
    }

    fn unfinished(&self) -> Stored<'_, Vec<Job>> {
        self.read(queries::unfinished)
    }

    fn pending(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, Vec<PendingItem>> {
        self.read(move |connection| queries::pending(connection, job, from, limit))
    }

    fn crash_suspects(&self, times: u32) -> Stored<'_, Vec<(JobKey, PendingItem)>> {
        self.read(move |connection| queries::crash_suspects(connection, times))
    }

    fn lease_until(&self, job: JobKey, until: u32) -> Stored<'_, ()> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::lease_until(connection, job, until)
        })
    }

    fn release_lease(&self, job: JobKey) -> Stored<'_, ()> {
        self.write(RetryPolicy::None, move |connection| {
            commands::lease_until(connection, job, 0)
        })
    }

    fn set_isolated(&self, item: Option<(JobKey, u32)>) -> Stored<'_, ()> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::set_isolated(connection, item)
        })
    }

    fn clear_suspicion(&self, job: JobKey, index: u32) -> Stored<'_, ()> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::clear_suspicion(connection, job, index)
        })
    }

    fn mark_healthy(&self) -> Stored<'_, ()> {
        self.write(RetryPolicy::None, commands::clear_crash_counts)
    }

    fn mark_clean_shutdown(&self) -> Stored<'_, ()> {
        self.write(RetryPolicy::None, commands::mark_clean_shutdown)
    }

    fn record_results(&self, job: JobKey, items: Vec<FinishedItem>) -> Stored<'_, Job> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::record_results(connection, job, &items)
        })
    }

    fn transition(
        &self,
        job: JobKey,
        from: &'static [Status],
        to: Status,
        at: Millis,
    ) -> Stored<'_, bool> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::transition(connection, job, from, to, at)
        })
    }

    fn complete(&self, job: JobKey, from: Status, end: JobEnd) -> Stored<'_, Option<Job>> {
        self.write(RetryPolicy::Endless, move |connection| {
            commands::complete(connection, job, from, &end)
        })
    }

    fn requeue_failed(&self, job: JobKey) -> Stored<'_, Option<Job>> {
        self.write(RetryPolicy::None, move |connection| {
            commands::requeue_failed(connection, job)
        })
    }

    fn events(&self, job: JobKey, after: u32, limit: u32) -> Stored<'_, Vec<Event>> {
        self.read(move |connection| queries::events(connection, job, after, limit))
    }

    fn results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
        limit: u32,
    ) -> Stored<'_, Vec<Event>> {
        self.read(move |connection| queries::results(connection, job, order, only, after, limit))
    }

    fn expired(&self, now: Millis) -> Stored<'_, Vec<JobKey>> {
        self.read(move |connection| queries::expired(connection, now))
    }

    fn due_webhooks(&self, now: Millis) -> Stored<'_, Vec<PendingDelivery>> {
        self.read(move |connection| queries::due_webhooks(connection, now))
    }

    fn record_delivery(&self, due: &PendingDelivery, again: Option<Millis>) -> Stored<'_, ()> {
        let (job, event) = (due.job, due.event);
        self.write(RetryPolicy::Endless, move |connection| {
            commands::record_delivery(connection, job, event, again)
        })
    }

    fn secret(&self) -> Stored<'_, [u8; 32]> {
        self.read(queries::secret)
    }

    fn not_ready_reason(&self) -> Option<StoreError> {
        self.writer.trouble()
    }
}
