//! Upstream call: acquires a permit, calls the provider within the item's time, until one answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::item::ItemRun;
use super::retry_policy::health_of_timeout;
use super::tracer::{add_answer, prompt_text};
use crate::provider::{Answer, Failure, FailureKind, Request, TextSink, ValidationFeedback};
use crate::types::{Error, ModelUsage, SpanKind};
use throttle::{CallReport, Health, Permit, Priority, UsageReport};

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
            let (outcome, took) = self.call_once(&mut permit, text, feedback).await;
            match outcome {
                CallOutcome::Answered(answer) => {
                    let report = self.success_report(&answer);
                    self.release(permit, report);
                    return Ok(answer);
                }
                CallOutcome::OutOfTime => {
                    let failure = Failure::new(
                        FailureKind::Timeout,
                        format!(
                            "no answer within the rest of the item's time, {:.1} s",
                            took.as_secs_f64()
                        ),
                    );
                    let endpoint = &self.route.current().endpoint;
                    self.extractor.call_log.record(endpoint, &failure, "fail");
                    let health = self.health_of_timeout(took);
                    permit.release(CallReport {
                        is_overload: health != Health::Neutral,
                        spent: UsageReport::Unknown,
                        ..CallReport::new(health)
                    });
                    return Err(self.out_of_time(""));
                }
                CallOutcome::Failed(failure) if self.request.has_sent_messages() => {
                    return Err(self.fail_begun(permit, text, &failure, took));
                }
                CallOutcome::Failed(failure) => {
                    priority = self.handle_failure(permit, text, failure, took).await?;
                }
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
        let trial = Arc::clone(&self.trial);
        let partials = request.partials.get();
        let on_text = |mode, text: &str| {
            if let Some(partials) = partials {
                partials.push(mode, text);
            }
        };
        if let Some(partials) = partials {
            partials.begin(self.attempts, &target.lowered, text);
        }
        let call = Request {
            key: permit.key(),
            on_text: partials.map(|_| &on_text as TextSink<'_>),
            ..request.provider_request(target, text, feedback, &trial, self.output_limit)
        };
        let chat = request.chat.as_deref();
        let on_message = |message: &[u8]| {
            if let Some(chat) = chat {
                chat.messages().push(message);
            }
        };
        let chat = chat.map(|chat| chat.request(&call, text, &on_message));
        let provider = &target.endpoint.provider;
        permit.begin();
        self.route.record_call();
        let timeout = self.call_timeout();
        let started = Instant::now();
        let answering = match &chat {
            Some(chat) => provider.chat(chat),
            None => provider.call(&call),
        };
        let result = tokio::time::timeout(timeout, answering).await;
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
        let request =
            self.request
                .provider_request(target, text, feedback, &self.trial, self.output_limit);
        span.prompt = Some(prompt_text(&request, mode));
        if let Some(tracer) = &mut self.tracer {
            tracer.push(span);
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

    /// Returns the evidence of a call to the current target that was not answered within `took`.
    pub(super) fn health_of_timeout(&self, took: Duration) -> Health {
        health_of_timeout(took, self.route.current().endpoint.call_timeout)
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
}
