//! Telling webhooks that jobs have ended: from the store, until each was told or given up, and never in the way of the work.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::job_spec::JobSpec;
use super::store::{JobKey, PendingDelivery, StoreError};
use super::webhook::{DeliveryOutcome, Message, next_try, send_webhook};
use super::{Shared, now};
use crate::net::Client;
use crate::types::Webhook;

/// How often it looks for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Deliveries at a time.
const AT_ONCE: usize = 64;

/// Tells what is due until the server drains.
pub async fn run(shared: Arc<Shared>, client: Client) {
    let draining = shared.ends.draining.clone();
    // What is being told then is told again at the next start.
    draining
        .run_until_cancelled(deliver_due(&shared, &client))
        .await;
}

async fn deliver_due(shared: &Arc<Shared>, client: &Client) {
    let mut telling = JoinSet::new();
    let mut told: HashSet<JobKey> = HashSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        while let Some(done) = telling.try_join_next() {
            match done {
                Ok(job) => drop(told.remove(&job)),
                // Which one it was is not known; it is told again at the next start.
                Err(error) => tracing::error!(%error, "telling a webhook panicked; this is a bug"),
            }
        }
        let due = match shared.store.due_webhooks(now()).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the webhooks that are due cannot be read");
                continue;
            }
        };
        for due in due {
            if telling.len() >= AT_ONCE || !told.insert(due.job) {
                continue;
            }
            let (shared, client) = (Arc::clone(shared), client.clone());
            telling.spawn(async move {
                if let Err(error) = deliver(&shared, &client, &due).await {
                    tracing::warn!(%error, "what came of a webhook cannot be recorded; it is told again");
                }
                due.job
            });
        }
    }
}

async fn deliver(
    shared: &Shared,
    client: &Client,
    due: &PendingDelivery,
) -> Result<(), StoreError> {
    let spec = shared.store.spec(due.job).await?.unwrap_or_default();
    let record = serde_json::from_str::<JobSpec>(&spec).ok();
    let webhook =
        record.and_then(|record| serde_json::from_str::<Webhook>(record.webhook?.get()).ok());
    let job = shared.store.job_by_key(due.job).await?;
    let (Some(webhook), Some(job)) = (webhook, job) else {
        return shared.store.record_delivery(due, None).await;
    };
    let id = format!("{}_{}", job.id, due.event);
    let again = match send_webhook(
        client,
        &webhook,
        Message {
            id: &id,
            body: &due.body,
        },
        crate::types::clock::now(),
    )
    .await
    {
        DeliveryOutcome::Done => None,
        DeliveryOutcome::Gone => {
            tracing::warn!(job = job.id, "the webhook wants to be told nothing more");
            None
        }
        DeliveryOutcome::Failed { why, retry_after } => {
            let wait = next_try(due.tries + 1, retry_after, fastrand::f64());
            tracing::warn!(
                job = job.id,
                tries = due.tries + 1,
                why,
                is_given_up = wait.is_none(),
                "the webhook could not be told"
            );
            wait
        }
    };
    let at =
        again.map(|wait| now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    shared.store.record_delivery(due, at).await
}
