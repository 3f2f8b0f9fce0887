//! Run of one job: admission of its items, and what follows from the reason for which they no longer run.
//!
//! A run ends with the job, or is paused, when the server drains or the caller is no longer configured; a later run continues with
//! the items that have no result.

pub mod ending;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::{JobContext, Shutdown, unix_millis};
use super::load_job::{LoadedJob, LoadedRequest, RecordSpec, load_record_spec, load_when_possible};
use super::progress::JobProgress;
use super::run_queue::RunKind;
use super::store::{Job, JobKey, Status, StoreError};
use crate::extraction::{AdmittedRequest, Submission};
use crate::types::{Error, OnError};

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
    // The end of the job reads its metadata again.
    let Some(found) = found.filter(is_unfinished).map(Job::without_metadata) else {
        return Ok(None);
    };
    // An earlier run ended the cancellation, and the job was queued again since.
    if kind == RunKind::Cancellation && found.status != Status::Cancelling {
        return Ok(Some(RunKind::Items));
    }
    // A job that is being cancelled calls nothing, so its request is not prepared, which may have to wait for memory.
    let (record, request) = if found.status == Status::Cancelling {
        (load_record_spec(context, &found).await?, None)
    } else {
        let loaded = load_when_possible(context, &found, signals.stopped()).await?;
        let LoadedJob { record, request } = loaded;
        (record, Some(request))
    };
    let mut run = JobRun::new(context, found, record, signals);
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
    /// Job as it was recorded last, without its metadata.
    job: Job,
}

impl<'a> JobRun<'a> {
    fn new(
        context: &'a Arc<JobContext>,
        job: Job,
        record: RecordSpec,
        signals: RunSignals,
    ) -> Self {
        Self {
            context,
            progress: context.progress_of(&job),
            signals,
            record,
            job,
        }
    }

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

    fn is_draining(&self) -> bool {
        self.context.shutdown.draining.is_cancelled()
    }

    fn on_recorded(&mut self, job: &Job) {
        let results = job.counts.ended().saturating_sub(self.job.counts.ended());
        self.context.meters.recorded(results as usize);
        if job.last_event >= self.job.last_event {
            self.job = job.clone().without_metadata();
        }
        self.progress.publish(job);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use throttle::{AdmissionRequest, CallerId, Class, PoolId, Usd};
    use tokio::time::timeout;

    use super::super::load_job::load_job;
    use super::super::test_context::{TestContext, running_job, store_file, store_queued};
    use super::*;
    use crate::types::Code;

    #[tokio::test]
    async fn a_run_keeps_no_metadata() {
        let test = TestContext::new("run-metadata");
        let context = &test.context;
        let recorded = Job {
            metadata: serde_json::from_str(r#"{"k": "v"}"#).unwrap(),
            last_event: 1,
            ..running_job()
        };
        let signals = RunSignals::new(&context.shutdown);
        let mut run = JobRun::new(context, running_job(), RecordSpec::default(), signals);
        run.on_recorded(&recorded);
        assert_eq!(run.job.last_event, 1);
        assert_eq!(run.job.metadata, None);
    }

    #[tokio::test]
    async fn a_job_waits_for_a_place_in_the_waiting_room() {
        let test = TestContext::new("admission");
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 1).await;
        let job = context.store.job_by_key(job).await.unwrap().unwrap();
        let request = load_job(context, &job).await.unwrap().request.unwrap();
        let signals = RunSignals::new(&context.shutdown);
        let run = JobRun::new(context, job, RecordSpec::default(), signals);
        let admission = async || {
            let admission = run.wait_for_admission(&request);
            timeout(Duration::from_millis(300), admission).await
        };
        let asked = AdmissionRequest {
            class: Class::Job,
            pool: PoolId(0),
            window: 1_000,
            is_single: false,
            has_price: false,
        };
        let other = context
            .extractor
            .limits()
            .admit(CallerId::default(), &asked);
        let other = other.unwrap();
        let places = (1..=1_000).take_while(|places| other.reserve_place(*places));
        assert!(places.count() < 1_000, "the waiting room is full");
        assert!(admission().await.is_err(), "all places are taken");
        drop(other);
        assert!(admission().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_job_that_can_never_be_admitted_does_not_wait() {
        let test = TestContext::new("never-admitted");
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 1).await;
        let job = context.store.job_by_key(job).await.unwrap().unwrap();
        let request = load_job(context, &job).await.unwrap().request.unwrap();
        // The model has no price.
        let quota = throttle::Quota {
            budget_per_day: Some(Usd(1)),
            ..throttle::Quota::default()
        };
        let limits = context.extractor.limits();
        limits.set_callers(vec![(CallerId::default(), quota)]);
        let signals = RunSignals::new(&context.shutdown);
        let run = JobRun::new(context, job, RecordSpec::default(), signals);
        let admission = run.wait_for_admission(&request);
        let admission = timeout(Duration::from_secs(10), admission).await.unwrap();
        let Err(RunEnd::Impossible(error)) = admission else {
            panic!("it is admitted");
        };
        assert_eq!(error.code, Code::Forbidden);
    }

    #[tokio::test]
    async fn a_job_that_lacks_inputs_does_not_complete() {
        let name = "missing-inputs";
        let test = TestContext::new(name);
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 0).await;
        let file = Connection::open(store_file(name)).unwrap();
        let sql = "UPDATE jobs SET total = 1 WHERE key = ?1";
        file.execute(sql, [job.0]).unwrap();
        let signals = RunSignals::new(&context.shutdown);
        let run = run_job(context, job, RunKind::Items, signals).await;
        assert!(matches!(run, Err(StoreError::Other(_))), "{run:?}");
        let found = context.store.job_by_key(job).await.unwrap().unwrap();
        assert_eq!(found.status, Status::Running);
    }
}
