//! Grounding of an item: the evidence of its values in its text, and what follows for values that the text does not state.

mod removal;
#[cfg(test)]
mod tests;

use ::evidence::{Examples, Index, LeafKind, Options};
use serde_json::Value;

use self::removal::{Conditions, Remover};
use crate::long_work::{Piece, run_long};
use crate::schema::{Rules, Schema};
use crate::types::{
    EvidenceStatus, Example, FieldError, Grounding, ItemOutcome, LeafEvidence, OffsetUnit, Success,
    count_values, written_size,
};
use throttle::CallerId;

/// Bytes of text and values from which grounding is long work; this many take about half a millisecond.
const INLINE_BYTES: usize = 8 * 1024;
/// Bytes of text that a value costs as much as.
const BYTES_PER_VALUE: usize = 128;
/// Maximum number of values that count as work: as much as a text of a megabyte.
const MAX_COUNTED_VALUES: usize = 8 * 1024;
/// Maximum number of absent values in the errors of an answer.
const MAX_ERRORS: usize = 100;

/// Settings of a request's grounding, and what its items share.
#[derive(Debug)]
pub struct GroundingSettings {
    pub mode: Grounding,
    pub unit: OffsetUnit,
    /// The caller's few-shot examples; empty if the mode is off.
    pub examples: Examples,
}

impl GroundingSettings {
    /// Creates the settings of a request with these few-shot examples.
    pub fn new(mode: Grounding, unit: OffsetUnit, examples: &[Example]) -> Self {
        let examples = if mode.is_on() { examples } else { &[] };
        let examples = examples
            .iter()
            .map(|example| (example.input.0.as_str(), &example.output));
        Self {
            mode,
            unit,
            examples: Examples::new(examples),
        }
    }
}

/// Returns the number of values that are neither objects nor lists; a number above `most` if there are more.
fn count_leaves(value: &Value, most: usize) -> usize {
    let inner: &mut dyn Iterator<Item = &Value> = match value {
        Value::Object(members) => &mut members.values(),
        Value::Array(items) => &mut items.iter(),
        Value::String(text) => return 1 + text.len() / BYTES_PER_VALUE,
        _ => return 1,
    };
    let mut count = 0;
    for value in inner {
        if count > most {
            break;
        }
        count += count_leaves(value, most);
    }
    count
}

/// Text with the schema of its value, to ground values in.
#[derive(Debug, Clone, Copy)]
pub struct Grounder<'a> {
    pub schema: &'a Schema,
    pub rules: &'a Rules,
    pub settings: &'a GroundingSettings,
    pub text: &'a str,
}

impl Grounder<'_> {
    /// Returns the evidence of an item's result. In the mode `drop`, removes absent values from its data first. What takes longer than
    /// about a millisecond is long work of the caller, as by [`run_long`].
    pub async fn ground(
        self,
        ending: &mut ItemOutcome,
        caller: CallerId,
    ) -> Option<Box<[LeafEvidence]>> {
        let value: &Value = match ending {
            ItemOutcome::Succeeded(success) => &success.data,
            ItemOutcome::Invalid(invalid) => &invalid.candidate,
            ItemOutcome::Failed(_) | ItemOutcome::Cancelled => return None,
        };
        let piece = self.piece(value, caller);
        let evidence = run_long(piece, || self.evidence(value)).await;
        let absent = evidence.iter().filter(|leaf| is_absent(leaf)).count();
        let is_dropped = self.settings.mode == Grounding::Drop && absent > 0;
        let ItemOutcome::Succeeded(success) = ending else {
            return Some(evidence);
        };
        if !is_dropped {
            return Some(evidence);
        }
        let removal = self.removal_piece(&success.data, absent, caller);
        let remove = || self.without_absent(success, evidence);
        Some(run_long(removal.or(piece), remove).await)
    }

    /// Returns the piece of long work that the evidence of a value is; `None` if it takes less than about a millisecond.
    fn piece(&self, value: &Value, caller: CallerId) -> Option<Piece> {
        let values = count_leaves(value, MAX_COUNTED_VALUES);
        let bytes = self.text.len() + values * BYTES_PER_VALUE;
        (bytes >= INLINE_BYTES).then_some(Piece { caller, bytes })
    }

    /// Returns the piece of long work that the removal of so many absent values is; `None` if it takes less than about a millisecond.
    fn removal_piece(&self, value: &Value, absent: usize, caller: CallerId) -> Option<Piece> {
        let bytes = written_size(value, usize::MAX).unwrap_or(usize::MAX);
        let bytes = removal::tried_bytes(bytes, absent);
        self.is_slow_to_try(bytes)
            .then_some(Piece { caller, bytes })
    }

    /// Returns the piece of long work that [`element`](Self::element) is; `None` if it takes less than about a millisecond.
    pub fn element_piece(&self, element: &Value, caller: CallerId) -> Option<Piece> {
        let piece = self.piece(element, caller);
        if piece.is_some() || self.settings.mode != Grounding::Drop {
            return piece;
        }
        let values = count_leaves(element, MAX_COUNTED_VALUES);
        self.removal_piece(element, values, caller)
    }

    /// Returns true if [`errors`](Self::errors) may take longer than about a millisecond for an answer with this text.
    pub fn is_slow_for(&self, answer: &str) -> bool {
        let absent = || count_values(answer.as_bytes()).min(MAX_ERRORS);
        answer.len() + self.text.len() > INLINE_BYTES
            || self.is_slow_to_try(removal::tried_bytes(answer.len(), absent()))
    }

    /// Returns true if validating values of so many bytes in all may take longer than about a millisecond.
    fn is_slow_to_try(&self, bytes: usize) -> bool {
        self.schema.is_slow_for(bytes) || self.rules.is_slow_for(bytes, self.text.len())
    }

    /// Removes absent values from a valid answer, and returns the evidence of what is left.
    fn without_absent(
        self,
        success: &mut Success,
        evidence: Box<[LeafEvidence]>,
    ) -> Box<[LeafEvidence]> {
        let repairs = Remover::new(self.conditions(), success.data.to_mut(), &evidence).run();
        if repairs.is_empty() {
            return evidence;
        }
        success.repairs.extend(repairs);
        self.evidence(&success.data)
    }

    /// Returns the evidence of a value.
    pub fn evidence(self, value: &Value) -> Box<[LeafEvidence]> {
        self.align(&Index::new(self.text), value)
    }

    /// Returns the evidence of an element of a list that is still being written, by the rules of the mode: `None` if the element
    /// is left out of the result.
    pub fn element(self, index: &Index<'_>, element: &mut Value) -> Option<Box<[LeafEvidence]>> {
        let evidence = self.align(index, element);
        if !evidence.iter().any(is_absent) {
            return Some(evidence);
        }
        match self.settings.mode {
            Grounding::Off | Grounding::Report => Some(evidence),
            Grounding::Require => None,
            Grounding::Drop => {
                let remover = Remover::new(self.conditions(), element, &evidence);
                if remover.is_hollow() {
                    return None;
                }
                let is_changed = !remover.run().is_empty();
                Some(if is_changed {
                    self.align(index, element)
                } else {
                    evidence
                })
            }
        }
    }

    const fn conditions(&self) -> Conditions<'_> {
        Conditions::new(self.schema, self.rules, self.text)
    }

    fn align(self, index: &Index<'_>, value: &Value) -> Box<[LeafEvidence]> {
        let kinds = self.schema.evidence_kinds(value);
        let kind = |pointer: &str| kinds.get(pointer).copied().unwrap_or_default();
        let options = Options {
            kind: (!kinds.is_empty()).then_some(&kind as &dyn Fn(&str) -> LeafKind),
            unit: self.settings.unit,
            examples: Some(&self.settings.examples),
        };
        index.align(value, &options).into()
    }

    /// Returns an error for each absent value of a valid answer, with what to write instead; at most 100.
    pub fn errors(self, data: &Value) -> Vec<FieldError> {
        let evidence = self.evidence(data);
        let absent = evidence.iter().filter(|leaf| is_absent(leaf));
        let (mut trial, conditions) = (data.clone(), self.conditions());
        absent
            .take(MAX_ERRORS)
            .map(|leaf| {
                let message = request_to_remove(&conditions, &mut trial, &leaf.pointer);
                FieldError::new(&*leaf.pointer, message)
            })
            .collect()
    }
}

fn request_to_remove(conditions: &Conditions<'_>, data: &mut Value, pointer: &str) -> String {
    let shown = removal::shown(data, pointer);
    let (may_be_left_out, may_be_null) = conditions.alternatives(data, pointer);
    let is_element = removal::is_element(data, pointer);
    let advice = match (may_be_left_out, may_be_null) {
        (true, _) if is_element => "leave this element out",
        (true, true) => "give null, or leave this field out",
        (true, false) => "leave this field out; do not give null",
        (false, true) => "give null",
        (false, false) => {
            "give null or leave it out where the schema allows it, else give what the text states"
        }
    };
    format!("{shown} does not stand in the text; {advice}")
}

/// Returns true if the text does not state the value.
pub fn is_absent(leaf: &LeafEvidence) -> bool {
    leaf.status == EvidenceStatus::Absent
}
