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

async fn remove_expired(context: &Arc<JobContext>) {
    let expired = match context.store.expired(unix_millis()).await {
        Ok(expired) => expired,
        Err(error) => {
            tracing::warn!(%error, "the expired jobs could not be read from the store");
            return;
        }
    };
    // The marks share a transaction.
    join_all(
        expired
            .into_iter()
            .map(|(job, caller)| remove_expired_job(context, job, caller)),
    )
    .await;
}

async fn remove_expired_job(context: &Arc<JobContext>, job: JobKey, caller: String) {
    match context.store.soft_delete(job).await {
        Ok(_) => {
            tracing::info!(job = job.0, "the job has expired and is removed");
            context.remove_in_background(job, &caller);
        }
        Err(error) => {
            tracing::warn!(job = job.0, %error, "an expired job could not be marked as deleted; trying again in a few seconds");
        }
    }
}
