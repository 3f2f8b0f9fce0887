//! Outcome of an item: its result, or the error, with its timing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use throttle::{MemoryReservation, PooledMemory};

use super::error::{Error, FieldError};
use super::evidence::{EvidenceCounts, LeafEvidence};
use super::json_size::written_size;
use super::metadata::SentMetadata;
use super::shared_value::SharedValue;
use super::trace::{Span, Trace};
use super::usage::{ModelUsage, Usage};

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
    pub data: SharedValue,
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
    pub candidate: SharedValue,
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
#[derive(Debug)]
pub struct Outcome {
    /// Position of the input, from 0.
    pub index: usize,
    /// Identifier given by the caller.
    pub id: Option<String>,
    /// Strings given by the caller.
    pub metadata: Option<SentMetadata>,
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
    /// Evidence of each value of the data or the candidate; `None` without one, or unless the request asked for it.
    pub evidence: Option<Box<[LeafEvidence]>>,
    /// Memory of what it has beside its data, and of its text if that was reserved with it; `None`: too little to be counted.
    pub memory: Option<PooledMemory>,
}

impl Outcome {
    /// Creates the outcome of a cancelled item that used no tokens.
    #[must_use]
    pub const fn cancelled(
        index: usize,
        id: Option<String>,
        metadata: Option<SentMetadata>,
    ) -> Self {
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
            evidence: None,
            memory: None,
        }
    }

    /// Returns the memory that it takes beside its data, in bytes: of its id and metadata, of evidence, of the trace, and of an invalid answer's text.
    #[must_use]
    pub fn bytes_beside_data(&self) -> usize {
        let evidence = self.evidence.as_deref().unwrap_or_default().iter();
        let of_leaf = |leaf: &LeafEvidence| {
            size_of_val(leaf)
                + leaf.pointer.capacity()
                + leaf.text.capacity()
                + size_of_val(leaf.spans.as_slice())
        };
        let spans = self.trace.iter().flat_map(|trace| &trace.spans);
        let of_span = |span: &Span| {
            let texts = [&span.detail, &span.prompt, &span.answer];
            size_of_val(span)
                + texts
                    .into_iter()
                    .flatten()
                    .map(String::capacity)
                    .sum::<usize>()
        };
        let raw = match &self.ending {
            ItemOutcome::Failed(error) => {
                error.attempted.as_ref().and_then(|info| info.raw.as_ref())
            }
            _ => None,
        };
        let metadata = self.metadata.as_ref().map(|metadata| metadata.json().len());
        self.id.as_ref().map_or(0, String::capacity)
            + metadata.unwrap_or_default()
            + evidence.map(of_leaf).sum::<usize>()
            + spans.map(of_span).sum::<usize>()
            + raw.map_or(0, String::capacity)
    }

    /// Takes its memory if that was reserved before it was made, for the response that is made of it.
    pub fn take_reservation(&mut self) -> Option<MemoryReservation> {
        match self.memory.take()?.into_reservation() {
            Ok(reservation) => Some(reservation),
            Err(recorded) => {
                self.memory = Some(recorded);
                None
            }
        }
    }

    /// Returns its size as JSON, in bytes, approximately; `None` if that is more than `max`.
    #[must_use]
    pub fn written_size(&self, max: usize) -> Option<usize> {
        let value = match &self.ending {
            ItemOutcome::Succeeded(success) => Some(&success.data),
            ItemOutcome::Invalid(invalid) => Some(&invalid.candidate),
            ItemOutcome::Failed(error) => error.candidate(),
            ItemOutcome::Cancelled => None,
        };
        let beside = self.bytes_beside_data();
        let left = max.checked_sub(beside)?;
        let data = value.map_or(Some(0), |value| written_size(&**value, left));
        data.map(|data| beside + data)
    }

    /// Returns the number of values of extracted data by status of their evidence; `None` without data or evidence. Those of a
    /// candidate do not count.
    #[must_use]
    pub fn evidence_counts(&self) -> Option<EvidenceCounts> {
        let is_success = matches!(self.ending, ItemOutcome::Succeeded(_));
        let evidence = self.evidence.as_deref().filter(|_| is_success)?;
        Some(EvidenceCounts::count(evidence))
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
    /// Values by status of their evidence; `None` unless the request asked for it.
    pub grounding: Option<EvidenceCounts>,
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
        if let Some(counts) = outcome.evidence_counts() {
            *self.grounding.get_or_insert_default() += counts;
        }
    }

    /// Returns the number of ended items.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.succeeded + self.failed + self.invalid + self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_counts_as_memory_beside_the_data() {
        let metadata = format!(r#"{{"a":"{}"}}"#, "x".repeat(60_000));
        let with = |metadata: Option<&String>| {
            let metadata = metadata.map(|json| SentMetadata::from_stored(json.clone()).unwrap());
            Outcome::cancelled(0, Some("id".to_owned()), metadata).bytes_beside_data()
        };
        assert_eq!(with(Some(&metadata)) - with(None), metadata.len());
        assert!(with(None) >= "id".len());
    }
}
