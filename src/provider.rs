//! Who answers: one trait, a file for each wire format, and the model built in.
//!
//! A wire format is pure mappings, our [`Request`] to its JSON and its JSON, whole or in pieces, to our [`Answer`]; transport
//! stands once, in `remote`. Knows nothing of limits, of retries, or of validating.

mod anthropic;
mod capability_cache;
pub mod dialects;
mod error_body;
mod gemini;
mod http_provider;
#[cfg(feature = "local")]
mod llama;
#[cfg(feature = "local")]
mod local_provider;
mod ollama;
mod openai;
mod openai_responses;
pub mod prompt;
mod rate_limit_headers;
mod request_parts;
mod request_template;
mod stream_decoder;
#[cfg(test)]
mod test_fixture;
mod unsupported_feature;
mod wire_format;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

pub use anthropic::Anthropic;
pub use error_body::{ErrorClass, UpstreamErrorBody};
pub use gemini::Gemini;
pub use http_provider::HttpProvider;
#[cfg(feature = "local")]
pub use local_provider::{LocalOptions, LocalProvider};
pub use ollama::Ollama;
pub use openai::{Endpoint, OpenAi};
pub use openai_responses::Responses;
pub use request_template::RequestTemplate;
pub use unsupported_feature::{ErrorPatterns, Unsupported, UnsupportedSet};
pub use wire_format::{DecodeError, PartialAnswer, RequestShape, StreamEnd, WireFormat};

use crate::types::{Dialect, Example, FieldError, LoweredByMode, Mode, SyntheticExample, Usage};

/// Hears the text of an answer piece by piece, while it is written.
pub type TextSink<'a> = &'a (dyn Fn(Mode, &str) + Send + Sync);

/// One question to a model.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The provider's own name of the model.
    pub model: &'a str,
    pub mode: Mode,
    pub schema: Schema<'a>,
    pub instructions: Option<&'a str>,
    pub examples: &'a [Example],
    /// The text to extract from.
    pub input: &'a str,
    /// What was wrong with the last answer, if this is not the first attempt.
    pub complaint: Option<&'a ValidationFeedback>,
    pub temperature: f64,
    pub max_output_tokens: Option<u32>,
    pub seed: Option<i64>,
    /// Where the parts that all items have in common are kept, encoded.
    pub template: &'a RequestTemplate,
    /// The caller's trace, passed on (W3C Trace Context).
    pub traceparent: Option<&'a str>,
    /// Which of the provider's keys to call with, from 0.
    pub key: usize,
    /// Where it is set, the answer is asked for piece by piece. The pieces together are the answer's text; those of a call that
    /// fails are worth nothing.
    pub on_text: Option<TextSink<'a>>,
}

/// What a provider has to know of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    pub value: &'a Arc<Value>,
    /// The same as compact JSON.
    pub raw: &'a RawValue,
    /// The form in which each mode takes it.
    pub forms: &'a LoweredByMode,
    /// Worked examples for a model that needs some where the caller brings none.
    pub examples: &'a [SyntheticExample],
}

/// What was wrong with an answer, to ask again.
#[derive(Debug, Clone)]
pub struct ValidationFeedback {
    pub answer: String,
    pub faults: Vec<FieldError>,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub finish: Finish,
    /// `None`: the provider did not say.
    pub usage: Option<Usage>,
    /// How it was asked for; never `auto`.
    pub mode: Mode,
    pub left: RemainingQuota,
}

/// What the provider's headers say is left of its limits for this key. `None`: they do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemainingQuota {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its answer by itself.
    Stop,
    /// The provider does not say, or in words that are not known.
    Unknown,
    /// It ran into its output limit.
    Length,
    /// It declined, with its own words.
    Refusal(String),
}

/// A call that brought no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    pub kind: FailureKind,
    /// What happened or what the provider said, without secrets.
    pub detail: String,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The provider's own word (`x-should-retry`).
    pub should_retry: Option<bool>,
    pub left: RemainingQuota,
}

/// What kind of failure a call met. What follows from it stands in `extract::retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// DNS, connect or TLS: nothing was sent.
    Connect,
    /// The connection broke, or the answer was none, after the request was sent.
    Broken,
    /// No answer within the time that the call had.
    Timeout,
    /// An HTTP status other than 200.
    Status(u16),
    /// The key's quota is used up for good, whatever the status.
    Exhausted,
    /// The provider does not take this form of the question; the next call will use another.
    Adapted,
    /// The built-in model's own queue is full.
    Busy,
    /// The text is longer than the model takes.
    TooLong,
    /// The provider cannot be used at all, as it is set up.
    Unusable,
}

impl Finish {
    /// The provider stopped the answer, without a word.
    fn filtered() -> Self {
        Self::Refusal("the provider's content filter stopped the answer".to_owned())
    }
}

impl Failure {
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            retry_after: None,
            should_retry: None,
            left: RemainingQuota::default(),
        }
    }

    /// The same as a breach of the answer: what is wrong with it has no status of its own.
    #[must_use]
    fn broken(self) -> Self {
        let kind = if matches!(self.kind, FailureKind::Status(_)) {
            FailureKind::Broken
        } else {
            self.kind
        };
        Self { kind, ..self }
    }

    /// The provider's HTTP status, if it answered with one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.kind {
            FailureKind::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// A future on the heap: what makes a trait with an async method usable as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Someone who answers.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Asks once. Dropping the future stops the call.
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// The modes it has, the best first.
    fn modes(&self) -> &'static [Mode];

    /// What a mode takes of JSON Schema.
    fn subset(&self, mode: Mode) -> &'static Dialect;

    /// What a person should know before using it.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Why it cannot answer now; `None` when it can.
    fn unready(&self) -> Option<String> {
        None
    }
}
