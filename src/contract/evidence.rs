//! Evidence in the OpenAPI document. Results serialize the type of the crate `evidence` itself.

use serde::Serialize;

/// Relation of a value to the text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EvidenceStatus)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `types::EvidenceStatus`")]
pub enum EvidenceStatus {
    /// The value stands in the text, character by character.
    Exact,
    /// The text states the value in another form.
    Normalized,
    /// The text has most of the words of the value, in order.
    Fuzzy,
    /// The value is a choice that the text need not name: a boolean, an enum, a constant.
    Derived,
    /// The text does not state the value.
    Absent,
}

/// Part of the text, from `start` up to, but not including, `end`. Counted in Unicode code points unless `offset_unit` names another
/// unit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EvidenceSpan)]
pub struct EvidenceSpan {
    start: usize,
    end: usize,
}

/// Place of a value of the result in the text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Evidence {
    /// JSON Pointer of the value within `data`, or within `candidate`.
    #[schema(example = "/people/0/name")]
    pointer: String,
    status: EvidenceStatus,
    /// Places in the text that state the value, in order: none, one, or a date and its time.
    spans: Vec<EvidenceSpan>,
    /// Text of the spans, joined by " … "; empty without a span.
    text: String,
    /// True if the value is absent from the text and stands in one of the few-shot examples of the request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    from_example: bool,
}
