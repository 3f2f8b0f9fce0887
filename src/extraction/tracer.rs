//! Tracer of one item: records its waits, calls and validations for requests with `trace`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::validate_answer::Verdict;
use crate::provider::prompt::{self, PromptSchema};
use crate::provider::{Answer, Request};
use crate::types::{Mode, Span, SpanKind, Trace, Usage, clock};
use throttle::Model;

/// Maximum length of a prompt or an answer in a trace, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Shortest wait that is recorded.
const MIN_WAIT: Duration = Duration::from_micros(100);
/// Maximum number of spans of one item.
const MAX_SPANS: usize = 200;

/// Records the spans of one item.
#[derive(Debug)]
pub struct Tracer {
    started: Instant,
    trace: Trace,
}

impl Tracer {
    /// Starts a trace.
    pub fn start(started: Instant) -> Self {
        let trace = Trace {
            started_at: clock::now(),
            spans: Vec::new(),
        };
        Self { started, trace }
    }

    /// Returns what was recorded.
    pub fn finish(self) -> Trace {
        self.trace
    }

    /// Creates a span from a time until now.
    pub fn span(&self, kind: SpanKind, from: Instant, attempt: u32) -> Span {
        let end = self.started.elapsed();
        Span::new(kind, self.since_start(from), end, attempt)
    }

    /// Appends a span.
    pub fn push(&mut self, span: Span) {
        if self.trace.spans.len() < MAX_SPANS {
            self.trace.spans.push(span);
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
            self.push(Span {
                limit: hold.reason.map(|reason| reason.limit_name(label)),
                ..Span::new(SpanKind::Wait, start, end, attempt)
            });
        }
    }

    /// Records a wait until now for something that is not a limit of the provider.
    pub fn waited_for(&mut self, limit: String, from: Instant, attempt: u32) {
        if from.elapsed() >= MIN_WAIT {
            let span = self.span(SpanKind::Wait, from, attempt);
            self.push(Span {
                limit: Some(limit),
                ..span
            });
        }
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
                span.detail = Some(reason.clone());
                "refused"
            }
        });
        self.push(span);
    }

    fn since_start(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.started)
    }
}

/// Adds the answer of a call to its span.
pub fn add_answer(span: &mut Span, answer: &Answer, usage: Option<Usage>) {
    span.outcome = Some("answered");
    span.answer = Some(truncated(answer.text.clone()));
    span.usage = usage;
}

/// Returns the prompt of a call as text. `mode` is the mode of the call; in those without a schema of their own the prompt has it.
pub fn prompt_text(request: &Request<'_>, mode: Mode) -> String {
    let form = request.schema.forms.for_mode(mode);
    let root = form.map_or(request.schema.raw, |form| &form.raw);
    let shows_schema = matches!(mode, Mode::JsonObject | Mode::Text);
    let schema = PromptSchema {
        schema: shows_schema.then(|| root.get()),
        form: form.map(Arc::as_ref),
    };
    let messages = prompt::messages(request, schema);
    let parts: Vec<_> = messages
        .iter()
        .map(|message| {
            let role = match message.role {
                prompt::Role::System => "system",
                prompt::Role::User => "user",
                prompt::Role::Assistant => "assistant",
            };
            format!("{role}:\n{}", message.content)
        })
        .collect();
    truncated(parts.join("\n\n"))
}

fn truncated(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.push('…');
    }
    text
}
