//! Items that may end the process: each runs by itself, before anything else, and the one that ends it again and again fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::Shared;
use super::job_run;
use super::job_scheduler::SETTLED;
use super::load_job::{LoadedJob, load_job};
use super::store::{CrashCount, JobKey, PendingItem, Status, StoreError};
use crate::extraction::{PreparedRequest, Submission};
use crate::types::{Code, Error, Input, ItemOutcome, OnError, Outcome, Timing, Usage};
use throttle::CallerId;

/// An item that so many processes had when they died, one after the other and soon after their start, is suspected.
const SUSPECTED: u32 = 3;
/// One that so many had, and nothing else, is not tried any more.
const POISONOUS: u32 = 3;
/// So long nothing is taken up first: a process that ends now is ended from outside, and nothing is suspected any longer.
const QUIET: Duration = Duration::from_secs(1);

/// Runs what is suspected, one after the other.
pub async fn clear(shared: &Arc<Shared>) {
    if let Err(error) = try_to_clear(shared).await {
        tracing::error!(%error, "the items that may have ended the process cannot be looked at");
    }
}

async fn try_to_clear(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let mut suspects = shared.store.crash_suspects(SUSPECTED).await?;
    if suspects.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        items = suspects.len(),
        "the server died several times soon after its start; the items that it had run one by one"
    );
    let draining = shared.ends.draining.clone();
    let mut ready = HashMap::new();
    let mut quiet = QUIET;
    while !suspects.is_empty() {
        for (job, item) in suspects {
            // Those that were alone before come last: a process that ends meanwhile did not end of them.
            quiet += if item.lost.alone > 0 {
                QUIET * (1 << item.lost.alone.min(POISONOUS))
            } else {
                Duration::ZERO
            };
            let has_waited = draining
                .run_until_cancelled(tokio::time::sleep(std::mem::take(&mut quiet)))
                .await;
            if has_waited.is_none() {
                return Ok(());
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = ready.entry(job) {
                entry.insert(load_job(shared, job).await?);
            }
            // One that cannot be made ready cannot do harm, and fails when it runs.
            if let Some(LoadedJob {
                plan: Ok(plan),
                request_id,
                ..
            }) = ready.get(&job)
            {
                alone(shared, plan, request_id, (job, &item)).await?;
            }
        }
        // Those that could not be made ready are the only ones that may be left.
        let left = shared.store.crash_suspects(SUSPECTED).await?;
        suspects = left
            .into_iter()
            .filter(|(job, _)| {
                ready
                    .get(job)
                    .is_none_or(|prepared: &LoadedJob| prepared.plan.is_ok())
            })
            .collect();
    }
    shared.store.set_isolated(None).await
}

async fn alone(
    shared: &Arc<Shared>,
    plan: &Arc<PreparedRequest>,
    request_id: &str,
    (job, item): (JobKey, &PendingItem),
) -> Result<(), StoreError> {
    let input = job_run::input(item);
    let outcome = if item.lost.alone >= POISONOUS {
        tracing::error!(
            index = item.index,
            "an item ends the process each time that it is tried; it is not tried any more"
        );
        Some(poison(input, item.lost))
    } else {
        shared.store.set_isolated(Some((job, item.index))).await?;
        let found = shared
            .store
            .job_by_key(job)
            .await?
            .filter(|job| job.status == Status::Running);
        match found.and_then(|job| shared.extractor.limits().caller_of(&job.caller)) {
            // One that takes so long has not ended the process soon.
            Some(caller) => tokio::time::timeout(SETTLED, extracted(shared, plan, caller, input))
                .await
                .unwrap_or(None),
            None => None,
        }
    };
    let finished = outcome.and_then(|outcome| job_run::finished(&outcome, request_id));
    match finished {
        Some(finished) => drop(shared.store.record_results(job, vec![finished]).await?),
        None => shared.store.clear_suspicion(job, item.index).await?,
    }
    Ok(())
}

/// `None`: it could not be called now.
async fn extracted(
    shared: &Arc<Shared>,
    plan: &Arc<PreparedRequest>,
    caller: CallerId,
    input: Input,
) -> Option<Outcome> {
    let submission = Submission {
        caller,
        items: Some(1),
        concurrency: None,
        draining: &shared.ends.draining,
    };
    let admitted = shared
        .extractor
        .submit(Arc::clone(plan), &submission)
        .ok()?;
    let inputs = futures_util::stream::iter([input]);
    admitted.run(OnError::Continue, inputs).next().await
}

fn poison(input: Input, lost: CrashCount) -> Outcome {
    let detail = format!(
        "the server died {} times while it worked on this input, {} of them on nothing else; it is not tried any more",
        lost.times, lost.alone
    );
    Outcome {
        index: input.index,
        id: input.id,
        metadata: input.metadata,
        ending: ItemOutcome::Failed(Error::new(Code::Internal, detail)),
        attempts: 0,
        usage: Usage::default(),
        spent: Vec::new(),
        timing: Timing::default(),
    }
}
