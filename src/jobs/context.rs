//! Shared context of the durable jobs: settings, store, extractor, shutdown signals and the progress of running jobs.
//!
//! Everything else in this module builds on it. It must not know the scheduler, the runs or the API.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::errors::store_problem;
use super::hidden_jobs::HiddenJobs;
use super::progress::JobProgress;
use super::store::{Job, JobKey, Store, StoreError, UnixMillis};
use crate::extraction::Extractor;
use crate::telemetry::JobMeters;
use crate::types::{Error, clock};
use throttle::{CallerId, FairPermit, FairSemaphore, MemoryReservation, MemoryUse};

/// Settings of the durable jobs.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Time for which a job is kept after it has ended.
    pub retention: Duration,
    /// Maximum number of running jobs of one caller. Further jobs stay queued until one of them ends.
    pub max_running_per_caller: usize,
}

/// Shutdown signals, and the tracker of the tasks that shutdown waits for. Shutdown has two stages: drain, then abort.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Token cancelled when the server drains: no job and no item is started any more.
    pub draining: CancellationToken,
    /// Token cancelled when items in flight are aborted.
    pub aborted: CancellationToken,
    /// Tracker of all tasks of the jobs. Draining waits for them.
    pub work: TaskTracker,
}

/// Command to the scheduler. It follows a change of the store, from which another process would learn the same.
#[derive(Debug)]
pub enum JobCommand {
    /// A job of this caller is queued.
    Run(JobKey, String),
    /// A job of this caller is being cancelled.
    Cancel(JobKey, String),
}

/// Maximum number of commands that wait for the scheduler, which takes them between two awaits of the store: room for a burst
/// of requests, at less than 100 bytes each. A full channel delays the request that sends the command, and loses nothing.
const MAX_COMMANDS: usize = 1024;

/// Maximum number of concurrent reads of searches on behalf of callers: fewer than the store reads at once (eight), so that short
/// reads, and those of running jobs, do not wait behind them. One caller takes at most half of them.
const MAX_SEARCHES: usize = 6;

/// Maximum number of concurrent short reads on behalf of callers (of a job, of a page of its events): as many as the store makes at
/// once. One caller takes at most half of them, however many streams of events it has opened.
const MAX_SHORT_READS: usize = 8;

/// Maximum number of specs that are read at a time for the ends of jobs and their deliveries, whether there is memory for them or not; one
/// of each caller.
const MAX_SPEC_READS: usize = 2;

/// Maximum number of pages of cancelled items in memory at a time, each of about a megabyte: what the store writes in one
/// transaction.
const MAX_CANCELLED_PAGES: usize = 4;

/// Turn of a caller for one read of a search in the store. The caller is charged for the time that it takes, in milliseconds.
#[derive(Debug)]
pub struct SearchTurn {
    permit: FairPermit,
    began: Instant,
}

impl Drop for SearchTurn {
    fn drop(&mut self) {
        let millis = self.began.elapsed().as_millis();
        self.permit
            .charge(u64::try_from(millis).unwrap_or(u64::MAX));
    }
}

/// Context that every task of the jobs shares.
#[derive(Debug)]
pub struct JobContext {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub extractor: Arc<Extractor>,
    pub shutdown: Shutdown,
    pub meters: JobMeters,
    /// Uploads and removals of this process.
    pub hidden: Arc<HiddenJobs>,
    /// Progress of each job that runs or is followed.
    progress: Mutex<HashMap<JobKey, Weak<JobProgress>>>,
    commands: mpsc::Sender<JobCommand>,
    /// Turns of the searches on behalf of callers.
    searches: FairSemaphore,
    /// Turns of the short reads on behalf of callers.
    short_reads: FairSemaphore,
    /// Turns of the reads of specs for which no memory is waited.
    spec_reads: FairSemaphore,
    /// Turns of the jobs that record their cancelled items.
    cancellations: FairSemaphore,
    /// True if removed rows left free space in the store that was not returned to the file system yet.
    needs_vacuum: AtomicBool,
}

impl JobContext {
    /// Returns the context, and the receiver of the scheduler's commands.
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        extractor: Arc<Extractor>,
        shutdown: Shutdown,
    ) -> (Arc<Self>, mpsc::Receiver<JobCommand>) {
        let (commands, received) = mpsc::channel(MAX_COMMANDS);
        let context = Arc::new(Self {
            config,
            store,
            extractor,
            shutdown,
            meters: JobMeters::new(),
            hidden: Arc::default(),
            progress: Mutex::default(),
            commands,
            searches: FairSemaphore::leaving_room(MAX_SEARCHES),
            short_reads: FairSemaphore::leaving_room(MAX_SHORT_READS),
            spec_reads: FairSemaphore::leaving_room(MAX_SPEC_READS),
            cancellations: FairSemaphore::leaving_room(MAX_CANCELLED_PAGES),
            // The process before may have ended between a removal and its vacuum.
            needs_vacuum: AtomicBool::new(true),
        });
        (context, received)
    }

    /// Returns the name under which a caller's jobs are stored; empty without configured callers.
    pub fn caller_name(&self, caller: CallerId) -> String {
        self.extractor.limits().owner(caller)
    }

    /// Waits for the caller's turn for one read of a search, which lasts until it is dropped.
    pub async fn search_turn(&self, caller: CallerId) -> SearchTurn {
        SearchTurn {
            permit: self.searches.acquire(caller, 1).await,
            began: Instant::now(),
        }
    }

    /// Waits for the caller's turn to make one short read of the store, which lasts until the permit is dropped.
    pub async fn read_turn(&self, caller: CallerId) -> FairPermit {
        self.short_reads.acquire(caller, 1).await
    }

    /// Returns true if the caller whose jobs are stored under this name is configured.
    pub fn is_configured(&self, name: &str) -> bool {
        self.extractor.limits().caller_of(name).is_some()
    }

    /// Returns the caller whose jobs are stored under this name. Callers that are no longer configured are one, the default.
    pub fn caller_id(&self, name: &str) -> CallerId {
        let caller = self.extractor.limits().caller_of(name);
        caller.unwrap_or_default()
    }

    /// Records the memory of inputs of a caller's job that are taken whether there is room or not, until the reservation is dropped.
    pub fn record_inputs(&self, caller: CallerId, bytes: usize) -> MemoryReservation {
        let ledger = self.extractor.limits().memory();
        ledger.record(caller, MemoryUse::Inputs, bytes)
    }

    /// Waits for the caller's turn to read a spec of this size for the end of its job, which lasts until the permit is dropped.
    pub async fn spec_turn(&self, caller: CallerId, bytes: usize) -> FairPermit {
        self.spec_reads.acquire(caller, bytes as u64).await
    }

    /// Waits for the turn of a job of this caller to read a page of its cancelled items and to record it, which lasts until the
    /// permit is dropped.
    pub async fn cancellation_turn(&self, caller: &str) -> FairPermit {
        let caller = self.caller_id(caller);
        self.cancellations.acquire(caller, 1).await
    }

    /// Runs `work` to its end, even if the request that waits for it is cancelled. Used for a change of the store and the
    /// command that must follow it. `held` is what the request holds of its caller's share, until that end.
    ///
    /// # Errors
    /// The store's error, as the caller gets it.
    pub async fn run_to_completion<T, F>(
        self: &Arc<Self>,
        held: impl Send + 'static,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let work = work(Arc::clone(self));
        let task = self.shutdown.work.spawn(async move {
            let _held = held;
            work.await
        });
        let result = task.await.unwrap_or_else(|_| {
            let reason = "a change of a job panicked; this is a bug";
            Err(StoreError::Other(reason.to_owned()))
        });
        result.map_err(|error| store_problem(&error))
    }

    /// Sends a command to the scheduler. Waits while the channel is full.
    pub async fn send_command(&self, command: JobCommand) {
        // The scheduler is gone only when the server drains; the next process reads the change from the store.
        drop(self.commands.send(command).await);
    }

    /// Gives up the upload of a caller's job in a task of its own: its idempotency key is free at once, whatever is being removed
    /// meanwhile, and then the job is removed.
    pub fn abandon_in_background(self: &Arc<Self>, job: JobKey, caller: String) {
        let context = Arc::clone(self);
        self.shutdown.work.spawn(async move {
            let draining = &context.shutdown.draining;
            let abandoned = draining.run_until_cancelled(context.store.abandon(job));
            if let Some(Err(error)) = abandoned.await {
                tracing::warn!(
                    job = job.0,
                    %error,
                    "an unfinished upload could not be marked as deleted; its removal is tried in a few seconds"
                );
            }
            context.remove_in_background(job, &caller);
        });
    }

    /// Removes a caller's hidden job in a task of its own, unless it is being removed already. A removal that fails or that the
    /// drain interrupts is continued by a later sweep.
    pub fn remove_in_background(self: &Arc<Self>, job: JobKey, caller: &str) {
        let Some(removal) = self.hidden.begin_removal(job, caller) else {
            return;
        };
        let caller = self.caller_id(caller);
        let context = Arc::clone(self);
        self.shutdown.work.spawn(async move {
            let _removal = removal;
            let draining = &context.shutdown.draining;
            let removed = draining.run_until_cancelled(context.store.remove(job, caller));
            match removed.await {
                Some(Err(error)) => tracing::warn!(
                    job = job.0,
                    %error,
                    "a deleted job could not be removed from the store; its removal is continued in a few seconds"
                ),
                Some(Ok(())) => context.request_vacuum(),
                None => {}
            }
        });
    }

    /// Requests that free space of the store is returned to the file system.
    pub fn request_vacuum(&self) {
        self.needs_vacuum.store(true, Ordering::SeqCst);
    }

    /// Returns true if a vacuum was requested since the last call.
    pub fn take_vacuum_request(&self) -> bool {
        self.needs_vacuum.swap(false, Ordering::SeqCst)
    }

    /// Returns the progress of a job, or `None` if it neither runs nor is followed.
    pub fn known_progress(&self, job: JobKey) -> Option<Arc<JobProgress>> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.get(&job).and_then(Weak::upgrade)
    }

    /// Returns the progress of a job, shared by its run and its followers.
    pub fn progress_of(&self, job: &Job) -> Arc<JobProgress> {
        let mut all = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = all.get(&job.key).and_then(Weak::upgrade) {
            return progress;
        }
        all.retain(|_, progress| progress.strong_count() > 0);
        let progress = Arc::new(JobProgress::new(job.last_event));
        all.insert(job.key, Arc::downgrade(&progress));
        progress
    }
}

/// Returns the current time in milliseconds since 1970, UTC.
pub fn unix_millis() -> UnixMillis {
    let since_epoch = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    to_millis(since_epoch)
}

/// Returns a duration in whole milliseconds.
pub fn to_millis(duration: Duration) -> UnixMillis {
    UnixMillis::try_from(duration.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use throttle::Quota;

    use super::super::test_context::{TestContext, store_queued};
    use super::*;

    #[tokio::test]
    async fn stored_jobs_belong_to_the_caller_that_is_configured_under_their_name() {
        let test = TestContext::new("caller-names");
        let context = &test.context;
        let ann = CallerId(7);
        let quota = Quota {
            owner: "ann".to_owned(),
            ..Quota::default()
        };
        context.extractor.limits().set_callers(vec![(ann, quota)]);
        assert_eq!(context.caller_id("ann"), ann);
        assert_eq!(context.caller_id("bob"), CallerId::default());
    }

    #[tokio::test]
    async fn the_progress_of_a_job_is_shared_and_forgotten_with_its_last_user() {
        let test = TestContext::new("shared-progress");
        let context = &test.context;
        let mut jobs = Vec::new();
        for id in ["job_1", "job_2", "job_3"] {
            let job = store_queued(context.store.as_ref(), id, 1).await;
            jobs.push(context.store.job_by_key(job).await.unwrap().unwrap());
        }
        let first = context.progress_of(&jobs[0]);
        drop(context.progress_of(&jobs[1]));
        let _third = context.progress_of(&jobs[2]);
        let known = context.known_progress(jobs[0].key);
        assert!(known.is_some_and(|known| Arc::ptr_eq(&known, &first)));
        assert!(context.known_progress(jobs[1].key).is_none());
        assert_eq!(context.progress.lock().unwrap().len(), 2);
    }
}
