//! The write thread: executes waiting writes in groups, one transaction each (group commit), and reports each write once it is
//! on disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::from_sqlite;
use super::health::Health;
use super::recovery::probe_write;
use crate::jobs::store::StoreError;

/// Maximum number of writes in one transaction, which bounds the wait of the first.
const MAX_GROUP: usize = 1024;
/// Maximum number of waiting writes: a few groups. A full channel delays the callers, and loses nothing.
const MAX_WAITING: usize = 4096;
/// Behaviour that locks the file from the first statement on: a transaction that reads first could find that another connection
/// has written meanwhile.
const IMMEDIATE: TransactionBehavior = TransactionBehavior::Immediate;
/// Pause before a retry of writes that the disk refused.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Behaviour of a write while the disk refuses writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// The write fails.
    None,
    /// The write is retried until it succeeds, or the store stops.
    Endless,
}

/// Statements of a write, executed within the transaction; executed again if the commit failed.
type Statements = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
/// Receiver of a write's result, called after the commit or the failure.
type Report = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct WriteJob {
    retry: RetryPolicy,
    statements: Statements,
    report: Report,
}

/// Handle of the write thread. The thread ends when the handle is dropped, after the writes that were submitted before.
#[derive(Debug)]
pub struct Writer(mpsc::Sender<WriteJob>);

impl Writer {
    /// Starts the thread, which owns the connection and reports errors to `health`.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub fn start(connection: Connection, health: Arc<Health>) -> std::io::Result<Self> {
        let (writes, waiting) = mpsc::channel(MAX_WAITING);
        let thread = WriteThread {
            connection,
            waiting,
            health,
        };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self(writes))
    }

    /// Executes `statements` in a transaction, and returns their value once it is committed. They are executed again if an
    /// earlier transaction could not be committed.
    ///
    /// # Errors
    /// The write failed, or the store has stopped.
    pub async fn run<T: Send + 'static>(
        &self,
        retry: RetryPolicy,
        mut statements: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, reported) = oneshot::channel();
        let value = Arc::new(Mutex::new(None));
        let latest_value = Arc::clone(&value);
        let statements: Statements = Box::new(move |connection| {
            let value = statements(connection)?;
            *latest_value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        // The send fails if the caller no longer waits, which is fine.
        let report = Box::new(move |result| drop(sender.send(result)));
        let stopped = || StoreError::Other("the store has stopped".to_owned());
        let write = WriteJob {
            retry,
            statements,
            report,
        };
        self.0.send(write).await.map_err(|_| stopped())?;
        reported.await.map_err(|_| stopped())??;
        let committed = value.lock().unwrap_or_else(PoisonError::into_inner).take();
        committed.ok_or_else(stopped)
    }
}

struct WriteThread {
    connection: Connection,
    waiting: mpsc::Receiver<WriteJob>,
    health: Arc<Health>,
}

impl WriteThread {
    fn run(mut self) {
        let mut group = Vec::new();
        loop {
            let is_idle = group.is_empty() && self.health.error().is_none();
            if is_idle && self.waiting.blocking_recv_many(&mut group, MAX_GROUP) == 0 {
                // The handle was dropped.
                return;
            }
            while group.len() < MAX_GROUP
                && let Ok(write) = self.waiting.try_recv()
            {
                group.push(write);
            }
            // A read can fail permanently while this thread waits.
            if let Some(error) = self.health.permanent_error() {
                return self.reject_all(group, &error);
            }
            // An empty group probes whether writes succeed again.
            group = self.write(group);
            match self.health.error() {
                None => {}
                Some(error) if error.is_permanent() => return self.reject_all(group, &error),
                Some(_) if self.waiting.is_closed() => return,
                Some(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    /// Fails these writes and all further ones, until the handle is dropped.
    fn reject_all(mut self, mut group: Vec<WriteJob>, error: &StoreError) {
        loop {
            report_error(group.drain(..), error);
            if self.waiting.blocking_recv_many(&mut group, MAX_GROUP) == 0 {
                return;
            }
        }
    }

    /// Writes a group. Returns the writes to be retried.
    fn write(&mut self, mut group: Vec<WriteJob>) -> Vec<WriteJob> {
        let Err((failed, error)) = self.transaction(&mut group) else {
            self.health.set_writable();
            for write in group {
                (write.report)(Ok(()));
            }
            return Vec::new();
        };
        // A write that is invalid by itself does not fail the others of its group.
        if let Some(index) = failed
            && !error.affects_all_writes()
        {
            let write = group.remove(index);
            (write.report)(Err(error));
            return if group.is_empty() {
                group
            } else {
                self.write(group)
            };
        }
        self.health.set_error(error.clone());
        let (retried, failed): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|write| write.retry == RetryPolicy::Endless && !error.is_permanent());
        report_error(failed, &error);
        retried
    }

    /// Executes a group in one transaction.
    ///
    /// # Errors
    /// Nothing was written: the index of the write that failed, if it was one, and the reason.
    fn transaction(&mut self, group: &mut [WriteJob]) -> Result<(), (Option<usize>, StoreError)> {
        let of_store = |error| (None, from_sqlite(&error));
        let transaction = self
            .connection
            .transaction_with_behavior(IMMEDIATE)
            .map_err(of_store)?;
        if group.is_empty() {
            probe_write(&transaction).map_err(of_store)?;
        }
        for (index, write) in group.iter_mut().enumerate() {
            (write.statements)(&transaction).map_err(|error| (Some(index), from_sqlite(&error)))?;
        }
        transaction.commit().map_err(of_store)
    }
}

fn report_error(writes: impl IntoIterator<Item = WriteJob>, error: &StoreError) {
    for write in writes {
        (write.report)(Err(error.clone()));
    }
}
