//! Spans of one item in a trace that is exported: the item, its attempts, and their waits, calls and validations. Calls follow
//! OpenTelemetry's conventions for generative AI.
//! <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md> (November 2026)

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::traced_texts::{Message, truncated};
use crate::net::Url;
use crate::provider::{Answer, Failure, FailureKind, Finish, Provider, Request};
use crate::telemetry::{ActiveSpan, Attribute, SpanRole, SpanStart, strings};
use crate::types::{ItemOutcome, Outcome, Span, TraceContext, Usage};

/// Maximum number of spans of one item.
const MAX_SPANS: usize = 200;

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
    /// What it waited for.
    limit: Cow<'static, str>,
    start: SystemTime,
    end: SystemTime,
}

/// Call that begins.
pub struct CallStart<'a> {
    pub provider: &'a dyn Provider,
    pub request: &'a Request<'a>,
    /// True if the answer is JSON.
    pub is_json: bool,
    pub is_streamed: bool,
}

/// Call that ended.
pub struct CallEnd<'a> {
    /// Model, as `provider/model`.
    pub label: &'a Arc<str>,
    pub result: CallResult<'a>,
    /// Usage with its cost.
    pub usage: Option<Usage>,
}

/// Result of a call.
#[derive(Clone, Copy)]
pub enum CallResult<'a> {
    Answered(&'a Answer),
    Failed(&'a Failure),
    /// The item's own time ran out.
    OutOfTime,
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

    /// Adds the waits before the first attempt to it, or to the item if there is none.
    fn add_early_waits(&mut self) {
        for wait in std::mem::take(&mut self.early) {
            self.add_wait(wait);
        }
    }

    /// Adds a wait to the attempt in progress, or to the item if there is none.
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
            limit: "single_flight".into(),
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
        let genai = call.provider.genai_names();
        // The built-in model is in this process.
        let role = match call.provider.address() {
            Some(_) => SpanRole::Client,
            None => SpanRole::Internal,
        };
        let span = parent.child(SpanStart {
            name: Cow::Owned(format!("{} {}", genai.operation, call.request.model)),
            role,
            at: Some(start),
            attributes: call_attributes(call),
        });
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
        match end.result {
            CallResult::Answered(answer) => {
                let reason = finish_reason(&answer.finish);
                span.set("gen_ai.response.finish_reasons", strings([reason]));
                if captures_content {
                    let output = message("assistant", &answer.text, Some(reason));
                    span.set("gen_ai.output.messages", json!([output]).to_string());
                }
            }
            CallResult::Failed(failure) => {
                // A provider's message may repeat the text.
                let detail = if captures_content {
                    failure.to_string()
                } else {
                    failure_kind(failure).into_owned()
                };
                span.fail(failure_kind(failure), detail);
            }
            CallResult::OutOfTime => span.fail("timeout", "the item's own time ran out"),
        }
        if captures_content {
            let messages = prompt.iter().map(|(role, text)| message(role, text, None));
            let messages = Value::Array(messages.collect());
            span.set("gen_ai.input.messages", messages.to_string());
        }
        if let Some(usage) = end.usage {
            add_usage(&mut span, usage);
        }
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
                item.set("extractd.model", success.model.to_string());
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

/// Returns what is known of a call when it begins.
fn call_attributes(call: &CallStart<'_>) -> Vec<Attribute> {
    let request = call.request;
    let genai = call.provider.genai_names();
    let output = if call.is_json { "json" } else { "text" };
    let mut attributes = vec![
        Attribute::new("gen_ai.operation.name", genai.operation),
        Attribute::new("gen_ai.provider.name", genai.provider),
        Attribute::new("gen_ai.request.model", request.model.to_owned()),
        Attribute::new("gen_ai.output.type", output),
        Attribute::new("gen_ai.request.temperature", request.temperature),
    ];
    if let Some(tokens) = request.max_output_tokens {
        let tokens = i64::from(tokens);
        attributes.push(Attribute::new("gen_ai.request.max_tokens", tokens));
    }
    if let Some(seed) = request.seed {
        attributes.push(Attribute::new("gen_ai.request.seed", seed));
    }
    if call.is_streamed {
        attributes.push(Attribute::new("gen_ai.request.stream", true));
    }
    let url = call
        .provider
        .address()
        .and_then(|url| Url::parse(&url).ok());
    if let Some(host) = url.as_ref().and_then(Url::host_str) {
        attributes.push(Attribute::new("server.address", host.to_owned()));
        let port = url.as_ref().and_then(Url::port_or_known_default);
        let port = i64::from(port.unwrap_or_default());
        attributes.push(Attribute::new("server.port", port));
    }
    attributes
}

fn add_usage(span: &mut ActiveSpan, usage: Usage) {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    span.set("gen_ai.usage.input_tokens", count(usage.input_tokens));
    span.set("gen_ai.usage.output_tokens", count(usage.output_tokens));
    if let Some(tokens) = usage.cached_input_tokens {
        span.set("gen_ai.usage.cache_read.input_tokens", count(tokens.get()));
    }
    if let Some(tokens) = usage.reasoning_tokens {
        span.set("gen_ai.usage.reasoning.output_tokens", count(tokens.get()));
    }
    if let Some(cost) = usage.cost_usd {
        span.set("extractd.cost_usd", cost.dollars());
    }
}

/// Returns a message in the form of the conventions.
fn message(role: &str, text: &str, finish_reason: Option<&str>) -> Value {
    let parts = json!([{"type": "text", "content": truncated(text)}]);
    match finish_reason {
        Some(reason) => json!({"role": role, "parts": parts, "finish_reason": reason}),
        None => json!({"role": role, "parts": parts}),
    }
}

/// Returns the finish reason, as the conventions name it.
const fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Unknown => "unknown",
        Finish::Length => "length",
        Finish::Invalid(_) => "error",
        Finish::Refusal(_) => "content_filter",
    }
}

/// Returns the kind of a failure: the status of the provider, or one of few names.
fn failure_kind(failure: &Failure) -> Cow<'static, str> {
    if let Some(status) = failure.status() {
        return Cow::Owned(status.to_string());
    }
    Cow::Borrowed(match failure.kind {
        FailureKind::Connect => "connect",
        FailureKind::Broken => "broken_response",
        FailureKind::Timeout => "timeout",
        FailureKind::Status(_) => "status",
        FailureKind::Exhausted => "quota_exhausted",
        FailureKind::UnknownModel => "unknown_model",
        FailureKind::Adapted => "unsupported_feature",
        FailureKind::OwnResources | FailureKind::NoMemory => "server_resources",
        FailureKind::Busy => "busy",
        FailureKind::TooLong => "too_long",
        FailureKind::Unusable => "unusable",
    })
}
