//! The write thread: executes waiting writes in groups, one transaction each (group commit), and reports each write once it is
//! on disk.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::migrations::store_error;
use crate::jobs::store::StoreError;

/// Maximum number of writes in one transaction, which bounds the wait of the first.
const MAX_GROUP: usize = 1024;
/// Maximum number of waiting writes.
const MAX_WAITING: usize = 4096;
/// Transactions lock the file from their first statement: one that reads first could find that another has written meanwhile.
const IMMEDIATE: TransactionBehavior = TransactionBehavior::Immediate;
/// Pause before a retry of writes that the disk refused.
const PAUSE: Duration = Duration::from_millis(500);

/// Behaviour of a write while the disk refuses writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// The write fails.
    None,
    /// The write is retried until it succeeds.
    Endless,
}

/// Statements of a write, executed within the transaction; executed again if the commit failed.
type Work = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
/// Receiver of a write's result, called after the commit or the failure.
type WriteOutcome = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct WriteJob {
    retry: RetryPolicy,
    work: Work,
    report: WriteOutcome,
}

/// Handle of the write thread. The thread ends when the handle is dropped, after the writes that were submitted before.
pub struct Writer {
    writes: mpsc::Sender<WriteJob>,
    trouble: Arc<Mutex<Option<StoreError>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (writes, waiting) = mpsc::channel(MAX_WAITING);
        let trouble = Arc::new(Mutex::new(None));
        let thread = Thread {
            connection,
            waiting,
            trouble: Arc::clone(&trouble),
        };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self { writes, trouble })
    }

    /// Returns why nothing can be written now, or `None` if writes succeed.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Executes `work` in a transaction. It is executed again if an earlier transaction could not be committed.
    ///
    /// # Errors
    /// When the write failed, or the store has stopped.
    pub async fn run<T: Send + 'static>(
        &self,
        retry: RetryPolicy,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, reported) = oneshot::channel();
        let made = Arc::new(Mutex::new(None));
        let making = Arc::clone(&made);
        let work: Work = Box::new(move |connection| {
            let value = work(connection)?;
            *making.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        // The send fails if the caller no longer waits, which is fine.
        let report = Box::new(move |done| drop(sender.send(done)));
        let stopped = || StoreError::Other("the store has stopped".to_owned());
        self.writes
            .send(WriteJob {
                retry,
                work,
                report,
            })
            .await
            .map_err(|_| stopped())?;
        reported.await.map_err(|_| stopped())??;
        let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        made.ok_or_else(stopped)
    }
}

struct Thread {
    connection: Connection,
    waiting: mpsc::Receiver<WriteJob>,
    trouble: Arc<Mutex<Option<StoreError>>>,
}

impl Thread {
    fn run(mut self) {
        let mut group = Vec::new();
        loop {
            if group.is_empty()
                && !self.is_in_trouble()
                && self.waiting.blocking_recv_many(&mut group, MAX_GROUP) == 0
            {
                // The handle was dropped.
                return;
            }
            while group.len() < MAX_GROUP
                && let Ok(write) = self.waiting.try_recv()
            {
                group.push(write);
            }
            // An empty group probes whether there is room again.
            group = self.write(group);
            if self.is_in_trouble() {
                if self.waiting.is_closed() {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Writes a group. Returns the writes to be retried.
    fn write(&mut self, mut group: Vec<WriteJob>) -> Vec<WriteJob> {
        let (failed, error) = match self.transaction(&mut group) {
            Ok(()) => {
                self.set_trouble(None);
                for write in group {
                    (write.report)(Ok(()));
                }
                return Vec::new();
            }
            Err(failed) => failed,
        };
        // A write that is invalid by itself does not fail the others of its group.
        if let Some(at) = failed.filter(|_| {
            !matches!(
                error,
                StoreError::Full | StoreError::ReadOnly | StoreError::Busy | StoreError::Io(_)
            )
        }) {
            let write = group.remove(at);
            (write.report)(Err(error));
            return if group.is_empty() {
                group
            } else {
                self.write(group)
            };
        }
        self.set_trouble(Some(error.clone()));
        if let StoreError::Io(_) = error {
            self.stop(group, &error);
            return Vec::new();
        }
        let (again, done): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|write| write.retry == RetryPolicy::Endless);
        for write in done {
            (write.report)(Err(error.clone()));
        }
        again
    }

    /// Fails these writes and all further ones: after an I/O error, what is on the disk is unknown.
    fn stop(&mut self, mut group: Vec<WriteJob>, error: &StoreError) {
        loop {
            for write in group.drain(..) {
                (write.report)(Err(error.clone()));
            }
            if self.waiting.blocking_recv_many(&mut group, MAX_GROUP) == 0 {
                return;
            }
        }
    }

    /// Executes a group in one transaction.
    ///
    /// # Errors
    /// Nothing was written: the index of the write that failed, if it was one, and the reason.
    fn transaction(&mut self, group: &mut [WriteJob]) -> Result<(), (Option<usize>, StoreError)> {
        let transaction = self
            .connection
            .transaction_with_behavior(IMMEDIATE)
            .map_err(|error| (None, store_error(&error)))?;
        if group.is_empty() {
            super::commands::probe(&transaction).map_err(|error| (None, store_error(&error)))?;
        }
        for (at, write) in group.iter_mut().enumerate() {
            (write.work)(&transaction).map_err(|error| (Some(at), store_error(&error)))?;
        }
        transaction
            .commit()
            .map_err(|error| (None, store_error(&error)))
    }

    fn set_trouble(&self, trouble: Option<StoreError>) {
        let mut current = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*current, &trouble) {
            (None, Some(error)) => {
                tracing::error!(%error, "the job store cannot be written; jobs pause");
            }
            (Some(_), None) => tracing::info!("the job store can be written again; jobs resume"),
            _ => {}
        }
        *current = trouble;
    }
}
