//! Run of one job: admission, extraction of its items, recording of the results, and the job's end.
//!
//! A run ends with the job, or is paused, when the server drains or the caller is no longer configured; a later run continues with
//! the items that have no result.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::context::{JobContext, Shutdown, to_millis, unix_millis};
use super::input_stream::InputStream;
use super::item_codec::{cancelled_result, encode_result};
use super::load_job::{LoadedJob, LoadedRequest, RecordSpec, load_record_spec, load_when_possible};
use super::progress::JobProgress;
use super::rendering;
use super::result_recorder::ResultRecorder;
use super::run_queue::RunKind;
use super::store::{Job, JobEnd, JobKey, Status, StoreError};
use crate::contract::JobStatus;
use crate::extraction::{AdmittedRequest, Outcomes, Submission};
use crate::types::{Code, Error, OnError, Outcome};

/// Interval at which the calls in flight are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);
/// While the run is paused: consecutive counts of zero calls in flight after which it ends. The remaining items wait for a
/// provider, and can do so in a later run.
const MAX_IDLE_COUNTS: u32 = 5;
/// While the server drains: time after which a run no longer waits for a store that cannot write.
const STUCK_STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of these waits after which a run ends while the server drains, although the store works: a large result may wait for room.
const MAX_STUCK_WAITS: u32 = 5;
/// Number of items that are cancelled in one transaction.
const CANCELLED_PER_WRITE: u32 = 2_000;
/// Maximum wait before admission is requested again.
const MAX_ADMISSION_WAIT: Duration = Duration::from_secs(5);

/// Reason why the items of a job no longer run.
#[derive(Debug, PartialEq)]
enum RunEnd {
    /// Result for every item.
    Completed,
    /// Failed item, with `on_error` set to `stop`.
    ItemFailed,
    /// Cancellation by the caller.
    Cancelled,
    /// Pause. A later run continues; if the server drains, that of the next process.
    Interrupted,
    /// Error because of which the job cannot run.
    Impossible(Error),
}

/// Signals to a run.
#[derive(Debug, Clone)]
pub struct RunSignals {
    /// Token cancelled when the caller cancels the job: calls in flight are aborted.
    pub cancelled: CancellationToken,
    /// Token cancelled when no further item may start: the server drains, or the job's caller is no longer configured. Calls in
    /// flight end.
    pub paused: CancellationToken,
}

impl RunSignals {
    /// Returns the signals of a run that starts.
    pub fn new(shutdown: &Shutdown) -> Self {
        Self {
            cancelled: CancellationToken::new(),
            paused: shutdown.draining.child_token(),
        }
    }

    /// Waits until the run is cancelled or paused.
    async fn stopped(&self) {
        tokio::select! {
            () = self.cancelled.cancelled() => {}
            () = self.paused.cancelled() => {}
        }
    }
}

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
    let mut run = JobRun {
        context,
        progress: context.progress_of(&found),
        signals: RunSignals::new(&context.shutdown),
        record: load_record_spec(context, job).await?,
        job: found,
    };
    let detail = format!(
        "the job was given up because its runs failed again and again; the last error: {reason}. Its recorded results are kept: retry the job to run the others"
    );
    let error = Error::new(Code::Internal, detail);
    run.end(from, Status::Failed, Some(&error)).await.map(drop)
}

/// Runs a job until it ends, is cancelled, or is paused. Does nothing for a job that has ended. A cancellation does nothing for a
/// job that is not being cancelled, and returns the kind of run that the job needs.
///
/// # Errors
/// The store's error. The run can be repeated; recorded results are kept.
pub async fn run_job(
    context: &Arc<JobContext>,
    job: JobKey,
    kind: RunKind,
    signals: RunSignals,
) -> Result<Option<RunKind>, StoreError> {
    let store = &context.store;
    if kind == RunKind::Items {
        store
            .transition(job, &[Status::Queued], Status::Running, unix_millis())
            .await?;
    }
    let found = store.job_by_key(job).await?;
    let is_unfinished = |job: &Job| job.status.is_visible() && !job.status.is_ended();
    let Some(found) = found.filter(is_unfinished) else {
        return Ok(None);
    };
    // An earlier run ended the cancellation, and the job was queued again since.
    if kind == RunKind::Cancellation && found.status != Status::Cancelling {
        return Ok(Some(RunKind::Items));
    }
    // A job that is being cancelled calls nothing, so its request is not prepared, which may have to wait for memory.
    let (record, request) = if found.status == Status::Cancelling {
        (load_record_spec(context, job).await?, None)
    } else {
        let loaded = load_when_possible(context, &found, signals.stopped()).await?;
        let LoadedJob { record, request } = loaded;
        (record, Some(request))
    };
    let mut run = JobRun {
        context,
        progress: context.progress_of(&found),
        signals,
        record,
        job: found,
    };
    let result = run.run(request).await;
    run.progress.stop();
    // A job that was deleted while it was being cancelled takes no results.
    if result.is_err()
        && !store
            .job_by_key(job)
            .await?
            .as_ref()
            .is_some_and(is_unfinished)
    {
        return Ok(None);
    }
    result.map(|()| None)
}

struct JobRun<'a> {
    context: &'a Arc<JobContext>,
    progress: Arc<JobProgress>,
    signals: RunSignals,
    /// Parts of the job's spec that its records need.
    record: RecordSpec,
    /// Job as it was recorded last.
    job: Job,
}

impl JobRun<'_> {
    /// Runs the items, unless there is no `request` because the job is being cancelled, and ends the job.
    async fn run(
        &mut self,
        request: Option<Result<LoadedRequest, Error>>,
    ) -> Result<(), StoreError> {
        let (from, to, error) = match self.run_items_checked(request).await? {
            RunEnd::Interrupted => return self.context.store.release_lease(self.job.key).await,
            RunEnd::Cancelled => (Status::Cancelling, Status::Cancelled, None),
            RunEnd::ItemFailed => (Status::Running, Status::Stopped, None),
            RunEnd::Impossible(error) => (Status::Running, Status::Failed, Some(error)),
            RunEnd::Completed => (Status::Running, Status::Completed, None),
        };
        let has_unstarted_items = matches!(to, Status::Cancelled | Status::Stopped);
        if has_unstarted_items && !self.cancel_remaining_items().await? {
            return Ok(());
        }
        let has_ended = self.end(from, to, error.as_ref()).await?;
        // Otherwise the job was cancelled a moment before its end.
        if !has_ended && self.cancel_remaining_items().await? {
            self.end(Status::Cancelling, Status::Cancelled, None)
                .await?;
        }
        Ok(())
    }

    /// Runs the items, and compares the reason for the end with the store.
    async fn run_items_checked(
        &mut self,
        request: Option<Result<LoadedRequest, Error>>,
    ) -> Result<RunEnd, StoreError> {
        let end = match request {
            None => RunEnd::Cancelled,
            Some(Ok(request)) => self.run_items(request).await?,
            Some(Err(error)) if error.retry_after.is_none() => RunEnd::Impossible(error),
            Some(Err(_)) if self.signals.cancelled.is_cancelled() => RunEnd::Cancelled,
            Some(Err(_)) => RunEnd::Interrupted,
        };
        let stored = self.context.store.job_by_key(self.job.key).await?;
        match (end, stored) {
            // The cancellation was for an earlier run of the job, and the scheduler runs it again; or the job was removed.
            (RunEnd::Cancelled, Some(job)) if job.status != Status::Cancelling => {
                Ok(RunEnd::Interrupted)
            }
            (_, None) => Ok(RunEnd::Interrupted),
            (RunEnd::Completed, Some(job)) if job.counts.ended() < job.counts.total => {
                let reason = format!(
                    "{} of {} items have no result although no input is left",
                    job.counts.total - job.counts.ended(),
                    job.counts.total
                );
                Err(StoreError::Other(reason))
            }
            (end, _) => Ok(end),
        }
    }

    /// Runs the items without a result.
    async fn run_items(&mut self, request: LoadedRequest) -> Result<RunEnd, StoreError> {
        // The previous process died between the failure and the job's end.
        if request.on_error == OnError::Stop
            && self.job.counts.failed > 0
            && self
                .context
                .store
                .has_failed_since_queued(self.job.key)
                .await?
        {
            return Ok(RunEnd::ItemFailed);
        }
        let RunSignals { cancelled, paused } = self.signals.clone();
        let admitted = tokio::select! {
            admitted = self.wait_for_admission(&request) => admitted,
            () = cancelled.cancelled() => Err(RunEnd::Cancelled),
            () = paused.cancelled() => Err(RunEnd::Interrupted),
        };
        match admitted {
            Ok(admitted) => self.extract(admitted, request.on_error).await,
            Err(end) => Ok(end),
        }
    }

    /// Waits until the waiting room has a place for the job and its caller is configured. The pause of the run ends this wait when the
    /// server drains.
    async fn wait_for_admission(&self, request: &LoadedRequest) -> Result<AdmittedRequest, RunEnd> {
        let extractor = &self.context.extractor;
        loop {
            let caller = extractor.limits().caller_of(&self.job.caller);
            let admitted = caller.map(|caller| {
                let submission = Submission {
                    caller,
                    items: None,
                    concurrency: request.concurrency,
                    draining: &self.context.shutdown.draining,
                };
                extractor.submit(Arc::clone(&request.prepared), &submission)
            });
            let retry_after = match admitted {
                Some(Ok(admitted)) => return Ok(admitted),
                Some(Err(error)) if error.retry_after.is_none() => {
                    return Err(RunEnd::Impossible(error));
                }
                Some(Err(error)) => error.retry_after,
                None => None,
            };
            let wait = retry_after.map_or(MAX_ADMISSION_WAIT, |wait| wait.min(MAX_ADMISSION_WAIT));
            tokio::time::sleep(wait).await;
        }
    }

    /// Extracts the admitted items, and waits until their results are recorded.
    async fn extract(
        &mut self,
        admitted: AdmittedRequest,
        on_error: OnError,
    ) -> Result<RunEnd, StoreError> {
        let (window, memory) = (admitted.window(), admitted.input_memory(Duration::MAX));
        let inputs = InputStream::new(&self.context.store, self.job.key, window, memory);
        let read_error = inputs.read_error();
        let mut outcomes = admitted.run(on_error, inputs);
        let mut recorder = ResultRecorder::new(self.context, self.job.key);
        let end = self.record_outcomes(&mut outcomes, &mut recorder).await?;
        let has_stopped = outcomes.stopped();
        // Aborts the calls in flight. Outcomes received before are recorded.
        drop(outcomes);
        if !self.finish_recording(&mut recorder).await? {
            return Ok(RunEnd::Interrupted);
        }
        if let Some(error) = read_error.take() {
            return Err(error);
        }
        Ok(if end == RunEnd::Completed && has_stopped {
            RunEnd::ItemFailed
        } else {
            end
        })
    }

    /// Records outcomes as they arrive, until there is a reason to end.
    async fn record_outcomes(
        &mut self,
        outcomes: &mut Outcomes<InputStream>,
        recorder: &mut ResultRecorder,
    ) -> Result<RunEnd, StoreError> {
        let aborted = self.context.shutdown.aborted.clone();
        let RunSignals { cancelled, paused } = self.signals.clone();
        let (mut is_paused, mut idle_counts) = (false, 0);
        let mut count_interval = tokio::time::interval(COUNT_INTERVAL);
        loop {
            tokio::select! {
                biased;
                Some(job) = recorder.next_recorded() => self.on_recorded(&job?),
                () = cancelled.cancelled() => return Ok(RunEnd::Cancelled),
                () = aborted.cancelled() => return Ok(RunEnd::Interrupted),
                () = paused.cancelled(), if !is_paused => {
                    is_paused = true;
                    outcomes.drain();
                }
                outcome = outcomes.next(), if recorder.has_room() => match outcome {
                    Some(outcome) => self.add_available(outcome, outcomes, recorder),
                    None if is_paused => return Ok(RunEnd::Interrupted),
                    None => return Ok(RunEnd::Completed),
                },
                _ = count_interval.tick() => {
                    let in_flight = outcomes.in_flight();
                    self.progress.set_in_flight(in_flight);
                    self.progress.set_blocked(outcomes.outage());
                    idle_counts = if is_paused && in_flight == 0 { idle_counts + 1 } else { 0 };
                    if idle_counts >= MAX_IDLE_COUNTS {
                        return Ok(RunEnd::Interrupted);
                    }
                }
            }
        }
    }

    /// Adds an outcome, and those that are available without waiting, to the group that is recorded next.
    fn add_available(
        &self,
        first: Outcome,
        outcomes: &mut Outcomes<InputStream>,
        recorder: &mut ResultRecorder,
    ) {
        let mut next = Some(first);
        while let Some(outcome) = next {
            if let Some(result) = encode_result(&outcome, &self.record.request_id) {
                recorder.add(result);
            }
            next = if recorder.has_room() {
                outcomes.next().now_or_never().flatten()
            } else {
                None
            };
        }
    }

    /// Waits until everything is recorded. Returns false if the server drains and the store does not write, or writes nothing for
    /// [`MAX_STUCK_WAITS`]: the items without a recorded result run again in the next process.
    async fn finish_recording(
        &mut self,
        recorder: &mut ResultRecorder,
    ) -> Result<bool, StoreError> {
        let mut waits = 0;
        loop {
            match tokio::time::timeout(STUCK_STORE_TIMEOUT, recorder.next_recorded()).await {
                Ok(Some(job)) => {
                    waits = 0;
                    self.on_recorded(&job?);
                }
                Ok(None) => return Ok(true),
                Err(_) if !self.is_draining() => {}
                Err(_) => {
                    waits += 1;
                    if !self.is_store_ready() || waits == MAX_STUCK_WAITS {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn is_draining(&self) -> bool {
        self.context.shutdown.draining.is_cancelled()
    }

    fn is_store_ready(&self) -> bool {
        self.context.store.not_ready_reason().is_none()
    }

    fn on_recorded(&mut self, job: &Job) {
        let results = job.counts.ended().saturating_sub(self.job.counts.ended());
        self.context.meters.recorded(results as usize);
        if job.last_event >= self.job.last_event {
            self.job = job.clone();
        }
        self.progress.publish(job);
    }

    /// Records the result `cancelled` for every item without a result. Returns false if the server drains or the job is deleted
    /// meanwhile.
    async fn cancel_remaining_items(&mut self) -> Result<bool, StoreError> {
        let store = &self.context.store;
        let mut from = 0;
        loop {
            // Pages are not part of the memory budget: a cancellation must not wait for it.
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
            let request_id = &self.record.request_id;
            // Each input is dropped with its conversion.
            let results = pending
                .into_iter()
                .filter_map(|item| cancelled_result(&item, request_id))
                .collect();
            let job = store.record_results(self.job.key, results).await?;
            if !job.status.is_visible() {
                return Ok(false);
            }
            self.on_recorded(&job);
        }
    }

    /// Ends the job if it is in the state `from`. Returns false if it is in another state.
    async fn end(
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
mod tests;
