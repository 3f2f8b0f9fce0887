//! The store's operations, each as one write or one read. Writes that running jobs depend on are retried while the disk is
//! full.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::TryFutureExt;
use rusqlite::{Connection, OptionalExtension};
use throttle::CallerId;

use super::queries::JobRow;
use super::quota::{inputs_bytes, total_len};
use super::write_class::WriteClass;
use super::write_queue::WriteOwner;
use super::{
    Sqlite, commands, item_queries, queries, recovery, removal, requeue, sweep_queries,
    webhook_queries,
};
use crate::jobs::store::{
    CrashSuspect, CreateOutcome, DeliveryAttempt, Digest, Event, FinishedItem, HiddenJob,
    ItemStatus, Job, JobEnd, JobFilter, JobKey, NewJob, PageSize, PendingDelivery, PendingItem,
    ResultOrder, Scan, Status, StorageQuota, Store, StoreError, Stored, UnixMillis, search,
};

impl Store for Sqlite {
    fn create_uploading(&self, job: NewJob) -> Stored<'_, CreateOutcome> {
        let limits = self.current_limits();
        let bytes = job.written_bytes();
        let owner = WriteOwner::Caller(job.caller.clone());
        let created = self.write_bytes(WriteClass::Ordinary, owner, bytes, move |connection| {
            commands::create_uploading(connection, &job, limits)
        });
        Box::pin(created.map_ok(|created| match created {
            Ok(job) => CreateOutcome::New(job),
            Err(existing) => CreateOutcome::Existing(Box::new(existing.into_job())),
        }))
    }

    fn add_inputs(&self, job: JobKey, first: u32, inputs: Vec<Vec<u8>>) -> Stored<'_, ()> {
        let (limits, bytes) = (self.current_limits(), inputs_bytes(&inputs));
        let written = with_rows(total_len(&inputs), inputs.len());
        self.write_bytes(WriteClass::Ordinary, job, written, move |connection| {
            limits.check_more(connection, job, bytes)?;
            commands::add_inputs(connection, job, first, &inputs)
        })
    }

    fn finalize(&self, job: JobKey, total: u32, digest: Digest) -> Stored<'_, Job> {
        let queued = self.write(WriteClass::Ordinary, job, move |connection| {
            commands::finalize(connection, job, total, &digest)
        });
        Box::pin(queued.map_ok(JobRow::into_job))
    }

    fn soft_delete(&self, job: JobKey) -> Stored<'_, bool> {
        self.write(WriteClass::FinishNow, job, move |connection| {
            removal::soft_delete(connection, job)
        })
    }

    fn hidden(&self) -> Stored<'_, Vec<HiddenJob>> {
        self.query(sweep_queries::hidden)
    }

    fn abandon(&self, job: JobKey) -> Stored<'_, Option<usize>> {
        self.write(WriteClass::Removal, job, move |connection| {
            removal::abandon(connection, job)
        })
    }

    fn remove(&self, job: JobKey, caller: CallerId) -> Stored<'_, ()> {
        Box::pin(async move {
            let Some(stored_bytes) = self.abandon(job).await? else {
                return Ok(());
            };
            let bytes = stored_bytes.min(removal::MAX_BYTES_PER_STEP);
            loop {
                let _turn = self.removal_turns.acquire(caller, 1).await;
                let (class, owner) = (WriteClass::Removal, WriteOwner::Removals);
                let step = self.write_bytes(class, owner, bytes, move |connection| {
                    removal::remove_step(connection, job)
                });
                if step.await? {
                    return Ok(());
                }
            }
        })
    }

    fn vacuum_step(&self) -> Stored<'_, bool> {
        match self.opened() {
            Ok(opened) => Box::pin(Arc::clone(&opened.readers).vacuum_step()),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn cancel(&self, job: JobKey) -> Stored<'_, bool> {
        const CANCELLABLE: [Status; 2] = [Status::Queued, Status::Running];
        self.write(WriteClass::FinishNow, job, move |connection| {
            commands::transition(connection, job, &CANCELLABLE, Status::Cancelling, 0)
        })
    }

    fn job(&self, id: String) -> Stored<'_, Option<Job>> {
        self.query(move |connection| queries::visible_job(connection, &id))
    }

    fn job_by_key(&self, job: JobKey) -> Stored<'_, Option<Job>> {
        self.query(move |connection| {
            let found = queries::job_by_key(connection, job).optional()?;
            Ok(found.map(JobRow::into_job))
        })
    }

    fn find_jobs(
        &self,
        caller: String,
        filter: JobFilter,
        before: u32,
        limit: u32,
        now: UnixMillis,
    ) -> Stored<'_, Scan<Vec<Job>>> {
        self.query(move |connection| {
            queries::jobs_of_caller(connection, &caller, &filter, before, limit, now)
        })
    }

    fn spec_size(&self, job: JobKey) -> Stored<'_, Option<usize>> {
        self.query(move |connection| queries::spec_size(connection, job))
    }

    fn spec(&self, job: JobKey) -> Stored<'_, Option<String>> {
        self.query(move |connection| queries::spec(connection, job))
    }

    fn unfinished(&self) -> Stored<'_, Vec<(JobKey, String, Status)>> {
        self.query(queries::unfinished)
    }

    fn pending(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, Vec<PendingItem>> {
        self.scan(from, move |connection, from| {
            item_queries::pending(connection, job, from, limit)
        })
    }

    fn pending_size(&self, job: JobKey, from: u32, limit: u32) -> Stored<'_, PageSize> {
        self.scan(from, move |connection, from| {
            item_queries::pending_size(connection, job, from, limit)
        })
    }

    fn input_size(&self, job: JobKey, index: u32) -> Stored<'_, Option<usize>> {
        self.query(move |connection| item_queries::input_size(connection, job, index))
    }

    fn input(&self, job: JobKey, index: u32) -> Stored<'_, Option<Vec<u8>>> {
        self.query(move |connection| item_queries::input(connection, job, index))
    }

    fn crash_suspects(&self, crashes: u32) -> Stored<'_, Vec<CrashSuspect>> {
        self.query(move |connection| item_queries::crash_suspects(connection, crashes))
    }

    fn quota_of_results(&self, job: JobKey) -> Stored<'_, Option<StorageQuota>> {
        let limits = self.current_limits();
        self.query(move |connection| limits.of_results(connection, job))
    }

    fn lease_until(&self, job: JobKey, until: u32) -> Stored<'_, ()> {
        self.write(WriteClass::Work, job, move |connection| {
            recovery::lease_until(connection, job, until)
        })
    }

    fn release_lease(&self, job: JobKey) -> Stored<'_, ()> {
        self.write(WriteClass::FinishNow, job, move |connection| {
            recovery::lease_until(connection, job, 0)
        })
    }

    fn set_isolated(&self, item: Option<(JobKey, u32)>) -> Stored<'_, ()> {
        self.write(WriteClass::Work, WriteOwner::Process, move |connection| {
            recovery::set_isolated(connection, item)
        })
    }

    fn clear_suspicion(&self, job: JobKey, index: u32) -> Stored<'_, ()> {
        self.write(WriteClass::Work, job, move |connection| {
            recovery::clear_suspicion(connection, job, index)
        })
    }

    fn mark_healthy(&self) -> Stored<'_, ()> {
        let clear = recovery::clear_crash_counts;
        self.write(WriteClass::Ordinary, WriteOwner::Process, clear)
    }

    fn mark_clean_shutdown(&self) -> Stored<'_, ()> {
        let mark = recovery::mark_clean_shutdown;
        self.write(WriteClass::FinishNow, WriteOwner::Process, mark)
    }

    fn record_results(&self, job: JobKey, items: Vec<FinishedItem>) -> Stored<'_, Job> {
        let bytes = total_len(items.iter().map(|item| &item.body));
        let bytes = with_rows(bytes, items.len());
        let recorded = self.write_bytes(WriteClass::Results, job, bytes, move |connection| {
            commands::record_results(connection, job, &items)
        });
        Box::pin(recorded.map_ok(JobRow::into_job))
    }

    fn transition(
        &self,
        job: JobKey,
        from: &'static [Status],
        to: Status,
        now: UnixMillis,
    ) -> Stored<'_, bool> {
        Box::pin(async move {
            let is_start = to == Status::Running;
            // What is left of a large retry is done in further writes, of their size.
            let mut may_requeue = false;
            loop {
                let bytes = if may_requeue {
                    requeue::MAX_REQUEUE_STEP_BYTES
                } else {
                    0
                };
                let moved = self.write_bytes(WriteClass::Work, job, bytes, move |connection| {
                    if is_start && requeue::has_requeue_step(connection, job)? {
                        let is_queued = may_requeue && requeue::requeue_step(connection, job)?;
                        if !is_queued {
                            return Ok(None);
                        }
                    }
                    commands::transition(connection, job, from, to, now).map(Some)
                });
                match moved.await? {
                    Some(is_moved) => return Ok(is_moved),
                    None => may_requeue = true,
                }
            }
        })
    }

    fn complete(&self, job: JobKey, from: Status, end: JobEnd) -> Stored<'_, Option<Job>> {
        let bytes = end.body.len() + end.webhook.as_ref().map_or(0, Vec::len);
        let ended = self.write_bytes(WriteClass::Finish, job, bytes, move |connection| {
            commands::complete(connection, job, from, &end)
        });
        Box::pin(ended.map_ok(|row| row.map(JobRow::into_job)))
    }

    fn requeue(&self, job: JobKey, only: Option<ItemStatus>) -> Stored<'_, Option<Job>> {
        Box::pin(async move {
            let limits = self.current_limits();
            let queued = self.write(WriteClass::Ordinary, job, move |connection| {
                limits.check_more(connection, job, 0)?;
                requeue::requeue(connection, job, only)
            });
            let Some(queued) = queued.await? else {
                return Ok(None);
            };
            let bytes = requeue::requeue_step_bytes(queued.job.counts);
            let step = self.write_bytes(WriteClass::Ordinary, job, bytes, move |connection| {
                requeue::requeue_step(connection, job)?;
                queries::job_by_key(connection, job)
            });
            // The job is queued even if the step failed: the start of the job repeats it.
            Ok(Some(step.await.unwrap_or(queued).into_job()))
        })
    }

    fn has_failed_since_queued(&self, job: JobKey) -> Stored<'_, bool> {
        Box::pin(async move {
            let last =
                self.query(move |connection| item_queries::last_failed_event(connection, job));
            let Some(failed) = last.await? else {
                return Ok(false);
            };
            // The job has ended since, and was queued again.
            let has_end = self.scan(failed, move |connection, from| {
                item_queries::has_end_from(connection, job, from)
            });
            Ok(!has_end.await?)
        })
    }

    fn events(&self, job: JobKey, after: u32, page: PageSize) -> Stored<'_, Vec<Event>> {
        self.query(move |connection| item_queries::events(connection, job, after, page))
    }

    fn find_results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        from: u32,
        page: PageSize,
    ) -> Stored<'_, Scan<Vec<Event>>> {
        let query = item_queries::ResultQuery { order, only, page };
        self.query(move |connection| item_queries::results(connection, job, &query, from))
    }

    fn has_results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        from: u32,
    ) -> Stored<'_, Scan<bool>> {
        self.query(move |connection| item_queries::has_results(connection, job, order, only, from))
    }

    fn expired(&self, now: UnixMillis) -> Stored<'_, Vec<(JobKey, String)>> {
        self.query(move |connection| sweep_queries::expired(connection, now))
    }

    fn due_webhooks(
        &self,
        now: UnixMillis,
        per_caller: usize,
        except: HashSet<JobKey>,
    ) -> Stored<'_, Vec<PendingDelivery>> {
        self.query(move |connection| {
            webhook_queries::due_webhooks(connection, now, per_caller, &except)
        })
    }

    fn delivery_body(&self, delivery: &PendingDelivery) -> Stored<'_, Option<Vec<u8>>> {
        let (job, event) = (delivery.job, delivery.event);
        self.query(move |connection| webhook_queries::delivery_body(connection, job, event))
    }

    fn record_delivery(
        &self,
        delivery: &PendingDelivery,
        attempt: DeliveryAttempt,
    ) -> Stored<'_, ()> {
        let (job, event) = (delivery.job, delivery.event);
        self.write(WriteClass::Finish, job, move |connection| {
            commands::record_delivery(connection, job, event, &attempt)
        })
    }

    fn secret(&self) -> Option<[u8; 32]> {
        self.opened().ok().map(|opened| opened.secret)
    }

    fn not_ready_reason(&self) -> Option<StoreError> {
        // The store counts as open once it can be used, a moment after it could be written.
        self.opened().err().or_else(|| self.shared.health.error())
    }
}

impl Sqlite {
    /// Searches from the number `from` on until there is a page, in reads of bounded length.
    fn scan<T: Send + 'static>(
        &self,
        from: u32,
        read: impl Fn(&Connection, u32) -> rusqlite::Result<Scan<T>> + Send + Sync + 'static,
    ) -> Stored<'_, T> {
        let read = Arc::new(read);
        Box::pin(search(from, move |from| {
            let read = Arc::clone(&read);
            self.query(move |connection| read(connection, from))
        }))
    }
}

/// Returns about the bytes that a write of these rows takes, whose bodies have so many bytes.
fn with_rows(body_bytes: u64, rows: usize) -> usize {
    let body_bytes = usize::try_from(body_bytes).unwrap_or(usize::MAX);
    body_bytes.saturating_add(rows.saturating_mul(commands::ROW_BYTES))
}
