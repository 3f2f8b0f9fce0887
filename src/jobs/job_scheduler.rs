//! Schedules jobs: all runnable jobs, up to a per-caller limit, so that one caller cannot delay another's jobs. Also removes
//! expired jobs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::context::{JobCommand, JobContext, unix_millis};
use super::crash_quarantine::{self, HEALTHY_AFTER};
use super::job_run::run_job;
use super::store::{JobKey, Status};

/// Interval of maintenance: expired jobs, vacuum, repeated runs, and callers that were added to the configuration.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);
/// Wait before the store is read again after an error.
const READ_RETRY_WAIT: Duration = Duration::from_secs(1);

/// Runs jobs until the server drains, then waits for the running ones to end.
pub async fn run(context: Arc<JobContext>, mut commands: mpsc::Receiver<JobCommand>) {
    let mut scheduler = JobScheduler {
        context: Arc::clone(&context),
        waiting: VecDeque::new(),
        running: HashMap::new(),
        run_again: HashSet::new(),
        delayed: Vec::new(),
        runs: JoinSet::new(),
        vacuum: JoinSet::new(),
    };
    scheduler.resume_unfinished().await;
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

/// Name of the caller of a job.
type CallerName = String;

struct JobScheduler {
    context: Arc<JobContext>,
    /// Jobs to be started, oldest first.
    waiting: VecDeque<(JobKey, CallerName)>,
    /// Callers and cancellation tokens of the running jobs.
    running: HashMap<JobKey, (CallerName, CancellationToken)>,
    /// Running jobs for which a command arrived, which their runs may have missed.
    run_again: HashSet<JobKey>,
    /// Jobs whose run failed because of the server. They run again at the next maintenance.
    delayed: Vec<(JobKey, CallerName)>,
    /// Runs, each with its job and true if it was successful.
    runs: JoinSet<(JobKey, bool)>,
    /// Vacuum of the store; at most one.
    vacuum: JoinSet<()>,
}

impl JobScheduler {
    /// Resumes the jobs of the previous process: first suspects in quarantine, then all unfinished jobs.
    async fn resume_unfinished(&mut self) {
        for job in self.context.store.orphaned() {
            self.context.remove_in_background(job);
        }
        crash_quarantine::run_suspects(&self.context).await;
        while !self.context.shutdown.draining.is_cancelled() {
            let jobs = match self.context.store.unfinished().await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::error!(%error, "the unfinished jobs could not be read; reading them again in a second");
                    tokio::time::sleep(READ_RETRY_WAIT).await;
                    continue;
                }
            };
            for job in jobs {
                match job.status {
                    // It starts nothing, so the caller's limit does not apply.
                    Status::Cancelling => self.start(job.key, job.caller),
                    _ => self.waiting.push_back((job.key, job.caller)),
                }
            }
            return;
        }
    }

    async fn schedule_until_drained(&mut self, commands: &mut mpsc::Receiver<JobCommand>) {
        let draining = self.context.shutdown.draining.clone();
        let healthy = tokio::time::sleep(HEALTHY_AFTER);
        tokio::pin!(healthy);
        let mut is_healthy = false;
        let mut maintenance = interval(MAINTENANCE_INTERVAL);
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !draining.is_cancelled() {
            self.start_ready_jobs();
            let meters = &self.context.meters;
            meters.set_gauges(self.running.len(), self.waiting.len());
            tokio::select! {
                () = draining.cancelled() => {}
                Some(command) = commands.recv() => self.execute(command),
                Some(Ok(run)) = self.runs.join_next() => self.on_run_end(run),
                () = &mut healthy, if !is_healthy => {
                    is_healthy = self.context.store.mark_healthy().await.is_ok();
                }
                _ = maintenance.tick() => self.maintain().await,
            }
        }
    }

    async fn wait_for_runs(&mut self) {
        while let Some(Ok(run)) = self.runs.join_next().await {
            self.on_run_end(run);
        }
    }

    fn execute(&mut self, command: JobCommand) {
        match command {
            JobCommand::Run(job, _) if self.running.contains_key(&job) => {
                self.run_again.insert(job);
            }
            JobCommand::Run(job, _) if self.waiting.iter().any(|(waiting, _)| *waiting == job) => {}
            JobCommand::Run(job, caller) => self.waiting.push_back((job, caller)),
            JobCommand::Cancel(job, caller) => self.cancel(job, caller),
        }
    }

    fn cancel(&mut self, job: JobKey, caller: CallerName) {
        if let Some((_, cancel)) = self.running.get(&job) {
            cancel.cancel();
            // The run may have been past the point at which it looks at the token.
            self.run_again.insert(job);
        } else {
            // Its run starts no item, so the caller's limit does not apply.
            self.waiting.retain(|(waiting, _)| *waiting != job);
            self.start(job, caller);
        }
    }

    fn on_run_end(&mut self, (job, is_successful): (JobKey, bool)) {
        let Some((caller, _)) = self.running.remove(&job) else {
            return;
        };
        if self.run_again.remove(&job) {
            self.waiting.push_back((job, caller));
        } else if !is_successful {
            self.delayed.push((job, caller));
        }
    }

    /// Starts the waiting jobs of configured callers below their limit, oldest first.
    fn start_ready_jobs(&mut self) {
        if self.waiting.is_empty() || self.context.has_store_stopped() {
            return;
        }
        let limits = self.context.extractor.limits();
        let max_running = self.context.config.max_running_per_caller;
        let mut running: HashMap<CallerName, usize> = HashMap::new();
        for (caller, _) in self.running.values() {
            *running.entry(caller.clone()).or_default() += 1;
        }
        let mut ready = Vec::new();
        self.waiting.retain(|(job, caller)| {
            let count = running.get(caller).copied().unwrap_or(0);
            if count >= max_running || limits.caller_of(caller).is_none() {
                return true;
            }
            running.insert(caller.clone(), count + 1);
            ready.push((*job, caller.clone()));
            false
        });
        for (job, caller) in ready {
            self.start(job, caller);
        }
    }

    fn start(&mut self, job: JobKey, caller: CallerName) {
        let cancel = CancellationToken::new();
        self.running.insert(job, (caller, cancel.clone()));
        let context = Arc::clone(&self.context);
        self.runs.spawn(async move {
            let run = AssertUnwindSafe(run_job(&context, job, cancel)).catch_unwind();
            let is_successful = match run.await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::error!(job = job.0, %error, "the run of a job was interrupted by an error; the job runs again in a few seconds");
                    false
                }
                Err(_) => {
                    tracing::error!(job = job.0, "the run of a job panicked, which is a bug; the job runs again in a few seconds");
                    false
                }
            };
            (job, is_successful)
        });
    }

    async fn maintain(&mut self) {
        if self.context.has_store_stopped() {
            return;
        }
        self.waiting.extend(std::mem::take(&mut self.delayed));
        self.remove_expired().await;
        self.vacuum_if_needed();
    }

    fn vacuum_if_needed(&mut self) {
        while self.vacuum.try_join_next().is_some() {}
        if !self.vacuum.is_empty() || !self.context.take_vacuum_request() {
            return;
        }
        let context = Arc::clone(&self.context);
        self.vacuum.spawn(async move {
            let is_done = context.store.vacuum_step().await.unwrap_or(false);
            if !is_done {
                context.request_vacuum();
            }
        });
    }

    async fn remove_expired(&self) {
        let expired = match self.context.store.expired(unix_millis()).await {
            Ok(expired) => expired,
            Err(error) => {
                tracing::warn!(%error, "the expired jobs could not be read from the store");
                return;
            }
        };
        for job in expired {
            match self.context.store.soft_delete(job).await {
                Ok(_) => {
                    tracing::info!(job = job.0, "the job has expired and is removed");
                    self.context.remove_in_background(job);
                }
                Err(error) => {
                    tracing::warn!(job = job.0, %error, "an expired job could not be marked as deleted; trying again in a few seconds");
                }
            }
        }
    }
}
