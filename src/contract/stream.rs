//! Events of a streamed single extraction: partial object, finished list element, end.

use serde::Serialize;
use serde_json::Value;

use super::evidence::Evidence;
use super::item::{Status, Times};
use crate::types::{LeafEvidence, Usage};

/// Known part of an object that the model is still writing; not yet validated. Strings grow; a number appears once it is complete.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PartialResult<'a> {
    pub data: &'a Value,
    /// One-based number of the attempt that writes the object. A new attempt starts from an empty object.
    pub attempt: u32,
}

/// Finished element of a list that the model is still writing. The element is valid by itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListItem<'a> {
    /// Zero-based position in the list. A later element with the same index replaces this one.
    pub index: usize,
    pub data: &'a Value,
    /// Evidence of each value of the element, with JSON Pointers into it. Only for requests with `grounding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Evidence>>)]
    pub evidence: Option<&'a [LeafEvidence]>,
    /// One-based number of the attempt that writes the list.
    pub attempt: u32,
}

/// Data of the `done` event, the last one of a single extraction's event stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SingleDone {
    pub status: Status,
    pub usage: Usage,
    pub timing: Times,
}
