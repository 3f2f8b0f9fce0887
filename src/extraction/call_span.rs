//! Span of a call to a provider, as OpenTelemetry's conventions for generative AI have it.
//! <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md> (November 2026)

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::traced_texts::{Message, truncated};
use crate::net::Url;
use crate::provider::{Answer, Failure, Finish, GenAiNames, Provider, Request};
use crate::telemetry::{ActiveSpan, Attribute, SpanRole, SpanStart, strings};
use crate::types::Usage;

/// Call that begins.
pub struct CallStart<'a> {
    pub provider: &'a dyn Provider,
    pub request: &'a Request<'a>,
    /// True if a chat completion is passed through, whose settings are the caller's own.
    pub is_chat: bool,
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

impl CallStart<'_> {
    /// Returns the beginning of the span.
    pub fn to_span(&self, at: SystemTime) -> SpanStart {
        let names = self.names();
        // The built-in model is in this process.
        let role = match self.provider.address() {
            Some(_) => SpanRole::Client,
            None => SpanRole::Internal,
        };
        SpanStart {
            name: Cow::Owned(format!("{} {}", names.operation, self.request.model)),
            role,
            at: Some(at),
            attributes: self.attributes(names),
        }
    }

    fn names(&self) -> GenAiNames {
        let names = self.provider.genai_names();
        if self.is_chat {
            // Servers with another API have this one beside it.
            GenAiNames::chat(names.provider)
        } else {
            names
        }
    }

    /// Returns what is known of the call when it begins.
    fn attributes(&self, names: GenAiNames) -> Vec<Attribute> {
        let request = self.request;
        let mut attributes = vec![
            Attribute::new("gen_ai.operation.name", names.operation),
            Attribute::new("gen_ai.provider.name", names.provider),
            Attribute::new("gen_ai.request.model", request.model.to_owned()),
        ];
        if self.is_streamed {
            attributes.push(Attribute::new("gen_ai.request.stream", true));
        }
        if !self.is_chat {
            let temperature = request.temperature;
            attributes.push(Attribute::new("gen_ai.output.type", "json"));
            attributes.push(Attribute::new("gen_ai.request.temperature", temperature));
            let tokens = request.max_output_tokens.map(i64::from);
            let numbers = [
                ("gen_ai.request.max_tokens", tokens),
                ("gen_ai.request.seed", request.seed),
            ];
            let set = numbers
                .into_iter()
                .filter_map(|(key, number)| Some(Attribute::new(key, number?)));
            attributes.extend(set);
        }
        attributes.extend(server_attributes(self.provider));
        attributes
    }
}

impl CallEnd<'_> {
    /// Adds the result to the span.
    pub fn add_to(&self, span: &mut ActiveSpan, prompt: &[Message], captures_content: bool) {
        match self.result {
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
        if let Some(usage) = self.usage {
            add_usage(span, usage);
        }
    }
}

/// Returns host and port of a provider; nothing for the built-in model.
fn server_attributes(provider: &dyn Provider) -> Vec<Attribute> {
    let url = provider.address().and_then(|url| Url::parse(&url).ok());
    let Some(url) = url else {
        return Vec::new();
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = i64::from(url.port_or_known_default().unwrap_or_default());
    vec![
        Attribute::new("server.address", host),
        Attribute::new("server.port", port),
    ]
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
    failure.status().map_or_else(
        || Cow::Borrowed(failure.kind.name()),
        |status| Cow::Owned(status.to_string()),
    )
}
