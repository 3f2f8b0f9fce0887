//! Recording of a job's results in groups: while one group is being written to the store, the next one is collected.
//!
//! One write at a time keeps the results in the order in which they arrived.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::context::JobContext;
use super::store::{FinishedItem, Job, JobKey, StoreError};

/// Results in one group, at which no further result is accepted.
const MAX_GROUP: usize = 256;
/// Bytes of results in one group, at which no further result is accepted.
const MAX_GROUP_BYTES: usize = 1 << 20;

/// Recorder of the results of one job.
pub struct ResultRecorder {
    context: Arc<JobContext>,
    job: JobKey,
    /// Group that is being collected.
    group: Vec<FinishedItem>,
    group_bytes: usize,
    /// Write in flight; at most one.
    write: JoinSet<Result<Job, StoreError>>,
}

impl ResultRecorder {
    /// Returns a recorder with nothing to write.
    pub fn new(context: &Arc<JobContext>, job: JobKey) -> Self {
        Self {
            context: Arc::clone(context),
            job,
            group: Vec::new(),
            group_bytes: 0,
            write: JoinSet::new(),
        }
    }

    /// Returns true if another result may be added. While the disk is full, a full group stops the job from calling providers.
    pub fn has_room(&self) -> bool {
        self.group.len() < MAX_GROUP && self.group_bytes < MAX_GROUP_BYTES
    }

    /// Adds a result to the group that is written next.
    pub fn add(&mut self, item: FinishedItem) {
        self.group_bytes += item.body.len();
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

    fn start_write(&mut self) {
        if self.group.is_empty() || !self.write.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        let (context, job) = (Arc::clone(&self.context), self.job);
        self.write
            .spawn(async move { context.store.record_results(job, group).await });
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::ItemStatus;
    use super::super::test_context::{TestContext, store_queued};
    use super::*;
    use crate::types::Usage;

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
            let mut recorder = ResultRecorder::new(&test.context, JobKey(1));
            for _ in 0..max {
                assert!(recorder.has_room());
                recorder.add(result(0, bytes));
            }
            assert!(!recorder.has_room());
        }
    }

    #[tokio::test]
    async fn what_was_added_is_recorded_in_one_group() {
        let test = TestContext::new("groups");
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 3).await;
        let mut recorder = ResultRecorder::new(context, job);
        assert_eq!(recorder.next_recorded().await, None);
        for index in [2, 0] {
            recorder.add(result(index, 1));
        }
        let job = recorder.next_recorded().await.unwrap().unwrap();
        assert_eq!((job.counts.succeeded, job.last_event), (2, 2));
        assert_eq!(recorder.next_recorded().await, None);
    }
}
