//! Upstream call: acquires a permit, calls the provider within the item's time, until one answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::call_span::{CallEnd, CallResult, CallStart};
use super::chat::Chat;
use super::item::ItemRun;
use super::probe_call::{ProbeCall, ProbeTexts, answer_to_probe, success_report};
use super::retry_policy::{health_of_timeout, patience};
use super::traced_texts::{prompt_messages, truncated};
use crate::provider::{Answer, Failure, FailureKind, Request, TextSink, ValidationFeedback};
use crate::types::{Error, ModelUsage, TraceContext};
use throttle::{CallReport, Health, MemoryReservation, MemoryUse, Permit, Priority, UsageReport};

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
            let probe_texts = (permit.is_probe() && self.request.chat.is_none())
                .then(|| ProbeTexts::copy(text, feedback, self.empty_memory()))
                .flatten();
            let (outcome, took, permit) = if let Some(texts) = probe_texts {
                self.probe(permit, texts, text, feedback).await
            } else {
                let (outcome, took) = self.call_once(&mut permit, text, feedback).await;
                (outcome, took, Some(permit))
            };
            match outcome {
                CallOutcome::Answered(answer) => {
                    let report = self.record_success(&answer);
                    if let Some(permit) = permit {
                        self.release(permit, report);
                    }
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
                    if let Some(permit) = permit {
                        permit.release(CallReport {
                            is_overload: health != Health::Neutral,
                            spent: UsageReport::Unknown,
                            ..CallReport::new(health)
                        });
                    }
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
        let context = self.begin_call_span(text, feedback);
        let (trial, memory) = (Arc::clone(&self.trial), Arc::clone(&self.memory));
        let results = self.results;
        let partials = request.partials.get();
        let received = permit.received_text();
        let on_text = |mode, text: &str| {
            received.add(text.len());
            if let Some(partials) = partials {
                partials.push(mode, text);
            }
        };
        if let Some(partials) = partials {
            partials.begin(self.attempts, &target.lowered, text, self.empty_memory());
        }
        let call = Request {
            key: permit.key(),
            on_text: partials.map(|_| &on_text as TextSink<'_>),
            memory: Some(&*memory),
            trace_context: context.as_ref().or(request.trace_context.as_ref()),
            ..request.provider_request(target, text, feedback, &trial, self.output_limit)
        };
        let chat = request.chat.as_deref();
        let sink = chat.map(|chat| chat.sink(results, received.clone()));
        let chat = chat.zip(sink.as_ref());
        let chat = chat.map(|(chat, sink)| chat.request(&call, sink));
        let provider = &target.endpoint.provider;
        permit.begin();
        self.route.record_call();
        let timeout = self.call_timeout();
        let started = Instant::now();
        let answering = match &chat {
            Some(chat) => provider.chat(chat),
            None => provider.call(&call),
        };
        let answering = tokio::time::timeout(timeout, answering);
        let result = match request.chat.as_deref().filter(|_| permit.is_probe()) {
            Some(chat) => {
                let patience = patience(target.endpoint.call_timeout);
                answer_to_probe(answering, chat.messages(), permit, patience).await
            }
            None => answering.await,
        };
        let took = started.elapsed();
        let outcome = self.outcome(result.ok(), took, timeout);
        self.trace_call(&outcome, started, text, feedback);
        (outcome, took)
    }

    /// Returns an empty reservation of the item's caller.
    fn empty_memory(&self) -> MemoryReservation {
        let ledger = self.extractor.limits.memory();
        ledger.empty(self.route.caller(), MemoryUse::Responses)
    }

    /// Makes a call that probes an open circuit breaker, and waits for it within the item's time. Returns no permit if the probe
    /// goes on without the item.
    async fn probe(
        &mut self,
        permit: Permit,
        texts: ProbeTexts,
        text: &str,
        feedback: Option<&ValidationFeedback>,
    ) -> (CallOutcome, Duration, Option<Permit>) {
        let trace_context = self.begin_call_span(text, feedback);
        let probe = ProbeCall {
            request: Arc::clone(self.request),
            target: self.route.current_index(),
            texts,
            trial: Arc::clone(&self.trial),
            memory: Arc::clone(&self.memory),
            output_limit: self.output_limit,
            trace_context,
            permit,
        };
        self.route.record_call();
        let timeout = self.call_timeout();
        let started = Instant::now();
        let (sender, result) = oneshot::channel();
        self.extractor.probes.spawn(probe.run(sender));
        let result = tokio::time::timeout(timeout, result).await.ok();
        let took = started.elapsed();
        let (result, permit) = match result {
            Some(Ok((result, permit))) => (Some(result), Some(permit)),
            Some(Err(_)) => {
                let failure = Failure::new(FailureKind::Broken, "the call panicked");
                (Some(Err(failure)), None)
            }
            None => (None, None),
        };
        let outcome = self.outcome(result, took, timeout);
        self.trace_call(&outcome, started, text, feedback);
        (outcome, took, permit)
    }

    /// Accounts a call that took this long, and returns its outcome. `None`: it was not answered within its timeout.
    fn outcome(
        &mut self,
        result: Option<Result<Answer, Failure>>,
        took: Duration,
        timeout: Duration,
    ) -> CallOutcome {
        self.timing.upstream += took;
        self.time_left = self.time_left.saturating_sub(took);
        match result {
            Some(Ok(answer)) => {
                self.request.stragglers.record_latency(took);
                CallOutcome::Answered(answer)
            }
            Some(Err(failure)) => CallOutcome::Failed(failure),
            None if self.time_left.is_zero() => CallOutcome::OutOfTime,
            None => {
                self.stalls += 1;
                let detail = format!("no answer within {:.1} s", timeout.as_secs_f64());
                CallOutcome::Failed(Failure::new(FailureKind::Timeout, detail))
            }
        }
    }

    /// Starts the span of a call to the current target. Returns its context, for the provider; `None`: it has none.
    fn begin_call_span(
        &mut self,
        text: &str,
        feedback: Option<&ValidationFeedback>,
    ) -> Option<TraceContext> {
        let (request, target) = (self.request, self.route.current());
        let chat = request.chat.as_deref();
        let tracer = self.tracer.as_mut()?;
        let (trial, limit) = (&self.trial, self.output_limit);
        let call = CallStart {
            provider: &*target.endpoint.provider,
            request: &request.provider_request(target, text, feedback, trial, limit),
            is_chat: chat.is_some(),
            is_streamed: chat.map_or(request.partials.get().is_some(), Chat::is_streamed),
        };
        tracer.call_began(self.attempts, &call)
    }

    /// Records a call that ended, if there is a trace.
    fn trace_call(
        &mut self,
        outcome: &CallOutcome,
        started: Instant,
        text: &str,
        feedback: Option<&ValidationFeedback>,
    ) {
        let Some(tracer) = &mut self.tracer else {
            return;
        };
        let (request, target) = (self.request, self.route.current());
        let (mut mode, mut usage) = (target.mode, None);
        let result = match outcome {
            CallOutcome::Answered(answer) => {
                mode = answer.mode;
                let price = target.endpoint.price;
                usage = answer.usage.map(|usage| usage.with_price(price));
                CallResult::Answered(answer)
            }
            CallOutcome::Failed(failure) => CallResult::Failed(failure),
            CallOutcome::OutOfTime => CallResult::OutOfTime,
        };
        let end = CallEnd {
            label: &target.label,
            result,
            usage,
        };
        let prompt = if !tracer.needs_texts() {
            Vec::new()
        } else if request.chat.is_some() {
            vec![("user", truncated(text))]
        } else {
            let (trial, limit) = (&self.trial, self.output_limit);
            let call = request.provider_request(target, text, feedback, trial, limit);
            prompt_messages(&call, mode)
        };
        tracer.call_ended(started, self.attempts, &end, &prompt);
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
        let configured = self.route.current().endpoint.call_timeout;
        health_of_timeout(took, self.silence_within(took), configured)
    }

    /// Returns the time since the last part of the answer to a streamed call that began `took` ago; `None` if nothing has arrived.
    fn silence_within(&self, took: Duration) -> Option<Duration> {
        let silence = match &self.request.chat {
            Some(chat) => chat.messages().silence(),
            None => self.request.partials.get()?.silence(),
        };
        // What arrived before is of an earlier call.
        silence.filter(|silence| *silence < took)
    }

    /// Accounts the usage of a call that was answered, and returns its report.
    fn record_success(&mut self, answer: &Answer) -> CallReport {
        self.route.record_success();
        let target = self.route.current();
        if let Some(tokens) = answer.usage {
            let usage = tokens.with_price(target.endpoint.price);
            self.usage += usage;
            if !self.request.fallback.is_empty() {
                ModelUsage::add(&mut self.usage_by_model, &target.label, usage);
            }
        }
        success_report(answer)
    }
}
