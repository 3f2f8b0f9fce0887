//! Interface of the job store: durable jobs with their inputs, results, events, leases and pending webhook deliveries.
//!
//! Knows nothing of how items run, or of how the records are kept: `sqlite` is the built-in implementation.

mod error;
mod records;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use throttle::CallerId;

pub use error::{StorageQuota, StoreError};
pub use records::{
    CrashCount, CrashSuspect, CreateOutcome, Delivery, DeliveryAttempt, DeliveryState, Digest,
    Event, FinishedItem, HiddenJob, Idempotency, ItemCounts, ItemStatus, Job, JobEnd, JobFilter,
    JobKey, NewJob, PendingDelivery, PendingItem, ResultOrder, Status, UnixMillis,
};

/// Size at which a page of inputs, jobs or results ends, in bytes: 1 MiB.
pub const MAX_PAGE_BYTES: usize = 1 << 20;

/// Bounds of a page of rows. The page ends at the first of them that is reached, but has at least one row.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    /// Maximum number of rows.
    pub rows: u32,
    /// Size at which the page ends, in bytes.
    pub bytes: usize,
}

impl PageSize {
    /// Page of which a stream holds one at a time: 100 rows, or 48 KiB.
    pub const STREAM: Self = Self {
        rows: 100,
        bytes: 48 * 1024,
    };

    /// Returns the bounds of a page of up to this many rows, or [`MAX_PAGE_BYTES`].
    #[must_use]
    pub const fn of_rows(rows: u32) -> Self {
        Self {
            rows,
            bytes: MAX_PAGE_BYTES,
        }
    }
}

/// Result of one read of a search, which looks at a bounded number of rows.
#[derive(Debug)]
pub enum Scan<T> {
    /// Rows that were found; empty after the last row.
    Page(T),
    /// Number at which the next read begins: nothing that was looked at matches.
    GoOn(u32),
}

/// Searches from the number `from` on until a read returns a page.
///
/// # Errors
/// Errors of the reads.
pub async fn search<T, F>(mut from: u32, read: impl Fn(u32) -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<Scan<T>, StoreError>>,
{
    loop {
        match read(from).await? {
            Scan::Page(page) => return Ok(page),
            Scan::GoOn(next) => from = next,
        }
    }
}

/// Future of a store operation.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Durable storage of jobs.
///
/// A write is on disk when its future resolves. While the disk is full, writes that running jobs depend on wait, those that end
/// or remove something use space that is reserved for them, and the others fail at once. Inputs and events are read in pages whose
/// bytes are bounded.
///
/// # Cancel safety
/// A write whose future is dropped may or may not be executed, but never in part.
pub trait Store: Send + Sync + fmt::Debug {
    /// Creates a job in the state `Uploading`, or returns the job that exists for the same idempotency key.
    fn create_uploading(&self, job: NewJob) -> Stored<'_, CreateOutcome>;

    /// Adds inputs to a job that is being uploaded. `first` is the index of the first of them.
    fn add_inputs(&self, job: JobKey, first: u32, inputs: Vec<Vec<u8>>) -> Stored<'_, ()>;

    /// Ends the upload: the job becomes `Queued` and visible. Returns the job.
    fn finalize(&self, job: JobKey, total: u32, digest: Digest) -> Stored<'_, Job>;

    /// Marks a job that has ended or is being cancelled as `Deleting`. Its rows are removed by [`remove`](Store::remove). Returns
    /// false if the job is in another state.
    fn soft_delete(&self, job: JobKey) -> Stored<'_, bool>;

    /// Returns some of the jobs of each caller that are being uploaded or removed.
    fn hidden(&self) -> Stored<'_, Vec<HiddenJob>>;

    /// Marks a job that is being uploaded as `Deleting`, which frees its idempotency key. Its rows are removed by
    /// [`remove`](Store::remove). Returns the bytes that a hidden job stores; `None` if the job is visible or was removed.
    fn abandon(&self, job: JobKey) -> Stored<'_, Option<usize>>;

    /// Removes a hidden job of this caller and its rows, in several transactions, in turns of the callers. Does nothing if the job
    /// is visible.
    fn remove(&self, job: JobKey, caller: CallerId) -> Stored<'_, ()>;

    /// Returns some free space to the file system. Returns false if there is more to return.
    fn vacuum_step(&self) -> Stored<'_, bool>;

    /// Moves a queued or running job to `Cancelling`. Returns false if it was in another state.
    fn cancel(&self, job: JobKey) -> Stored<'_, bool>;

    /// Returns the visible job with this ID, regardless of its caller; `None` if the ID is unknown. One that has expired is visible until
    /// it is marked as `Deleting`.
    fn job(&self, id: String) -> Stored<'_, Option<Job>>;

    /// Returns the job with this key; `None` if it was removed.
    fn job_by_key(&self, job: JobKey) -> Stored<'_, Option<Job>>;

    /// Searches for visible jobs of a caller with a key below `before` that meet `filter` and have not expired at `now`, in one read. Returns up
    /// to `limit`, newest first; fewer if their metadata is long, or if the others are beyond what one read looks at.
    fn find_jobs(
        &self,
        caller: String,
        filter: JobFilter,
        before: u32,
        limit: u32,
        now: UnixMillis,
    ) -> Stored<'_, Scan<Vec<Job>>>;

    /// Returns the size of the spec that [`spec`](Store::spec) returns, in bytes, without reading it; `None` if the job was removed.
    fn spec_size(&self, job: JobKey) -> Stored<'_, Option<usize>>;

    /// Returns the spec that the job was created with; `None` if the job was removed.
    fn spec(&self, job: JobKey) -> Stored<'_, Option<String>>;

    /// Returns all queued, running and cancelling jobs with their callers, oldest first.
    fn unfinished(&self) -> Stored<'_, Vec<(JobKey, String, Status)>>;

    /// Returns items without a result, by index, beginning with the index `from`.
    fn pending(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, Vec<PendingItem>>;

    /// Returns the size of the page that [`pending`](Store::pending) returns for a limit of as many rows: up to `limit`, and
    /// [`MAX_PAGE_BYTES`] unless it is one row.
    fn pending_size(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, PageSize>;

    /// Returns the limit by which a job makes no further results for now, because its caller would leave too little room to others.
    fn quota_of_results(&self, job: JobKey) -> Stored<'_, Option<StorageQuota>>;

    /// Returns the size of the input that [`input`](Store::input) returns, in bytes, without reading it; `None` if it was removed.
    fn input_size(&self, job: JobKey, index: u32) -> Stored<'_, Option<usize>>;

    /// Returns the input of an item as JSON; `None` if it was removed.
    fn input(&self, job: JobKey, index: u32) -> Stored<'_, Option<Vec<u8>>>;

    /// Returns the items of any job that were in flight during at least this many crashes: those of the most isolated crashes
    /// first, then those of the most crashes, and equal ones in random order.
    fn crash_suspects(&self, crashes: u32) -> Stored<'_, Vec<CrashSuspect>>;

    /// Leases the inputs with an index below `until` to this process. Those without a result when the process dies count one
    /// more crash.
    fn lease_until(&self, job: JobKey, until: u32) -> Stored<'_, ()>;

    /// Releases the leases of a job.
    fn release_lease(&self, job: JobKey) -> Stored<'_, ()>;

    /// Records the only item in flight in this process; `None`: no item is isolated.
    fn set_isolated(&self, item: Option<(JobKey, u32)>) -> Stored<'_, ()>;

    /// Resets the crash count of an item.
    fn clear_suspicion(&self, job: JobKey, index: u32) -> Stored<'_, ()>;

    /// Marks this process as healthy: resets the crash counts of the items that were in flight in crashed processes.
    fn mark_healthy(&self) -> Stored<'_, ()>;

    /// Marks this process as ended regularly, with no item in flight.
    fn mark_clean_shutdown(&self) -> Stored<'_, ()>;

    /// Records results, each with its event, in the given order. A second result of an item is ignored. Returns the job with
    /// its new counts.
    fn record_results(&self, job: JobKey, items: Vec<FinishedItem>) -> Stored<'_, Job>;

    /// Moves a job from one of the states `from` to the state `to`. Returns false if it was in another state. `now` becomes
    /// the job's start if it starts running for the first time. A job that starts is first queued in full:
    /// [`requeue`](Store::requeue) leaves a part of many items to its start.
    fn transition(
        &self,
        job: JobKey,
        from: &'static [Status],
        to: Status,
        now: UnixMillis,
    ) -> Stored<'_, bool>;

    /// Ends a job that is in the state `from`, with its last event and its webhook delivery. Returns the job, or `None` if it
    /// was in another state.
    fn complete(&self, job: JobKey, from: Status, end: JobEnd) -> Stored<'_, Option<Job>>;

    /// Queues a job that has ended again, for its items that did not succeed, or only those of the status `only`. Items
    /// without a result run in any case. Returns the job, or `None` if it has not ended. What it has recorded is kept, so the
    /// limits of what the caller may store apply.
    /// The counts of more than 10,000 items become zero in several transactions, the last ones when the job starts.
    fn requeue(&self, job: JobKey, only: Option<ItemStatus>) -> Stored<'_, Option<Job>>;

    /// Returns true if an item has failed since the job was queued last.
    fn has_failed_since_queued(&self, job: JobKey) -> Stored<'_, bool>;

    /// Returns the events with a number above `after`, by number.
    fn events(&self, job: JobKey, after: u32, page: PageSize) -> Stored<'_, Vec<Event>>;

    /// Searches for results, those of the status `only` if it is given, in one read, beginning with the index or event number `from`,
    /// depending on the order.
    fn find_results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        from: u32,
        page: PageSize,
    ) -> Stored<'_, Scan<Vec<Event>>>;

    /// Searches, in one read, for a result that [`find_results`](Store::find_results) would return, without reading it. The page is true
    /// if there is one.
    fn has_results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        from: u32,
    ) -> Stored<'_, Scan<bool>>;

    /// Returns some of the jobs of each caller whose retention has passed, with their callers.
    fn expired(&self, now: UnixMillis) -> Stored<'_, Vec<(JobKey, String)>>;

    /// Returns webhook deliveries that are due, by caller, of each the longest due first and at most `per_caller`. Those of the
    /// jobs `except` are left out.
    fn due_webhooks(
        &self,
        now: UnixMillis,
        per_caller: usize,
        except: HashSet<JobKey>,
    ) -> Stored<'_, Vec<PendingDelivery>>;

    /// Returns the body of a delivery as JSON; `None` if it has ended, or another end of the job is to be delivered by now.
    fn delivery_body(&self, delivery: &PendingDelivery) -> Stored<'_, Option<Vec<u8>>>;

    /// Records an attempt of a delivery, which ends it or schedules the next one.
    fn record_delivery(
        &self,
        delivery: &PendingDelivery,
        attempt: DeliveryAttempt,
    ) -> Stored<'_, ()>;

    /// Returns a random secret that lasts as long as the store; `None` before the store is open.
    fn secret(&self) -> Option<[u8; 32]>;

    /// Returns why the store cannot write now; `None` if it can.
    fn not_ready_reason(&self) -> Option<StoreError>;
}
