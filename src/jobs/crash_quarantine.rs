//! Crash quarantine: items that may have killed the process run one at a time at the start, before any job. An item that kills
//! the process each time fails with an error instead of running again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::context::JobContext;
use super::item_codec::{decode_input, encode_result};
use super::load_job::{LoadedJob, LoadedRequest, load_job};
use super::store::{CrashCount, JobKey, PendingItem, Status, StoreError};
use crate::extraction::{PreparedRequest, Submission};
use crate::types::{Code, Error, Input, ItemOutcome, OnError, Outcome};
use throttle::CallerId;

/// Time after its start from which a process counts as healthy: a later crash is not blamed on the items in flight.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Number of consecutive early crashes from which an item in flight is suspected.
const SUSPECT_CRASHES: u32 = 3;
/// Number of crashes with no other item in flight from which an item is not run again.
const FATAL_ISOLATED_CRASHES: u32 = 3;
/// Wait before the first suspect runs. A process that is killed meanwhile was killed from outside, which clears all suspects.
const INITIAL_WAIT: Duration = Duration::from_secs(1);

/// Records with `record` that this process is healthy, once it has lived for long enough. What could not be recorded is tried again
/// after the same time: a store that has failed for good refuses it at once.
pub async fn record_health<F>(mut record: impl FnMut() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    loop {
        tokio::time::sleep(HEALTHY_AFTER).await;
        if record().await.is_ok() {
            return;
        }
    }
}

/// Runs the suspects one after the other. Returns when none is left, or the server drains. An error of the store is logged.
pub async fn run_suspects(context: &Arc<JobContext>) {
    if let Err(error) = try_run_suspects(context).await {
        tracing::error!(%error, "items suspected of crashing the server could not be run in isolation");
    }
}

async fn try_run_suspects(context: &Arc<JobContext>) -> Result<(), StoreError> {
    let mut suspects = context.store.crash_suspects(SUSPECT_CRASHES).await?;
    if suspects.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        items = suspects.len(),
        "the server crashed several times soon after its start; the items in flight then run one at a time first"
    );
    // The job of the last suspect. Others hold no memory.
    let mut current: Option<(JobKey, LoadedJob)> = None;
    // Jobs that cannot be prepared: they call no provider, and fail or wait for memory when they run.
    let mut unprepared = HashSet::new();
    let mut wait = INITIAL_WAIT;
    while !suspects.is_empty() {
        for suspect in suspects {
            let (job, index) = (suspect.job, suspect.index);
            wait += isolation_wait(suspect.crash_count);
            if !sleep_unless_draining(context, std::mem::take(&mut wait)).await {
                return Ok(());
            }
            if current.as_ref().is_none_or(|(loaded, _)| *loaded != job) {
                current = None;
                if let Some(record) = context.store.job_by_key(job).await? {
                    let loaded = load_job(context, &record).await?;
                    if loaded.request.is_err() {
                        unprepared.insert(job);
                    }
                    current = Some((job, loaded));
                }
            }
            let loaded = current.as_ref().map(|(_, loaded)| loaded);
            if let Some(LoadedJob {
                request: Ok(LoadedRequest { prepared, .. }),
                record,
            }) = loaded
                && let Some(input) = context.store.input(job, index).await?
            {
                let item = PendingItem {
                    index,
                    input,
                    crash_count: suspect.crash_count,
                };
                let suspect = Suspect {
                    job,
                    item: &item,
                    request: prepared,
                    request_id: &record.request_id,
                };
                suspect.run_isolated(context).await?;
            }
        }
        suspects = context.store.crash_suspects(SUSPECT_CRASHES).await?;
        suspects.retain(|suspect| !unprepared.contains(&suspect.job));
    }
    context.store.set_isolated(None).await
}

/// Returns the wait before an item that was isolated during a crash: a process that dies meanwhile did not die of the item.
fn isolation_wait(crash_count: CrashCount) -> Duration {
    match crash_count.isolated {
        0 => Duration::ZERO,
        crashes => INITIAL_WAIT * (1 << crashes.min(FATAL_ISOLATED_CRASHES)),
    }
}

/// Sleeps. Returns false if the server drains meanwhile.
async fn sleep_unless_draining(context: &JobContext, wait: Duration) -> bool {
    let draining = &context.shutdown.draining;
    let slept = draining.run_until_cancelled(tokio::time::sleep(wait)).await;
    slept.is_some()
}

/// Item that may have crashed the process.
struct Suspect<'a> {
    job: JobKey,
    item: &'a PendingItem,
    request: &'a Arc<PreparedRequest>,
    request_id: &'a str,
}

impl Suspect<'_> {
    /// Runs the item with nothing else in flight, and records its result. Without a result its crash count is reset.
    async fn run_isolated(&self, context: &Arc<JobContext>) -> Result<(), StoreError> {
        let outcome = if self.item.crash_count.isolated >= FATAL_ISOLATED_CRASHES {
            tracing::error!(
                job = self.job.0,
                index = self.item.index,
                "an item crashes the server each time it runs; it fails and does not run again"
            );
            Some(self.fatal_outcome())
        } else {
            let item = Some((self.job, self.item.index));
            context.store.set_isolated(item).await?;
            self.extract(context).await?
        };
        let result = outcome.and_then(|outcome| encode_result(&outcome, self.request_id));
        if let Some(result) = result {
            let recorded = context.store.record_results(self.job, vec![result]).await;
            recorded.map(drop)
        } else {
            let index = self.item.index;
            context.store.clear_suspicion(self.job, index).await
        }
    }

    /// Extracts the item; `None` if its job does not run, its caller is unknown, or there is no outcome before the process
    /// counts as healthy.
    async fn extract(&self, context: &Arc<JobContext>) -> Result<Option<Outcome>, StoreError> {
        let job = context.store.job_by_key(self.job).await?;
        let running = job.filter(|job| job.status == Status::Running);
        let caller = running.and_then(|job| context.extractor.limits().caller_of(&job.caller));
        let Some(caller) = caller else {
            return Ok(None);
        };
        let input = decode_input(self.item);
        let extraction = self.extract_for(context, caller, input);
        let outcome = tokio::time::timeout(HEALTHY_AFTER, extraction).await;
        Ok(outcome.ok().flatten())
    }

    async fn extract_for(
        &self,
        context: &Arc<JobContext>,
        caller: CallerId,
        input: Input,
    ) -> Option<Outcome> {
        let submission = Submission {
            caller,
            items: Some(1),
            concurrency: None,
            draining: &context.shutdown.draining,
        };
        let admitted = context
            .extractor
            .submit(Arc::clone(self.request), &submission)
            .ok()?;
        let inputs = futures_util::stream::iter([input]);
        admitted.run(OnError::Continue, inputs).next().await
    }

    /// Returns the failure of an item that crashed the process too often.
    fn fatal_outcome(&self) -> Outcome {
        let CrashCount { crashes, isolated } = self.item.crash_count;
        let detail = format!(
            "the server crashed {crashes} times while it processed this input, {isolated} of them with no other input in flight; it does not run again, change the input or report a bug"
        );
        let input = decode_input(self.item);
        Outcome {
            ending: ItemOutcome::Failed(Error::new(Code::Internal, detail)),
            ..Outcome::cancelled(input.index, input.id, input.metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn health_that_cannot_be_recorded_is_tried_again_after_a_pause() {
        let mut tries = 0;
        let record = || {
            tries += 1;
            std::future::ready(Err(StoreError::Io("a failed read".to_owned())))
        };
        let recording = tokio::time::timeout(HEALTHY_AFTER * 7 / 2, record_health(record));
        assert!(recording.await.is_err(), "it is not recorded");
        assert_eq!(tries, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_recorded_once() {
        let mut tries = 0;
        record_health(|| {
            tries += 1;
            let is_recorded = tries == 2;
            std::future::ready(is_recorded.then_some(()).ok_or(StoreError::Busy))
        })
        .await;
        assert_eq!(tries, 2);
    }
}
