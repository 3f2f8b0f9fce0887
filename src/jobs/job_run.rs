//! One job, from where it stands to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::input_stream::InputStream;
use super::load_job::{LoadedJob, load_job};
use super::progress::JobProgress;
use super::store::{
    FinishedItem, ItemStatus, Job, JobEnd, JobKey, Millis, PendingItem, Status, Store, StoreError,
    Stored,
};
use super::{Shared, now, rendering};
use crate::extraction::{AdmittedRequest, Outcomes, PreparedRequest, Submission};
use crate::types::{Code, Error, Input, Item, ItemOutcome, OnError, Outcome};

/// Results that are recorded together at most: so many, or about so many bytes.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 1 << 20;
/// Groups that may wait for the disk at a time; beyond that no outcome is taken, and so nothing more is called.
const RECORDINGS: usize = 4;
/// How often the calls in flight are counted.
const COUNT: Duration = Duration::from_millis(200);
/// A store that records nothing for so long, while the server drains, is not waited for.
const STUCK: Duration = Duration::from_secs(1);
/// While the server drains: so many such looks without a call in flight, and what is left is left.
const IDLE: u32 = 5;
/// Inputs that are cancelled in one transaction.
const CANCELLED_AT_ONCE: u32 = 2_000;
/// The longest wait before the waiting room is asked again.
const ADMISSION: Duration = Duration::from_secs(5);

/// Why the work on a job stops.
#[derive(Debug, PartialEq)]
enum RunEnd {
    /// Nothing is left to do.
    Done,
    /// A failed item has ended it, as `on_error` says.
    Failed,
    /// Its caller has cancelled it.
    Cancelled,
    /// The server ends; another process goes on.
    Left,
    /// It cannot run.
    Impossible(Error),
}

/// Works a job off, as far as this process comes.
///
/// # Errors
/// When something cannot be read or recorded: it can be tried again.
pub async fn run_job(
    shared: &Arc<Shared>,
    job: JobKey,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    shared
        .store
        .transition(job, &[Status::Queued], Status::Running, now())
        .await?;
    let found = shared.store.job_by_key(job).await?;
    let Some(found) = found.filter(|job| !job.status.is_ended()) else {
        return Ok(());
    };
    let (live, prepared) = (shared.live(&found), load_job(shared, job).await?);
    let mut run = JobRun {
        shared,
        live,
        cancel,
        job: found,
        prepared,
    };
    let done = run.work().await;
    run.live.stop();
    done
}

struct JobRun<'a> {
    shared: &'a Arc<Shared>,
    live: Arc<JobProgress>,
    /// Cancelled when its caller has cancelled it.
    cancel: CancellationToken,
    job: Job,
    prepared: LoadedJob,
}

impl JobRun<'_> {
    async fn work(&mut self) -> Result<(), StoreError> {
        let (from, to, error) = match self.stopped().await? {
            RunEnd::Left => return self.shared.store.release_lease(self.job.key).await,
            RunEnd::Cancelled => (Status::Cancelling, Status::Cancelled, None),
            RunEnd::Failed => (Status::Running, Status::Stopped, None),
            RunEnd::Impossible(error) => (Status::Running, Status::Failed, Some(error)),
            RunEnd::Done => (Status::Running, Status::Completed, None),
        };
        let has_rest = matches!(to, Status::Cancelled | Status::Stopped);
        if has_rest && !self.cancel_the_rest().await? {
            return Ok(());
        }
        if !self.end(from, to, error.as_ref()).await? && self.cancel_the_rest().await? {
            // It was cancelled a moment before its end.
            self.end(Status::Cancelling, Status::Cancelled, None)
                .await?;
        }
        Ok(())
    }

    /// Works until there is a reason to stop.
    async fn stopped(&mut self) -> Result<RunEnd, StoreError> {
        let stop = self.worked().await?;
        let found = self.shared.store.job_by_key(self.job.key).await?;
        match (stop, found) {
            // What was cancelled was an earlier run of it.
            (RunEnd::Cancelled, Some(job)) if job.status != Status::Cancelling => {
                Err(StoreError::Other("it was cancelled before".to_owned()))
            }
            (RunEnd::Done, Some(job)) if job.counts.ended() < job.counts.total => {
                let why = format!(
                    "{} of its {} items have no result, and none is left to run",
                    job.counts.total - job.counts.ended(),
                    job.counts.total
                );
                Err(StoreError::Other(why))
            }
            (stop, _) => Ok(stop),
        }
    }

    async fn worked(&mut self) -> Result<RunEnd, StoreError> {
        if self.job.status == Status::Cancelling {
            return Ok(RunEnd::Cancelled);
        }
        let plan = match &self.prepared.plan {
            Ok(plan) => Arc::clone(plan),
            Err(error) => return Ok(RunEnd::Impossible(error.clone())),
        };
        // The process before has died in the middle of stopping.
        if self.prepared.on_error == OnError::Stop && self.job.counts.failed > 0 {
            return Ok(RunEnd::Failed);
        }
        let cancelled = self.cancel.clone();
        let lane = tokio::select! {
            lane = self.admitted(&plan) => lane,
            () = cancelled.cancelled() => Err(RunEnd::Cancelled),
            () = self.shared.ends.draining.cancelled() => Err(RunEnd::Left),
        };
        match lane {
            Ok(admitted) => self.extract(admitted).await,
            Err(stop) => Ok(stop),
        }
    }

    /// Waits until there is room.
    async fn admitted(&self, plan: &Arc<PreparedRequest>) -> Result<AdmittedRequest, RunEnd> {
        let extractor = &self.shared.extractor;
        loop {
            let caller = extractor.limits().caller_of(&self.job.caller);
            let admitted = caller.map(|caller| {
                let submission = Submission {
                    caller,
                    items: None,
                    concurrency: self.prepared.concurrency,
                    draining: &self.shared.ends.draining,
                };
                extractor.submit(Arc::clone(plan), &submission)
            });
            let wait = match admitted {
                Some(Ok(admitted)) => return Ok(admitted),
                Some(Err(error)) if error.code == Code::ShuttingDown => return Err(RunEnd::Left),
                Some(Err(error)) if error.retry_after.is_none() => {
                    return Err(RunEnd::Impossible(error));
                }
                Some(Err(error)) => error.retry_after,
                // It is not configured now.
                None => None,
            };
            tokio::time::sleep(wait.unwrap_or(ADMISSION).min(ADMISSION)).await;
        }
    }

    async fn extract(&mut self, admitted: AdmittedRequest) -> Result<RunEnd, StoreError> {
        let feed = InputStream::new(self.shared, self.job.key, admitted.window());
        let failed = feed.failed();
        let mut outcomes = admitted.run(self.prepared.on_error, feed);
        let shared = Arc::clone(self.shared);
        let mut recordings = FuturesUnordered::new();
        let stop = self
            .record(&mut outcomes, &mut recordings, &*shared.store)
            .await?;
        let has_stopped = outcomes.stopped();
        // What is in flight ends here; what has ended is recorded.
        drop(outcomes);
        loop {
            match tokio::time::timeout(STUCK, recordings.next()).await {
                Ok(Some(recorded)) => self.recorded(&recorded?),
                Ok(None) => break,
                // What is not recorded runs again.
                Err(_)
                    if shared.ends.draining.is_cancelled()
                        && shared.store.not_ready_reason().is_some() =>
                {
                    return Ok(RunEnd::Left);
                }
                Err(_) => {}
            }
        }
        if let Some(error) = failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
        {
            return Err(error);
        }
        Ok(if stop == RunEnd::Done && has_stopped {
            RunEnd::Failed
        } else {
            stop
        })
    }

    /// Records outcomes as they come.
    async fn record<'s>(
        &mut self,
        outcomes: &mut Outcomes<InputStream>,
        recordings: &mut FuturesUnordered<Stored<'s, Job>>,
        store: &'s dyn Store,
    ) -> Result<RunEnd, StoreError> {
        let cancelled = self.cancel.clone();
        let (draining, ended) = (
            self.shared.ends.draining.clone(),
            self.shared.ends.ended.clone(),
        );
        let (mut is_draining, mut idle) = (false, 0);
        let mut count = tokio::time::interval(COUNT);
        loop {
            let has_room = recordings.len() < RECORDINGS;
            tokio::select! {
                biased;
                Some(recorded) = recordings.next() => self.recorded(&recorded?),
                () = cancelled.cancelled() => return Ok(RunEnd::Cancelled),
                () = ended.cancelled() => return Ok(RunEnd::Left),
                () = draining.cancelled(), if !is_draining => {
                    is_draining = true;
                    outcomes.drain();
                }
                outcome = outcomes.next(), if has_room => {
                    let Some(outcome) = outcome else { return Ok(if is_draining { RunEnd::Left } else { RunEnd::Done }) };
                    let group = self.group(&outcome, outcomes);
                    if !group.is_empty() {
                        recordings.push(store.record_results(self.job.key, group));
                    }
                }
                _ = count.tick() => {
                    let in_flight = outcomes.in_flight();
                    self.live.set_in_flight(in_flight);
                    idle = if is_draining && in_flight == 0 { idle + 1 } else { 0 };
                    // What is left waits for a provider, and may go on doing so in another process.
                    if idle >= IDLE {
                        return Ok(RunEnd::Left);
                    }
                }
            }
        }
    }

    /// This outcome and those that are there with it, as they are recorded.
    fn group(&self, first: &Outcome, outcomes: &mut Outcomes<InputStream>) -> Vec<FinishedItem> {
        let mut group: Vec<_> = finished(first, &self.prepared.request_id)
            .into_iter()
            .collect();
        let mut bytes = 0;
        while group.len() < GROUP
            && bytes < GROUP_BYTES
            && let Some(Some(outcome)) = outcomes.next().now_or_never()
        {
            let finished = finished(&outcome, &self.prepared.request_id);
            bytes += finished.as_ref().map_or(0, |finished| finished.body.len());
            group.extend(finished);
        }
        group
    }

    fn recorded(&mut self, job: &Job) {
        self.shared
            .meters
            .recorded(job.counts.ended().saturating_sub(self.job.counts.ended()) as usize);
        if job.last_event >= self.job.last_event {
            self.job = job.clone();
        }
        self.live.recorded(job);
    }

    /// Gives every input that has no result one that says so. False: the server ends, and another process goes on.
    async fn cancel_the_rest(&mut self) -> Result<bool, StoreError> {
        let store = &self.shared.store;
        let mut from = 0;
        loop {
            let pending = store.pending(self.job.key, from, CANCELLED_AT_ONCE).await?;
            let Some(last) = pending.last() else {
                return Ok(true);
            };
            if self.shared.ends.draining.is_cancelled() {
                return Ok(false);
            }
            from = last.index + 1;
            let cancelled = pending.iter().filter_map(|pending| {
                let Input {
                    index,
                    id,
                    metadata,
                    ..
                } = input(pending);
                finished(
                    &Outcome::cancelled(index, id, metadata),
                    &self.prepared.request_id,
                )
            });
            let job = store
                .record_results(self.job.key, cancelled.collect())
                .await?;
            self.recorded(&job);
        }
    }

    /// Ends the job if it is in this state.
    async fn end(
        &mut self,
        from: Status,
        to: Status,
        error: Option<&Error>,
    ) -> Result<bool, StoreError> {
        let Some(job) = self.shared.store.job_by_key(self.job.key).await? else {
            return Ok(true);
        };
        let at = now();
        let retention =
            Millis::try_from(self.shared.config.retention.as_millis()).unwrap_or(Millis::MAX);
        let text = |json: Vec<u8>| String::from_utf8(json).unwrap_or_default();
        let ended = Job {
            status: to,
            finished_at: Some(at),
            expires_at: Some(at.saturating_add(retention)),
            error: error
                .map(|error| text(rendering::problem_json(error, &self.prepared.request_id))),
            ..job
        };
        let end = JobEnd {
            status: to,
            at,
            expires_at: at.saturating_add(retention),
            body: rendering::done_json(&ended),
            error: ended.error.clone(),
            webhook: self
                .prepared
                .has_webhook
                .then(|| rendering::webhook_json(&ended)),
        };
        let Some(job) = self.shared.store.complete(self.job.key, from, end).await? else {
            return Ok(false);
        };
        tracing::info!(job = job.id, status = ?job.status, total = job.counts.total, succeeded = job.counts.succeeded, "a job has ended");
        self.recorded(&job);
        Ok(true)
    }
}

/// A result as it is recorded; `None`: it is none, for the server ends.
pub fn finished(outcome: &Outcome, request_id: &str) -> Option<FinishedItem> {
    let status = match &outcome.ending {
        ItemOutcome::Succeeded(_) => ItemStatus::Succeeded,
        ItemOutcome::Invalid(_) => ItemStatus::Invalid,
        ItemOutcome::Failed(error) if error.code == Code::ShuttingDown => return None,
        ItemOutcome::Failed(_) => ItemStatus::Failed,
        ItemOutcome::Cancelled => ItemStatus::Cancelled,
    };
    let index = u32::try_from(outcome.index).unwrap_or(u32::MAX);
    Some(FinishedItem {
        index,
        status,
        body: rendering::result_json(outcome, request_id),
        usage: outcome.usage,
    })
}

/// An input as it was written down.
pub fn input(pending: &PendingItem) -> Input {
    let index = pending.index as usize;
    match serde_json::from_slice::<Item>(&pending.input) {
        Ok(item) => Input::new(index, item),
        Err(error) => {
            let detail =
                format!("the stored input cannot be read by this version of the server: {error}");
            Input::unreadable(index, Error::new(Code::Internal, detail))
        }
    }
}
