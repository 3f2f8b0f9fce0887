//! Failed call: releases its permit, and waits for a retry, switches to another target or fails, as the retry policy says.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::item::ItemRun;
use super::prepared_request::PreparedRequest;
use super::retry_policy::{self, Action, Consequence, fallback_condition};
use super::routing::{failure_detail, upstream_error};
use super::targets::Target;
use crate::long_work::{LONG_TEXT_BYTES, run_off_worker};
use crate::provider::{ErrorClass, Failure, FailureKind};
use crate::types::{Code, Error};
use throttle::{
    CallReport, Health, OutageChange, OutageReport, Pause, Permit, Priority, UsageReport, backoff,
};

/// Time after which a call is repeated that this server lacked a resource for.
const RESOURCE_RETRY: Duration = Duration::from_secs(1);

/// Maximum number of calls of a job's item that fail for a reason that may be the item itself, while other items succeed.
const MAX_DOUBTFUL_CALLS: u32 = 3;

impl ItemRun<'_> {
    /// Releases the permit of a failed call, and returns once the next call may be made, with its priority.
    pub(super) async fn handle_failure(
        &mut self,
        permit: Option<Permit>,
        text: &str,
        failure: Failure,
        took: Duration,
    ) -> Result<Priority, Error> {
        let consequence = self.consequence(&failure, took);
        let action = consequence.action;
        self.extractor.meters.record_failed_call(action.as_str());
        let endpoint = &self.route.current().endpoint;
        self.extractor
            .call_log
            .record(endpoint, &failure, action.as_str());
        let key = permit.as_ref().map(Permit::key);
        // A permit is never held during a backoff. A probe that goes on has it.
        if let Some(permit) = permit {
            self.release(permit, failure_report(consequence, text, &failure));
        }
        if consequence.outage.is_some()
            && let Action::OtherKey(code) | Action::Fail(code) = action
            && self.route.waits_for_outages()
        {
            // Waiting for the end of an outage takes none of the item's time.
            self.time_left += took;
            if consequence.is_doubtful {
                return self.retry_doubtful(code, failure).await;
            }
        }
        match action {
            Action::Again => {}
            Action::Pause(_) => self.route.pause(failure),
            Action::Wait => self.wait_for_resources(&failure).await?,
            Action::OtherKey(code) => {
                let is_outage = consequence.outage.is_some();
                let key = key.unwrap_or(usize::MAX);
                self.route.refuse_key(key, is_outage, code, failure);
            }
            Action::Retry => {
                let max_calls = self.request.max_calls;
                self.retry(Code::UpstreamError, failure, max_calls).await?;
            }
            Action::Fail(code) => self.switch_or_fail(code, &failure)?,
        }
        Ok(Priority::Requeued)
    }

    /// Fails a chat completion of which the client has received a part: another call would write another one.
    pub(super) fn fail_begun(
        &self,
        permit: Option<Permit>,
        text: &str,
        failure: &Failure,
        took: Duration,
    ) -> Error {
        let consequence = self.consequence(failure, took);
        let endpoint = &self.route.current().endpoint;
        self.extractor.meters.record_failed_call("fail");
        self.extractor.call_log.record(endpoint, failure, "fail");
        if let Some(permit) = permit {
            self.release(permit, failure_report(consequence, text, failure));
        }
        let code = match consequence.action {
            Action::Fail(code) | Action::OtherKey(code) => code,
            Action::Wait => Code::Overloaded,
            Action::Retry | Action::Pause(_) | Action::Again => Code::UpstreamError,
        };
        let detail = failure_detail(code, &endpoint.provider_name, failure);
        upstream_error(code, detail, failure)
    }

    fn consequence(&self, failure: &Failure, took: Duration) -> Consequence {
        let target = self.route.current();
        consequence(self.request, target, failure, self.health_of_timeout(took))
    }

    /// Retries a call whose failure may be about its item alone: a few times, and more often during an outage. The item goes
    /// to the back of the queue, so that the probes of an outage are calls of different items.
    async fn retry_doubtful(&mut self, code: Code, failure: Failure) -> Result<Priority, Error> {
        let condition = fallback_condition(&failure);
        if self.route.has_fallback() && self.route.switch_for_good(condition) {
            return Ok(Priority::Requeued);
        }
        let model = &self.route.current().endpoint.limits;
        let is_out = (self.extractor.limits)
            .outage(model, self.route.caller())
            .is_some();
        let max_calls = if is_out {
            self.request.max_calls
        } else {
            MAX_DOUBTFUL_CALLS.min(self.request.max_calls)
        };
        self.retry(code, failure, max_calls).await?;
        Ok(Priority::First)
    }

    /// Switches to the fallback after a call that is not worth a retry.
    fn switch_or_fail(&mut self, code: Code, failure: &Failure) -> Result<(), Error> {
        let provider = &self.route.current().endpoint.provider_name;
        let error = upstream_error(code, failure_detail(code, provider, failure), failure);
        if !self.route.switch_for_good(fallback_condition(failure)) {
            return Err(error);
        }
        // The current attempt is the first of the fallback.
        self.earlier_attempts = self.attempts.saturating_sub(1);
        self.output_limit = self.request.max_output_tokens;
        Ok(())
    }

    /// Releases a permit, and logs the beginning or the end of an outage.
    pub(super) fn release(&self, permit: Permit, report: CallReport) {
        let key = permit.key();
        let outage = report.outage.clone();
        let Some(change) = permit.release(report) else {
            return;
        };
        let endpoint = &self.route.current().endpoint;
        let (provider, model) = (&endpoint.provider_name, &endpoint.model);
        let address = endpoint.provider.address();
        if let (OutageChange::Began, Some(outage)) = (change, outage) {
            tracing::warn!(
                provider,
                address,
                model,
                key = key + 1,
                reason = outage.reason.as_str(),
                "calls fail until this is remedied, and are no longer made but for a probe from time to time: {}",
                outage.detail
            );
        } else {
            tracing::info!(
                provider,
                address,
                model,
                key = key + 1,
                "a probe has succeeded; calls are made again"
            );
        }
    }

    /// Waits until a failed call may be retried, or switches to another target.
    async fn retry(&mut self, code: Code, failure: Failure, max_calls: u32) -> Result<(), Error> {
        let (retry_after, status) = (failure.retry_after, failure.status());
        let was_slow = failure.kind == FailureKind::Timeout;
        let message = failure.to_string();
        let Some(failed) = self
            .route
            .record_failure(code, failure, was_slow, max_calls)?
        else {
            return Ok(());
        };
        let delay = backoff::delay(failed, retry_after, fastrand::f64());
        if delay >= self.time_left {
            if self.route.switch_to_fallback(Instant::now() + delay) {
                return Ok(());
            }
            let error = self.out_of_time(&format!("; the last call failed: {message}"));
            return Err(Error {
                upstream_status: status,
                ..error
            });
        }
        self.time_left -= delay;
        self.sleep(delay, "backoff").await;
        if self.await_retry_budget(failed).await {
            return Ok(());
        }
        let detail = format!(
            "the provider's retry budget is exhausted, because many calls fail; send this again later; the last error: {message}"
        );
        Err(Error {
            upstream_status: status,
            ..Error::new(Code::UpstreamError, detail)
        })
    }

    /// Waits a moment for a resource of this server. The time counts as waiting, not as the item's own.
    async fn wait_for_resources(&mut self, failure: &Failure) -> Result<(), Error> {
        let wait = backoff::delay(1, Some(RESOURCE_RETRY), fastrand::f64());
        if !self.route.consume_wait_budget(wait) {
            let detail = format!("this server lacks a resource, retry later: {failure}");
            return Err(Error::new(Code::Overloaded, detail).retry_after(RESOURCE_RETRY));
        }
        self.timing.queued += wait;
        self.sleep(wait, "server/resources").await;
        Ok(())
    }

    /// Waits until the provider's retry budget allows a retry, or switches to another target. The budget keeps retries from
    /// amplifying an outage. Returns false if the wait would exceed the item's wait budget.
    async fn await_retry_budget(&mut self, failed: u32) -> bool {
        while let Err(wait) = self.route.withdraw_retry() {
            if self.route.switch_to_fallback(Instant::now() + wait) {
                return true;
            }
            self.extractor.meters.retry_budget_exhausted();
            let wait = backoff::delay(failed, Some(wait), fastrand::f64());
            if !self.route.consume_wait_budget(wait) {
                return false;
            }
            self.timing.queued += wait;
            let limit = format!(
                "{}/retry_budget",
                self.route.current().endpoint.provider_name
            );
            self.sleep(wait, &limit).await;
        }
        true
    }

    /// Waits before a retry.
    async fn sleep(&mut self, wait: Duration, limit: &str) {
        let since = Instant::now();
        tokio::time::sleep(wait).await;
        if let Some(tracer) = &mut self.tracer {
            tracer.waited_for(limit.to_owned(), since, self.attempts);
        }
    }

    pub(super) fn out_of_time(&self, addition: &str) -> Error {
        let detail = format!(
            "`timeout_ms` ({}) ran out in attempt {}{addition}; allow more time, or send less text at a time",
            self.request.timeout.as_millis(),
            self.attempts,
        );
        Error::new(Code::Timeout, detail)
    }
}

/// Returns what follows from a failed call of a request to a target. `unanswered` is the evidence of a call that was not answered in time.
/// A failure that may be about what a caller wrote into the body, such as the name of a file that the provider does not have, or the length
/// of the answer that it asked for, says nothing about other items.
pub(super) fn consequence(
    request: &PreparedRequest,
    target: &Target,
    failure: &Failure,
    unanswered: Health,
) -> Consequence {
    let consequence = retry_policy::consequence(failure, unanswered);
    let is_long_answer =
        failure.class == ErrorClass::Unaffordable && request.max_output_tokens.is_some();
    let is_callers_own = is_long_answer || request.chat.is_some() || target.has_callers_fields;
    let says_nothing = is_callers_own && consequence.is_doubtful;
    Consequence {
        outage: consequence.outage.filter(|_| !says_nothing),
        is_callers_own,
        ..consequence
    }
}

/// Returns a hash that tells inputs apart.
fn input_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Returns the report of a failed call.
pub(super) fn failure_report(
    consequence: Consequence,
    text: &str,
    failure: &Failure,
) -> CallReport {
    let spent = if consequence.may_be_charged {
        UsageReport::Unknown
    } else {
        UsageReport::Nothing
    };
    CallReport {
        is_overload: consequence.is_crowded,
        spent,
        pause: key_pause(consequence.action, failure),
        pauses_key: failure.limits_key,
        outage: consequence.outage.map(|reason| OutageReport {
            reason,
            detail: failure.detail.as_str().into(),
            input: run_off_worker(text.len() >= LONG_TEXT_BYTES, || input_hash(text)),
            is_doubtful: consequence.is_doubtful,
        }),
        is_callers_own: consequence.is_callers_own,
        remaining: failure.remaining_quota,
        ..CallReport::new(consequence.health)
    }
}

/// Returns the pause of the API key after a failed call: when the provider asks for one, and after every 429, so that other
/// items do not call at once although this one gives up.
fn key_pause(action: Action, failure: &Failure) -> Option<Pause> {
    match action {
        Action::Pause(retry_after) => Some(pause(retry_after)),
        Action::Fail(_) if failure.status() == Some(429) => Some(pause(failure.retry_after)),
        Action::Fail(_) | Action::Wait | Action::Again | Action::OtherKey(_) | Action::Retry => {
            None
        }
    }
}

/// Returns the pause for a `retry-after`. Zero, or a date in the past, says no more than the status.
fn pause(retry_after: Option<Duration>) -> Pause {
    retry_after
        .filter(|wait| !wait.is_zero())
        .map_or(Pause::Unspecified, |wait| {
            Pause::Until(Instant::now() + wait)
        })
}
