//! Which jobs run: all there are, but only so many of one caller at a time, so that none stands behind another's thousand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::store::{Job, JobKey, Status};
use super::{Shared, crash_quarantine, job_run};

/// What the runner is told.
#[derive(Debug)]
pub enum JobCommand {
    /// A job is there to run, of this caller.
    Run(JobKey, String),
    /// A job is to end with what it has.
    Cancel(JobKey, String),
}

/// How often the runner looks for what time alone brings: jobs that have expired, and callers that are configured again.
const LOOK: Duration = Duration::from_secs(5);
/// A process that has lived so long has not died soon after its start.
pub const SETTLED: Duration = Duration::from_secs(10);
/// How long to wait before the store is asked again, when it failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs jobs until the server drains, and then until those that run have ended.
pub async fn run(shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<JobCommand>) {
    let mut runner = JobScheduler {
        shared: Arc::clone(&shared),
        waiting: VecDeque::new(),
        running: HashMap::new(),
        again: HashSet::new(),
        later: Vec::new(),
        runs: JoinSet::new(),
        tidying: JoinSet::new(),
    };
    runner.begin().await;
    runner.work(&mut orders).await;
    if let Err(error) = shared.store.mark_clean_shutdown().await {
        tracing::warn!(%error, "the store could not be told that nothing is in hand any more");
    }
}

struct JobScheduler {
    shared: Arc<Shared>,
    waiting: VecDeque<(JobKey, String)>,
    /// By job: whose it is, and what cancels it.
    running: HashMap<JobKey, (String, CancellationToken)>,
    /// Those that are to run once more: their end may have been asked to be taken back before it was noticed here.
    again: HashSet<JobKey>,
    /// Those that stopped for a reason of the server's, and are tried again in a while.
    later: Vec<(JobKey, String)>,
    runs: JoinSet<(JobKey, bool)>,
    tidying: JoinSet<()>,
}

impl JobScheduler {
    /// What was there before. An item that may end the process goes first, alone.
    async fn begin(&mut self) {
        for job in self.shared.store.orphaned() {
            self.shared.remove(job);
        }
        crash_quarantine::clear(&self.shared).await;
        while !self.shared.ends.draining.is_cancelled() {
            match self.shared.store.unfinished().await {
                Ok(jobs) => {
                    for Job {
                        key,
                        caller,
                        status,
                        ..
                    } in jobs
                    {
                        match status {
                            // It has nothing to wait for.
                            Status::Cancelling => self.start(key, caller),
                            _ => self.waiting.push_back((key, caller)),
                        }
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the jobs that were running cannot be read; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn work(&mut self, orders: &mut mpsc::UnboundedReceiver<JobCommand>) {
        let draining = self.shared.ends.draining.clone();
        let settled = tokio::time::sleep(SETTLED);
        tokio::pin!(settled);
        let (mut look, mut has_settled) = (interval(LOOK), false);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !draining.is_cancelled() {
            self.start_what_can();
            self.shared
                .meters
                .set_gauges(self.running.len(), self.waiting.len());
            tokio::select! {
                () = draining.cancelled() => {}
                Some(order) = orders.recv() => self.take(order),
                // A panic is caught within.
                Some(Ok(ended)) = self.runs.join_next() => self.ended(ended),
                () = &mut settled, if !has_settled => has_settled = self.shared.store.mark_healthy().await.is_ok(),
                _ = look.tick() => self.look_around().await,
            }
        }
        while let Some(Ok(ended)) = self.runs.join_next().await {
            self.ended(ended);
        }
    }

    fn take(&mut self, order: JobCommand) {
        match order {
            JobCommand::Run(job, _) if self.running.contains_key(&job) => {
                self.again.insert(job);
            }
            JobCommand::Run(job, _) if self.waiting.iter().any(|(waiting, _)| *waiting == job) => {}
            JobCommand::Run(job, caller) => self.waiting.push_back((job, caller)),
            JobCommand::Cancel(job, caller) => {
                if let Some((_, cancel)) = self.running.get(&job) {
                    cancel.cancel();
                    // It may have been at its end already.
                    self.again.insert(job);
                } else {
                    // It has nothing to wait for.
                    self.waiting.retain(|(waiting, _)| *waiting != job);
                    self.start(job, caller);
                }
            }
        }
    }

    fn ended(&mut self, (job, is_through): (JobKey, bool)) {
        let caller = self.running.remove(&job).map(|(caller, _)| (job, caller));
        if self.again.remove(&job) {
            self.waiting.extend(caller);
        } else if !is_through {
            self.later.extend(caller);
        }
    }

    /// Starts the jobs of callers that may have another one running, the oldest first.
    fn start_what_can(&mut self) {
        let limits = self.shared.extractor.limits().clone();
        let mut full: HashSet<String> = HashSet::new();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (caller, _) in self.running.values() {
            *counts.entry(caller).or_default() += 1;
        }
        let mut starting = Vec::new();
        for (job, caller) in &self.waiting {
            if full.contains(caller) {
                continue;
            }
            let count = counts.entry(caller).or_default();
            if *count >= self.shared.config.max_running_per_caller
                || limits.caller_of(caller).is_none()
            {
                full.insert(caller.clone());
                continue;
            }
            *count += 1;
            starting.push((*job, caller.clone()));
        }
        if starting.is_empty() {
            return;
        }
        let started: HashSet<JobKey> = starting.iter().map(|(job, _)| *job).collect();
        self.waiting.retain(|(job, _)| !started.contains(job));
        for (job, caller) in starting {
            self.start(job, caller);
        }
    }

    fn start(&mut self, job: JobKey, caller: String) {
        let cancel = CancellationToken::new();
        self.running.insert(job, (caller, cancel.clone()));
        let shared = Arc::clone(&self.shared);
        self.runs.spawn(async move {
            let run = AssertUnwindSafe(job_run::run_job(&shared, job, cancel)).catch_unwind();
            let is_through = match run.await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::error!(job = job.0, %error, "the work on a job stops; it is tried again in a moment");
                    false
                }
                Err(_) => {
                    tracing::error!(job = job.0, "the work on a job panicked; this is a bug; it is tried again in a moment");
                    false
                }
            };
            (job, is_through)
        });
    }

    /// What time alone brings.
    async fn look_around(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.later));
        self.remove_expired().await;
        while self.tidying.try_join_next().is_some() {}
        if self.tidying.is_empty() && self.shared.is_untidy.swap(false, Ordering::SeqCst) {
            let shared = Arc::clone(&self.shared);
            self.tidying.spawn(async move {
                let is_tidy = shared.store.vacuum_step().await.unwrap_or(false);
                if !is_tidy {
                    shared.is_untidy.store(true, Ordering::SeqCst);
                }
            });
        }
    }

    async fn remove_expired(&self) {
        let expired = match self.shared.store.expired(super::now()).await {
            Ok(expired) => expired,
            Err(error) => {
                return tracing::warn!(%error, "the jobs that have expired cannot be read");
            }
        };
        for job in expired {
            match self.shared.store.soft_delete(job).await {
                Ok(_) => {
                    tracing::info!(job = job.0, "a job has expired, and is removed");
                    self.shared.remove(job);
                }
                Err(error) => {
                    tracing::warn!(%error, "a job that has expired cannot be removed yet");
                }
            }
        }
    }
}
