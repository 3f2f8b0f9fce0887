//! Where jobs are kept: what a store has to be able to do, and what it keeps.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::types::{Metadata, Usage};

/// A job as its store numbers it, from 1; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey(pub u32);

/// Status of a job, as stored in the `status` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its inputs are being received. Invisible to callers, and removed after a restart.
    Uploading = 0,
    /// Created, and not started yet.
    Queued = 1,
    /// Its items are being processed.
    Running = 2,
    /// Its items in flight end, then it is `Cancelled`.
    Cancelling = 3,
    /// Every item has a result.
    Completed = 4,
    /// A failed item ended it, because `on_error` is `stop`.
    Stopped = 5,
    /// It was cancelled.
    Cancelled = 6,
    /// It could not run at all.
    Failed = 7,
    /// It is being removed. Invisible to callers, and its removal is continued after a restart.
    Deleting = 8,
}

impl Status {
    /// All statuses, by the number in the `status` column.
    pub const ALL: [Self; 9] = [
        Self::Uploading,
        Self::Queued,
        Self::Running,
        Self::Cancelling,
        Self::Completed,
        Self::Stopped,
        Self::Cancelled,
        Self::Failed,
        Self::Deleting,
    ];

    /// Returns true if callers can see the job.
    #[must_use]
    pub const fn is_visible(self) -> bool {
        !matches!(self, Self::Uploading | Self::Deleting)
    }

    /// Returns true if the job has ended.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Stopped | Self::Cancelled | Self::Failed
        )
    }
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemStatus {
    Succeeded = 0,
    Failed = 1,
    Invalid = 2,
    Cancelled = 3,
}

impl ItemStatus {
    pub const ALL: [Self; 4] = [
        Self::Succeeded,
        Self::Failed,
        Self::Invalid,
        Self::Cancelled,
    ];
}

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// A job that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// `job_…`
    pub id: String,
    /// Whose it is: the name of a caller, empty where there are none.
    pub caller: String,
    /// How to extract, as JSON; the store does not look into it.
    pub spec: String,
    pub metadata: Option<Metadata>,
    pub created_at: Millis,
    /// The `Idempotency-Key` that it is made with.
    pub idempotency: Option<Idempotency>,
}

/// A caller's promise that two requests with this key are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// At most 255 characters.
    pub key: String,
    /// Not known from then on.
    pub until: Millis,
}

/// What became of a wish to make a job.
#[derive(Debug, Clone, PartialEq)]
pub enum BeginOutcome {
    /// Its inputs can follow.
    New(JobKey),
    /// One was made with the same idempotency key, or its inputs are still coming in.
    Known(Box<Job>),
}

/// What identifies a request: the SHA-256 of all that it said.
pub type Digest = [u8; 32];

/// A job as it is kept, without its spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub key: JobKey,
    pub id: String,
    pub caller: String,
    pub metadata: Option<Metadata>,
    pub status: Status,
    pub counts: ItemCounts,
    /// The number of its last event; 0: none yet.
    pub last_event: u32,
    pub usage: Usage,
    pub created_at: Millis,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    /// Removed from then on.
    pub expires_at: Option<Millis>,
    /// Why it could not run, where it could not, as JSON.
    pub error: Option<String>,
    /// Of the request that it was made with.
    pub digest: Option<Digest>,
}

/// How many of a job's items ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemCounts {
    pub total: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub invalid: u32,
    pub cancelled: u32,
}

impl ItemCounts {
    #[must_use]
    pub const fn ended(self) -> u32 {
        self.succeeded + self.failed + self.invalid + self.cancelled
    }
}

/// An input that has no result yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingItem {
    pub index: u32,
    pub input: Vec<u8>,
    pub lost: CrashCount,
}

/// How often processes died, one after the other, soon after they had begun, and had an item then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrashCount {
    pub times: u32,
    /// How often it was the only one that they had.
    pub alone: u32,
}

/// The result of an item, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedItem {
    pub index: u32,
    pub status: ItemStatus,
    /// The result, as JSON; the store does not look into it.
    pub body: Vec<u8>,
    pub usage: Usage,
}

/// One event of a job: a result, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// From 1, without a gap, in the order in which the results were recorded.
    pub number: u32,
    /// `None`: the job's end.
    pub item: Option<(u32, ItemStatus)>,
    pub body: Vec<u8>,
}

/// Reason why a store operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is full. Writes of running jobs are retried until there is room.
    Full,
    /// The file cannot be written to. Writes of running jobs are retried.
    ReadOnly,
    /// Another process has the store open.
    Locked,
    /// The file is locked at the moment. Writes of running jobs are retried.
    Busy,
    /// The operating system reported an I/O error that is not a full disk, such as a failed fsync. What is on the disk is
    /// unknown, so nothing is retried, and nothing is written until a restart.
    Io(String),
    /// A newer version of this program created the file.
    Newer { found: i64, known: i64 },
    /// The file is damaged, or was not created by extractd.
    Corrupt(String),
    /// Any other error.
    Other(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full; make room on it"),
            Self::ReadOnly => f.write_str(
                "the store's file cannot be written to; check its owner, its permissions and the mount",
            ),
            Self::Io(why) => write!(
                f,
                "the store stopped after an I/O error ({why}); check the disk, then restart the server"
            ),
            Self::Locked => f.write_str(
                "another process has the store open; stop it, or use another `data_dir`",
            ),
            Self::Busy => f.write_str("the store is locked at the moment; the write is retried"),
            Self::Newer { found, known } => {
                write!(
                    f,
                    "the store was created by a newer extractd (layout {found}, this version knows {known}); use that version, or another `data_dir`"
                )
            }
            Self::Corrupt(why) => {
                write!(
                    f,
                    "the store's file is damaged or was not created by extractd ({why}); restore a backup, or move the file away to start empty"
                )
            }
            Self::Other(why) => write!(f, "the store failed: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What a call to a store brings.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The order in which results are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultOrder {
    /// Of the inputs; it ends before the first that has no result yet.
    Input,
    /// In which they were recorded.
    Completion,
}

/// A place where jobs survive the process. Every write is on the disk when its future is done; writes for the work of a job wait
/// while there is no room rather than fail.
pub trait Store: Send + Sync + fmt::Debug {
    /// Begins a job whose inputs follow. Nobody sees it before its [`finalize`](Store::finalize).
    fn create_uploading(&self, job: NewJob) -> Stored<'_, BeginOutcome>;

    /// Adds inputs, in their order.
    fn add_inputs(&self, job: JobKey, first: u32, inputs: Vec<Vec<u8>>) -> Stored<'_, ()>;

    /// All inputs are there: from now on the job exists.
    fn finalize(&self, job: JobKey, total: u32, digest: Digest) -> Stored<'_, Job>;

    /// Nobody sees the job any more; false: it has not ended. What is left of it is to be removed.
    fn soft_delete(&self, job: JobKey) -> Stored<'_, bool>;

    /// Hidden jobs that the process before has left.
    fn orphaned(&self) -> Vec<JobKey>;

    /// Removes a job and all that is its own, in pieces.
    fn remove(&self, job: JobKey) -> Stored<'_, ()>;

    /// Gives some of what was removed back to the disk. False: there is more to do, and it is to be asked for again.
    fn vacuum_step(&self) -> Stored<'_, bool>;

    /// A job that is to run or running is to end with what it has. False: it was not.
    fn cancel(&self, job: JobKey) -> Stored<'_, bool>;

    /// The job of this id, whosever it is.
    fn job(&self, id: String) -> Stored<'_, Option<Job>>;

    /// The job of this key.
    fn job_by_key(&self, job: JobKey) -> Stored<'_, Option<Job>>;

    /// A caller's jobs, newest first, older than `before`.
    fn jobs(&self, caller: String, before: Option<JobKey>, limit: u32) -> Stored<'_, Vec<Job>>;

    /// What the job was made with.
    fn spec(&self, job: JobKey) -> Stored<'_, Option<String>>;

    /// All jobs that are to run or running.
    fn unfinished(&self) -> Stored<'_, Vec<Job>>;

    /// Inputs without a result, from `from` on; about a megabyte at most.
    fn pending(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, Vec<PendingItem>>;

    /// What was lost at least this often, of any job.
    fn crash_suspects(&self, times: u32) -> Stored<'_, Vec<(JobKey, PendingItem)>>;

    /// Inputs before `until` are taken up: those of them that have no result when the process dies are lost with it.
    fn lease_until(&self, job: JobKey, until: u32) -> Stored<'_, ()>;

    /// Nothing of the job is taken up any more.
    fn release_lease(&self, job: JobKey) -> Stored<'_, ()>;

    /// The process has this item in hand and nothing else; `None`: no longer.
    fn set_isolated(&self, item: Option<(JobKey, u32)>) -> Stored<'_, ()>;

    /// An item is not suspected any longer.
    fn clear_suspicion(&self, job: JobKey, index: u32) -> Stored<'_, ()>;

    /// The process has lived for a while: those before it did not die of what they had.
    fn mark_healthy(&self) -> Stored<'_, ()>;

    /// The process ends, and has nothing in hand.
    fn mark_clean_shutdown(&self) -> Stored<'_, ()>;

    /// Records results, each with its event; what has a result already is left as it is. The job as it is then.
    fn record_results(&self, job: JobKey, items: Vec<FinishedItem>) -> Stored<'_, Job>;

    /// Moves a job to another state, if it is in one of these. False: it was in another.
    fn transition(
        &self,
        job: JobKey,
        from: &'static [Status],
        to: Status,
        at: Millis,
    ) -> Stored<'_, bool>;

    /// Ends a job, if it is in this state, with its last event. `None`: it was in another.
    fn complete(&self, job: JobKey, from: Status, end: JobEnd) -> Stored<'_, Option<Job>>;

    /// Lets the items of an ended job that did not succeed run again. `None`: it has not ended.
    fn requeue_failed(&self, job: JobKey) -> Stored<'_, Option<Job>>;

    /// Events after a number; about a megabyte at most.
    fn events(&self, job: JobKey, after: u32, limit: u32) -> Stored<'_, Vec<Event>>;

    /// Results in an order, after an index or an event's number; about a megabyte at most.
    fn results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
        limit: u32,
    ) -> Stored<'_, Vec<Event>>;

    /// Jobs whose time is over.
    fn expired(&self, now: Millis) -> Stored<'_, Vec<JobKey>>;

    /// What is to be told now, the longest due first.
    fn due_webhooks(&self, now: Millis) -> Stored<'_, Vec<PendingDelivery>>;

    /// It was told, or never will be (`None`); or is to be told again.
    fn record_delivery(&self, due: &PendingDelivery, again: Option<Millis>) -> Stored<'_, ()>;

    /// A secret that lives as long as the store.
    fn secret(&self) -> Stored<'_, [u8; 32]>;

    /// Why it cannot work now; `None` when it can.
    fn not_ready_reason(&self) -> Option<StoreError>;
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    pub status: Status,
    pub at: Millis,
    pub expires_at: Millis,
    /// The last event, as JSON.
    pub body: Vec<u8>,
    pub error: Option<String>,
    /// What is to be told of it, where somebody asked to be.
    pub webhook: Option<Vec<u8>>,
}

/// Something that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    pub job: JobKey,
    /// The number of the event that it tells of.
    pub event: u32,
    pub body: Vec<u8>,
    /// How often it was tried.
    pub tries: u32,
}
