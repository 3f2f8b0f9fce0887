//! Who answers: one trait, a file for each wire format, and the model built in.
//!
//! A wire format is two pure mappings, our [`Request`] to its JSON and its JSON to our [`Answer`]; transport stands once,
//! in `remote`. Knows nothing of limits, of retries, or of validating.

#[cfg(feature = "local")]
mod llama;
#[cfg(feature = "local")]
mod local;
mod openai;
pub mod prompt;
mod remote;
pub mod subsets;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

#[cfg(feature = "local")]
pub use local::{Local, Options as LocalOptions};
pub use openai::OpenAi;
pub use remote::{Remote, Template, Wire};

use crate::model::{Example, Fault, Forms, MadeUp, Mode, Subset, Usage};

/// One question to a model.
#[derive(Debug, Clone, Copy)]
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
    pub complaint: Option<&'a Complaint>,
    pub temperature: f64,
    pub max_output_tokens: Option<u32>,
    pub seed: Option<i64>,
    /// Where the parts that all items have in common are kept, encoded.
    pub template: &'a Template,
    /// The caller's trace, passed on (W3C Trace Context).
    pub traceparent: Option<&'a str>,
    /// Which of the provider's keys to call with, from 0.
    pub key: usize,
}

/// What a provider has to know of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    pub value: &'a Arc<Value>,
    /// The same as compact JSON.
    pub raw: &'a RawValue,
    /// The form in which each mode takes it.
    pub forms: &'a Forms,
    /// Worked examples for a model that needs some where the caller brings none.
    pub examples: &'a [MadeUp],
}

/// What was wrong with an answer, to ask again.
#[derive(Debug, Clone)]
pub struct Complaint {
    pub answer: String,
    pub faults: Vec<Fault>,
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
    pub left: Left,
}

/// What the provider's headers say is left of its limits for this key. `None`: they do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Stop,
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
    pub left: Left,
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

impl Failure {
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, should_retry: None, left: Left::default() }
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
    fn subset(&self, mode: Mode) -> &'static Subset;

    /// What a person should know before using it.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Why it cannot answer now; `None` when it can.
    fn unready(&self) -> Option<String> {
        None
    }
}
