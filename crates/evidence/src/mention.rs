//! Mention: a place in the text that states a value.

use serde::{Deserialize, Serialize};

/// Relation of a value to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
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

/// Bytes of the text that may be where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub start: u32,
    pub end: u32,
    pub status: Status,
    /// Doubt, in characters of distance: a mention with more doubt is taken if it is that much closer.
    pub penalty: u8,
}

/// Chosen mention of each leaf.
pub(crate) type Chosen = Vec<Option<Mention>>;

impl Mention {
    pub fn new(start: usize, end: usize, status: Status, penalty: u8) -> Option<Self> {
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        (start < end).then_some(Self {
            start,
            end,
            status,
            penalty,
        })
    }

    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end && self != other
    }
}

/// Sorts mentions by place, and keeps the best of those with the same place, and the exact ones of those that overlap.
pub(crate) fn tidy(mentions: &mut Vec<Mention>) {
    mentions.sort_unstable_by_key(|mention| {
        (mention.start, mention.status, mention.penalty, mention.end)
    });
    mentions.dedup_by_key(|mention| mention.start);
    let exact: Vec<Mention> = mentions
        .iter()
        .copied()
        .filter(|mention| mention.status == Status::Exact)
        .collect();
    if exact.is_empty() || exact.len() == mentions.len() {
        return;
    }
    // "10:30" within "at 10:30 am" is the better mention.
    mentions.retain(|mention| {
        let next = exact.partition_point(|exact| exact.end <= mention.start);
        let is_overlapped = exact
            .get(next)
            .is_some_and(|exact| exact.start < mention.end);
        mention.status == Status::Exact || !is_overlapped
    });
}
