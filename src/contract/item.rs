//! Result of one item: a single extraction, or one input of a batch or job.

use serde::Serialize;
use serde_json::Value;

use super::evidence::Evidence;
use super::problem::Problem;
use super::time::{millis, unix_millis};
use crate::types::{
    FieldError, ItemOutcome, LeafEvidence, ModelUsage, Outcome, SentMetadata, Timing, Trace, Usage,
};

/// Outcome of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    /// No answer was valid, and `on_failure` is `best`.
    Invalid,
    Failed,
    Cancelled,
}

/// Time spent on one item, in milliseconds.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Times {
    /// Waiting in the queue and for the provider's rate limit.
    queued_ms: f64,
    /// In calls to the provider.
    upstream_ms: f64,
    total_ms: f64,
    /// Time at which the item ended, in milliseconds since the Unix epoch. Absent if it was not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at_ms: Option<u64>,
}

impl From<Timing> for Times {
    fn from(timing: Timing) -> Self {
        Self {
            queued_ms: millis(timing.queued),
            upstream_ms: millis(timing.upstream),
            total_ms: millis(timing.total),
            ended_at_ms: timing.ended_at.map(unix_millis),
        }
    }
}

/// Result of one item. Has exactly one of `data`, `candidate` and `error`; none of them if `cancelled`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Result)]
pub struct ItemResult<'a> {
    /// Zero-based position among the inputs. Batches and jobs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Batch or job: the ID sent with the input. Single extraction: a generated ID, `ext_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    pub status: Status,
    /// Extracted value. Always valid against the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    /// Best invalid answer. Only with status `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a Value>,
    /// Validation errors of `candidate`, each with a JSON Pointer into it. Only with status `invalid`.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem<'a>>,
    /// Model that produced the answer, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "openai/gpt-4o-mini")]
    model: Option<&'a str>,
    /// Number of attempts: the first call and its validation retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// True if the result was shared with an equal item: read from the cache, or taken from a concurrent call.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Usage per model. Present if fallbacks are configured.
    #[serde(skip_serializing_if = "<[ModelUsage]>::is_empty")]
    #[schema(required = false)]
    usage_by_model: &'a [ModelUsage],
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<Times>,
    /// Corrections made to the answer's text and values before it was valid.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    repairs: &'a [String],
    /// Place in the text of each value of `data`, or of `candidate`, in order. Only for requests with `grounding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Evidence>>)]
    evidence: Option<&'a [LeafEvidence]>,
    /// Waits, calls and validations, in order. Only for requests with `trace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a Trace>,
    /// Metadata sent with the input, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a SentMetadata>,
    /// Likely mistakes in the schema, each with a JSON Pointer into it. Single extractions only; a batch has them in its summary.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    pub warnings: &'a [FieldError],
}

impl<'a> ItemResult<'a> {
    /// Creates the result of a batch's or job's item, with its index and the client's own ID.
    #[must_use]
    pub fn of_batch(outcome: &'a Outcome, request_id: &'a str) -> Self {
        Self {
            index: Some(outcome.index),
            id: outcome.id.as_deref(),
            ..Self::new(outcome, request_id)
        }
    }

    /// Creates the result of a single extraction under a generated ID, with the request's metadata.
    #[must_use]
    pub fn of_single(
        outcome: &'a Outcome,
        id: &'a str,
        request_id: &'a str,
        metadata: Option<&'a SentMetadata>,
    ) -> Self {
        Self {
            id: Some(id),
            metadata,
            ..Self::new(outcome, request_id)
        }
    }

    fn new(outcome: &'a Outcome, request_id: &'a str) -> Self {
        let was_started = !matches!(outcome.ending, ItemOutcome::Cancelled);
        let mut result = Self {
            index: None,
            id: None,
            status: Status::Cancelled,
            data: None,
            candidate: None,
            errors: &[],
            error: None,
            model: None,
            attempts: was_started.then_some(outcome.attempts),
            cached: None,
            usage: was_started.then_some(outcome.usage),
            usage_by_model: &outcome.spent,
            timing: was_started.then(|| outcome.timing.into()),
            repairs: &[],
            evidence: outcome.evidence.as_deref(),
            trace: outcome.trace.as_deref(),
            metadata: outcome.metadata.as_ref(),
            warnings: &[],
        };
        result.set_ending(&outcome.ending, request_id);
        result
    }

    fn set_ending(&mut self, ending: &'a ItemOutcome, request_id: &'a str) {
        match ending {
            ItemOutcome::Succeeded(success) => {
                self.status = Status::Succeeded;
                self.data = Some(&success.data);
                self.model = Some(&success.model);
                self.cached = Some(success.cached);
                self.repairs = &success.repairs;
            }
            ItemOutcome::Invalid(invalid) => {
                self.status = Status::Invalid;
                self.candidate = Some(&invalid.candidate);
                self.errors = &invalid.errors;
                self.model = invalid.model.as_deref();
            }
            ItemOutcome::Failed(error) => {
                self.status = Status::Failed;
                self.error = Some(Problem::new(error, request_id));
            }
            ItemOutcome::Cancelled => {}
        }
    }
}
