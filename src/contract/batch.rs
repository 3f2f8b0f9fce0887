//! Batches: the ordered response, and the summary and progress of each kind of stream.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::item::ItemResult;
use super::problem::Problem;
use super::time::millis;
use crate::types::{Counts, EvidenceCounts, FieldError, SentMetadata, Usage};

/// Outcome of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    Completed,
    /// The batch ended before all items were done; those have the status `cancelled`. The cause is a failed item, because
    /// `on_error` is `stop`, or `error`, if there is one.
    Stopped,
}

/// Number of items per outcome, with the total usage.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Summary {
    total: usize,
    succeeded: usize,
    failed: usize,
    invalid: usize,
    cancelled: usize,
    usage: Usage,
    elapsed_ms: f64,
    /// Values of the succeeded items by status of their evidence. Only for requests with `grounding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    grounding: Option<EvidenceCounts>,
    /// Likely mistakes in the schema, each with a JSON Pointer into it.
    #[serde(skip_serializing_if = "no_warnings")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    warnings: Arc<[FieldError]>,
}

fn no_warnings(warnings: &Arc<[FieldError]>) -> bool {
    warnings.is_empty()
}

impl Summary {
    /// Creates the summary of a batch whose items have all ended.
    #[must_use]
    pub fn new(counts: Counts, elapsed: Duration) -> Self {
        Self::with_total(counts.ended(), counts, elapsed)
    }

    /// Creates the summary of `total` items, of which some may not have ended.
    #[must_use]
    pub fn with_total(total: usize, counts: Counts, elapsed: Duration) -> Self {
        Self {
            total,
            succeeded: counts.succeeded,
            failed: counts.failed,
            invalid: counts.invalid,
            cancelled: counts.cancelled,
            usage: counts.usage,
            elapsed_ms: millis(elapsed),
            grounding: counts.grounding,
            warnings: Arc::from([]),
        }
    }

    /// Adds the likely mistakes in the schema.
    #[must_use]
    pub fn with_warnings(self, warnings: Arc<[FieldError]>) -> Self {
        Self { warnings, ..self }
    }
}

/// Data of the `done` event, the last one of a batch's event stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SseDone<'a> {
    pub status: BatchStatus,
    #[serde(flatten)]
    pub summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a SentMetadata>,
}

/// Last line of a batch's NDJSON response.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NdjsonSummary<'a> {
    pub status: BatchStatus,
    pub summary: Summary,
    /// Problem that ended the batch early: `shutting_down`, or an upload that did not arrive in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<&'a SentMetadata>,
}

// The ordered writer writes this object piece by piece; the type exists for the OpenAPI document.
/// Response body of an ordered batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BatchResult<'a> {
    /// Generated ID, `bat_…`.
    id: &'a str,
    status: BatchStatus,
    /// Results in input order: `results[i]` belongs to `inputs[i]`.
    results: Vec<ItemResult<'a>>,
    summary: Summary,
    /// Problem that ended the batch early: `shutting_down`, or an upload that did not arrive in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem<'a>>,
    /// Metadata sent with the batch, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    metadata: Option<&'a SentMetadata>,
}

/// Number of items per state while a batch runs.
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
