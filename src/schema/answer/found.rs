//! What a pass over an answer found: the candidates, and why there are no others.

use std::collections::VecDeque;
use std::ops::Range;

use serde_json::Value;

use super::object::Fault;
use super::repair::Repairs;

/// Candidates kept of each kind, the last ones: the later a value, the likelier it is the answer. Each may be held against the
/// schema, which may take a second.
const MAX_KEPT: usize = 16;

/// A value found in a text.
pub struct Candidate {
    pub value: Value,
    /// Where it is in the text.
    pub span: Range<usize>,
    /// Where the text begins that is not reasoning.
    pub body: usize,
    pub repairs: Repairs,
}

/// All that a pass over a text has found.
#[derive(Default)]
pub struct Found {
    /// Strict JSON; the last ones, in the order of the text.
    pub strict: VecDeque<Candidate>,
    /// Read tolerantly; the last ones, in the order of the text.
    pub mended: VecDeque<Candidate>,
    /// The largest of those that were not kept.
    largest: Option<Candidate>,
    /// All candidates, kept or not.
    pub count: usize,
    /// What is wrong with the last broken piece that was meant as JSON, or else the first that was not.
    pub fault: Option<Fault>,
    pub fault_was_json: bool,
    /// Where the object or array begins in which the text ends.
    pub cut: Option<usize>,
    /// Reasoning was skipped; and the text ends within it.
    pub reasoning: bool,
    pub in_reasoning: bool,
}

impl Found {
    /// What was found so far is no answer.
    pub fn forget(&mut self) {
        *self = Self { reasoning: self.reasoning, ..Self::default() };
    }

    pub fn take_largest(&mut self) -> Option<Candidate> {
        let all = self.largest.take().into_iter().chain(self.strict.drain(..)).chain(self.mended.drain(..));
        all.max_by_key(|candidate| (candidate.span.len(), candidate.span.start))
    }

    pub fn keep(&mut self, candidate: Candidate, is_strict: bool) {
        self.count += 1;
        let group = if is_strict { &mut self.strict } else { &mut self.mended };
        group.push_back(candidate);
        if group.len() > MAX_KEPT {
            let oldest = group.pop_front();
            let length = |candidate: &Option<Candidate>| candidate.as_ref().map_or(0, |candidate| candidate.span.len());
            if length(&oldest) >= length(&self.largest) {
                self.largest = oldest;
            }
        }
    }

    pub fn note(&mut self, fault: Fault, was_json: bool) {
        if self.fault.is_none() || was_json {
            self.fault = Some(fault);
            self.fault_was_json = was_json;
        }
    }
}
