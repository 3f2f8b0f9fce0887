//! Size of the evidence of a value, estimated before it is made.

use serde_json::Value;

use crate::index::LeafEvidence;
use crate::leaves::MOST_LEVELS;
use crate::place::Place;
use crate::span::Span;

/// Length of the evidence of a leaf as JSON, without its pointer and its text, in bytes: its names, and two spans.
const LEAF_JSON_BYTES: usize = 128;

/// Length of a text that says a number or a date in words, in bytes.
const WORDS_BYTES: usize = 32;

/// Size of evidence, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceSize {
    /// Memory that it takes.
    pub memory: usize,
    /// Length as JSON.
    pub json: usize,
}

impl EvidenceSize {
    /// Estimates the size of the evidence of a value in any text: rather more than it will be.
    #[must_use]
    pub fn estimate(value: &Value) -> Self {
        let mut size = Self::default();
        size.add(value, &mut Place::root(value), 0);
        size
    }

    /// Adds the leaves within a value, as far as they have evidence.
    fn add(&mut self, value: &Value, place: &mut Place, level: usize) {
        if value.is_null() || level > MOST_LEVELS || !place.visit() {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let back = place.enter_member(name);
                    self.add(member, place, level + 1);
                    place.leave(back);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let back = place.enter_element(index);
                    self.add(item, place, level + 1);
                    place.leave(back);
                }
            }
            leaf => {
                // A text that has most of the words of a string has some between them.
                let text = leaf.as_str().map_or(0, |text| text.len() * 2) + WORDS_BYTES;
                let bytes = place.pointer().len() + text;
                self.memory += size_of::<LeafEvidence>() + 2 * size_of::<Span>() + bytes;
                self.json += LEAF_JSON_BYTES + bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Index, Options};

    #[test]
    fn evidence_is_no_larger_than_its_estimate() {
        let text = "Anna Smith, thirty, was born on the 5th of May 2001 at 10:30. She pays 1,234.50 euros for 7 rooms in Old \"Town\".";
        let rooms: Vec<_> = (0..2_000).collect();
        for value in [
            json!({"name": "Anna Smith", "age": 30, "born": "2001-05-05T10:30:00", "none": null}),
            json!({"price": 1234.5, "place": "Old \"Town\"", "a/b~c": ["Anna", {"is": true}]}),
            json!(rooms),
            json!(vec![7; 2_000]),
            json!("pays euros rooms"),
            json!([]),
        ] {
            let evidence = Index::new(text).align(&value, &Options::default());
            let of_leaf = |leaf: &LeafEvidence| {
                size_of_val(leaf)
                    + leaf.pointer.capacity()
                    + leaf.text.capacity()
                    + size_of_val(leaf.spans.as_slice())
            };
            let memory: usize = evidence.iter().map(of_leaf).sum();
            let json = serde_json::to_vec(&evidence).unwrap().len();
            let estimate = EvidenceSize::estimate(&value);
            assert!(
                memory <= estimate.memory && json <= estimate.json + 2,
                "{memory} and {json} bytes; {estimate:?}"
            );
            assert!(estimate.memory <= 4 * memory && estimate.json <= 4 * json);
        }
    }
}
