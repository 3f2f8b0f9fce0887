//! What an item ended with.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::error::{Error, FieldError};
use super::spec::Metadata;
use throttle::{Price, TokenUsage, Usd};

/// Model tokens, added up over every attempt and try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    /// Of `input_tokens`, those that the provider had in a cache of its own; left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub cached_input_tokens: Option<NonZeroU64>,
    /// Of `output_tokens`, those with which the model reasoned; left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub reasoning_tokens: Option<NonZeroU64>,
    /// In US dollars; left out where a model without a price was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub cost_usd: Option<Usd>,
}

impl Usage {
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

    /// With what is known of its parts.
    #[must_use]
    pub fn of_which(self, cached_input_tokens: Option<u64>, reasoning_tokens: Option<u64>) -> Self {
        let [cached_input_tokens, reasoning_tokens] =
            [cached_input_tokens, reasoning_tokens].map(|tokens| tokens.and_then(NonZeroU64::new));
        Self {
            cached_input_tokens,
            reasoning_tokens,
            ..self
        }
    }

    /// With what it costs at a price.
    #[must_use]
    pub fn at(self, price: Option<Price>) -> Self {
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

/// What an item used of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelUsage {
    /// As `provider/model`.
    #[schema(value_type = String)]
    pub model: Arc<str>,
    #[serde(flatten)]
    pub usage: Usage,
}

impl ModelUsage {
    /// Adds what was used to the model's own entry.
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

/// Where an item's time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Waiting for its turn, after a 429 too.
    pub queued: Duration,
    /// In calls to the provider.
    pub upstream: Duration,
    /// From its start to its end.
    pub total: Duration,
}

/// An answer that is valid against the caller's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    pub data: Value,
    /// Which model answered, as `provider/model`.
    pub model: Arc<str>,
    /// What had to be mended before the answer parsed.
    pub repairs: Vec<String>,
    /// It is an equal item's result: from the cache, or of one that was called at the same time.
    pub cached: bool,
}

/// The nearest that an item came to a valid answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    pub candidate: Value,
    /// What is wrong with it.
    pub errors: Vec<FieldError>,
    /// Which model wrote it, as `provider/model`.
    pub model: Option<Arc<str>>,
}

/// How an item ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemOutcome {
    Succeeded(Success),
    /// No answer was valid, and the caller asked for the nearest.
    Invalid(Invalid),
    Failed(Error),
    /// Never tried, or stopped before it was done.
    Cancelled,
}

/// One item's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub index: usize,
    pub id: Option<String>,
    pub metadata: Option<Metadata>,
    pub ending: ItemOutcome,
    /// How often the model was asked.
    pub attempts: u32,
    pub usage: Usage,
    /// The same by model, where the item could ask more than one.
    pub spent: Vec<ModelUsage>,
    pub timing: Timing,
}

impl Outcome {
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
            },
        }
    }
}

/// How many items ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub succeeded: usize,
    pub failed: usize,
    pub invalid: usize,
    pub cancelled: usize,
    pub usage: Usage,
}

impl Counts {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.ending {
            ItemOutcome::Succeeded(_) => self.succeeded += 1,
            ItemOutcome::Invalid(_) => self.invalid += 1,
            ItemOutcome::Failed(_) => self.failed += 1,
            ItemOutcome::Cancelled => self.cancelled += 1,
        }
        self.usage += outcome.usage;
    }

    /// All that ended.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.succeeded + self.failed + self.invalid + self.cancelled
    }
}
