//! Records of the job store: jobs, items, results, events and webhook deliveries.

use crate::types::{EvidenceCounts, SentMetadata, Usage};

/// Number of a job in its store, from 1. A number is never used twice.
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

    /// Returns true if the job can be deleted: it has ended, or is being cancelled. A full disk may have no room for the results of
    /// all items that are cancelled, and deleting the job makes room.
    #[must_use]
    pub const fn is_deletable(self) -> bool {
        self.is_ended() || matches!(self, Self::Cancelling)
    }
}

/// Status of an item's result, as stored in the `status` columns of items and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemStatus {
    /// It has a valid answer.
    Succeeded = 0,
    /// It has an error.
    Failed = 1,
    /// Its last answer is invalid.
    Invalid = 2,
    /// Its job was cancelled or stopped before it ended.
    Cancelled = 3,
}

impl ItemStatus {
    /// All statuses, by the number in the `status` columns.
    pub const ALL: [Self; 4] = [
        Self::Succeeded,
        Self::Failed,
        Self::Invalid,
        Self::Cancelled,
    ];
}

/// Time in milliseconds since 1970, UTC.
pub type UnixMillis = i64;

/// Job to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Public ID, `job_…`.
    pub id: String,
    /// Name of the caller; empty without configured callers.
    pub caller: String,
    /// Extraction spec as JSON, which the store does not parse.
    pub spec: String,
    /// Caller's metadata.
    pub metadata: Option<SentMetadata>,
    /// Time of the request.
    pub created_at: UnixMillis,
    /// `Idempotency-Key` of the request.
    pub idempotency: Option<Idempotency>,
}

impl NewJob {
    /// Returns the number of bytes that are written for it, besides those of a row without texts.
    #[must_use]
    pub fn written_bytes(&self) -> usize {
        let metadata = self.metadata.as_ref().map(SentMetadata::json);
        self.spec.len() + metadata.map_or(0, str::len)
    }
}

/// Idempotency key: two requests of a caller with the same key are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// At most 255 characters.
    pub key: String,
    /// Time at which the key is forgotten.
    pub until: UnixMillis,
}

/// Result of creating a job.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateOutcome {
    /// The job was created; its inputs can be added.
    New(JobKey),
    /// A job exists for the same idempotency key. It may still be uploading.
    Existing(Box<Job>),
}

/// SHA-256 of a request: its fields and inputs.
pub type Digest = [u8; 32];

/// Job as stored, without its spec and items.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Number in the store.
    pub key: JobKey,
    /// Public ID, `job_…`.
    pub id: String,
    /// Name of the caller; empty without configured callers.
    pub caller: String,
    /// Caller's metadata.
    pub metadata: Option<SentMetadata>,
    /// Current status.
    pub status: Status,
    /// Numbers of items by result.
    pub counts: ItemCounts,
    /// Number of the last event; 0: none yet.
    pub last_event: u32,
    /// Tokens and cost of all results so far, replaced results included.
    pub usage: Usage,
    /// Time of the request.
    pub created_at: UnixMillis,
    /// Time at which it first ran.
    pub started_at: Option<UnixMillis>,
    /// Time at which it ended.
    pub finished_at: Option<UnixMillis>,
    /// Time from which it is removed; `None` until it has ended.
    pub expires_at: Option<UnixMillis>,
    /// Problem as JSON if the job could not run.
    pub error: Option<String>,
    /// Digest of the request; `None` while uploading.
    pub digest: Option<Digest>,
    /// Values of succeeded items by status of their evidence; `None` before the first result with evidence.
    pub grounding: Option<EvidenceCounts>,
    /// Delivery of its end; `None` if it has no webhook, or has not ended.
    pub delivery: Option<Delivery>,
}

impl Job {
    /// Returns the job without its metadata, to be kept for long.
    #[must_use]
    pub fn without_metadata(self) -> Self {
        Self {
            metadata: None,
            ..self
        }
    }
}

/// Delivery of a job's end to its webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub state: DeliveryState,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Time of the last attempt.
    pub attempted_at: Option<UnixMillis>,
    /// HTTP status of the last response; `None` if the last attempt had none.
    pub http_status: Option<u16>,
    /// Failure of the last attempt.
    pub error: Option<String>,
    /// Time of the next attempt.
    pub next_at: Option<UnixMillis>,
}

/// State of a delivery, as stored in the `state` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Another attempt will be made.
    Pending = 0,
    /// The receiver has accepted it.
    Delivered = 1,
    /// No further attempt is made.
    GivenUp = 2,
}

/// Attempt of a delivery, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryAttempt {
    pub at: UnixMillis,
    /// HTTP status of the response.
    pub http_status: Option<u16>,
    /// Failure; `None`: the receiver has accepted it.
    pub error: Option<String>,
    /// Time of the next attempt; `None`: the delivery is finished.
    pub next_at: Option<UnixMillis>,
}

/// Condition for the jobs of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Statuses, of which a job has one; empty: any.
    pub statuses: Vec<Status>,
    /// Keys and values that a job's metadata has.
    pub metadata: Vec<(String, String)>,
}

/// Job that is being uploaded or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenJob {
    /// Number in the store.
    pub key: JobKey,
    /// Public ID, `job_…`.
    pub id: String,
    /// Name of the caller; empty without configured callers.
    pub caller: String,
}

/// Numbers of a job's items by result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemCounts {
    /// All items.
    pub total: u32,
    /// Items with a valid answer.
    pub succeeded: u32,
    /// Items with an error.
    pub failed: u32,
    /// Items whose last answer is invalid.
    pub invalid: u32,
    /// Items that were cancelled.
    pub cancelled: u32,
}

impl ItemCounts {
    /// Returns the number of items with a result.
    #[must_use]
    pub const fn ended(self) -> u32 {
        self.succeeded + self.failed + self.invalid + self.cancelled
    }

    /// Returns true if an item has no result, or a result with which it can run again: any but `succeeded`, or only that of
    /// the status `only`.
    #[must_use]
    pub const fn has_requeueable(self, only: Option<ItemStatus>) -> bool {
        let with_result = match only {
            None => self.failed + self.invalid + self.cancelled,
            Some(ItemStatus::Succeeded) => 0,
            Some(ItemStatus::Failed) => self.failed,
            Some(ItemStatus::Invalid) => self.invalid,
            Some(ItemStatus::Cancelled) => self.cancelled,
        };
        with_result > 0 || self.ended() < self.total
    }
}

/// Item without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingItem {
    /// Position in the job, from 0.
    pub index: u32,
    /// Input as JSON.
    pub input: Vec<u8>,
    /// Crashes during which the item was in flight.
    pub crash_count: CrashCount,
}

/// Number of consecutive processes that died soon after their start while an item was in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrashCount {
    /// Crashes during which the item was in flight.
    pub crashes: u32,
    /// Crashes during which the item was the only one in flight.
    pub isolated: u32,
}

/// Item that was in flight during crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashSuspect {
    /// Job of the item.
    pub job: JobKey,
    /// Position in the job, from 0.
    pub index: u32,
    /// Crashes during which the item was in flight.
    pub crash_count: CrashCount,
}

/// Result of an item, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedItem {
    /// Position in the job, from 0.
    pub index: u32,
    /// Status of the result.
    pub status: ItemStatus,
    /// Result as JSON, which the store does not parse.
    pub body: Vec<u8>,
    /// Tokens and cost of the item.
    pub usage: Usage,
    /// Values by status of their evidence; `None` without data or evidence.
    pub grounding: Option<EvidenceCounts>,
}

/// Event of a job: a result, or the job's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number from 1, without gaps, in the order of recording.
    pub number: u32,
    /// Index and status of the item; `None`: the job's end.
    pub item: Option<(u32, ItemStatus)>,
    /// Data of the event as JSON.
    pub body: Vec<u8>,
}

/// Order of a job's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultOrder {
    /// Order of the inputs. While the job runs, the list ends before the first item without a result.
    Input,
    /// Order of recording.
    Completion,
}

/// End of a job, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// Final status.
    pub status: Status,
    /// Time of the end.
    pub finished_at: UnixMillis,
    /// Time from which the job is removed.
    pub expires_at: UnixMillis,
    /// Data of the last event as JSON.
    pub body: Vec<u8>,
    /// Problem as JSON if the job could not run.
    pub error: Option<String>,
    /// Body of the webhook delivery; `None` if the job has no webhook.
    pub webhook: Option<Vec<u8>>,
}

/// Webhook delivery that did not succeed yet, without its body: [`delivery_body`](super::Store::delivery_body).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    /// Job whose end is delivered.
    pub job: JobKey,
    /// Name of the caller; empty without configured callers.
    pub caller: String,
    /// Number of the event that is delivered.
    pub event: u32,
    /// Number of failed attempts.
    pub failed_attempts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_but_those_that_succeeded_can_run_again() {
        let none = ItemCounts {
            total: 1,
            ..ItemCounts::default()
        };
        let all = ItemCounts {
            total: 1111,
            succeeded: 1,
            failed: 10,
            invalid: 100,
            cancelled: 1000,
        };
        assert_eq!((none.ended(), all.ended()), (0, 1111));
        let statuses = [
            ItemStatus::Succeeded,
            ItemStatus::Failed,
            ItemStatus::Invalid,
            ItemStatus::Cancelled,
        ];
        for status in statuses {
            let mut counts = none;
            match status {
                ItemStatus::Succeeded => counts.succeeded = 1,
                ItemStatus::Failed => counts.failed = 1,
                ItemStatus::Invalid => counts.invalid = 1,
                ItemStatus::Cancelled => counts.cancelled = 1,
            }
            let can_run_again = status != ItemStatus::Succeeded;
            assert_eq!(counts.has_requeueable(None), can_run_again);
            for only in statuses {
                let is_it = can_run_again && only == status;
                assert_eq!(counts.has_requeueable(Some(only)), is_it);
                counts.total = 2;
                assert!(
                    counts.has_requeueable(Some(only)),
                    "an item without a result"
                );
                counts.total = 1;
            }
        }
    }

    #[test]
    fn what_is_written_for_a_job_is_its_spec_and_its_metadata() {
        let mut job = NewJob {
            id: "job_1".to_owned(),
            caller: String::new(),
            spec: r#"{"schema": {}}"#.to_owned(),
            metadata: None,
            created_at: 0,
            idempotency: None,
        };
        assert_eq!(job.written_bytes(), 14);
        job.metadata = SentMetadata::from_stored(r#"{"k": "v"}"#.to_owned());
        assert_eq!(job.written_bytes(), 24);
    }
}
