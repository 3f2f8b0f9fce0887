//! What an item ended with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Error;
use super::spec::Metadata;

/// Model tokens, added up over every attempt and try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
}

impl Usage {
    #[must_use]
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, total_tokens: input_tokens.saturating_add(output_tokens) }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = Self::new(
            self.input_tokens.saturating_add(other.input_tokens),
            self.output_tokens.saturating_add(other.output_tokens),
        );
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
    pub model: String,
    /// What had to be mended before the answer parsed.
    pub repairs: Vec<String>,
}

/// How an item ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Succeeded(Success),
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
    pub ending: Ending,
    /// How often the model was asked.
    pub attempts: u32,
    pub usage: Usage,
    pub timing: Timing,
}

impl Outcome {
    #[must_use]
    pub const fn cancelled(index: usize, id: Option<String>, metadata: Option<Metadata>) -> Self {
        Self {
            index,
            id,
            metadata,
            ending: Ending::Cancelled,
            attempts: 0,
            usage: Usage::new(0, 0),
            timing: Timing { queued: Duration::ZERO, upstream: Duration::ZERO, total: Duration::ZERO },
        }
    }
}

/// How many items ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub succeeded: usize,
    pub failed: usize,
    pub cancelled: usize,
    pub usage: Usage,
}

impl Tally {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.ending {
            Ending::Succeeded(_) => self.succeeded += 1,
            Ending::Failed(_) => self.failed += 1,
            Ending::Cancelled => self.cancelled += 1,
        }
        self.usage += outcome.usage;
    }

    /// All that ended.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.succeeded + self.failed + self.cancelled
    }
}
