//! End of a job: the results of the items that no longer run, and the record of the end.

use std::sync::Arc;

use super::{JobRun, RunSignals};
use crate::contract::JobStatus;
use crate::jobs::context::{JobContext, to_millis, unix_millis};
use crate::jobs::item_codec::cancelled_result;
use crate::jobs::load_job::load_record_spec;
use crate::jobs::rendering;
use crate::jobs::store::{Job, JobEnd, JobKey, Status, StoreError};
use crate::long_work::{Piece, run_long};
use crate::types::{Code, Error};

/// Number of items that are cancelled in one transaction.
const CANCELLED_PER_WRITE: u32 = 2_000;

/// Ends a job whose runs failed again and again as `Failed`, with the reason of the last failure. Recorded results are kept.
///
/// # Errors
/// The store's error.
pub async fn fail_job(
    context: &Arc<JobContext>,
    job: JobKey,
    reason: &str,
) -> Result<(), StoreError> {
    let Some(found) = context.store.job_by_key(job).await? else {
        return Ok(());
    };
    let from = found.status;
    if !from.is_visible() || from.is_ended() {
        return Ok(());
    }
    let record = load_record_spec(context, &found).await?;
    let signals = RunSignals::new(&context.shutdown);
    let mut run = JobRun::new(context, found.without_metadata(), record, signals);
    let detail = format!(
        "the job was given up because its runs failed again and again; the last error: {reason}. Its recorded results are kept: retry the job to run the others"
    );
    let error = Error::new(Code::Internal, detail);
    run.end(from, Status::Failed, Some(&error)).await.map(drop)
}

impl JobRun<'_> {
    /// Records the result `cancelled` for every item without a result. Returns false if the server drains or the job is deleted
    /// meanwhile.
    pub(super) async fn cancel_remaining_items(&mut self) -> Result<bool, StoreError> {
        let store = &self.context.store;
        let mut from = 0;
        loop {
            // A cancellation must not wait for memory: that of its pages is recorded.
            let _turn = self.context.cancellation_turn(&self.job.caller).await;
            let pending = store
                .pending(self.job.key, from, CANCELLED_PER_WRITE)
                .await?;
            let Some(last) = pending.last() else {
                return Ok(true);
            };
            if self.is_draining() {
                return Ok(false);
            }
            from = last.index + 1;
            let caller = self.context.caller_id(&self.job.caller);
            let bytes = pending.iter().map(|item| item.input.len()).sum::<usize>();
            // The inputs, and the texts of those that are decoded.
            let _memory = self.context.record_inputs(caller, bytes.saturating_mul(2));
            let request_id = &self.record.request_id;
            // Each input is dropped with its conversion.
            let convert = || {
                let results = pending.into_iter();
                let results = results.filter_map(|item| cancelled_result(&item, request_id));
                results.collect::<Vec<_>>()
            };
            let results = run_long(Piece::if_long(caller, bytes), convert).await;
            let job = store.record_results(self.job.key, results).await?;
            if !job.status.is_visible() {
                return Ok(false);
            }
            self.on_recorded(&job);
        }
    }

    /// Ends the job if it is in the state `from`. Returns false if it is in another state.
    pub(super) async fn end(
        &mut self,
        from: Status,
        to: Status,
        error: Option<&Error>,
    ) -> Result<bool, StoreError> {
        let Some(job) = self.context.store.job_by_key(self.job.key).await? else {
            return Ok(true);
        };
        let end = self.job_end(job, to, error);
        let completed = self.context.store.complete(self.job.key, from, end).await?;
        let Some(job) = completed else {
            return Ok(false);
        };
        tracing::info!(
            job = job.id,
            status = JobStatus::from(job.status).as_str(),
            total = job.counts.total,
            succeeded = job.counts.succeeded,
            "the job has ended"
        );
        self.on_recorded(&job);
        Ok(true)
    }

    /// Returns the record of the job's end, with the data of its last event and of its webhook delivery.
    fn job_end(&self, job: Job, status: Status, error: Option<&Error>) -> JobEnd {
        let finished_at = unix_millis();
        let expires_at = finished_at.saturating_add(to_millis(self.context.config.retention));
        let error = error.map(|error| {
            let json = rendering::problem_json(error, &self.record.request_id);
            String::from_utf8(json).unwrap_or_default()
        });
        let ended = Job {
            status,
            finished_at: Some(finished_at),
            expires_at: Some(expires_at),
            error,
            ..job
        };
        let has_webhook = self.record.has_webhook;
        JobEnd {
            status,
            finished_at,
            expires_at,
            body: rendering::done_json(&ended),
            webhook: has_webhook.then(|| rendering::webhook_json(&ended)),
            error: ended.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throttle::CallerId;
    use tokio::time::timeout;

    use super::*;
    use crate::jobs::load_job::RecordSpec;
    use crate::jobs::test_context::{TestContext, end_queued, job_end, store_inputs, store_queued};
    use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};

    #[tokio::test]
    async fn a_job_that_is_given_up_fails_unless_it_has_ended() {
        let test = TestContext::new("given-up");
        let context = &test.context;
        let store = context.store.as_ref();
        let job = store_queued(store, "job_1", 1).await;
        fail_job(context, job, "a failed read").await.unwrap();
        let failed = store.job_by_key(job).await.unwrap().unwrap();
        assert_eq!(failed.status, Status::Failed);
        let error = format!("{:?}", failed.error);
        assert!(error.contains("a failed read"), "{error}");
        let job = store_queued(store, "job_2", 1).await;
        end_queued(store, job, job_end(Status::Cancelled)).await;
        fail_job(context, job, "a failed read").await.unwrap();
        let ended = store.job_by_key(job).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.error), (Status::Cancelled, None));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_long_input_that_is_cancelled_waits_for_its_turn_and_is_counted() {
        let test = TestContext::new("long-cancellation");
        let context = &test.context;
        let input = format!("\"{}\"", "x".repeat(LONG_TEXT_BYTES)).into_bytes();
        let bytes = input.len();
        let job = store_inputs(context.store.as_ref(), "job_1", vec![input]).await;
        let found = context.store.job_by_key(job).await.unwrap().unwrap();
        let signals = RunSignals::new(&context.shutdown);
        let mut run = JobRun::new(context, found, RecordSpec::default(), signals);
        let ledger = context.extractor.limits().memory();
        let before = ledger.snapshot().held;
        let release = take_all_permits(CallerId::default());
        {
            let mut cancelled = std::pin::pin!(run.cancel_remaining_items());
            let is_held = async {
                while ledger.snapshot().held < before + 2 * bytes {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                _ = cancelled.as_mut() => panic!("it has no turn"),
                held = timeout(Duration::from_secs(30), is_held) => held.unwrap(),
            }
            assert_eq!(ledger.snapshot().held, before + 2 * bytes);
            drop(release);
            let ended = timeout(Duration::from_secs(30), cancelled).await;
            assert_eq!(ended.unwrap(), Ok(true));
        }
        assert_eq!(
            (run.job.counts.cancelled, ledger.snapshot().held),
            (1, before)
        );
    }
}
