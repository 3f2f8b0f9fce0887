//! Tracer of one item: records its waits, calls and validations, for requests with `trace` and for the spans of a trace that is
//! exported.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::call_span::{CallEnd, CallResult, CallStart};
use super::item_spans::{ItemSpans, MAX_SPANS, SINGLE_FLIGHT};
use super::traced_texts::{Message, joined, truncated};
use super::validate_answer::Verdict;
use crate::types::{Outcome, Span, SpanKind, Trace, TraceContext};
use throttle::Model;

/// Shortest wait that is recorded.
const MIN_WAIT: Duration = Duration::from_micros(100);

/// Records the phases of one item.
#[derive(Debug)]
pub struct Tracer {
    started: Instant,
    started_at: SystemTime,
    /// Phases for the result; `None`: the request has no `trace`.
    trace: Option<Trace>,
    /// Spans that are exported; `None`: there are none.
    spans: Option<ItemSpans>,
}

impl Tracer {
    /// Starts the record of an item: for the result if `has_trace`, and for the export if there are `spans`. `None`: neither.
    pub fn start(
        (started, started_at): (Instant, SystemTime),
        has_trace: bool,
        spans: Option<ItemSpans>,
    ) -> Option<Self> {
        if !has_trace && spans.is_none() {
            return None;
        }
        let trace = has_trace.then(|| Trace {
            started_at,
            spans: Vec::new(),
        });
        Some(Self {
            started,
            started_at,
            trace,
            spans,
        })
    }

    /// Ends the record. Returns the phases for the result, if the request asked for them.
    pub fn finish(self, outcome: &Outcome) -> Option<Box<Trace>> {
        let end = self.started_at + self.started.elapsed();
        if let Some(spans) = self.spans {
            spans.finish(outcome, end);
        }
        self.trace.map(Box::new)
    }

    /// Returns true if a prompt and an answer are recorded with their texts.
    pub fn needs_texts(&self) -> bool {
        self.trace.is_some() || self.spans.as_ref().is_some_and(ItemSpans::captures_content)
    }

    fn system_time(&self, time: Duration) -> SystemTime {
        self.started_at + time
    }

    /// Creates a span from a time until now.
    fn span(&self, kind: SpanKind, from: Instant, attempt: u32) -> Span {
        let end = self.started.elapsed();
        Span::new(kind, self.since_start(from), end, attempt)
    }

    /// Appends a span to the phases for the result.
    fn push(&mut self, span: Span) {
        if let Some(trace) = &mut self.trace
            && trace.spans.len() < MAX_SPANS
        {
            trace.spans.push(span);
        }
    }

    /// Records a wait for a permit, divided by what held the calls of the model meanwhile.
    pub fn waited(&mut self, model: &Model, label: &str, from: Instant, attempt: u32) {
        let now = Instant::now();
        if now.duration_since(from) < MIN_WAIT {
            return;
        }
        for hold in model.holds_between(from, now) {
            let (start, end) = (self.since_start(hold.from), self.since_start(hold.to));
            self.push_wait(Span {
                limit: hold.reason.map(|reason| reason.limit_name(label)),
                ..Span::new(SpanKind::Wait, start, end, attempt)
            });
        }
    }

    /// Records a wait until now for something that is not a limit of the provider.
    pub fn waited_for(&mut self, limit: String, from: Instant, attempt: u32) {
        if from.elapsed() >= MIN_WAIT {
            let span = self.span(SpanKind::Wait, from, attempt);
            self.push_wait(Span {
                limit: Some(limit),
                ..span
            });
        }
    }

    fn push_wait(&mut self, span: Span) {
        let (start, end) = (self.system_time(span.start), self.system_time(span.end));
        if let Some(spans) = &mut self.spans {
            let attempt = span.attempt;
            match span.limit.as_deref() {
                Some(SINGLE_FLIGHT) => spans.waited_for_equal_item(start, end),
                limit => spans.waited(attempt, limit, start, end),
            }
        }
        self.push(span);
    }

    /// Starts the span of a call. Returns its context, for the provider; `None`: it has none.
    pub fn call_began(&mut self, attempt: u32, call: &CallStart<'_>) -> Option<TraceContext> {
        let now = self.system_time(self.started.elapsed());
        self.spans.as_mut()?.call_began(attempt, call, now)
    }

    /// Records a call that ended, and ends its span. `prompt` is empty unless texts are needed.
    pub fn call_ended(
        &mut self,
        started: Instant,
        attempt: u32,
        end: &CallEnd<'_>,
        prompt: &[Message],
    ) {
        let mut span = self.span(SpanKind::Call, started, attempt);
        let at = self.system_time(span.end);
        if let Some(spans) = &mut self.spans {
            spans.call_ended(end, prompt, at);
        }
        if self.trace.is_none() {
            return;
        }
        match end.result {
            CallResult::Answered(answer) => {
                span.outcome = Some("answered");
                span.answer = Some(truncated(&answer.text));
                span.usage = end.usage;
            }
            CallResult::Failed(failure) => {
                span.outcome = Some("failed");
                span.detail = Some(failure.to_string());
            }
            CallResult::OutOfTime => span.outcome = Some("timeout"),
        }
        span.model = Some(Arc::clone(end.label));
        span.prompt = Some(joined(prompt));
        self.push(span);
    }

    /// Records the validation of an answer.
    pub fn validated(&mut self, verdict: &Verdict, from: Instant, attempt: u32) {
        let mut span = self.span(SpanKind::Validate, from, attempt);
        span.outcome = Some(match verdict {
            Verdict::Accepted { repairs, .. } if repairs.is_empty() => "valid",
            Verdict::Accepted { .. } => "repaired",
            Verdict::Invalid { errors, .. } => {
                span.errors.clone_from(errors);
                "invalid"
            }
            Verdict::Truncated => "truncated",
            Verdict::Refusal(reason) => {
                span.detail = Some(truncated(reason));
                "refused"
            }
        });
        let (start, end) = (self.system_time(span.start), self.system_time(span.end));
        if let Some(spans) = &mut self.spans {
            spans.validated(&span, start, end);
        }
        self.push(span);
    }

    fn since_start(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.started)
    }
}
