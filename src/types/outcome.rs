//! Outcome of an item: result, token usage, cost and timing.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::error::{Error, FieldError};
use super::spec::Metadata;
use super::trace::Trace;
use throttle::{Price, TokenUsage, Usd};

/// Token usage, summed over all attempts and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Sum of input and output tokens.
    pub total_tokens: u64,
    /// Part of `input_tokens` that the provider read from its prompt cache; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub cached_input_tokens: Option<NonZeroU64>,
    /// Part of `output_tokens` spent on reasoning; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub reasoning_tokens: Option<NonZeroU64>,
    /// Cost in US dollars; absent if the model has no configured price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub cost_usd: Option<Usd>,
}

impl Usage {
    /// Creates usage without details and cost.
    #[must_use]
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        let total_tokens = input_tokens.saturating_add(output_tokens);
        Self {
            input_tokens,
            output_tokens,
            total_tokens,
            cached_input_tokens: None,
            reasoning_tokens: None,
            cost_usd: None,
        }
    }

    /// Returns the tokens that limits and prices count.
    #[must_use]
    pub const fn tokens(self) -> TokenUsage {
        TokenUsage {
            input: self.input_tokens,
            output: self.output_tokens,
        }
    }

    /// Sets the cached input tokens and the reasoning tokens. `None` or 0: unknown.
    #[must_use]
    pub fn with_details(
        self,
        cached_input_tokens: Option<u64>,
        reasoning_tokens: Option<u64>,
    ) -> Self {
        let [cached_input_tokens, reasoning_tokens] =
            [cached_input_tokens, reasoning_tokens].map(|tokens| tokens.and_then(NonZeroU64::new));
        Self {
            cached_input_tokens,
            reasoning_tokens,
            ..self
        }
    }

    /// Sets the cost by the price of the model. `None`: no price.
    #[must_use]
    pub fn with_cost(self, price: Option<Price>) -> Self {
        Self {
            cost_usd: price.map(|price| price.cost(self.tokens())),
            ..self
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(cost), Some(more)) => Some(cost.saturating_add(more)),
            (one, other) => one.or(other),
        };
        let sum = |one: Option<NonZeroU64>, other: Option<NonZeroU64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other.get())),
            (one, other) => one.or(other),
        };
        let cached_input_tokens = sum(self.cached_input_tokens, other.cached_input_tokens);
        let reasoning_tokens = sum(self.reasoning_tokens, other.reasoning_tokens);
        let input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        let output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        *self = Self {
            cached_input_tokens,
            reasoning_tokens,
            cost_usd,
            ..Self::new(input_tokens, output_tokens)
        };
    }
}

/// Token usage of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelUsage {
    /// Model, as `provider/model`.
    #[schema(value_type = String)]
    pub model: Arc<str>,
    #[serde(flatten)]
    pub usage: Usage,
}

impl ModelUsage {
    /// Adds usage to the entry of the model, which is created if absent.
    pub fn add(all: &mut Vec<Self>, model: &Arc<str>, usage: Usage) {
        match all.iter_mut().find(|known| known.model == *model) {
            Some(known) => known.usage += usage,
            None => all.push(Self {
                model: Arc::clone(model),
                usage,
            }),
        }
    }
}

/// Time of an item, by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Time waiting for permits, including after a 429.
    pub queued: Duration,
    /// Time in calls to providers.
    pub upstream: Duration,
    /// Time from start to end.
    pub total: Duration,
    /// Wall-clock time of the end; `None` if the item was not started.
    pub ended_at: Option<SystemTime>,
}

/// Valid answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// Extracted data, valid against the schema and the rules.
    pub data: Value,
    /// Model that answered, as `provider/model`.
    pub model: Arc<str>,
    /// Repairs made to the answer, in words; empty if it was valid as written.
    pub repairs: Vec<String>,
    /// True if the result comes from the cache or from an equal item in flight.
    pub cached: bool,
}

/// Invalid answer with the fewest errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    /// Data of the answer.
    pub candidate: Value,
    /// Validation errors of the candidate.
    pub errors: Vec<FieldError>,
    /// Model that wrote the candidate, as `provider/model`.
    pub model: Option<Arc<str>>,
}

/// Final state of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemOutcome {
    /// The item has valid data.
    Succeeded(Success),
    /// No answer was valid, and the request has `on_failure: "best"`.
    Invalid(Invalid),
    /// The item failed.
    Failed(Error),
    /// The item was not started, or was stopped before it ended.
    Cancelled,
}

/// Result of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Position of the input, from 0.
    pub index: usize,
    /// Identifier given by the caller.
    pub id: Option<String>,
    /// Strings given by the caller.
    pub metadata: Option<Metadata>,
    /// Final state.
    pub ending: ItemOutcome,
    /// Number of attempts.
    pub attempts: u32,
    /// Token usage of all models.
    pub usage: Usage,
    /// Token usage by model, if the route has more than one.
    pub spent: Vec<ModelUsage>,
    /// Time by phase.
    pub timing: Timing,
    /// Phases in detail; `None` unless the request asked for them.
    pub trace: Option<Box<Trace>>,
}

impl Outcome {
    /// Creates the outcome of a cancelled item that used no tokens.
    #[must_use]
    pub const fn cancelled(index: usize, id: Option<String>, metadata: Option<Metadata>) -> Self {
        Self {
            index,
            id,
            metadata,
            ending: ItemOutcome::Cancelled,
            attempts: 0,
            usage: Usage::new(0, 0),
            spent: Vec::new(),
            timing: Timing {
                queued: Duration::ZERO,
                upstream: Duration::ZERO,
                total: Duration::ZERO,
                ended_at: None,
            },
            trace: None,
        }
    }
}

/// Number of items by final state, and their total usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub succeeded: usize,
    pub failed: usize,
    pub invalid: usize,
    pub cancelled: usize,
    pub usage: Usage,
}

impl Counts {
    /// Adds an outcome.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.ending {
            ItemOutcome::Succeeded(_) => self.succeeded += 1,
            ItemOutcome::Invalid(_) => self.invalid += 1,
            ItemOutcome::Failed(_) => self.failed += 1,
            ItemOutcome::Cancelled => self.cancelled += 1,
        }
        self.usage += outcome.usage;
    }

    /// Returns the number of ended items.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.succeeded + self.failed + self.invalid + self.cancelled
    }
}
