//! Spans of one item in a trace that is exported: the item, its attempts, and their waits, calls and validations.

use std::borrow::Cow;
use std::time::SystemTime;

use super::call_span::{CallEnd, CallStart};
use super::traced_texts::{Message, truncated};
use crate::telemetry::{ActiveSpan, Attribute, SpanRole, SpanStart, shortened, strings};
use crate::types::{ItemOutcome, Outcome, Span, TraceContext};

/// Maximum number of spans of one item.
pub const MAX_SPANS: usize = 200;

/// Limit of a wait for the result of an equal item. Not a part of an attempt: the item makes none.
pub const SINGLE_FLIGHT: &str = "single_flight";

/// Spans of an item in progress.
#[derive(Debug)]
pub struct ItemSpans {
    item: ActiveSpan,
    /// Waits before the first attempt. They belong to it, or to the item if it shares another's result.
    early: Vec<Wait>,
    /// Attempt in progress, with its number.
    attempt: Option<(u32, ActiveSpan)>,
    /// Call in progress.
    call: Option<ActiveSpan>,
    /// Number of spans that were started.
    count: usize,
    is_finished: bool,
}

/// Wait that ended.
#[derive(Debug)]
struct Wait {
    /// Name of the limit that held the item.
    limit: Cow<'static, str>,
    start: SystemTime,
    end: SystemTime,
}

impl ItemSpans {
    /// Begins the spans of an item; `None` if its trace is not recorded.
    pub fn begin(item: ActiveSpan) -> Option<Self> {
        item.is_recording().then_some(Self {
            item,
            early: Vec::new(),
            attempt: None,
            call: None,
            count: 1,
            is_finished: false,
        })
    }

    /// Returns true if spans have the texts of prompts and answers.
    pub fn captures_content(&self) -> bool {
        self.item.captures_content()
    }

    /// Starts an attempt, unless it is the one in progress, which ends otherwise.
    fn begin_attempt(&mut self, number: u32, start: SystemTime) {
        if self.attempt.as_ref().is_some_and(|(at, _)| *at == number) {
            return;
        }
        self.end_attempt(start);
        let start = self.early.first().map_or(start, |wait| wait.start);
        let attributes = vec![Attribute::new("extractd.attempt", i64::from(number))];
        let span = part(&mut self.count, &self.item, "attempt", start, attributes);
        self.attempt = Some((number, span));
        self.add_early_waits();
    }

    /// Adds the waits before the first attempt to that attempt. If no attempt began, adds them to the item.
    fn add_early_waits(&mut self) {
        for wait in std::mem::take(&mut self.early) {
            self.add_wait(wait);
        }
    }

    /// Adds a wait to the attempt in progress. If no attempt is in progress, adds it to the item.
    fn add_wait(&mut self, wait: Wait) {
        let parent = self.attempt.as_ref().map_or(&self.item, |(_, span)| span);
        let attributes = vec![Attribute::new("extractd.wait.limit", wait.limit)];
        part(&mut self.count, parent, "wait", wait.start, attributes).end_at(wait.end);
    }

    fn end_attempt(&mut self, end: SystemTime) {
        if let Some((_, span)) = self.attempt.take() {
            span.end_at(end);
        }
    }

    /// Records a wait of an attempt. `limit` is what it waited for; `None`: its turn.
    pub fn waited(
        &mut self,
        attempt: u32,
        limit: Option<&str>,
        start: SystemTime,
        end: SystemTime,
    ) {
        let limit = limit.map_or(Cow::Borrowed("turn"), |limit| Cow::Owned(limit.to_owned()));
        let wait = Wait { limit, start, end };
        if self.attempt.is_some() {
            self.begin_attempt(attempt, start);
            self.add_wait(wait);
        } else if self.early.len() < MAX_SPANS {
            self.early.push(wait);
        }
    }

    /// Records a wait for the result of an equal item.
    pub fn waited_for_equal_item(&mut self, start: SystemTime, end: SystemTime) {
        self.add_early_waits();
        self.add_wait(Wait {
            limit: SINGLE_FLIGHT.into(),
            start,
            end,
        });
    }

    /// Starts the span of a call, and returns the context for the provider.
    pub fn call_began(
        &mut self,
        attempt: u32,
        call: &CallStart<'_>,
        start: SystemTime,
    ) -> Option<TraceContext> {
        self.begin_attempt(attempt, start);
        let parent = self.attempt.as_ref().map_or(&self.item, |(_, span)| span);
        if self.count >= MAX_SPANS {
            return self.item.context();
        }
        self.count += 1;
        let span = parent.child(call.to_span(start));
        let context = span.context();
        self.call = Some(span);
        context
    }

    /// Ends the span of the call in progress.
    pub fn call_ended(&mut self, end: &CallEnd<'_>, prompt: &[Message], at: SystemTime) {
        let captures_content = self.captures_content();
        let Some(mut span) = self.call.take() else {
            return;
        };
        end.add_to(&mut span, prompt, captures_content);
        span.end_at(at);
    }

    /// Records a validation. Its messages may quote the answer, and are therefore texts.
    pub fn validated(&mut self, validation: &Span, start: SystemTime, end: SystemTime) {
        let captures_content = self.captures_content();
        self.begin_attempt(validation.attempt, start);
        let outcome = validation.outcome.unwrap_or_default();
        let attributes = vec![Attribute::new("extractd.validation.outcome", outcome)];
        let Some((_, attempt)) = &mut self.attempt else {
            return;
        };
        let mut span = part(&mut self.count, attempt, "validate", start, attributes);
        if !validation.errors.is_empty() {
            let count = i64::try_from(validation.errors.len()).unwrap_or(i64::MAX);
            span.set("extractd.validation.error_count", count);
        }
        if captures_content {
            let texts: Vec<_> = validation
                .errors
                .iter()
                .map(|error| truncated(&format!("{}: {}", error.pointer, error.message)))
                .chain(validation.detail.as_deref().map(truncated))
                .collect();
            span.set("extractd.validation.messages", strings(texts));
        }
        if !matches!(outcome, "valid" | "repaired") {
            span.fail(outcome, "the answer is not accepted");
            attempt.fail(outcome, "the answer is not accepted");
        }
        span.end_at(end);
    }

    /// Ends all spans of an item that ended.
    pub fn finish(mut self, outcome: &Outcome, end: SystemTime) {
        self.is_finished = true;
        self.add_early_waits();
        self.end_attempt(end);
        let item = &mut self.item;
        item.set("extractd.item.attempts", i64::from(outcome.attempts));
        match &outcome.ending {
            ItemOutcome::Succeeded(success) => {
                item.set("extractd.item.outcome", "succeeded");
                item.set("extractd.item.cached", success.cached);
                item.set("extractd.model", shortened(&success.model).to_owned());
            }
            ItemOutcome::Invalid(_) => item.set("extractd.item.outcome", "invalid"),
            ItemOutcome::Cancelled => item.set("extractd.item.outcome", "cancelled"),
            ItemOutcome::Failed(error) => {
                let code = error.code.as_str();
                item.set("extractd.item.outcome", code);
                item.fail(code, code);
            }
        }
        if let Some(cost) = outcome.usage.cost_usd {
            item.set("extractd.cost_usd", cost.dollars());
        }
        std::mem::take(item).end_at(end);
    }
}

/// Ends the spans of an item that was cancelled, for example because the client left.
impl Drop for ItemSpans {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let reason = if std::thread::panicking() {
            "internal"
        } else {
            "cancelled"
        };
        self.add_early_waits();
        // Parts first: each span ends when it is dropped.
        let attempt = self.attempt.take().map(|(_, attempt)| attempt);
        for mut span in [self.call.take(), attempt].into_iter().flatten() {
            span.fail(reason, reason);
        }
        self.item.set("extractd.item.outcome", reason);
        self.item.fail(reason, reason);
    }
}

/// Starts a part of a span, unless the item has too many.
fn part(
    count: &mut usize,
    parent: &ActiveSpan,
    name: &'static str,
    start: SystemTime,
    attributes: Vec<Attribute>,
) -> ActiveSpan {
    if *count >= MAX_SPANS {
        return ActiveSpan::default();
    }
    *count += 1;
    parent.child(SpanStart {
        name: name.into(),
        role: SpanRole::Internal,
        at: Some(start),
        attributes,
    })
}
