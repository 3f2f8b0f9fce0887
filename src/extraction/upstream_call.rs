//! One answer for an item: a permit, a call, and what the retry table says if that fails.

use std::time::{Duration, Instant};

use super::item::ItemRun;
use super::retry_policy::{self, Action, Consequence};
use super::routing::{failure_detail, upstream_error};
use crate::limits::{
    CallReport, Health, Pause, Permit, Priority, RemainingQuota, UsageReport, backoff,
};
use crate::provider::{
    Answer, Failure, FailureKind, Request, Schema, TextSink, ValidationFeedback,
};
use crate::types::{Code, Error, ModelUsage};

/// What came of one call.
enum CallOutcome {
    Answered(Answer),
    Failed(Failure),
    /// The item's own time has run out.
    OutOfTime,
}

impl ItemRun<'_> {
    pub async fn call(
        &mut self,
        text: &str,
        complaint: Option<&ValidationFeedback>,
    ) -> Result<Answer, Error> {
        let mut turn = Priority::First;
        loop {
            let mut permit = self
                .ways
                .acquire(text, self.room, turn, &mut self.timing.queued)
                .await?;
            turn = Priority::Requeued;
            let (called, took) = self.call_once(&mut permit, text, complaint).await;
            let failure = match called {
                CallOutcome::Answered(answer) => {
                    permit.release(self.success_report(&answer));
                    return Ok(answer);
                }
                CallOutcome::OutOfTime => {
                    let health = Health::Timeout { took, is_own: true };
                    permit.release(CallReport {
                        is_crowded: true,
                        spent: UsageReport::Unknown,
                        ..CallReport::new(health)
                    });
                    return Err(self.out_of_time(""));
                }
                CallOutcome::Failed(failure) => failure,
            };
            let then = retry_policy::consequence(&failure, took);
            self.extractor.meters.tried_in_vain(then.action.as_str());
            let key = permit.key();
            let report = failure_report(then, failure.left);
            match then.action {
                Action::Again => permit.release(report),
                Action::Pause(asked) => {
                    permit.release(CallReport {
                        pause: Some(pause(asked)),
                        ..report
                    });
                    self.ways.pause(failure);
                }
                Action::OtherKey(code) => {
                    permit.release(report);
                    self.ways.refuse_key(key, code, failure);
                }
                Action::Retry => {
                    // Never held during a backoff.
                    permit.release(report);
                    self.retry(failure).await?;
                }
                Action::Fail(code) => {
                    // The item gives up, but the others must not call at once either.
                    let pause = (failure.status() == Some(429)).then(|| pause(failure.retry_after));
                    permit.release(CallReport { pause, ..report });
                    return Err(upstream_error(
                        code,
                        failure_detail(code, &failure),
                        &failure,
                    ));
                }
            }
        }
    }

    /// One call, within the time that it may take.
    async fn call_once(
        &mut self,
        permit: &mut Permit,
        text: &str,
        complaint: Option<&ValidationFeedback>,
    ) -> (CallOutcome, Duration) {
        let (plan, way) = (self.plan, self.ways.current());
        let on_text = |mode, text: &str| {
            if let Some(preview) = &plan.preview {
                preview.push(mode, text);
            }
        };
        if let Some(preview) = &plan.preview {
            preview.begin(self.attempts, &way.lowered);
        }
        let request = Request {
            model: &way.route.model,
            mode: way.mode,
            schema: Schema {
                value: plan.schema.value(),
                raw: plan.schema.raw(),
                forms: &way.forms,
                examples: plan.schema.examples(),
            },
            instructions: plan.instructions.as_deref(),
            examples: &plan.examples,
            input: text,
            complaint,
            temperature: plan.temperature,
            max_output_tokens: self.room,
            seed: plan.seed,
            template: &way.template,
            traceparent: plan.traceparent.as_deref(),
            key: permit.key(),
            on_text: plan.preview.as_deref().map(|_| &on_text as TextSink<'_>),
        };
        permit.begin();
        let limit = self.call_timeout();
        let begun = Instant::now();
        let called = tokio::time::timeout(limit, way.route.provider.call(&request)).await;
        let took = begun.elapsed();
        self.timing.upstream += took;
        self.left = self.left.saturating_sub(took);
        let called = match called {
            Ok(Ok(answer)) => {
                plan.pace.record_latency(took);
                CallOutcome::Answered(answer)
            }
            Ok(Err(failure)) => CallOutcome::Failed(failure),
            Err(_) if self.left.is_zero() => CallOutcome::OutOfTime,
            Err(_) => {
                self.stalls += 1;
                let detail = format!("no answer within {:.1} s", limit.as_secs_f64());
                CallOutcome::Failed(Failure::new(FailureKind::Timeout, detail))
            }
        };
        (called, took)
    }

    /// How long the next call may take: as configured; so that another model still has its chance; and, but for the last try,
    /// until it is clear that it takes much longer than the others of its request.
    fn call_timeout(&self) -> Duration {
        let own = self.ways.current().route.call_timeout;
        let share = if self.ways.has_fallback() {
            self.left / 2
        } else {
            self.left
        };
        let is_last = self.ways.is_last_try(self.plan.max_tries);
        let stalled = self
            .plan
            .pace
            .straggler_limit(self.stalls)
            .filter(|_| !is_last);
        [own, stalled]
            .into_iter()
            .flatten()
            .fold(share, Duration::min)
    }

    fn success_report(&mut self, answer: &Answer) -> CallReport {
        self.ways.record_success();
        let way = self.ways.current();
        let spent = match answer.usage {
            None => UsageReport::Unknown,
            Some(usage) => {
                let used = usage.with_cost(way.route.price);
                self.usage += used;
                if !self.plan.fallback.is_empty() {
                    ModelUsage::add(&mut self.spent, &way.label, used);
                }
                UsageReport::Tokens(usage)
            }
        };
        CallReport {
            spent,
            remaining: remaining(answer.left),
            ..CallReport::new(Health::Success)
        }
    }

    /// Waits until a failed call may be tried again, or turns to another model.
    async fn retry(&mut self, failure: Failure) -> Result<(), Error> {
        let (asked, status) = (failure.retry_after, failure.status());
        let is_slow = failure.kind == FailureKind::Timeout;
        let said = failure.to_string();
        let Some(failed) = self
            .ways
            .record_failure(failure, is_slow, self.plan.max_tries)?
        else {
            return Ok(());
        };
        let delay = backoff::delay(failed, asked, fastrand::f64());
        if delay >= self.left {
            if self.ways.switch_to_fallback(Instant::now() + delay) {
                return Ok(());
            }
            let error = self.out_of_time(&format!("; the last call failed: {said}"));
            return Err(Error {
                upstream_status: status,
                ..error
            });
        }
        self.left -= delay;
        tokio::time::sleep(delay).await;
        // So many may fail that trying all of them again at once would make it worse.
        while let Err(wait) = self
            .extractor
            .limits
            .retry(self.ways.current().route.limits.pool())
        {
            if self.ways.switch_to_fallback(Instant::now() + wait) {
                return Ok(());
            }
            self.extractor.meters.retry_put_off();
            let wait = backoff::delay(failed, Some(wait), fastrand::f64());
            if !self.ways.consume_wait_budget(wait) {
                let detail = format!(
                    "so many calls fail that this one could not be tried again; the last time: {said}"
                );
                return Err(Error {
                    upstream_status: status,
                    ..Error::new(Code::UpstreamError, detail)
                });
            }
            self.timing.queued += wait;
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn out_of_time(&self, more: &str) -> Error {
        let detail = format!(
            "`timeout_ms` ({}) ran out in attempt {}{more}; allow more time, or send less text at a time",
            self.plan.timeout.as_millis(),
            self.attempts,
        );
        Error::new(Code::Timeout, detail)
    }
}

fn failure_report(then: Consequence, left: crate::provider::RemainingQuota) -> CallReport {
    let spent = if then.may_be_charged {
        UsageReport::Unknown
    } else {
        UsageReport::Nothing
    };
    let Consequence {
        health,
        is_crowded,
        is_key_refused: is_refused,
        ..
    } = then;
    CallReport {
        is_crowded,
        spent,
        is_refused,
        remaining: remaining(left),
        ..CallReport::new(health)
    }
}

/// For how long a key is to pause. A wait of nothing, or a date that has passed, says no more than the status.
fn pause(asked: Option<Duration>) -> Pause {
    asked
        .filter(|wait| !wait.is_zero())
        .map_or(Pause::Unsaid, |wait| Pause::Until(Instant::now() + wait))
}

const fn remaining(left: crate::provider::RemainingQuota) -> RemainingQuota {
    RemainingQuota {
        requests: left.requests,
        tokens: left.tokens,
    }
}
