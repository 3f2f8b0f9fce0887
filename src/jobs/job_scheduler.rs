//! Schedules jobs: all runnable jobs, up to a per-caller limit, so that one caller cannot delay another's jobs. Jobs that are being
//! cancelled have the same limit, and do not count in the other.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::absent_callers::AbsentCallers;
use super::cleanup::{Cleanup, remove_unneeded};
use super::context::{JobCommand, JobContext, to_millis, unix_millis};
use super::crash_quarantine::{self, MAX_QUARANTINE};
use super::job_run::ending::fail_job;
use super::job_run::{RunSignals, run_job};
use super::run_failures::{DelayedJob, NextStep, RunFailures};
use super::run_queue::{CallerName, RunKind, RunQueue};
use super::store::{JobKey, Status, StoreError};

/// Interval of maintenance: expired jobs, vacuum, repeated runs, and callers that were added to the configuration or removed.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which a store that does not work is looked at.
const STORE_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of jobs of a missing caller that are cancelled in one round of maintenance: each is a write.
const MAX_ORPHANS: usize = 100;
/// Wait before the store is read again after an error.
const READ_RETRY_WAIT: Duration = Duration::from_secs(1);

/// Runs jobs until the server drains, then waits for the running ones to end.
pub async fn run(context: Arc<JobContext>, mut commands: mpsc::Receiver<JobCommand>) {
    let mut scheduler = JobScheduler::new(Arc::clone(&context));
    scheduler.resume_unfinished().await;
    scheduler.start_quarantine();
    scheduler.schedule_until_drained(&mut commands).await;
    // Requests that still send a command must not wait for the running jobs.
    drop(commands);
    scheduler.wait_for_runs().await;
    if let Err(error) = context.store.mark_clean_shutdown().await {
        tracing::warn!(
            %error,
            "the regular shutdown could not be recorded; the next start treats it as a crash"
        );
    }
}

/// End of a job's run.
#[derive(Debug)]
enum RunOutcome {
    /// End of the job, or pause of the run, with the kind of the next run if the job needs one.
    Done(Option<RunKind>),
    /// Error of a store that does not work at the moment.
    StoreUnavailable,
    /// Failure of the run, with its reason.
    Failed(String),
}

/// Run of a job.
struct Run {
    caller: CallerName,
    kind: RunKind,
    signals: RunSignals,
}

struct JobScheduler {
    context: Arc<JobContext>,
    /// Jobs whose items are to run.
    waiting: RunQueue,
    /// Jobs that are being cancelled and do not run. Each caller has as many of these runs at a time as it may have running jobs.
    cancelling: RunQueue,
    /// Runs of the running jobs.
    running: HashMap<JobKey, Run>,
    /// Running jobs for which a command arrived, which their runs may have missed, and the kinds of their next runs.
    run_again: HashMap<JobKey, RunKind>,
    /// Callers with waiting jobs that are not configured.
    absent: AbsentCallers,
    /// Failed runs, and the jobs that wait because of them.
    failures: RunFailures,
    /// Quarantine of items that may have killed the process. While it lasts, no other items run.
    quarantine: JoinSet<()>,
    /// Runs, each with its job.
    runs: JoinSet<(JobKey, RunOutcome)>,
    cleanup: Cleanup,
}

impl JobScheduler {
    fn new(context: Arc<JobContext>) -> Self {
        Self {
            context: Arc::clone(&context),
            waiting: RunQueue::default(),
            cancelling: RunQueue::default(),
            running: HashMap::new(),
            run_again: HashMap::new(),
            absent: AbsentCallers::default(),
            failures: RunFailures::default(),
            quarantine: JoinSet::new(),
            runs: JoinSet::new(),
            cleanup: Cleanup::new(context),
        }
    }

    /// Queues the unfinished jobs of the previous process.
    async fn resume_unfinished(&mut self) {
        self.wait_for_store().await;
        while !self.context.shutdown.draining.is_cancelled() {
            let jobs = match self.context.store.unfinished().await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::error!(%error, "the unfinished jobs could not be read; reading them again in a second");
                    tokio::time::sleep(READ_RETRY_WAIT).await;
                    continue;
                }
            };
            for (job, caller, status) in jobs {
                match status {
                    Status::Cancelling => self.cancelling.insert(job, caller),
                    _ => self.waiting.insert(job, caller),
                }
            }
            return;
        }
    }

    /// Starts the quarantine in a task of its own.
    fn start_quarantine(&mut self) {
        let context = Arc::clone(&self.context);
        self.quarantine.spawn(async move {
            crash_quarantine::run_suspects(&context, MAX_QUARANTINE).await;
        });
    }

    /// Waits until the store works, or the server drains. Removes what need not be stored while the disk is full.
    async fn wait_for_store(&self) {
        let context = &self.context;
        let mut maintenance = interval(MAINTENANCE_INTERVAL);
        while let Some(error) = context.store.not_ready_reason()
            && !context.shutdown.draining.is_cancelled()
        {
            tokio::select! {
                () = tokio::time::sleep(STORE_POLL_INTERVAL) => {}
                _ = maintenance.tick(), if error == StoreError::Full => remove_unneeded(context).await,
            }
        }
    }

    async fn schedule_until_drained(&mut self, commands: &mut mpsc::Receiver<JobCommand>) {
        let draining = self.context.shutdown.draining.clone();
        let store = Arc::clone(&self.context.store);
        let healthy = crash_quarantine::record_health(|| store.mark_healthy());
        tokio::pin!(healthy);
        let mut is_healthy = false;
        let mut maintenance = interval(MAINTENANCE_INTERVAL);
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !draining.is_cancelled() {
            self.start_ready_jobs();
            let meters = &self.context.meters;
            let waiting = self.waiting.len() + self.cancelling.len();
            meters.set_gauges(self.running.len(), waiting);
            tokio::select! {
                () = draining.cancelled() => {}
                Some(command) = commands.recv() => self.execute(command),
                Some(Ok(run)) = self.runs.join_next() => self.on_run_end(run),
                Some(ended) = self.quarantine.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the quarantine of items that may crash the server panicked, which is a bug");
                    }
                }
                // The time until then begins with the first poll.
                () = &mut healthy, if self.quarantine.is_empty() && !is_healthy => is_healthy = true,
                _ = maintenance.tick() => self.maintain().await,
            }
        }
    }

    async fn wait_for_runs(&mut self) {
        while self.quarantine.join_next().await.is_some() {}
        while let Some(Ok(run)) = self.runs.join_next().await {
            self.on_run_end(run);
        }
    }

    fn execute(&mut self, command: JobCommand) {
        match command {
            JobCommand::Run(job, _) if self.running.contains_key(&job) => {
                self.run_again.insert(job, RunKind::Items);
            }
            JobCommand::Run(job, caller) => self.waiting.insert(job, caller),
            JobCommand::Cancel(job, caller) => self.cancel(job, caller),
        }
    }

    fn cancel(&mut self, job: JobKey, caller: CallerName) {
        self.waiting.remove(job, &caller);
        if let Some(run) = self.running.get(&job) {
            run.signals.cancelled.cancel();
            // The run may have been past the point at which it looks at the token.
            self.run_again.insert(job, RunKind::Cancellation);
        } else {
            self.cancelling.insert(job, caller);
        }
    }

    const fn queue(&mut self, kind: RunKind) -> &mut RunQueue {
        match kind {
            RunKind::Items => &mut self.waiting,
            RunKind::Cancellation => &mut self.cancelling,
        }
    }

    fn on_run_end(&mut self, (job, outcome): (JobKey, RunOutcome)) {
        let Some(Run { caller, kind, .. }) = self.running.remove(&job) else {
            return;
        };
        self.queue(kind).count_end(&caller);
        let next = self.run_again.remove(&job);
        match outcome {
            RunOutcome::Done(needed) => {
                self.failures.forget(job);
                if let Some(next) = next.or(needed) {
                    self.queue(next).insert(job, caller);
                }
            }
            // It is not the job's failure, and calls nothing before the store works again.
            RunOutcome::StoreUnavailable => {
                let kind = next.unwrap_or(kind);
                self.failures.delay(job, caller, kind, Duration::ZERO);
            }
            RunOutcome::Failed(reason) => {
                self.on_failed_run(job, caller, next.unwrap_or(kind), reason);
            }
        }
    }

    fn on_failed_run(&mut self, job: JobKey, caller: CallerName, next: RunKind, reason: String) {
        match self.failures.count(job) {
            NextStep::RunAfter(delay) => {
                tracing::error!(
                    job = job.0,
                    error = reason,
                    delay_ms = delay.as_millis(),
                    "the run of a job was interrupted by an error; the job runs again after a delay"
                );
                self.failures.delay(job, caller, next, delay);
            }
            NextStep::Fail => {
                tracing::error!(
                    job = job.0,
                    error = reason,
                    "the runs of a job were interrupted by errors again and again; the job fails"
                );
                self.start_failure(job, caller, reason);
            }
            NextStep::FailLater => {
                tracing::error!(
                    job = job.0,
                    error = reason,
                    "the failure of a job could not be recorded; it is recorded later"
                );
                self.failures.delay_failure(job, caller, reason);
            }
        }
    }

    /// Starts the runs that may start now: those of items only while the store works, and after the quarantine.
    fn start_ready_jobs(&mut self) {
        self.start_waiting(RunKind::Cancellation);
        if self.quarantine.is_empty() && self.is_store_ready() {
            self.start_waiting(RunKind::Items);
        }
    }

    /// Starts the waiting runs of callers below their limit, oldest first.
    fn start_waiting(&mut self, kind: RunKind) {
        let max_running = self.context.config.max_running_per_caller;
        for caller in self.queue(kind).take_marked() {
            // The items of a caller that is not configured wait until it is.
            if kind == RunKind::Items && !self.context.is_configured(&caller) {
                continue;
            }
            while let Some(job) = self.queue(kind).pop(&caller, max_running) {
                // Its run of the other kind may have been started before.
                if self.running.contains_key(&job) {
                    self.run_again.insert(job, kind);
                } else {
                    self.start(job, caller.clone(), kind);
                }
            }
        }
    }

    fn is_store_ready(&self) -> bool {
        self.context.store.not_ready_reason().is_none()
    }

    /// Runs a job in a task of its own.
    fn start(&mut self, job: JobKey, caller: CallerName, kind: RunKind) {
        let signals = self.register(job, caller, kind);
        let context = Arc::clone(&self.context);
        self.spawn(
            job,
            async move { run_job(&context, job, kind, signals).await },
        );
    }

    /// Records the failure of a job in a task of its own.
    fn start_failure(&mut self, job: JobKey, caller: CallerName, reason: String) {
        self.register(job, caller, RunKind::Items);
        let context = Arc::clone(&self.context);
        self.spawn(job, async move {
            let failed = fail_job(&context, job, &reason).await;
            failed.map(|()| None)
        });
    }

    fn register(&mut self, job: JobKey, caller: CallerName, kind: RunKind) -> RunSignals {
        let signals = RunSignals::new(&self.context.shutdown);
        self.queue(kind).count_start(caller.clone());
        let run = Run {
            caller,
            kind,
            signals: signals.clone(),
        };
        self.running.insert(job, run);
        signals
    }

    fn spawn(
        &mut self,
        job: JobKey,
        run: impl Future<Output = Result<Option<RunKind>, StoreError>> + Send + 'static,
    ) {
        let context = Arc::clone(&self.context);
        self.runs.spawn(async move {
            let outcome = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(Ok(needed)) => RunOutcome::Done(needed),
                Ok(Err(error))
                    if error.affects_all_writes() || context.store.not_ready_reason().is_some() =>
                {
                    RunOutcome::StoreUnavailable
                }
                Ok(Err(error)) => RunOutcome::Failed(error.to_string()),
                Err(_) => RunOutcome::Failed("the run panicked, which is a bug".to_owned()),
            };
            (job, outcome)
        });
    }

    async fn maintain(&mut self) {
        match self.context.store.not_ready_reason() {
            None => {}
            Some(StoreError::Full) => return self.cleanup.start_removal(),
            Some(_) => return,
        }
        for DelayedJob {
            job,
            caller,
            kind,
            failure,
            ..
        } in self.failures.take_due()
        {
            match failure {
                None => self.queue(kind).insert(job, caller),
                // A command has started it again. It has one run at a time.
                Some(reason) if self.running.contains_key(&job) => {
                    self.failures.delay_failure(job, caller, reason);
                }
                Some(reason) => self.start_failure(job, caller, reason),
            }
        }
        // Callers may have been added to the configuration.
        self.waiting.mark_all();
        self.pause_orphans();
        self.cancel_orphans().await;
        self.cleanup.start_removal();
        self.cleanup.start_vacuum_if_needed();
    }

    /// Pauses the running jobs of callers that are no longer configured. They wait with the others of their callers.
    fn pause_orphans(&mut self) {
        let callers = self.waiting.running_callers();
        let absent: HashSet<_> = callers
            .filter(|caller| !self.context.is_configured(caller))
            .cloned()
            .collect();
        for (job, run) in &self.running {
            if run.kind == RunKind::Items && absent.contains(&run.caller) {
                run.signals.paused.cancel();
                self.run_again.entry(*job).or_insert(RunKind::Items);
            }
        }
    }

    /// Cancels the waiting jobs of callers that are no longer configured, once they are as old as ended jobs may become: nobody
    /// else could end or delete them, and they take room from the others.
    async fn cancel_orphans(&mut self) {
        let context = Arc::clone(&self.context);
        let absent = self.absent.update(
            self.waiting.callers(),
            |caller| context.is_configured(caller),
            context.config.retention,
        );
        for caller in absent {
            if let Err(error) = self.cancel_old_jobs(&caller).await {
                tracing::warn!(caller, %error, "the jobs of a caller that is no longer configured could not be cancelled; trying again in a few seconds");
            }
        }
    }

    async fn cancel_old_jobs(&mut self, caller: &str) -> Result<(), StoreError> {
        let context = Arc::clone(&self.context);
        let oldest = unix_millis().saturating_sub(to_millis(context.config.retention));
        for _ in 0..MAX_ORPHANS {
            let Some(key) = self.waiting.oldest(caller) else {
                break;
            };
            let found = context.store.job_by_key(key).await?;
            if found.as_ref().is_some_and(|job| job.created_at > oldest) {
                break;
            }
            if context.store.cancel(key).await? {
                tracing::warn!(
                    caller,
                    job = found.map(|job| job.id),
                    "the job is cancelled: its caller is no longer configured, and it is older than `jobs.retention_ms`"
                );
            }
            // The run of a job that has ended meanwhile does nothing.
            self.cancel(key, caller.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
