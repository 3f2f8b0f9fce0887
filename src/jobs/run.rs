//! One job, from where it stands to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::feed::Feed;
use super::live::Live;
use super::record::Record;
use super::store::{End, Finished, ItemStatus, Job, JobKey, Millis, Pending, Status, Store, StoreError, Stored};
use super::{Shared, now};
use crate::extract::{self, Kind, Outcomes, Plan};
use crate::limits::Lane;
use crate::model::{Batch, Code, Ending, Error, Input, Item, OnError, Outcome};

/// Results that are recorded together at most.
const GROUP: usize = 256;
/// Groups that may wait for the disk at a time; beyond that no outcome is taken, and so nothing more is called.
const RECORDINGS: usize = 4;
/// How often the calls in flight are counted.
const COUNT: Duration = Duration::from_millis(200);
/// Inputs that are cancelled in one transaction.
const CANCELLED_AT_ONCE: u32 = 2_000;
/// The longest wait before the waiting room is asked again.
const ADMISSION: Duration = Duration::from_secs(5);

/// Why the work on a job stops.
#[derive(Debug, PartialEq)]
enum Stop {
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
    /// Nothing can be read or recorded any more; it goes on at the next start.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Works a job off, as far as this process comes.
pub async fn to_its_end(shared: &Arc<Shared>, job: JobKey) {
    let found = match shared.store.job_of(job).await {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => return tracing::error!(job = job.0, %error, "a job cannot be read; it runs at the next start"),
    };
    let live = shared.live(&found);
    let mut run = Run { shared, live, job: found, request_id: String::new() };
    if let Err(error) = run.work().await {
        tracing::error!(job = run.job.id, %error, "the work on a job stops; it goes on at the next start");
    }
    run.live.rests();
}

/// A plan for a job's items, and what else it was made with.
pub struct Prepared {
    pub plan: Arc<Plan>,
    pub batch: Batch,
    pub request_id: String,
}

/// Makes a job's spec ready.
///
/// # Errors
/// The store's, or (within) why the job cannot run.
pub async fn prepare(shared: &Shared, job: JobKey) -> Result<Result<Prepared, Error>, StoreError> {
    let spec = shared.store.spec(job).await?.unwrap_or_default();
    let unreadable = |error: serde_json::Error| {
        Error::new(Code::Internal, format!("what the job was made with cannot be read by this version of the server: {error}"))
    };
    let read = || {
        let record: Record = serde_json::from_str(&spec)?;
        Ok((serde_json::from_str::<Batch>(record.batch.get())?, record))
    };
    let (mut batch, record) = match read() {
        Ok(read) => read,
        Err(error) => return Ok(Err(unreadable(error))),
    };
    let plan = shared.extractor.plan(std::mem::take(&mut batch.spec), Kind::Job, record.traceparent).await;
    Ok(plan.map(|plan| Prepared { plan: Arc::new(plan), batch, request_id: record.request_id }))
}

struct Run<'a> {
    shared: &'a Arc<Shared>,
    live: Arc<Live>,
    job: Job,
    request_id: String,
}

impl Run<'_> {
    async fn work(&mut self) -> Result<(), StoreError> {
        let store = &self.shared.store;
        store.turn(self.job.key, &[Status::Queued], Status::Running, now()).await?;
        let stop = self.stopped().await?;
        if stop == Stop::Left {
            return store.release(self.job.key).await;
        }
        let (from, to) = match &stop {
            Stop::Store(error) => return Err(error.clone()),
            Stop::Cancelled => (Status::Cancelling, Status::Cancelled),
            Stop::Failed => (Status::Running, Status::Stopped),
            Stop::Impossible(_) => (Status::Running, Status::Failed),
            Stop::Done | Stop::Left => (Status::Running, Status::Completed),
        };
        if matches!(stop, Stop::Cancelled | Stop::Failed) {
            self.cancel_the_rest().await?;
        }
        let error = match &stop {
            Stop::Impossible(error) => Some(error),
            _ => None,
        };
        if !self.end(from, to, error).await? {
            // Cancelled while the last result came in: nothing is left to cancel.
            self.end(Status::Cancelling, Status::Cancelled, None).await?;
        }
        Ok(())
    }

    /// Works until there is a reason to stop.
    async fn stopped(&mut self) -> Result<Stop, StoreError> {
        let prepared = match prepare(self.shared, self.job.key).await? {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Stop::Impossible(error)),
        };
        self.request_id.clone_from(&prepared.request_id);
        let Some(job) = self.shared.store.job_of(self.job.key).await? else { return Ok(Stop::Left) };
        self.job = job;
        if self.job.status == Status::Cancelling {
            return Ok(Stop::Cancelled);
        }
        // The process before has died in the middle of stopping.
        if prepared.batch.on_error == OnError::Stop && self.job.counts.failed > 0 {
            return Ok(Stop::Failed);
        }
        let cancelled = self.live.cancel.clone();
        let lane = tokio::select! {
            lane = self.admitted(&prepared) => lane,
            () = cancelled.cancelled() => Err(Stop::Cancelled),
            () = self.shared.ends.draining.cancelled() => Err(Stop::Left),
        };
        match lane {
            Ok(lane) => self.extract(&prepared, lane).await,
            Err(stop) => Ok(stop),
        }
    }

    /// Waits until there is room.
    async fn admitted(&self, prepared: &Prepared) -> Result<Lane, Stop> {
        loop {
            let caller = self.shared.extractor.limits().caller_named(&self.job.caller);
            let refused = match caller {
                Some(caller) => match self.shared.extractor.admit(caller, &prepared.plan, None, prepared.batch.concurrency()) {
                    Ok(lane) => return Ok(lane),
                    Err(error) if error.retry_after.is_none() => return Err(Stop::Impossible(error)),
                    Err(error) => error.retry_after,
                },
                None => None,
            };
            tokio::time::sleep(refused.unwrap_or(ADMISSION).min(ADMISSION)).await;
        }
    }

    async fn extract(&mut self, prepared: &Prepared, lane: Lane) -> Result<Stop, StoreError> {
        let feed = Feed::new(self.shared, self.job.key);
        let failed = feed.failed();
        let plan = Arc::clone(&prepared.plan);
        let mut outcomes = extract::run(Arc::clone(&self.shared.extractor), plan, lane, prepared.batch.on_error, feed);
        let shared = Arc::clone(self.shared);
        let mut recordings = FuturesUnordered::new();
        let stop = self.record(&mut outcomes, &mut recordings, &*shared.store).await?;
        let has_stopped = outcomes.stopped();
        // What is in flight ends here; what has ended is recorded.
        drop(outcomes);
        while let Some(recorded) = recordings.next().await {
            self.recorded(&recorded?);
        }
        if let Some(error) = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            return Err(error);
        }
        Ok(if stop == Stop::Done && has_stopped { Stop::Failed } else { stop })
    }

    /// Records outcomes as they come.
    async fn record<'s>(
        &mut self,
        outcomes: &mut Outcomes<Feed>,
        recordings: &mut FuturesUnordered<Stored<'s, Job>>,
        store: &'s dyn Store,
    ) -> Result<Stop, StoreError> {
        let cancelled = self.live.cancel.clone();
        let (draining, ended) = (self.shared.ends.draining.clone(), self.shared.ends.ended.clone());
        let mut is_draining = false;
        let mut count = tokio::time::interval(COUNT);
        loop {
            let has_room = recordings.len() < RECORDINGS;
            tokio::select! {
                biased;
                Some(recorded) = recordings.next() => self.recorded(&recorded?),
                () = cancelled.cancelled() => return Ok(Stop::Cancelled),
                () = ended.cancelled() => return Ok(Stop::Left),
                () = draining.cancelled(), if !is_draining => {
                    is_draining = true;
                    outcomes.wind_down();
                }
                outcome = outcomes.next(), if has_room => {
                    let Some(outcome) = outcome else { return Ok(if is_draining { Stop::Left } else { Stop::Done }) };
                    let group = self.group(outcome, outcomes);
                    if !group.is_empty() {
                        recordings.push(store.finish(self.job.key, group));
                    }
                }
                _ = count.tick() => self.live.set_in_flight(outcomes.in_flight()),
            }
        }
    }

    /// This outcome and those that are there with it, as they are recorded.
    fn group(&self, first: Outcome, outcomes: &mut Outcomes<Feed>) -> Vec<Finished> {
        let mut group: Vec<_> = finished(self.shared, &first, &self.request_id).into_iter().collect();
        while group.len() < GROUP
            && let Some(Some(outcome)) = outcomes.next().now_or_never()
        {
            group.extend(finished(self.shared, &outcome, &self.request_id));
        }
        group
    }

    fn recorded(&mut self, job: &Job) {
        if job.last_event >= self.job.last_event {
            self.job = job.clone();
        }
        self.live.recorded(job);
    }

    /// Gives every input that has no result one that says so.
    async fn cancel_the_rest(&mut self) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let mut from = 0;
        loop {
            let pending = store.pending(self.job.key, from, CANCELLED_AT_ONCE).await?;
            let Some(last) = pending.last() else { return Ok(()) };
            from = last.index + 1;
            let cancelled = pending.iter().filter_map(|pending| {
                let Input { index, id, metadata, .. } = input(pending);
                finished(self.shared, &Outcome::cancelled(index, id, metadata), &self.request_id)
            });
            let job = store.finish(self.job.key, cancelled.collect()).await?;
            self.recorded(&job);
        }
    }

    async fn has_webhook(&self) -> Result<bool, StoreError> {
        let spec = self.shared.store.spec(self.job.key).await?.unwrap_or_default();
        Ok(serde_json::from_str::<Record>(&spec).is_ok_and(|record| record.webhook.is_some()))
    }

    /// Ends the job if it is in this state.
    async fn end(&mut self, from: Status, to: Status, error: Option<&Error>) -> Result<bool, StoreError> {
        let Some(job) = self.shared.store.job_of(self.job.key).await? else { return Ok(true) };
        let at = now();
        let retention = Millis::try_from(self.shared.config.retention.as_millis()).unwrap_or(Millis::MAX);
        let text = |json: Vec<u8>| String::from_utf8(json).unwrap_or_default();
        let ended = Job {
            status: to,
            finished_at: Some(at),
            expires_at: Some(at.saturating_add(retention)),
            error: error.map(|error| text((self.shared.form.problem)(error, &self.request_id))),
            ..job
        };
        let end = End {
            status: to,
            at,
            expires_at: at.saturating_add(retention),
            body: (self.shared.form.done)(&ended),
            error: ended.error.clone(),
            webhook: self.has_webhook().await?.then(|| (self.shared.form.webhook)(&ended)),
        };
        let Some(job) = self.shared.store.end(self.job.key, from, end).await? else { return Ok(false) };
        tracing::info!(job = job.id, status = ?job.status, total = job.counts.total, succeeded = job.counts.succeeded, "a job has ended");
        self.recorded(&job);
        Ok(true)
    }
}

/// A result as it is recorded; `None`: it is none, for the server ends.
pub fn finished(shared: &Shared, outcome: &Outcome, request_id: &str) -> Option<Finished> {
    let status = match &outcome.ending {
        Ending::Succeeded(_) => ItemStatus::Succeeded,
        Ending::Invalid(_) => ItemStatus::Invalid,
        Ending::Failed(error) if error.code == Code::ShuttingDown => return None,
        Ending::Failed(_) => ItemStatus::Failed,
        Ending::Cancelled => ItemStatus::Cancelled,
    };
    let index = u32::try_from(outcome.index).unwrap_or(u32::MAX);
    Some(Finished { index, status, body: (shared.form.result)(outcome, request_id), usage: outcome.usage })
}

/// An input as it was written down.
pub fn input(pending: &Pending) -> Input {
    let index = pending.index as usize;
    match serde_json::from_slice::<Item>(&pending.input) {
        Ok(item) => Input::new(index, item),
        Err(error) => {
            let detail = format!("the stored input cannot be read by this version of the server: {error}");
            Input::unreadable(index, Error::new(Code::Internal, detail))
        }
    }
}
