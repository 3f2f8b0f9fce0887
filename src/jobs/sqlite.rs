//! The built-in job store: one SQLite file, opened by one process at a time.
//!
//! One thread writes. Writes that wait for it share a transaction (group commit), because a commit costs one fsync however many
//! writes it contains; their callers take turns. A write is done when its commit is on disk. Reads have connections of their own and do not wait for
//! writes.

mod backup;
mod commands;
mod database;
mod disk_room;
mod error;
mod group_commit;
mod health;
mod identity;
mod item_queries;
mod large_writes;
mod migrations;
mod opening;
mod page;
mod queries;
mod quota;
mod read_gate;
mod readers;
mod recovery;
mod removal;
mod requeue;
mod reserve;
mod rowid;
mod store_impl;
mod sweep_queries;
#[cfg(test)]
mod tests;
mod webhook_queries;
mod write_class;
mod write_job;
mod write_queue;
mod write_thread;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use throttle::FairSemaphore;

use super::store::{StoreError, Stored};
pub use backup::back_up;
use opening::{Opened, Shared};
use quota::CurrentLimits;
pub use quota::StorageLimits;
use write_class::WriteClass;
use write_queue::WriteOwner;

/// Job store in an SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    shared: Arc<Shared>,
    limits: StorageLimits,
    has_several_callers: AtomicBool,
    /// Turns of the removals, each for one step.
    removal_turns: FairSemaphore,
}

/// Maximum number of removal steps that wait for the writer or are executed: each can write 4 MiB, and the writes of callers and
/// runs wait behind them. With two, one is ready when the other is done.
const MAX_REMOVAL_STEPS: usize = 2;

impl Sqlite {
    /// Opens the file, or creates it with its folder, readable by its owner only. If the previous process died, the items that
    /// it had leased count one more crash.
    ///
    /// # Errors
    /// Another process has the file open, a newer version created it, it is damaged, or it cannot be written to.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Self::unopened(path);
        opening::open(&store.shared, || ())?;
        Ok(store)
    }

    /// Opens the file as [`open`](Self::open) does. If it cannot be opened now, but may be later, opening it is tried again in
    /// the background, and all operations fail meanwhile. `before_open` is called when that succeeds, before the store counts as
    /// open: what else is in the folder may have come with it.
    ///
    /// # Errors
    /// Another process has the file open, a newer version created it, or it is damaged.
    pub fn open_or_retry(
        path: &Path,
        before_open: impl Fn() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let store = Self::unopened(path);
        match opening::open(&store.shared, || ()) {
            Ok(()) => Ok(store),
            Err(error) if error.can_be_opened_later() => {
                store.shared.health.set_error(error);
                opening::retry_in_background(&store.shared, before_open)?;
                Ok(store)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the store with limits of what callers may store.
    #[must_use]
    pub const fn with_limits(mut self, limits: StorageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether several callers share the disk and the stored bytes of all, so that one may not take all of them.
    pub fn set_has_several_callers(&self, has_several: bool) {
        self.has_several_callers
            .store(has_several, Ordering::Relaxed);
    }

    /// Waits for the reads and writes that were submitted, copies the write-ahead log into the file, and closes it. Later
    /// operations fail.
    pub fn close(&self) {
        if let Some(opened) = self.shared.opened.get() {
            opened.readers.close();
            opened.writer.close();
        }
    }

    fn unopened(path: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                health: Arc::default(),
                opened: OnceLock::new(),
            }),
            limits: StorageLimits::default(),
            has_several_callers: AtomicBool::new(false),
            removal_turns: FairSemaphore::new(MAX_REMOVAL_STEPS),
        }
    }

    fn current_limits(&self) -> CurrentLimits {
        CurrentLimits {
            limits: self.limits,
            has_several_callers: self.has_several_callers.load(Ordering::Relaxed),
        }
    }

    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        match self.opened() {
            Ok(opened) => Box::pin(Arc::clone(&opened.readers).run(query)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn write<T: Send + 'static>(
        &self,
        class: WriteClass,
        owner: impl Into<WriteOwner>,
        statements: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        self.write_bytes(class, owner, 0, statements)
    }

    /// Executes a write of about `bytes`.
    fn write_bytes<T: Send + 'static>(
        &self,
        class: WriteClass,
        owner: impl Into<WriteOwner>,
        bytes: usize,
        statements: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'_, T> {
        match self.opened() {
            Ok(opened) => Box::pin(opened.writer.run(class, owner.into(), bytes, statements)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn opened(&self) -> Result<&Opened, StoreError> {
        let shared = &self.shared;
        shared.opened.get().ok_or_else(|| {
            let error = shared.health.error();
            error.unwrap_or_else(|| StoreError::Unopened(shared.path.display().to_string()))
        })
    }
}
