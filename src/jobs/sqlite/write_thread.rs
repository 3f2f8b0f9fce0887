//! The write thread: executes waiting writes in groups, one transaction each (group commit), and reports each write once it is
//! on disk. The writes of a group are those whose turn it is.

mod full_disk;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::database::Database;
use super::group_commit::{execute_group, report_success};
use super::health::Health;
use super::identity::Identity;
use super::large_writes::{LargeWrites, needed_room};
use super::reserve::Reserve;
use super::write_class::WriteClass;
use super::write_job::{Statements, Withdrawal, WriteJob, lock};
use super::write_queue::{WriteOwner, WriteQueue};
use crate::jobs::store::{StorageQuota, StoreError};

/// Maximum number of writes in one transaction, which bounds the wait of the first.
const MAX_GROUP: usize = 1024;
/// Bytes that the writes of one transaction stay below. It bounds the write-ahead log. A write of as many is alone in its transaction;
/// for a larger one, the disk must have room beside the reserve.
const MAX_GROUP_BYTES: usize = 4 << 20;
const _: () = assert!(super::requeue::MAX_REQUEUE_STEP_BYTES <= MAX_GROUP_BYTES);
/// Maximum number of writes on their way to the thread, which takes all of them before each group. A full channel delays the callers,
/// and loses nothing.
const MAX_SENT: usize = 4096;
/// Pause before a retry of writes that the disk refused.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Pause while the disk is full and the reserved space was used: a removal submits its next step meanwhile. Also the interval at which
/// the thread looks for further writes while a large one waits for room.
const STEP_PAUSE: Duration = Duration::from_millis(5);
/// Part of the reserve that results may use while the disk is full, in bytes. The rest is for removals.
const RESULT_RESERVE_BYTES: usize = 4 << 20;

/// Write on its way to the thread.
type SentWrite = (WriteOwner, WriteJob);

/// Handle of the write thread. Dropping it waits for the writes that were submitted before, and ends the thread.
#[derive(Debug)]
pub struct Writer {
    /// Channel of the writes; `None` once the store is closed.
    writes: Mutex<Option<mpsc::Sender<SentWrite>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns the connection and reports errors to `health`.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub fn start(
        database: Database,
        reserve: Reserve,
        identity: Arc<Identity>,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (writes, sent) = mpsc::channel(MAX_SENT);
        let thread = WriteThread {
            database,
            sent,
            waiting: WriteQueue::default(),
            stalled: VecDeque::new(),
            large: LargeWrites::default(),
            health,
            identity,
            reserve,
            results_left: RESULT_RESERVE_BYTES,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self {
            writes: Mutex::new(Some(writes)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Executes `statements` in a transaction when it is the turn of `owner`, and returns their value once it is committed. They are
    /// executed again if an earlier transaction could not be committed. `bytes` is the approximate size of what they write.
    ///
    /// # Cancel safety
    /// An ordinary write is not executed if the future is dropped before. Any other write is, once the queue of writes has had room for it: it
    /// may follow a call that was paid for.
    ///
    /// # Errors
    /// The write failed, or the store has stopped.
    pub async fn run<T: Send + 'static>(
        &self,
        class: WriteClass,
        owner: WriteOwner,
        bytes: usize,
        mut statements: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, reported) = oneshot::channel();
        let value = Arc::new(Mutex::new(None));
        let latest_value = Arc::clone(&value);
        let statements: Statements = Box::new(move |connection| {
            let value = statements(connection)?;
            *lock(&latest_value) = Some(value);
            Ok(())
        });
        let statements = Arc::new(Mutex::new(Some(statements)));
        let is_ordinary = class == WriteClass::Ordinary;
        let _withdrawal = is_ordinary.then(|| Withdrawal(Arc::clone(&statements)));
        // The send fails if the caller no longer waits, which is fine.
        let report = Box::new(move |result| drop(sender.send(result)));
        let stopped = || StoreError::Other("the store has stopped".to_owned());
        let write = WriteJob {
            class,
            bytes,
            statements,
            report,
        };
        let writes = lock(&self.writes).clone().ok_or_else(stopped)?;
        let sent = writes.send((owner, write)).await;
        sent.map_err(|_| stopped())?;
        drop(writes);
        reported.await.map_err(|_| stopped())??;
        let committed = lock(&value).take();
        committed.ok_or_else(stopped)
    }

    /// Ends the thread after the writes that were submitted before, and waits for its end.
    pub fn close(&self) {
        drop(lock(&self.writes).take());
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the write thread of the job store panicked; this is a bug");
        }
    }
}

/// The file is closed, and can be opened again, once the handle is gone.
impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct WriteThread {
    database: Database,
    sent: mpsc::Receiver<SentWrite>,
    /// Writes that wait for their turn.
    waiting: WriteQueue<WriteJob>,
    /// Writes that had their turn, and wait until they can be executed, oldest first.
    stalled: VecDeque<WriteJob>,
    /// Writes of a transaction of their own that wait until the disk has room for them.
    large: LargeWrites<WriteJob>,
    health: Arc<Health>,
    identity: Arc<Identity>,
    reserve: Reserve,
    /// Part of the reserve that results may still use, in bytes.
    results_left: usize,
}

impl WriteThread {
    fn run(mut self) {
        self.serve();
        if self.health.permanent_error().is_none() && self.identity.check().is_ok() {
            self.database.close();
        }
    }

    /// Executes writes until the handle is dropped.
    fn serve(&mut self) {
        while let Some(group) = self.next_group() {
            // A read can fail permanently while this thread waits.
            if self.health.permanent_error().is_some() {
                return self.reject_all(group);
            }
            self.health.set_files(self.identity.check());
            let mut has_progress = false;
            match self.health.error() {
                Some(error @ StoreError::Gone(_)) => self.stall_or_reject(group, &error),
                _ if self.health.is_full() => has_progress = self.write_when_full(group),
                _ => self.write(group),
            }
            match self.health.error() {
                None => {}
                Some(error) if error.is_permanent() => return self.reject_all(Vec::new()),
                Some(_) if self.sent.is_closed() => return,
                Some(_) if has_progress => std::thread::sleep(STEP_PAUSE),
                Some(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    /// Returns the next writes; `None` after the handle was dropped. An empty group probes if writes succeed again.
    fn next_group(&mut self) -> Option<Vec<WriteJob>> {
        let is_writable = self.health.error().is_none();
        loop {
            while let Ok(write) = self.sent.try_recv() {
                self.enqueue(write);
            }
            let group = self.take_group(is_writable);
            if !group.is_empty() || !is_writable {
                return Some(group);
            }
            if self.large.is_empty() {
                let write = self.sent.blocking_recv()?;
                self.enqueue(write);
            } else if self.sent.is_closed() && self.sent.is_empty() {
                return None;
            } else {
                std::thread::sleep(STEP_PAUSE);
            }
        }
    }

    fn enqueue(&mut self, (owner, write): SentWrite) {
        let connection = self.database.connection();
        self.waiting.push(connection, &owner, write.bytes, write);
    }

    /// Takes the writes that are executed next.
    fn take_group(&mut self, is_writable: bool) -> Vec<WriteJob> {
        if let Some(write) = is_writable.then(|| self.large.pop()).flatten() {
            return vec![write];
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
            let max_bytes = if group.is_empty() {
                usize::MAX
            } else {
                MAX_GROUP_BYTES - 1 - bytes
            };
            // While nothing can be written, stalled writes must not keep others from being executed or failing.
            let fits = |write: &mut WriteJob| is_writable && write.bytes <= max_bytes;
            let stalled = self.stalled.pop_front_if(fits);
            let next = stalled.or_else(|| self.waiting.pop(max_bytes));
            let Some(write) = next else { break };
            bytes += write.bytes;
            group.push(write);
        }
        group
    }

    /// Fails these writes and all further ones, until the handle is dropped.
    fn reject_all(&mut self, mut group: Vec<WriteJob>) {
        let Some(error) = self.health.permanent_error() else {
            return;
        };
        group.extend(self.stalled.drain(..));
        group.extend(self.large.drain());
        group.extend(self.waiting.drain());
        for write in group {
            (write.report)(Err(error.clone()));
        }
        while let Some((_, write)) = self.sent.blocking_recv() {
            (write.report)(Err(error.clone()));
        }
    }

    /// Keeps the writes that wait, and fails the others.
    fn stall_or_reject(&mut self, writes: Vec<WriteJob>, error: &StoreError) {
        for write in writes {
            if write.class.waits() && !error.is_permanent() {
                self.stalled.push_back(write);
            } else {
                (write.report)(Err(error.clone()));
            }
        }
    }

    /// Writes a group, without those that are rejected.
    fn write(&mut self, mut group: Vec<WriteJob>) {
        let is_probe = group.is_empty();
        if !self.has_room(&group) {
            return self.put_off(group);
        }
        if let Err(error) = execute_group(&mut self.database, &mut group) {
            self.health.set_error(error.clone());
            return self.stall_or_reject(group, &error);
        }
        if group.is_empty() && !is_probe {
            return;
        }
        self.set_writable();
        report_success(group);
        if let Err(error) = self.database.checkpoint_if_long() {
            self.health.set_error(error);
        }
    }

    /// Returns true if the write-ahead log with this group can be copied into the file. Up to [`MAX_GROUP_BYTES`] of it fit into the
    /// reserve.
    fn has_room(&mut self, group: &[WriteJob]) -> bool {
        let needs_room = group.iter().filter(|write| write.class.needs_room());
        let bytes = needs_room.map(|write| write.bytes).max().unwrap_or(0);
        if bytes <= MAX_GROUP_BYTES {
            return true;
        }
        let has_room = self.reserve.has_room(needed_room(bytes));
        if has_room {
            self.large.note_room();
        } else {
            self.large.log_lack(bytes);
        }
        has_room
    }

    /// Keeps the writes that wait until the disk has room for them, and fails the others.
    fn put_off(&mut self, writes: Vec<WriteJob>) {
        for write in writes {
            if write.class.waits() {
                self.large.push(write);
            } else {
                let no_room = || StoreError::Quota(StorageQuota::Disk);
                let error = self.health.error().unwrap_or_else(no_room);
                (write.report)(Err(error));
            }
        }
    }

    fn set_writable(&mut self) {
        self.results_left = RESULT_RESERVE_BYTES;
        self.health.set_writable();
    }
}
