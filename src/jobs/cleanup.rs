//! Cleanup of the store: expired jobs, what interrupted uploads and removals left, and vacuum.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::context::{JobContext, unix_millis};
use super::store::{HiddenJob, JobKey};

/// Work on the store in tasks of its own, so that commands do not wait for its writes.
#[derive(Debug)]
pub struct Cleanup {
    context: Arc<JobContext>,
    /// Removal of what need not be stored; at most one.
    removal: JoinSet<()>,
    /// Vacuum of the store; at most one.
    vacuum: JoinSet<()>,
}

impl Cleanup {
    pub fn new(context: Arc<JobContext>) -> Self {
        Self {
            context,
            removal: JoinSet::new(),
            vacuum: JoinSet::new(),
        }
    }

    /// Removes what need not be stored, unless the last removal is still at work.
    pub fn start_removal(&mut self) {
        if is_idle(&mut self.removal) {
            let context = Arc::clone(&self.context);
            self.removal
                .spawn(async move { remove_unneeded(&context).await });
        }
    }

    /// Gives free space of the store back, a step at a time, if there is enough of it.
    pub fn start_vacuum_if_needed(&mut self) {
        if !is_idle(&mut self.vacuum) || !self.context.take_vacuum_request() {
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
}

/// Returns true if no task is at work.
fn is_idle(tasks: &mut JoinSet<()>) -> bool {
    while tasks.try_join_next().is_some() {}
    tasks.is_empty()
}

/// Removes expired jobs, and what interrupted uploads and removals left.
pub async fn remove_unneeded(context: &Arc<JobContext>) {
    remove_expired(context).await;
    remove_abandoned(context).await;
}

/// Removes the hidden jobs that this process neither receives nor removes: uploads and removals of a process that died, or that a
/// store error interrupted.
async fn remove_abandoned(context: &Arc<JobContext>) {
    let hidden = match context.store.hidden().await {
        Ok(hidden) => hidden,
        Err(error) => {
            tracing::warn!(%error, "the unfinished uploads and removals could not be read from the store");
            return;
        }
    };
    for HiddenJob { key, id, caller } in hidden {
        // An upload is registered before its row exists. One that has ended since the read is visible, and stays.
        if !context.hidden.is_uploading(&id) {
            context.remove_in_background(key, &caller);
        }
    }
}

/// Marks all expired jobs, in rounds of some of each caller, and begins their removal. Ends early if one cannot be marked.
async fn remove_expired(context: &Arc<JobContext>) {
    while !context.shutdown.draining.is_cancelled() {
        let expired = match context.store.expired(unix_millis()).await {
            Ok(expired) => expired,
            Err(error) => {
                tracing::warn!(%error, "the expired jobs could not be read from the store");
                return;
            }
        };
        if expired.is_empty() {
            return;
        }
        // The marks share a few transactions.
        let removals = expired
            .into_iter()
            .map(|(job, caller)| remove_expired_job(context, job, caller));
        let are_marked = join_all(removals).await;
        if are_marked.contains(&false) {
            return;
        }
    }
}

/// Marks an expired job, and begins its removal. Returns false if it could not be marked.
async fn remove_expired_job(context: &Arc<JobContext>, job: JobKey, caller: String) -> bool {
    match context.store.soft_delete(job).await {
        Ok(is_marked) => {
            if is_marked {
                tracing::info!(job = job.0, "the job has expired and is removed");
                context.remove_in_background(job, &caller);
            }
            is_marked
        }
        Err(error) => {
            tracing::warn!(job = job.0, %error, "an expired job could not be marked as deleted; trying again in a few seconds");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use throttle::CallerId;

    use super::super::Jobs;
    use super::super::store::{CreateOutcome, JobEnd, JobFilter, NewJob, Status};
    use super::super::test_context::{TestContext, end_queued, job_end, store_queued};
    use super::*;
    use crate::types::Code;

    /// Stores a job that has ended.
    async fn store_ended(context: &JobContext, id: &str, expires_at: i64) -> JobKey {
        let job = store_queued(context.store.as_ref(), id, 1).await;
        let end = JobEnd {
            expires_at,
            ..job_end(Status::Cancelled)
        };
        end_queued(context.store.as_ref(), job, end).await.key
    }

    /// Stores a job whose upload has not ended.
    async fn store_uploading(context: &JobContext, id: &str) -> JobKey {
        let created = context.store.create_uploading(NewJob {
            id: id.to_owned(),
            caller: String::new(),
            spec: "{}".to_owned(),
            metadata: None,
            created_at: 0,
            idempotency: None,
        });
        match created.await.unwrap() {
            CreateOutcome::New(job) => job,
            CreateOutcome::Existing(_) => panic!("the job is new"),
        }
    }

    #[tokio::test]
    async fn what_has_expired_or_was_left_is_removed_and_the_rest_stays() {
        let test = TestContext::new("cleanup");
        let context = &test.context;
        let expired = store_ended(context, "job_expired", 1).await;
        let left = store_uploading(context, "job_left").await;
        let ended = store_ended(context, "job_ended", i64::MAX).await;
        let queued = store_queued(context.store.as_ref(), "job_queued", 1).await;
        let _upload = context.hidden.begin_upload("job_uploading".to_owned());
        let uploading = store_uploading(context, "job_uploading").await;
        remove_unneeded(context).await;
        // The removals are tasks of their own.
        context.shutdown.work.close();
        context.shutdown.work.wait().await;
        for (job, is_stored) in [
            (expired, false),
            (left, false),
            (ended, true),
            (queued, true),
            (uploading, true),
        ] {
            let found = context.store.job_by_key(job).await.unwrap();
            assert_eq!(found.is_some(), is_stored, "{job:?}");
        }
    }

    /// One sweep marks them all, however many have expired together.
    #[tokio::test]
    async fn expired_jobs_are_marked_at_once_and_invisible_before() {
        const JOBS: usize = 150;
        let test = TestContext::new("many-expired");
        let context = &test.context;
        for number in 0..JOBS {
            store_ended(context, &format!("job_{number}"), 1).await;
        }
        store_ended(context, "job_kept", i64::MAX).await;
        let jobs = Jobs(Arc::clone(context));
        let caller = CallerId::default();
        let listed = jobs.list(caller, JobFilter::default(), None, 1_000).await;
        let listed: Vec<_> = listed.unwrap().0.into_iter().map(|job| job.id).collect();
        assert_eq!(listed, ["job_kept"]);
        let shown = jobs.get(caller, "job_0").await;
        assert_eq!(shown.unwrap_err().code, Code::NotFound);
        assert!(jobs.get(caller, "job_kept").await.is_ok());
        let of_link = jobs.get_of_any_caller("job_0").await;
        assert_eq!(of_link.unwrap_err().code, Code::NotFound);

        remove_expired(context).await;
        assert_eq!(context.store.expired(i64::MAX - 1).await.unwrap(), []);
        context.shutdown.work.close();
        context.shutdown.work.wait().await;
    }

    #[tokio::test]
    async fn the_store_is_vacuumed_at_the_start_and_once_for_each_request() {
        let test = TestContext::new("vacuum");
        let mut cleanup = Cleanup::new(Arc::clone(&test.context));
        for _ in 0..2 {
            cleanup.start_vacuum_if_needed();
            let vacuumed = cleanup.vacuum.join_next().await;
            vacuumed.expect("it is needed").unwrap();
            cleanup.start_vacuum_if_needed();
            assert!(cleanup.vacuum.is_empty());
            test.context.request_vacuum();
        }
    }
}
