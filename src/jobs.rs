//! Durable jobs: batches that are created once, run even if the process restarts, and keep their results until they expire.
//!
//! A job lives in a [`Store`]. The scheduler runs its items through the same extraction as a batch, page by page, and records
//! each result with its event in one transaction. Followers of a job read the events from the store, and are woken when new
//! ones are recorded. Results become visible only after they are committed, and exactly once.
//!
//! Knows nothing of the server's HTTP.

mod absent_callers;
mod cleanup;
mod context;
mod crash_quarantine;
mod create;
mod errors;
mod event_follower;
mod hidden_jobs;
mod hmac;
mod input_stream;
mod item_codec;
mod job_run;
mod job_scheduler;
mod job_spec;
mod load_job;
mod offset_unit;
mod progress;
mod rendering;
mod result_recorder;
mod run_failures;
mod run_queue;
pub mod signed_link;
mod sqlite;
pub mod store;
#[cfg(test)]
pub(crate) mod test_context;
pub mod webhook;
mod webhook_delivery;

use std::sync::Arc;

use futures_util::Stream;

pub use context::{Config, Shutdown};
pub use create::{Created, Creation, Held};
pub use event_follower::{EventPage, FollowEvent, Follower};
pub use progress::JobRate;
pub use sqlite::{Sqlite, StorageLimits, back_up};

use crate::extraction::Extractor;
use crate::net::Client;
use crate::types::{Code, Error, Input};
use context::{JobCommand, JobContext, unix_millis};
use errors::{invalid_cursor, job_not_found, store_problem};
use store::{
    Event, ItemStatus, Job, JobFilter, JobKey, PageSize, ResultOrder, Scan, Status, Store,
    StoreError, Stored,
};
use throttle::CallerId;

/// Jobs of the whole process. Clones share them.
#[derive(Debug, Clone)]
pub struct Jobs(Arc<JobContext>);

impl Jobs {
    /// Starts the scheduler and the webhook deliveries. Unfinished jobs of the previous process are resumed.
    #[must_use]
    pub fn start(
        config: Config,
        store: Arc<dyn Store>,
        extractor: Arc<Extractor>,
        webhooks: Client,
        shutdown: Shutdown,
    ) -> Self {
        let (context, commands) = JobContext::new(config, store, extractor, shutdown);
        let work = &context.shutdown.work;
        work.spawn(job_scheduler::run(Arc::clone(&context), commands));
        work.spawn(webhook_delivery::run(Arc::clone(&context), webhooks));
        Self(context)
    }

    /// Returns true if the job store cannot record anything because the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.0.store.not_ready_reason() == Some(StoreError::Full)
    }

    /// Returns why no job can be created or recorded now; `None` if the store can write.
    #[must_use]
    pub fn not_ready_reason(&self) -> Option<String> {
        let reason = self.0.store.not_ready_reason();
        reason.map(|error| format!("jobs cannot be recorded: {error}"))
    }

    /// Returns a random secret that lasts as long as the store; `None` before the store is open.
    #[must_use]
    pub fn secret(&self) -> Option<[u8; 32]> {
        self.0.store.secret()
    }

    /// Creates a job. When this returns, the job is on disk. An error, or
    /// cancelling this call before the last input, creates no job and frees the idempotency key.
    ///
    /// # Errors
    /// - the first error among the inputs;
    /// - `conflict` while an earlier request with the same idempotency key is being received;
    /// - `idempotency_mismatch` if that request was different;
    /// - `overloaded` or `internal` if the store fails.
    pub async fn create(
        &self,
        creation: Creation,
        inputs: impl Stream<Item = Result<Input, Error>> + Unpin,
    ) -> Result<Created, Error> {
        create::create_job(&self.0, creation, inputs).await
    }

    /// Returns a page of a caller's jobs that meet `filter`, newest first, and the cursor of the next page; `None` on the last page. `after` is
    /// the cursor that the previous page returned.
    ///
    /// # Errors
    /// - `invalid_request` for an invalid cursor;
    /// - `overloaded` or `internal` if the store fails.
    pub async fn list(
        &self,
        caller: CallerId,
        filter: JobFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Job>, Option<String>), Error> {
        let before = after
            .map(|cursor| cursor.parse::<u32>().map_err(|_| invalid_cursor()))
            .transpose()?;
        let (filter, now) = (&filter, unix_millis());
        let find = async |before, limit| {
            let find = |before| async move {
                let _turn = self.0.search_turn(caller).await;
                let name = self.0.caller_name(caller);
                let store = &self.0.store;
                store
                    .find_jobs(name, filter.clone(), before, limit, now)
                    .await
            };
            let found = store::search(before, find).await;
            found.map_err(|error| store_problem(&error))
        };
        let mut jobs: Vec<Job> = find(before.unwrap_or(u32::MAX), limit + 1).await?;
        let mut has_more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        // One read returns fewer jobs than requested if it looks at long metadata, or at many jobs.
        if !has_more && let Some(last) = jobs.last() {
            has_more = !find(last.key.0, 1).await?.is_empty();
        }
        let last = jobs.last().filter(|_| has_more);
        let next = last.map(|job| job.key.0.to_string());
        Ok((jobs, next))
    }

    /// Returns a caller's job.
    ///
    /// # Errors
    /// - `not_found` for an unknown ID, or another caller's job;
    /// - `overloaded` or `internal` if the store fails.
    pub async fn get(&self, caller: CallerId, id: &str) -> Result<Job, Error> {
        let caller_name = self.0.caller_name(caller);
        let job = self.find(caller, id).await?;
        if job.caller == caller_name {
            Ok(job)
        } else {
            Err(job_not_found(id))
        }
    }

    /// Returns the job with this ID, regardless of its caller, for a holder of a signed link.
    ///
    /// # Errors
    /// - `not_found` for an unknown ID;
    /// - `overloaded` or `internal` if the store fails.
    pub async fn get_of_any_caller(&self, id: &str) -> Result<Job, Error> {
        // The link does not name the caller.
        self.find(CallerId::default(), id).await
    }

    /// Returns the job with this ID in a turn of `reader`.
    async fn find(&self, reader: CallerId, id: &str) -> Result<Job, Error> {
        let _turn = self.0.read_turn(reader).await;
        let found = self.0.store.job(id.to_owned()).await;
        let job = found.map_err(|error| store_problem(&error))?;
        // One that has expired may not be marked yet.
        let is_kept = |job: &Job| job.expires_at.is_none_or(|at| at > unix_millis());
        job.filter(is_kept).ok_or_else(|| job_not_found(id))
    }

    /// Returns the rate of a job. All zero or `None` if the job does not run.
    #[must_use]
    pub fn rate(&self, job: &Job) -> JobRate {
        let progress = self.0.known_progress(job.key);
        progress
            .map(|progress| progress.rate(job))
            .unwrap_or_default()
    }

    /// Cancels a job: calls in flight are aborted, and results recorded before are kept. Returns the job, and false if it had
    /// ended or was being cancelled already. `held` is kept until this is recorded, even if the future is dropped.
    ///
    /// # Errors
    /// Those of [`Jobs::get`].
    pub async fn cancel(
        &self,
        caller: CallerId,
        id: &str,
        held: impl Send + 'static,
    ) -> Result<(Job, bool), Error> {
        let job = self.get(caller, id).await?;
        // Most repeated cancellations need no turn of the writer.
        if !matches!(job.status, Status::Queued | Status::Running) {
            return Ok((job, false));
        }
        let cancelled = self.0.run_to_completion(held, move |context| async move {
            let is_cancelled = context.store.cancel(job.key).await?;
            if is_cancelled {
                let command = JobCommand::Cancel(job.key, job.caller);
                context.send_command(command).await;
            }
            Ok(is_cancelled)
        });
        let is_cancelled = cancelled.await?;
        Ok((self.get(caller, id).await?, is_cancelled))
    }

    /// Queues the items of a job that did not succeed again, or only those of the status `only`. Returns the job, and false
    /// if there is no such item. `held` is kept until this is recorded, even if the future is dropped.
    ///
    /// # Errors
    /// Those of [`Jobs::get`]; `conflict` if the job has not ended; `quota_exceeded` if the caller's jobs take more than they may.
    pub async fn retry(
        &self,
        caller: CallerId,
        id: &str,
        only: Option<ItemStatus>,
        held: impl Send + 'static,
    ) -> Result<(Job, bool), Error> {
        let job = self.get(caller, id).await?;
        if job.status.is_ended() && !job.counts.has_requeueable(only) {
            return Ok((job, false));
        }
        let requeued = self.0.run_to_completion(held, move |context| async move {
            let requeued = context.store.requeue(job.key, only).await?;
            if let Some(job) = &requeued {
                let command = JobCommand::Run(job.key, job.caller.clone());
                context.send_command(command).await;
            }
            Ok(requeued)
        });
        let conflict = || {
            let detail = format!(
                "the job {id} has not ended yet; retry its failed items after its end, or cancel it first"
            );
            Error::new(Code::Conflict, detail)
        };
        Ok((requeued.await?.ok_or_else(conflict)?, true))
    }

    /// Deletes a job that has ended or is being cancelled, with its inputs and results. The job is invisible when this returns;
    /// its rows are removed in the background. `held` is kept until this is recorded, even if the future is dropped.
    ///
    /// # Errors
    /// Those of [`Jobs::get`]; `conflict` if the job is queued or runs.
    pub async fn delete(
        &self,
        caller: CallerId,
        id: &str,
        held: impl Send + 'static,
    ) -> Result<(), Error> {
        let job = self.get(caller, id).await?;
        let deleted = self.0.run_to_completion(held, move |context| async move {
            let is_deleted = context.store.soft_delete(job.key).await?;
            if is_deleted {
                context.remove_in_background(job.key, &job.caller);
            }
            Ok(is_deleted)
        });
        if deleted.await? {
            return Ok(());
        }
        let detail = format!("the job {id} has not ended yet; cancel it first");
        Err(Error::new(Code::Conflict, detail))
    }

    /// Returns a page of the recorded results of a caller's job. `after` is the index (input order) or the event number (completion
    /// order) of the last result of the previous page. In input order, the page ends before the first item without a result.
    ///
    /// # Errors
    /// `overloaded` or `internal` if the store fails.
    pub async fn results(
        &self,
        caller: CallerId,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
        page: PageSize,
    ) -> Result<Vec<Event>, Error> {
        let store = &self.0.store;
        let find = |from| store.find_results(job, order, only, from, page);
        self.search(caller, after, find).await
    }

    /// Returns true if there are results that [`Jobs::results`] would return, without reading them.
    ///
    /// # Errors
    /// Errors of [`Jobs::results`].
    pub async fn has_results(
        &self,
        caller: CallerId,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
    ) -> Result<bool, Error> {
        let store = &self.0.store;
        let find = |from| store.has_results(job, order, only, from);
        self.search(caller, after, find).await
    }

    /// Searches a job's results after the number `after`, in reads that each have a turn of the caller.
    async fn search<'s, T>(
        &'s self,
        caller: CallerId,
        after: Option<u32>,
        find: impl Fn(u32) -> Stored<'s, Scan<T>> + Sync,
    ) -> Result<T, Error> {
        let find = &find;
        let in_turn = |from| async move {
            let _turn = self.0.search_turn(caller).await;
            find(from).await
        };
        let from = after.map_or(0, |after| after.saturating_add(1));
        let found = store::search(from, in_turn).await;
        found.map_err(|error| store_problem(&error))
    }

    /// Returns a follower of the job's events after the number `after`.
    #[must_use]
    pub fn follow(&self, job: &Job, after: u32) -> Follower {
        Follower::new(Arc::clone(&self.0), job, after)
    }
}
