//! The store that is built in: one SQLite file.
//!
//! One thread writes, and whatever waits for it goes into one transaction: a commit costs a wait for the disk, so that many results
//! at a time cost hardly more than one. A write is done when its commit is on the disk. Reads have connections of their own and
//! wait for nobody.

mod read;
mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::store::{
    End, Event, Finished, ItemStatus, Job, JobKey, Millis, NewJob, Order, Pending, Status, Store, StoreError, Stored,
};
use tables::refusal;
use writer::{Patience, Writer};

/// How long a reader waits for the file while it is checkpointed or recovered.
const BUSY: Duration = Duration::from_secs(5);
/// Connections that are kept for readers.
const READERS: usize = 8;

/// Jobs in a file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Readers {
    path: std::path::PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the file, or makes it, readable by its owner only. Removes what an upload that broke off has left.
    ///
    /// # Errors
    /// When it is another process's, a newer version's, damaged, or cannot be written to.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make(path)?;
        let mut connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
                .map_err(|error| refusal(&error))?;
        // Held to the end of the process: a second one would run the same jobs again.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
            )
            .map_err(|error| refusal(&error))?;
        tables::migrate(&mut connection)?;
        write::recover(&connection).map_err(|error| refusal(&error))?;
        if connection.is_readonly("main").unwrap_or(false) {
            return Err(StoreError::ReadOnly);
        }
        let writer = Writer::start(connection).map_err(|error| StoreError::Other(error.to_string()))?;
        Ok(Self { writer, readers: Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() }) })
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'a, T> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || readers.run(work)).await;
            done.unwrap_or_else(|_| Err(StoreError::Other("a read was given up".to_owned())))
        })
    }

    fn write<'a, T: Send + 'static>(
        &'a self,
        patience: Patience,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'a, T> {
        Box::pin(self.writer.run(patience, work))
    }
}

impl Readers {
    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.connect(), Ok).map_err(|error| refusal(&error))?;
        let done = work(&connection).map_err(|error| refusal(&error));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS {
            idle.push(connection);
        }
        done
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }
}

/// Makes the file if it is not there.
fn make(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Other(format!("{}: {error}", path.display())),
    })
}

impl Store for Sqlite {
    fn begin(&self, job: NewJob) -> Stored<'_, Result<JobKey, Job>> {
        self.write(Patience::None, move |connection| write::begin(connection, &job))
    }

    fn add_inputs(&self, job: JobKey, first: u32, inputs: Vec<Vec<u8>>) -> Stored<'_, ()> {
        self.write(Patience::None, move |connection| write::add_inputs(connection, job, first, &inputs))
    }

    fn commit(&self, job: JobKey, total: u32) -> Stored<'_, Job> {
        self.write(Patience::None, move |connection| write::commit(connection, job, total))
    }

    fn remove(&self, job: JobKey) -> Stored<'_, ()> {
        Box::pin(async move {
            while !self.write(Patience::Endless, move |connection| write::remove_some(connection, job)).await? {}
            Ok(())
        })
    }

    fn job(&self, id: String, caller: String) -> Stored<'_, Option<Job>> {
        self.read(move |connection| read::job(connection, &id, &caller))
    }

    fn jobs(&self, caller: String, before: Option<JobKey>, limit: u32) -> Stored<'_, Vec<Job>> {
        self.read(move |connection| read::jobs(connection, &caller, before, limit))
    }

    fn unfinished(&self) -> Stored<'_, Vec<Job>> {
        self.read(read::unfinished)
    }

    fn pending(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, Vec<Pending>> {
        self.read(move |connection| read::pending(connection, job, from, limit))
    }

    fn lease(&self, job: JobKey, items: Vec<u32>) -> Stored<'_, ()> {
        self.write(Patience::Endless, move |connection| write::lease(connection, job, &items))
    }

    fn release(&self, job: JobKey, items: Vec<u32>) -> Stored<'_, ()> {
        self.write(Patience::None, move |connection| write::release(connection, job, &items))
    }

    fn finish(&self, job: JobKey, items: Vec<Finished>) -> Stored<'_, u32> {
        self.write(Patience::Endless, move |connection| write::finish(connection, job, &items))
    }

    fn turn(&self, job: JobKey, from: &'static [Status], to: Status, at: Millis, ended: Option<End>) -> Stored<'_, bool> {
        self.write(Patience::Endless, move |connection| write::turn(connection, job, from, to, at, ended.as_ref()))
    }

    fn events(&self, job: JobKey, after: u32, limit: u32) -> Stored<'_, Vec<Event>> {
        self.read(move |connection| read::events(connection, job, after, limit))
    }

    fn results(
        &self,
        job: JobKey,
        order: Order,
        only: Option<ItemStatus>,
        after: Option<u32>,
        limit: u32,
    ) -> Stored<'_, Vec<Event>> {
        self.read(move |connection| read::results(connection, job, order, only, after, limit))
    }

    fn expired(&self, now: Millis) -> Stored<'_, Vec<JobKey>> {
        self.read(move |connection| read::expired(connection, now))
    }

    fn unready(&self) -> Option<StoreError> {
        self.writer.trouble()
    }
}
