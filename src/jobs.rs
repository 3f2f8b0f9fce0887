//! Durable jobs: handed over once, worked off whatever happens to the process, their results kept until they are fetched.
//!
//! A job lives in a [`Store`]. The runner feeds its items into the same `extract::run` as a batch's, a page at a time, and records
//! each result with its event in one transaction; whoever follows a job reads the events from the store, and is woken when there
//! are more. So nothing is told that is not on the disk, and nothing is told twice.
//!
//! Knows nothing of the server's HTTP.

mod crash_quarantine;
mod create;
mod event_follower;
mod hmac;
mod input_stream;
mod job_run;
mod job_scheduler;
mod job_spec;
mod load_job;
mod progress;
mod rendering;
pub mod signed_link;
mod sqlite;
pub mod store;
pub mod webhook;
mod webhook_delivery;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use create::{Created, Creation};
pub use event_follower::{FollowEvent, Follower, Page};
pub use progress::JobRate;
pub use sqlite::Sqlite;

use crate::extraction::Extractor;
use crate::net::Client;
use crate::telemetry::JobMeters;
use crate::types::{Code, Error};
use progress::JobProgress;
use store::{Event, ItemStatus, Job, JobKey, Millis, ResultOrder, Store, StoreError};
use throttle::CallerId;

/// How jobs are kept.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long a job is kept after its end.
    pub retention: Duration,
    /// Jobs of one caller that run at a time; the others wait for one of them to end.
    pub max_running_per_caller: usize,
}

/// What ends the work, from the outside in.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Nothing more is taken up.
    pub draining: CancellationToken,
    /// What is in flight is given up.
    pub ended: CancellationToken,
    /// The work that a shutdown waits for.
    pub work: TaskTracker,
}

/// The jobs of the whole process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    store: Arc<dyn Store>,
    extractor: Arc<Extractor>,
    ends: Shutdown,
    /// What is known of a job beside its store, for as long as it runs or somebody follows it.
    lives: Mutex<HashMap<JobKey, Weak<JobProgress>>>,
    orders: mpsc::UnboundedSender<job_scheduler::JobCommand>,
    /// Something was removed whose room is not given back yet.
    is_untidy: AtomicBool,
    meters: JobMeters,
}

impl Jobs {
    /// Takes up what the process before has left, and then whatever comes.
    #[expect(
        clippy::disallowed_methods,
        reason = "one command for each call of the API, which awaits the store first"
    )]
    #[must_use]
    pub fn start(
        config: Config,
        store: Arc<dyn Store>,
        extractor: Arc<Extractor>,
        webhooks: Client,
        ends: Shutdown,
    ) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            config,
            store,
            extractor,
            ends,
            lives: Mutex::default(),
            orders,
            is_untidy: AtomicBool::new(true),
            meters: JobMeters::new(),
        });
        shared
            .ends
            .work
            .spawn(job_scheduler::run(Arc::clone(&shared), taken));
        shared
            .ends
            .work
            .spawn(webhook_delivery::run(Arc::clone(&shared), webhooks));
        Self(shared)
    }

    /// Why no job can be made or worked on now.
    #[must_use]
    pub fn not_ready_reason(&self) -> Option<String> {
        self.0
            .store
            .not_ready_reason()
            .map(|error| format!("jobs cannot be recorded: {error}"))
    }

    /// A secret that lives as long as the store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.0.store.secret().await
    }

    /// A caller's jobs, newest first; `after` is the cursor of the page before.
    ///
    /// # Errors
    /// `invalid_request` for a cursor that is none; when the store fails.
    pub async fn list(
        &self,
        caller: CallerId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Job>, Option<String>), Error> {
        let before = after
            .map(|after| after.parse().map(JobKey).map_err(|_| bad_cursor()))
            .transpose()?;
        let mut jobs = self
            .0
            .store
            .jobs(self.0.name(caller), before, limit + 1)
            .await
            .map_err(|error| unavailable(&error))?;
        let has_more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next = jobs
            .last()
            .filter(|_| has_more)
            .map(|job| job.key.0.to_string());
        Ok((jobs, next))
    }

    /// A caller's job.
    ///
    /// # Errors
    /// `not_found` when there is none of this id, or it is another caller's.
    pub async fn get(&self, caller: CallerId, id: &str) -> Result<Job, Error> {
        let name = self.0.name(caller);
        let found = self
            .0
            .store
            .job(id.to_owned())
            .await
            .map_err(|error| unavailable(&error))?;
        found
            .filter(|job| job.caller == name)
            .ok_or_else(|| not_found(id))
    }

    /// The job of this id, for whoever was given the right to follow it.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub async fn get_any(&self, id: &str) -> Result<Job, Error> {
        self.0
            .store
            .job(id.to_owned())
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or_else(|| not_found(id))
    }

    /// How fast a job goes.
    #[must_use]
    pub fn pace(&self, job: &Job) -> JobRate {
        self.0
            .known(job.key)
            .map(|live| live.pace(job))
            .unwrap_or_default()
    }

    /// Ends a job with what is recorded so far. True when there was something to end.
    ///
    /// # Errors
    /// As [`Jobs::get`].
    pub async fn cancel(&self, caller: CallerId, id: &str) -> Result<(Job, bool), Error> {
        let job = self.get(caller, id).await?;
        let cancelled = self.0.surely(move |shared| async move {
            let is_new = shared.store.cancel(job.key).await?;
            if is_new {
                shared.order(job_scheduler::JobCommand::Cancel(job.key, job.caller));
            }
            Ok(is_new)
        });
        let is_new = cancelled.await?;
        Ok((self.get(caller, id).await?, is_new))
    }

    /// Lets the items that did not succeed run again. True when there were any.
    ///
    /// # Errors
    /// As [`Jobs::get`]; `conflict` while it runs.
    pub async fn retry(&self, caller: CallerId, id: &str) -> Result<(Job, bool), Error> {
        let job = self.get(caller, id).await?;
        if job.status.is_ended() && job.counts.succeeded == job.counts.total {
            return Ok((job, false));
        }
        let opened = self.0.surely(move |shared| async move {
            let opened = shared.store.requeue_failed(job.key).await?;
            if let Some(opened) = &opened {
                shared.order(job_scheduler::JobCommand::Run(
                    opened.key,
                    opened.caller.clone(),
                ));
            }
            Ok(opened)
        });
        let conflict = || {
            Error::new(
                Code::Conflict,
                "the job has not ended yet; what has failed can run again then",
            )
        };
        Ok((opened.await?.ok_or_else(conflict)?, true))
    }

    /// Removes a job and its results.
    ///
    /// # Errors
    /// As [`Jobs::get`]; `conflict` while it runs.
    pub async fn delete(&self, caller: CallerId, id: &str) -> Result<(), Error> {
        let job = self.get(caller, id).await?;
        let hidden = self.0.surely(move |shared| async move {
            let is_hidden = shared.store.soft_delete(job.key).await?;
            if is_hidden {
                shared.remove(job.key);
            }
            Ok(is_hidden)
        });
        if hidden.await? {
            Ok(())
        } else {
            Err(Error::new(
                Code::Conflict,
                "the job has not ended yet; cancel it first",
            ))
        }
    }

    /// Results that are there, after an index or an event's number, depending on the order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn results(
        &self,
        job: &Job,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        self.0
            .store
            .results(job.key, order, only, after, limit)
            .await
            .map_err(|error| unavailable(&error))
    }

    /// Follows a job from after an event on.
    #[must_use]
    pub fn follow(&self, job: &Job, after: u32) -> Follower {
        Follower::new(Arc::clone(&self.0), job, after)
    }
}

impl Shared {
    fn name(&self, caller: CallerId) -> String {
        self.extractor.limits().owner(caller)
    }

    /// Does what has to be done whole, even when nobody waits for it any longer: what is in the store, and who is told of it.
    async fn surely<T, F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let done = self.ends.work.spawn(work(Arc::clone(self))).await;
        let done = done.unwrap_or_else(|_| {
            Err(StoreError::Other(
                "the work on it panicked; this is a bug".to_owned(),
            ))
        });
        done.map_err(|error| unavailable(&error))
    }

    fn order(&self, order: job_scheduler::JobCommand) {
        // Without a runner the process ends.
        drop(self.orders.send(order));
    }

    /// Removes a hidden job, beside the rest of the work; what is not done when the server drains is done after its next start.
    fn remove(self: &Arc<Self>, job: JobKey) {
        let shared = Arc::clone(self);
        self.ends.work.spawn(async move {
            match shared.ends.draining.run_until_cancelled(shared.store.remove(job)).await {
                Some(Err(error)) => {
                    tracing::warn!(job = job.0, %error, "a job could not be removed; it will be at the next start");
                }
                Some(Ok(())) => shared.is_untidy.store(true, Ordering::SeqCst),
                None => {}
            }
        });
    }

    fn known(&self, job: JobKey) -> Option<Arc<JobProgress>> {
        self.lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&job)
            .and_then(Weak::upgrade)
    }

    /// What is known of a job that runs or is followed.
    fn live(&self, job: &Job) -> Arc<JobProgress> {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = lives.get(&job.key).and_then(Weak::upgrade) {
            return live;
        }
        lives.retain(|_, live| live.strong_count() > 0);
        let live = Arc::new(JobProgress::new(job.last_event));
        lives.insert(job.key, Arc::downgrade(&live));
        live
    }
}

/// Now, as the store counts it.
fn now() -> Millis {
    let since = crate::types::clock::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

fn not_found(id: &str) -> Error {
    let id: String = id.chars().take(64).collect();
    Error::new(
        Code::NotFound,
        format!("there is no job \"{id}\" among this caller's; it may have expired"),
    )
}

fn bad_cursor() -> Error {
    Error::invalid("/after", "expected the `next` of the page before")
}

/// Converts an error of the store to the problem that a caller gets.
fn unavailable(error: &StoreError) -> Error {
    match error {
        StoreError::Other(_) | StoreError::Corrupt(_) | StoreError::Newer { .. } => {
            tracing::error!(%error, "the store failed");
            Error::new(
                Code::Internal,
                "the job store failed; the server's log has the reason",
            )
        }
        StoreError::Full
        | StoreError::ReadOnly
        | StoreError::Locked
        | StoreError::Busy
        | StoreError::Io(_) => {
            let detail = format!("jobs cannot be recorded now: {error}");
            Error::new(Code::Overloaded, detail).retry_after(Duration::from_secs(10))
        }
    }
}
