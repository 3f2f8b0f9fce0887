//! The one thread that writes: it takes what waits, does it in one transaction, and tells everybody once that is on the disk.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::migrations::store_error;
use crate::jobs::store::StoreError;

/// Writes that go into one transaction at most, so that the first does not wait for ever.
const MAX_GROUP: usize = 1024;
/// Writes that may wait.
const MAX_WAITING: usize = 4096;
/// The file is its own from the first statement on: one that reads first could find that another has written meanwhile.
const IMMEDIATE: TransactionBehavior = TransactionBehavior::Immediate;
/// How long it waits before it tries again what the disk refused.
const PAUSE: Duration = Duration::from_millis(500);

/// What a write does when the disk refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// It fails: whoever waits for it can do without.
    None,
    /// It is tried again until it is done.
    Endless,
}

/// What is done within the transaction; what is left to do once it is committed, or has failed.
type Work = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
type WriteOutcome = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct WriteJob {
    patience: RetryPolicy,
    work: Work,
    told: WriteOutcome,
}

/// The thread, from outside. It ends when this is dropped, after what was ordered before.
pub struct Writer {
    orders: mpsc::Sender<WriteJob>,
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
        let (orders, waiting) = mpsc::channel(MAX_WAITING);
        let trouble = Arc::new(Mutex::new(None));
        let thread = Thread {
            connection,
            waiting,
            trouble: Arc::clone(&trouble),
        };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self { orders, trouble })
    }

    /// Why nothing can be written now.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Does this in a transaction. It may be done more than once, where an earlier transaction could not be committed.
    pub async fn run<T: Send + 'static>(
        &self,
        patience: RetryPolicy,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, told) = oneshot::channel();
        let made = Arc::new(Mutex::new(None));
        let making = Arc::clone(&made);
        let work: Work = Box::new(move |connection| {
            let value = work(connection)?;
            *making.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        // Whoever does not wait any longer is told nothing.
        let told_to = Box::new(move |done| drop(sender.send(done)));
        let stopped = || StoreError::Other("the store has stopped".to_owned());
        self.orders
            .send(WriteJob {
                patience,
                work,
                told: told_to,
            })
            .await
            .map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())??;
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
                // Nobody is left who could order anything.
                return;
            }
            while group.len() < MAX_GROUP
                && let Ok(order) = self.waiting.try_recv()
            {
                group.push(order);
            }
            // With nothing to write it still finds out when there is room again.
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

    /// Writes a group; what is to be tried again.
    fn write(&mut self, mut group: Vec<WriteJob>) -> Vec<WriteJob> {
        let (failed, error) = match self.transaction(&mut group) {
            Ok(()) => {
                self.tell(None);
                for order in group {
                    (order.told)(Ok(()));
                }
                return Vec::new();
            }
            Err(failed) => failed,
        };
        // One that is wrong by itself does not take the others along.
        if let Some(at) = failed.filter(|_| {
            !matches!(
                error,
                StoreError::Full | StoreError::ReadOnly | StoreError::Busy
            )
        }) {
            let order = group.remove(at);
            (order.told)(Err(error));
            return if group.is_empty() {
                group
            } else {
                self.write(group)
            };
        }
        self.tell(Some(error.clone()));
        let (again, done): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|order| order.patience == RetryPolicy::Endless);
        for order in done {
            (order.told)(Err(error.clone()));
        }
        again
    }

    /// `Err`: nothing was written; which order failed, if it was one, and why.
    fn transaction(&mut self, group: &mut [WriteJob]) -> Result<(), (Option<usize>, StoreError)> {
        let transaction = self
            .connection
            .transaction_with_behavior(IMMEDIATE)
            .map_err(|error| (None, store_error(&error)))?;
        if group.is_empty() {
            super::commands::probe(&transaction).map_err(|error| (None, store_error(&error)))?;
        }
        for (at, order) in group.iter_mut().enumerate() {
            (order.work)(&transaction).map_err(|error| (Some(at), store_error(&error)))?;
        }
        transaction
            .commit()
            .map_err(|error| (None, store_error(&error)))
    }

    fn tell(&self, trouble: Option<StoreError>) {
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*told, &trouble) {
            (None, Some(error)) => {
                tracing::error!(%error, "nothing can be recorded; the work of jobs waits, and goes on by itself");
            }
            (Some(_), None) => tracing::info!("recording again; the work of jobs goes on"),
            _ => {}
        }
        *told = trouble;
    }
}
