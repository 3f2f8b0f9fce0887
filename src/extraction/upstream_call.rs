//! Upstream call: acquires a permit, calls the provider within the item's time, and retries as the retry policy says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::item::ItemRun;
use super::retry_policy::{self, Action, Consequence};
use super::routing::{failure_detail, upstream_error};
use super::tracer::{add_answer, prompt_text};
use crate::provider::{
    Answer, Failure, FailureKind, Request, Schema, TextSink, ValidationFeedback,
};
use crate::types::{Code, Error, ModelUsage, SpanKind};
use throttle::{CallReport, Health, Pause, Permit, Priority, RemainingQuota, UsageReport, backoff};

/// Result of one call.
enum CallOutcome {
    Answered(Answer),
    Failed(Failure),
    /// The item's own time ran out.
    OutOfTime,
}

impl ItemRun<'_> {
    /// Calls until a provider answers. `first_permit` is for the first call, if it was acquired already.
    pub async fn call(
        &mut self,
        text: &str,
        feedback: Option<&ValidationFeedback>,
        mut first_permit: Option<Permit>,
    ) -> Result<Answer, Error> {
        let mut priority = Priority::First;
        loop {
            let mut permit = match first_permit.take() {
                Some(permit) => permit,
                None => self.acquire(text, priority).await?,
            };
            priority = Priority::Requeued;
            let (outcome, took) = self.call_once(&mut permit, text, feedback).await;
            match outcome {
                CallOutcome::Answered(answer) => {
                    permit.release(self.success_report(&answer));
                    return Ok(answer);
                }
                CallOutcome::OutOfTime => {
                    let health = Health::Timeout { took, is_own: true };
                    permit.release(CallReport {
                        is_overload: true,
                        spent: UsageReport::Unknown,
                        ..CallReport::new(health)
                    });
                    return Err(self.out_of_time(""));
                }
                CallOutcome::Failed(failure) => self.handle_failure(permit, failure, took).await?,
            }
        }
    }

    /// Makes one call within its timeout. Returns its outcome and how long it took.
    async fn call_once(
        &mut self,
        permit: &mut Permit,
        text: &str,
        feedback: Option<&ValidationFeedback>,
    ) -> (CallOutcome, Duration) {
        let (request, target) = (self.request, self.route.current());
        let partials = request.partials.get();
        let on_text = |mode, text: &str| {
            if let Some(partials) = partials {
                partials.push(mode, text);
            }
        };
        if let Some(partials) = partials {
            partials.begin(self.attempts, &target.lowered);
        }
        let call = Request {
            key: permit.key(),
            on_text: partials.map(|_| &on_text as TextSink<'_>),
            ..self.provider_request(text, feedback)
        };
        permit.begin();
        self.route.record_call();
        let timeout = self.call_timeout();
        let started = Instant::now();
        let result = tokio::time::timeout(timeout, target.endpoint.provider.call(&call)).await;
        let took = started.elapsed();
        self.timing.upstream += took;
        self.time_left = self.time_left.saturating_sub(took);
        let outcome = match result {
            Ok(Ok(answer)) => {
                request.stragglers.record_latency(took);
                CallOutcome::Answered(answer)
            }
            Ok(Err(failure)) => CallOutcome::Failed(failure),
            Err(_) if self.time_left.is_zero() => CallOutcome::OutOfTime,
            Err(_) => {
                self.stalls += 1;
                let detail = format!("no answer within {:.1} s", timeout.as_secs_f64());
                CallOutcome::Failed(Failure::new(FailureKind::Timeout, detail))
            }
        };
        self.trace_call(&outcome, started, text, feedback);
        (outcome, took)
    }

    /// Records a call that ended, if the request asked for a trace.
    fn trace_call(
        &mut self,
        outcome: &CallOutcome,
        started: Instant,
        text: &str,
        feedback: Option<&ValidationFeedback>,
    ) {
        let Some(tracer) = &self.tracer else { return };
        let target = self.route.current();
        let mut span = tracer.span(SpanKind::Call, started, self.attempts);
        let mut mode = target.mode;
        match outcome {
            CallOutcome::Answered(answer) => {
                mode = answer.mode;
                let price = target.endpoint.price;
                add_answer(
                    &mut span,
                    answer,
                    answer.usage.map(|usage| usage.with_cost(price)),
                );
            }
            CallOutcome::Failed(failure) => {
                span.outcome = Some("failed");
                span.detail = Some(failure.to_string());
            }
            CallOutcome::OutOfTime => span.outcome = Some("timeout"),
        }
        span.model = Some(Arc::clone(&target.label));
        span.prompt = Some(prompt_text(&self.provider_request(text, feedback), mode));
        if let Some(tracer) = &mut self.tracer {
            tracer.push(span);
        }
    }

    /// Returns the parts of the provider's request that need no permit.
    fn provider_request<'r>(
        &self,
        text: &'r str,
        feedback: Option<&'r ValidationFeedback>,
    ) -> Request<'r>
    where
        Self: 'r,
    {
        let (request, target) = (self.request, self.route.current());
        Request {
            model: &target.endpoint.model,
            mode: target.mode,
            schema: Schema {
                value: request.schema.value(),
                raw: request.schema.raw(),
                forms: &target.forms,
                examples: request.schema.examples(),
            },
            instructions: request.instructions.as_deref(),
            examples: &request.examples,
            input: text,
            feedback,
            temperature: request.temperature,
            max_output_tokens: self.output_limit,
            seed: request.seed,
            template: &target.template,
            traceparent: request.traceparent.as_deref(),
            key: 0,
            on_text: None,
        }
    }

    /// Returns the timeout of the next call: the minimum of the configured timeout, half of the remaining time if a fallback
    /// exists, and (except for the last call) the straggler limit.
    fn call_timeout(&self) -> Duration {
        let configured = self.route.current().endpoint.call_timeout;
        let share = if self.route.has_fallback() {
            self.time_left / 2
        } else {
            self.time_left
        };
        let is_last = self.route.is_last_call(self.request.max_calls);
        let straggler_limit = self
            .request
            .stragglers
            .straggler_limit(self.stalls)
            .filter(|_| !is_last);
        [configured, straggler_limit]
            .into_iter()
            .flatten()
            .fold(share, Duration::min)
    }

    fn success_report(&mut self, answer: &Answer) -> CallReport {
        self.route.record_success();
        let target = self.route.current();
        let spent = match answer.usage {
            None => UsageReport::Unknown,
            Some(tokens) => {
                let usage = tokens.with_cost(target.endpoint.price);
                self.usage += usage;
                if !self.request.fallback.is_empty() {
                    ModelUsage::add(&mut self.usage_by_model, &target.label, usage);
                }
                UsageReport::Tokens(tokens.tokens())
            }
        };
        CallReport {
            spent,
            remaining: answer.remaining_quota,
            ..CallReport::new(Health::Success)
        }
    }

    /// Releases the permit of a failed call, and returns once the next call may be made.
    async fn handle_failure(
        &mut self,
        permit: Permit,
        failure: Failure,
        took: Duration,
    ) -> Result<(), Error> {
        let consequence = retry_policy::consequence(&failure, took);
        let action = consequence.action;
        self.extractor.meters.record_failed_call(action.as_str());
        let key = permit.key();
        // A permit is never held during a backoff.
        permit.release(CallReport {
            pause: key_pause(action, &failure),
            ..failure_report(consequence, failure.remaining_quota)
        });
        match action {
            Action::Again => {}
            Action::Pause(_) => self.route.pause(failure),
            Action::OtherKey(code) => self.route.refuse_key(key, code, failure),
            Action::Retry => self.retry(failure).await?,
            Action::Fail(code) => {
                let provider = &self.route.current().endpoint.provider_name;
                let detail = failure_detail(code, provider, &failure);
                return Err(upstream_error(code, detail, &failure));
            }
        }
        Ok(())
    }

    /// Waits until a failed call may be retried, or switches to another target.
    async fn retry(&mut self, failure: Failure) -> Result<(), Error> {
        let (retry_after, status) = (failure.retry_after, failure.status());
        let was_slow = failure.kind == FailureKind::Timeout;
        let message = failure.to_string();
        let Some(failed) = self
            .route
            .record_failure(failure, was_slow, self.request.max_calls)?
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

    /// Waits until the provider's retry budget allows a retry, or switches to another target. The budget keeps retries from
    /// amplifying an outage. Returns false if the wait would exceed the item's wait budget.
    async fn await_retry_budget(&mut self, failed: u32) -> bool {
        while let Err(wait) = self
            .extractor
            .limits
            .withdraw_retry(self.route.current().endpoint.limits.pool())
        {
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

    fn out_of_time(&self, addition: &str) -> Error {
        let detail = format!(
            "`timeout_ms` ({}) ran out in attempt {}{addition}; allow more time, or send less text at a time",
            self.request.timeout.as_millis(),
            self.attempts,
        );
        Error::new(Code::Timeout, detail)
    }
}

fn failure_report(consequence: Consequence, remaining: RemainingQuota) -> CallReport {
    let spent = if consequence.may_be_charged {
        UsageReport::Unknown
    } else {
        UsageReport::Nothing
    };
    CallReport {
        is_overload: consequence.is_crowded,
        spent,
        is_refused: consequence.is_key_refused,
        remaining,
        ..CallReport::new(consequence.health)
    }
}

/// Returns the pause of the API key after a failed call: when the provider asks for one, and after every 429, so that other
/// items do not call at once although this one gives up.
fn key_pause(action: Action, failure: &Failure) -> Option<Pause> {
    match action {
        Action::Pause(retry_after) => Some(pause(retry_after)),
        Action::Fail(_) if failure.status() == Some(429) => Some(pause(failure.retry_after)),
        Action::Fail(_) | Action::Again | Action::OtherKey(_) | Action::Retry => None,
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
