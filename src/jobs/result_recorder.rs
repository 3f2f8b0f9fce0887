//! Recording of a job's results in groups: while one group is being written to the store, the next one is collected.
//!
//! One write at a time keeps the results in the order in which they arrived. Results count against the share of the job's caller until
//! they are on disk; what was paid for is never refused.

use std::sync::Arc;

use throttle::{CallerId, MemoryReservation, MemoryUse};
use tokio::task::JoinSet;

use super::context::JobContext;
use super::store::{FinishedItem, Job, JobKey, StoreError};

/// Results in one group, at which no further result is accepted.
const MAX_GROUP: usize = 256;
/// Memory of the results in one group, in bytes, at which no further result is accepted.
const MAX_GROUP_BYTES: usize = 1 << 20;

/// Recorder of the results of one job.
pub struct ResultRecorder {
    context: Arc<JobContext>,
    job: JobKey,
    /// Group that is being collected.
    group: Vec<FinishedItem>,
    /// Memory of the group.
    memory: MemoryReservation,
    /// Write in flight; at most one.
    write: JoinSet<Result<Job, StoreError>>,
}

impl ResultRecorder {
    /// Returns a recorder of a job of `caller`, with nothing to write.
    pub fn new(context: &Arc<JobContext>, job: JobKey, caller: CallerId) -> Self {
        let ledger = context.extractor.limits().memory();
        Self {
            memory: ledger.empty(caller, MemoryUse::Responses),
            context: Arc::clone(context),
            job,
            group: Vec::new(),
            write: JoinSet::new(),
        }
    }

    /// Returns the caller of the job.
    pub const fn caller(&self) -> CallerId {
        self.memory.caller()
    }

    /// Returns true if another result may be added. While the disk is full, a full group stops the job from calling providers.
    pub fn has_room(&self) -> bool {
        self.group.len() < MAX_GROUP && self.memory.bytes() < MAX_GROUP_BYTES
    }

    /// Adds a result to the group that is written next.
    pub fn add(&mut self, item: FinishedItem) {
        let bytes = item.body.capacity() + size_of::<FinishedItem>();
        self.memory.record(self.memory.bytes() + bytes);
        self.group.push(item);
    }

    /// Waits until a group is on disk, and returns the job with its new counts; `None` if there is nothing to write.
    ///
    /// # Errors
    /// The store's error. The results of the group run again later.
    ///
    /// # Cancel safety
    /// Cancelling this call loses no result: the write goes on until the recorder is dropped.
    pub async fn next_recorded(&mut self) -> Option<Result<Job, StoreError>> {
        self.start_write();
        let recorded = self.write.join_next().await?;
        Some(recorded.unwrap_or_else(|_| {
            let reason = "the recording of results panicked; this is a bug";
            Err(StoreError::Other(reason.to_owned()))
        }))
    }

    /// Starts to write the group that was collected, unless another one is being written.
    pub fn start_write(&mut self) {
        if self.group.is_empty() || !self.write.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.group);
        let memory = self.memory.split(usize::MAX);
        let (context, job) = (Arc::clone(&self.context), self.job);
        self.write.spawn(async move {
            let _memory = memory;
            context.store.record_results(job, group).await
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::Connection;
    use tokio::time::timeout;

    use super::super::store::ItemStatus;
    use super::super::test_context::{MEMORY, TestContext, store_file, store_queued};
    use super::*;
    use crate::types::Usage;

    const CALLER: CallerId = CallerId(44);

    fn result(index: u32, bytes: usize) -> FinishedItem {
        FinishedItem {
            index,
            status: ItemStatus::Succeeded,
            body: vec![b'1'; bytes],
            usage: Usage::default(),
            grounding: None,
        }
    }

    #[tokio::test]
    async fn a_group_has_room_until_it_has_its_maximum_of_results_or_of_bytes() {
        let test = TestContext::new("full-groups");
        for (max, bytes) in [(MAX_GROUP, 1), (2, MAX_GROUP_BYTES / 2)] {
            let mut recorder = ResultRecorder::new(&test.context, JobKey(1), CALLER);
            for _ in 0..max {
                assert!(recorder.has_room());
                recorder.add(result(0, bytes));
            }
            assert!(!recorder.has_room());
            assert_eq!(recorder.caller(), CALLER);
        }
    }

    #[tokio::test]
    async fn what_was_added_is_recorded_in_one_group() {
        let test = TestContext::new("groups");
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 3).await;
        let mut recorder = ResultRecorder::new(context, job, CALLER);
        assert_eq!(recorder.next_recorded().await, None);
        for index in [2, 0] {
            recorder.add(result(index, 1));
        }
        let job = recorder.next_recorded().await.unwrap().unwrap();
        assert_eq!((job.counts.succeeded, job.last_event), (2, 2));
        assert_eq!(recorder.next_recorded().await, None);
    }

    #[tokio::test]
    async fn results_count_for_the_caller_until_they_are_on_disk() {
        const BYTES: usize = 100_000;
        let name = "counted-results";
        let test = TestContext::new(name);
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 2).await;
        let ledger = context.extractor.limits().memory();
        // What was paid for is kept, whether there is room or not.
        let _full = ledger.record(CallerId::default(), MemoryUse::Inputs, MEMORY);
        let held = || ledger.snapshot().by_caller.get(&CALLER).copied();
        let mut recorder = ResultRecorder::new(context, job, CALLER);
        recorder.add(result(0, BYTES));
        assert!(held().is_some_and(|held| (BYTES..2 * BYTES).contains(&held)));

        // While another connection holds the lock, the write waits.
        let other = Connection::open(store_file(name)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let wait = Duration::from_millis(300);
        let early = timeout(wait, recorder.next_recorded()).await;
        assert!(early.is_err(), "it is not on disk");
        recorder.add(result(1, BYTES));
        assert!(held().is_some_and(|held| (2 * BYTES..3 * BYTES).contains(&held)));
        other.execute_batch("ROLLBACK").unwrap();
        for recorded in 1..=2 {
            let job = recorder.next_recorded().await.unwrap().unwrap();
            assert_eq!(job.counts.succeeded, recorded);
        }
        assert_eq!(held(), None);
    }
}
