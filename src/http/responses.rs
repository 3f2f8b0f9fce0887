//! The JSON that replies are made of.

use serde::Serialize;
use serde_json::Value;

use super::guard::millis;
use super::problem::Problem;
use super::response_stream::ResponseContext;
use crate::types::{Counts, FieldError, ItemOutcome, Metadata, ModelUsage, Outcome, Timing, Usage};

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    /// No answer was valid, and `on_failure` is `best`.
    Invalid,
    Failed,
    Cancelled,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    Completed,
    /// A failed item ended it, as `on_error` said.
    Stopped,
}

/// Where the time went, in milliseconds.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Times {
    /// Waiting for a slot, and for the provider's rate limit.
    queued_ms: f64,
    /// In calls to the provider.
    upstream_ms: f64,
    total_ms: f64,
}

impl From<Timing> for Times {
    fn from(timing: Timing) -> Self {
        Self {
            queued_ms: millis(timing.queued),
            upstream_ms: millis(timing.upstream),
            total_ms: millis(timing.total),
        }
    }
}

/// One item's result. Of `data`, `candidate` and `error` there is one, or with `cancelled` none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Result)]
pub struct ItemResult<'a> {
    /// Of a batch's item: its place among the inputs, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Of a batch's item: the id that was sent with it. Of a single: its own, `ext_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    pub status: Status,
    /// Valid against the schema, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    /// With `invalid`: the object that came nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a Value>,
    /// With `invalid`: what is wrong with the candidate, with a JSON Pointer into it.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem<'a>>,
    /// Who answered, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "openai/gpt-4o-mini")]
    model: Option<&'a str>,
    /// How often the model was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Whether it is an equal item's result: from the cache, or of one that was called at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// What was used of each model, where fallbacks are configured.
    #[serde(skip_serializing_if = "<[ModelUsage]>::is_empty")]
    #[schema(required = false)]
    usage_by_model: &'a [ModelUsage],
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<Times>,
    /// What had to be mended before the answer parsed.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    repairs: &'a [String],
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a Metadata>,
}

impl<'a> ItemResult<'a> {
    /// An item of a batch.
    pub fn of_batch(outcome: &'a Outcome, request_id: &'a str) -> Self {
        Self {
            index: Some(outcome.index),
            id: outcome.id.as_deref(),
            ..Self::new(outcome, request_id)
        }
    }

    /// A single under its own id.
    pub fn of_single(outcome: &'a Outcome, about: &'a ResponseContext) -> Self {
        Self {
            id: Some(&about.id),
            metadata: about.metadata.as_ref(),
            ..Self::new(outcome, &about.request_id)
        }
    }

    fn new(outcome: &'a Outcome, request_id: &'a str) -> Self {
        let tried = !matches!(outcome.ending, ItemOutcome::Cancelled);
        let mut result = Self {
            index: None,
            id: None,
            status: Status::Cancelled,
            data: None,
            candidate: None,
            errors: &[],
            error: None,
            model: None,
            attempts: tried.then_some(outcome.attempts),
            cached: None,
            usage: tried.then_some(outcome.usage),
            usage_by_model: &outcome.spent,
            timing: tried.then(|| outcome.timing.into()),
            repairs: &[],
            metadata: outcome.metadata.as_ref(),
        };
        match &outcome.ending {
            ItemOutcome::Succeeded(success) => {
                result.status = Status::Succeeded;
                result.data = Some(&success.data);
                result.model = Some(&success.model);
                result.cached = Some(success.cached);
                result.repairs = &success.repairs;
            }
            ItemOutcome::Invalid(invalid) => {
                result.status = Status::Invalid;
                result.candidate = Some(&invalid.candidate);
                result.errors = &invalid.errors;
                result.model = invalid.model.as_deref();
            }
            ItemOutcome::Failed(error) => {
                result.status = Status::Failed;
                result.error = Some(Problem::new(error, request_id));
            }
            ItemOutcome::Cancelled => {}
        }
        result
    }
}

/// How many items of a batch ended how.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Summary {
    total: usize,
    succeeded: usize,
    failed: usize,
    invalid: usize,
    cancelled: usize,
    usage: Usage,
    elapsed_ms: f64,
}

impl Summary {
    pub fn new(tally: Counts, elapsed: std::time::Duration) -> Self {
        Self::of(tally.ended(), tally, elapsed)
    }

    /// Of more items than have ended.
    pub fn of(total: usize, tally: Counts, elapsed: std::time::Duration) -> Self {
        Self {
            total,
            succeeded: tally.succeeded,
            failed: tally.failed,
            invalid: tally.invalid,
            cancelled: tally.cancelled,
            usage: tally.usage,
            elapsed_ms: millis(elapsed),
        }
    }
}

/// The last event of a batch's stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Done<'a> {
    pub status: BatchStatus,
    #[serde(flatten)]
    pub summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a Metadata>,
}

/// The last line of a batch's NDJSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LastLine<'a> {
    pub status: BatchStatus,
    pub summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a Metadata>,
}

/// An ordered reply; here only for the reference, for it is written piece by piece.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BatchResult<'a> {
    /// `bat_…`
    id: &'a str,
    status: BatchStatus,
    /// `results[i]` belongs to `inputs[i]`.
    results: Vec<ItemResult<'a>>,
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    metadata: Option<&'a Metadata>,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Progress {
    pub total: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub invalid: usize,
    pub cancelled: usize,
    pub in_flight: usize,
    pub queued: usize,
}

/// An object as far as it is known, while it is being written: strings grow, a number appears once it is whole. It is not yet
/// validated.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Partial<'a> {
    pub data: &'a Value,
    /// Which attempt writes it, from 1. Another one begins anew.
    pub attempt: u32,
}

/// An element of a list that is being written: finished, and valid by itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListItem<'a> {
    /// Its place in the list, from 0. One that is told again replaces the one before.
    pub index: usize,
    pub data: &'a Value,
    /// Which attempt writes it, from 1.
    pub attempt: u32,
}

/// The last event of a single's stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SingleDone {
    pub status: Status,
    pub usage: Usage,
    pub timing: Times,
}

/// Appends JSON. Nothing that is written here has keys other than strings, so it cannot fail.
pub fn write(buffer: &mut bytes::BytesMut, value: &impl Serialize) {
    use bytes::BufMut;
    drop(serde_json::to_writer(buffer.writer(), value));
}
