//! Call that probes an open circuit breaker: it runs with the server's own patience, in a task of its own.
//!
//! The item may end before it, by its own timeout or because its client leaves. The provider's answer counts all the same:
//! otherwise callers with short timeouts would keep a breaker open that no call of theirs lives to close.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::chat::ChatMessages;
use super::failed_call::{consequence, failure_report};
use super::prepared_request::PreparedRequest;
use super::retry_policy::{health_of_timeout, patience};
use crate::provider::{
    Answer, CallMemory, Failure, FailureKind, Request, Trial, ValidationFeedback,
};
use crate::types::TraceContext;
use throttle::{CallReport, Health, MemoryReservation, Permit, UsageReport};

/// Result of a probe, with its permit. A receiver that is gone leaves both to the probe's task.
pub type ProbeResult = (Result<Answer, Failure>, Permit);

/// Call that probes an open circuit breaker.
#[derive(Debug)]
pub struct ProbeCall {
    pub request: Arc<PreparedRequest>,
    /// Index of the target.
    pub target: usize,
    pub texts: ProbeTexts,
    pub trial: Arc<Trial>,
    pub memory: Arc<CallMemory>,
    pub output_limit: Option<u32>,
    /// Context of the call's span; `None`: that of the request.
    pub trace_context: Option<TraceContext>,
    pub permit: Permit,
}

/// Texts of a probe with their memory, for as long as it needs them: the item, which counts its own, may end before.
#[derive(Debug)]
pub struct ProbeTexts {
    input: String,
    feedback: Option<ValidationFeedback>,
    _memory: MemoryReservation,
}

impl ProbeTexts {
    /// Copies the texts of a call. `memory` is empty; `None`: there is no room.
    pub fn copy(
        input: &str,
        feedback: Option<&ValidationFeedback>,
        mut memory: MemoryReservation,
    ) -> Option<Self> {
        let feedback_bytes = feedback.map_or(0, |feedback| feedback.answer.len());
        memory.resize(input.len() + feedback_bytes).ok()?;
        Some(Self {
            input: input.to_owned(),
            feedback: feedback.cloned(),
            _memory: memory,
        })
    }
}

impl ProbeCall {
    /// Makes the call. Its evidence is recorded here if the item has ended.
    pub async fn run(mut self, result: oneshot::Sender<ProbeResult>) {
        let endpoint = &self.request.target(self.target).endpoint;
        let configured = endpoint.call_timeout;
        self.permit.begin();
        let started = Instant::now();
        let called = self.call(patience(configured)).await;
        let took = started.elapsed();
        if let Err((called, permit)) = result.send((called, self.permit)) {
            let report = match &called {
                Ok(answer) => success_report(answer),
                Err(failure) => {
                    let target = self.request.target(self.target);
                    let unanswered = health_of_timeout(took, None, configured);
                    let consequence = consequence(&self.request, target, failure, unanswered);
                    failure_report(consequence, &self.texts.input, failure)
                }
            };
            permit.release(report);
        }
    }

    async fn call(&self, patience: Duration) -> Result<Answer, Failure> {
        let target = self.request.target(self.target);
        let feedback = self.texts.feedback.as_ref();
        let request = Request {
            key: self.permit.key(),
            memory: Some(&*self.memory),
            trace_context: self
                .trace_context
                .as_ref()
                .or(self.request.trace_context.as_ref()),
            ..self.request.provider_request(
                target,
                &self.texts.input,
                feedback,
                &self.trial,
                self.output_limit,
            )
        };
        let answering = target.endpoint.provider.call(&request);
        let answered = tokio::time::timeout(patience, answering).await;
        answered.unwrap_or_else(|_| {
            let detail = format!("no answer within {:.1} s", patience.as_secs_f64());
            Err(Failure::new(FailureKind::Timeout, detail))
        })
    }
}

/// Awaits the answer to a chat completion that probes an open circuit breaker, and ends the probe before it if it takes long: with the
/// first message, because the client may take the others slowly, or after `patience`, because no other call is given more time.
pub async fn answer_to_probe<T>(
    answering: impl Future<Output = T>,
    messages: &ChatMessages,
    permit: &mut Permit,
    patience: Duration,
) -> T {
    let mut answering = pin!(answering);
    tokio::select! {
        biased;
        answer = &mut answering => return answer,
        () = messages.begun() => permit.pass_probe(),
        () = tokio::time::sleep(patience) => permit.yield_probe(),
    }
    answering.await
}

/// Returns the report of a call that was answered.
pub fn success_report(answer: &Answer) -> CallReport {
    CallReport {
        spent: answer.usage.map_or(UsageReport::Unknown, |usage| {
            UsageReport::Tokens(usage.tokens())
        }),
        remaining: answer.remaining_quota,
        ..CallReport::new(Health::Success)
    }
}

#[cfg(test)]
mod tests {
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;

    #[test]
    fn the_texts_of_a_probe_are_counted_until_it_ends() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let copy = |bytes: usize, feedback: Option<&ValidationFeedback>| {
            let memory = ledger.empty(CallerId(1), MemoryUse::Responses);
            ProbeTexts::copy(&"x".repeat(bytes), feedback, memory)
        };
        let feedback = ValidationFeedback {
            answer: "y".repeat(1_000),
            errors: Vec::new(),
        };
        assert!(copy(2 << 20, None).is_none());
        let texts = copy(100_000, Some(&feedback));
        assert!(texts.is_some() && ledger.snapshot().held >= 101_000);
        drop(texts);
        assert_eq!(ledger.snapshot().held, 0);
    }
}
