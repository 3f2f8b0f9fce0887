//! Webhook delivery of jobs that have ended: from the store, until each delivery succeeds or is given up, and apart from the
//! jobs' work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::context::{JobContext, to_millis, unix_millis};
use super::job_spec::EndFields;
use super::load_job::load_for_end;
use super::store::{DeliveryAttempt, JobKey, PendingDelivery, StoreError};
use super::webhook::{DeliveryOutcome, Message, retry_delay, send_webhook};
use crate::net::Client;
use crate::types::{Webhook, clock};

/// Interval at which due deliveries are read from the store.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The same while there are more due deliveries than may be started.
const BUSY_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of concurrent deliveries, besides one of each caller.
const MAX_CONCURRENT: usize = 128;
/// Maximum number of concurrent deliveries of one caller.
const MAX_PER_CALLER: usize = 32;

/// Delivers webhooks until the server drains. Deliveries in flight then are repeated at the next start.
pub async fn run(context: Arc<JobContext>, client: Client) {
    let mut deliveries = Deliveries {
        context: Arc::clone(&context),
        client,
        tasks: JoinSet::new(),
        in_flight: HashMap::new(),
    };
    let draining = &context.shutdown.draining;
    draining
        .run_until_cancelled(deliveries.poll_forever())
        .await;
}

struct Deliveries {
    context: Arc<JobContext>,
    client: Client,
    tasks: JoinSet<JobKey>,
    /// Jobs whose delivery is in flight, with their callers; at most one of each job.
    in_flight: HashMap<JobKey, String>,
}

impl Deliveries {
    async fn poll_forever(&mut self) {
        let mut interval = POLL_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            interval = POLL_INTERVAL;
            self.collect_finished();
            // An outcome that cannot be recorded would be delivered again and again.
            if self.context.store.not_ready_reason().is_some() {
                continue;
            }
            let in_flight = self.in_flight.keys().copied().collect();
            let due = self
                .context
                .store
                .due_webhooks(unix_millis(), MAX_PER_CALLER, in_flight);
            match due.await {
                Ok(due) => {
                    if !self.start(due) {
                        interval = BUSY_POLL_INTERVAL;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "due webhook deliveries could not be read from the store");
                }
            }
        }
    }

    fn collect_finished(&mut self) {
        while let Some(finished) = self.tasks.try_join_next() {
            match finished {
                Ok(job) => {
                    self.in_flight.remove(&job);
                }
                // Its job is unknown and stays in `in_flight`, so the panic is not repeated every second.
                Err(error) => {
                    tracing::error!(%error, "a webhook delivery panicked, which is a bug; it is repeated at the next start");
                }
            }
        }
    }

    /// Starts deliveries, one of each caller in turn. Returns false if some may not be started now.
    fn start(&mut self, due: Vec<PendingDelivery>) -> bool {
        let mut has_started_all = true;
        for delivery in in_turn(due) {
            if self.may_start(&delivery.caller) {
                self.spawn(delivery);
            } else {
                has_started_all = false;
            }
        }
        has_started_all
    }

    /// Returns true if another delivery of the caller may be started. One of each caller may be at any time.
    fn may_start(&self, caller: &str) -> bool {
        let of_caller = self.in_flight.values().filter(|name| *name == caller);
        let of_caller = of_caller.count();
        of_caller == 0 || (of_caller < MAX_PER_CALLER && self.tasks.len() < MAX_CONCURRENT)
    }

    fn spawn(&mut self, delivery: PendingDelivery) {
        self.in_flight.insert(delivery.job, delivery.caller.clone());
        let (context, client) = (Arc::clone(&self.context), self.client.clone());
        self.tasks.spawn(async move {
            if let Err(error) = deliver(&context, &client, &delivery).await {
                tracing::warn!(
                    job = delivery.job.0,
                    %error,
                    "the outcome of a webhook delivery could not be recorded; the webhook is delivered again"
                );
            }
            delivery.job
        });
    }
}

/// Sorts deliveries so that the callers take turns.
fn in_turn(due: Vec<PendingDelivery>) -> Vec<PendingDelivery> {
    let mut turns: HashMap<String, usize> = HashMap::new();
    let mut due: Vec<_> = due
        .into_iter()
        .map(|delivery| {
            let turn = turns.entry(delivery.caller.clone()).or_default();
            *turn += 1;
            (*turn, delivery)
        })
        .collect();
    due.sort_by_key(|(turn, _)| *turn);
    due.into_iter().map(|(_, delivery)| delivery).collect()
}

/// Makes one delivery attempt, and records its outcome.
async fn deliver(
    context: &JobContext,
    client: &Client,
    delivery: &PendingDelivery,
) -> Result<(), StoreError> {
    let webhook = load_webhook(context, delivery).await?;
    let job_id = context.store.job_by_key(delivery.job).await?;
    let job_id = job_id.map(|job| job.id);
    // Read when it is delivered: many may be due for long.
    let body = context.store.delivery_body(delivery).await?;
    let (Some(webhook), Some(job_id), Some(body)) = (webhook, job_id, body) else {
        let attempt = DeliveryAttempt::default();
        return context.store.record_delivery(delivery, attempt).await;
    };
    let id = format!("{job_id}_{}", delivery.event);
    let message = Message {
        id: &id,
        body: &body,
    };
    // The deliveries of callers that are no longer configured share what one caller has.
    let caller = context.extractor.limits().caller_of(&delivery.caller);
    let caller = caller.unwrap_or_default();
    let outcome = send_webhook(client, caller, &webhook, message, clock::now()).await;
    let attempts = delivery.failed_attempts.saturating_add(1);
    let mut attempt = DeliveryAttempt {
        at: unix_millis(),
        ..DeliveryAttempt::default()
    };
    let delay = match outcome {
        DeliveryOutcome::Delivered(status) => {
            attempt.http_status = Some(status);
            None
        }
        DeliveryOutcome::Gone => {
            tracing::warn!(
                job = job_id,
                "the webhook's receiver answered 410 Gone; the delivery is given up"
            );
            attempt.http_status = Some(410);
            attempt.error = Some("the receiver answered 410 Gone".to_owned());
            None
        }
        DeliveryOutcome::Failed {
            reason,
            status,
            retry_after,
        } => {
            let delay = retry_delay(attempts, retry_after, fastrand::f64());
            tracing::warn!(
                job = job_id,
                attempts,
                reason,
                is_given_up = delay.is_none(),
                "the webhook delivery failed"
            );
            attempt.http_status = status;
            attempt.error = Some(reason);
            delay
        }
    };
    attempt.next_at = delay.map(|delay| unix_millis().saturating_add(to_millis(delay)));
    context.store.record_delivery(delivery, attempt).await
}

/// Returns the webhook of a delivery's job; `None` if the job was removed.
async fn load_webhook(
    context: &JobContext,
    delivery: &PendingDelivery,
) -> Result<Option<Webhook>, StoreError> {
    let parse = |json: &str| {
        let webhook = EndFields::parse(json)?.webhook?;
        serde_json::from_str(webhook.get()).ok()
    };
    load_for_end(context, delivery.job, &delivery.caller, parse).await
}

#[cfg(test)]
mod tests;
