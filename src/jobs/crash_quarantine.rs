//! Crash quarantine: items that may have killed the process run one at a time at the start, before those of any job. An item that
//! kills the process each time fails with an error instead of running again.
//!
//! A quarantine has a time limit, so that no caller's items keep those of the others waiting. Items for which there was no time
//! stay suspects. If the process dies again early, they have been in flight during more crashes than those that ran alone, and come
//! first: each start acquits at least one item, so the one that kills the process is found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::context::JobContext;
use super::item_codec::{decode_in_turn, encode_in_turn};
use super::load_job::{LoadedJob, LoadedRequest, load_job};
use super::run_queue::CallerName;
use super::store::{CrashCount, CrashSuspect, JobKey, PendingItem, Status, StoreError};
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

/// Maximum duration of a quarantine: enough for an item that was isolated during crashes, which waits for up to nine seconds, and
/// for some others.
pub const MAX_QUARANTINE: Duration = Duration::from_secs(60);

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

/// Runs the suspects one after the other, the callers in turn. Returns when none is left, after `limit`, or when the server drains.
/// An error of the store is logged.
pub async fn run_suspects(context: &Arc<JobContext>, limit: Duration) {
    match tokio::time::timeout(limit, try_run_suspects(context)).await {
        Ok(Ok(false)) => return,
        Ok(Ok(true)) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "items suspected of crashing the server could not be run in isolation");
        }
        Err(_) => tracing::warn!(
            "there was no time to run all items suspected of crashing the server alone; the others run with the jobs, and come first if it crashes again"
        ),
    }
    // A process that drains records its end.
    let draining = &context.shutdown.draining;
    let recorded = draining.run_until_cancelled(context.store.set_isolated(None));
    if let Some(Err(error)) = recorded.await {
        tracing::error!(%error, "the end of the isolated run of items could not be recorded");
    }
}

/// Runs the suspects one after the other. Returns false if there are none.
async fn try_run_suspects(context: &Arc<JobContext>) -> Result<bool, StoreError> {
    let suspects = context.store.crash_suspects(SUSPECT_CRASHES).await?;
    if suspects.is_empty() {
        return Ok(false);
    }
    tracing::warn!(
        items = suspects.len(),
        "the server crashed several times soon after its start; the items in flight then run one at a time first"
    );
    let callers = callers_of(context, &suspects).await?;
    // The job of the last suspect. Others hold no memory.
    let mut current: Option<(JobKey, LoadedJob)> = None;
    let mut wait = INITIAL_WAIT;
    for suspect in in_turn(suspects, &callers) {
        let (job, index) = (suspect.job, suspect.index);
        wait += isolation_wait(suspect.crash_count);
        if !sleep_unless_draining(context, std::mem::take(&mut wait)).await {
            break;
        }
        if current.as_ref().is_none_or(|(loaded, _)| *loaded != job) {
            current = None;
            if let Some(record) = context.store.job_by_key(job).await? {
                current = Some((job, load_job(context, &record).await?));
            }
        }
        // A job that cannot be prepared calls no provider, and fails or waits for memory when it runs.
        let loaded = current.as_ref().map(|(_, loaded)| loaded);
        if let Some(LoadedJob {
            request: Ok(LoadedRequest { prepared, .. }),
            record,
        }) = loaded
            && let Some(input) = context.store.input(job, index).await?
        {
            let name = callers.get(&job).map_or("", String::as_str);
            let caller = context.caller_id(name);
            // The input and its text. One at a time, before others run, it is not refused.
            let _memory = context.record_inputs(caller, input.len().saturating_mul(2));
            let item = PendingItem {
                index,
                input,
                crash_count: suspect.crash_count,
            };
            let suspect = Suspect {
                job,
                caller,
                item: &item,
                request: prepared,
                request_id: &record.request_id,
            };
            match suspect.run_isolated(context).await {
                Err(error) if !error.affects_all_writes() => tracing::warn!(
                    job = job.0,
                    index,
                    %error,
                    "an item ran alone and its result could not be recorded; its job may have been deleted meanwhile"
                ),
                recorded => recorded?,
            }
        }
    }
    Ok(true)
}

/// Returns the callers of the suspects' jobs. Those of jobs that are being removed are left out.
async fn callers_of(
    context: &JobContext,
    suspects: &[CrashSuspect],
) -> Result<HashMap<JobKey, CallerName>, StoreError> {
    let jobs: HashSet<_> = suspects.iter().map(|suspect| suspect.job).collect();
    let unfinished = context.store.unfinished().await?.into_iter();
    Ok(unfinished
        .filter(|(job, ..)| jobs.contains(job))
        .map(|(job, caller, _)| (job, caller))
        .collect())
}

/// Returns the suspects of known callers so that the callers take turns. Those of each caller keep their order.
fn in_turn(
    suspects: Vec<CrashSuspect>,
    callers: &HashMap<JobKey, CallerName>,
) -> Vec<CrashSuspect> {
    let mut turns: HashMap<&CallerName, usize> = HashMap::new();
    let mut numbered: Vec<_> = suspects
        .into_iter()
        .filter_map(|suspect| {
            let next_turn = turns.entry(callers.get(&suspect.job)?).or_default();
            *next_turn += 1;
            Some((*next_turn, suspect))
        })
        .collect();
    // The sort is stable.
    numbered.sort_by_key(|(turn, _)| *turn);
    numbered.into_iter().map(|(_, suspect)| suspect).collect()
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
    caller: CallerId,
    item: &'a PendingItem,
    request: &'a Arc<PreparedRequest>,
    request_id: &'a str,
}

impl Suspect<'_> {
    /// Runs the item with no other item of a job in flight, and records its result. Without a result its crash count is reset.
    async fn run_isolated(&self, context: &Arc<JobContext>) -> Result<(), StoreError> {
        let outcome = if self.item.crash_count.isolated >= FATAL_ISOLATED_CRASHES {
            tracing::error!(
                job = self.job.0,
                index = self.item.index,
                "an item crashes the server each time it runs; it fails and does not run again"
            );
            Some(self.fatal_outcome().await)
        } else {
            let item = Some((self.job, self.item.index));
            context.store.set_isolated(item).await?;
            self.extract(context).await?
        };
        let result = match outcome {
            Some(outcome) => encode_in_turn(&outcome, self.request_id, self.caller).await,
            None => None,
        };
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
        let input = decode_in_turn(self.item, caller).await;
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
    async fn fatal_outcome(&self) -> Outcome {
        let CrashCount { crashes, isolated } = self.item.crash_count;
        let detail = format!(
            "the server crashed {crashes} times while it processed this input, {isolated} of them with no other input in flight; it does not run again, change the input or report a bug"
        );
        let input = decode_in_turn(self.item, self.caller).await;
        Outcome {
            ending: ItemOutcome::Failed(Error::new(Code::Internal, detail)),
            ..Outcome::cancelled(input.index, input.id, input.metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::Sqlite;
    use super::super::store::{ItemStatus, PageSize, Store};
    use super::super::test_context::{TestContext, store_file, store_queued};
    use super::*;

    /// Stores a running job. Returns the job.
    async fn store_running(name: &str, items: u32) -> JobKey {
        let store = Sqlite::open(&store_file(name)).unwrap();
        let job = store_queued(&store, "job_1", items).await;
        let started = store.transition(job, &[Status::Queued], Status::Running, 0);
        assert!(started.await.unwrap());
        job
    }

    /// Ends as many processes as make suspects, with all items of a job in flight.
    async fn crash_repeatedly(name: &str, job: JobKey, items: u32) {
        for _ in 0..SUSPECT_CRASHES {
            let store = Sqlite::open(&store_file(name)).unwrap();
            store.lease_until(job, items).await.unwrap();
        }
    }

    #[tokio::test]
    async fn items_that_ran_alone_come_last_after_further_crashes() {
        const ITEMS: u32 = 4;
        let name = "quarantine-order";
        let job = store_running(name, ITEMS).await;
        crash_repeatedly(name, job, ITEMS).await;
        // A process that acquits the first item dies while the second one runs alone.
        let store = Sqlite::open(&store_file(name)).unwrap();
        store.clear_suspicion(job, 0).await.unwrap();
        store.set_isolated(Some((job, 1))).await.unwrap();
        drop(store);
        crash_repeatedly(name, job, ITEMS).await;
        let test = TestContext::new(name);
        let suspects = test.context.store.crash_suspects(SUSPECT_CRASHES).await;
        let suspects = suspects.unwrap();
        let indices: Vec<_> = suspects.iter().map(|suspect| suspect.index).collect();
        assert_eq!((indices.len(), indices[0], indices[3]), (4, 1, 0));
    }

    #[tokio::test]
    async fn items_without_an_answer_do_not_prolong_the_quarantine() {
        const ITEMS: u32 = 50;
        let name = "long-quarantine";
        let job = store_running(name, ITEMS).await;
        crash_repeatedly(name, job, ITEMS).await;
        let test = TestContext::new(name);
        let store = &test.context.store;
        let record = store.job_by_key(job).await.unwrap().unwrap();
        let loaded = load_job(&test.context, &record).await.unwrap();
        assert!(loaded.request.is_ok(), "its items can run");
        let begun = tokio::time::Instant::now();
        let quarantine = run_suspects(&test.context, INITIAL_WAIT * 2);
        // Alone, each item takes ten seconds.
        let done = tokio::time::timeout(HEALTHY_AFTER * 6, quarantine).await;
        done.expect("the quarantine ends");
        assert!(begun.elapsed() >= INITIAL_WAIT, "an item ran alone");
        let suspects = store.crash_suspects(SUSPECT_CRASHES).await.unwrap();
        assert!(
            suspects.len() >= ITEMS as usize - 1,
            "items that did not run alone are suspects still"
        );
    }

    #[tokio::test]
    async fn an_item_that_crashes_each_process_alone_fails_and_does_not_run() {
        let name = "fatal-item";
        let job = store_running(name, 2).await;
        crash_repeatedly(name, job, 2).await;
        for _ in 0..FATAL_ISOLATED_CRASHES {
            let store = Sqlite::open(&store_file(name)).unwrap();
            store.set_isolated(Some((job, 1))).await.unwrap();
        }
        let test = TestContext::new(name);
        let store = &test.context.store;
        let quarantine = run_suspects(&test.context, MAX_QUARANTINE);
        let is_failed = async {
            while store.job_by_key(job).await.unwrap().unwrap().counts.failed == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = quarantine => panic!("the other item takes ten seconds"),
            failed = tokio::time::timeout(MAX_QUARANTINE, is_failed) => failed.unwrap(),
        }
        let event = store.events(job, 0, PageSize::of_rows(10)).await.unwrap();
        let [event] = event.try_into().unwrap();
        assert_eq!(event.item, Some((1, ItemStatus::Failed)));
        let body = String::from_utf8(event.body).unwrap();
        assert!(body.contains("the server crashed"), "{body}");
    }

    #[tokio::test]
    async fn no_item_runs_alone_once_the_server_drains() {
        const ITEMS: u32 = 2;
        let name = "drained-quarantine";
        let job = store_running(name, ITEMS).await;
        crash_repeatedly(name, job, ITEMS).await;
        let test = TestContext::new(name);
        test.context.shutdown.draining.cancel();
        run_suspects(&test.context, MAX_QUARANTINE).await;
        let suspects = test.context.store.crash_suspects(SUSPECT_CRASHES).await;
        assert_eq!(suspects.unwrap().len(), ITEMS as usize, "none is acquitted");
    }

    #[test]
    fn callers_take_turns_in_the_quarantine() {
        let suspect = |job, index| CrashSuspect {
            job: JobKey(job),
            index,
            crash_count: CrashCount::default(),
        };
        let suspects = vec![
            suspect(1, 7),
            suspect(1, 5),
            suspect(2, 0),
            suspect(1, 6),
            suspect(3, 1),
            suspect(4, 0),
            suspect(2, 1),
        ];
        // The jobs 1 and 2 have the same caller, and job 4 is being removed.
        let callers = [(1, "ann"), (2, "ann"), (3, "bob")];
        let callers = callers.map(|(job, caller)| (JobKey(job), caller.to_owned()));
        let ordered = in_turn(suspects, &HashMap::from(callers));
        let ordered: Vec<_> = ordered
            .iter()
            .map(|suspect| (suspect.job.0, suspect.index))
            .collect();
        assert_eq!(ordered, [(1, 7), (3, 1), (1, 5), (2, 0), (1, 6), (2, 1)]);
    }

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
