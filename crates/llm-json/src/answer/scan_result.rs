//! What a pass over an answer found: the candidates, and why there are no others.

use std::ops::Range;

use serde_json::Value;

use super::completion::Completion;
use super::repair::Repairs;
use super::tolerant_parser::{ParseFault, UnclosedPolicy};

/// A value found in a text.
pub struct Candidate {
    pub value: Value,
    /// Where it is in the text.
    pub span: Range<usize>,
    /// Where the text begins that is not reasoning.
    pub body: usize,
    pub repairs: Repairs,
    /// Read strictly.
    pub is_strict: bool,
}

/// All that a pass over a text has found.
#[derive(Default)]
pub struct Found {
    /// In the order of the text.
    pub list: Vec<Candidate>,
    /// What is wrong with the last broken piece that was meant as JSON, or else the first that was not.
    pub fault: Option<ParseFault>,
    pub fault_was_json: bool,
    /// Where the object or array begins in which the text ends.
    pub cut: Option<usize>,
    /// An object of which only the end is missing, and where it is, if nothing was found before it and nothing broken behind it.
    pub left_open: Option<(Range<usize>, Box<UnclosedPolicy>)>,
    /// What the text lacks that ends here, on the same condition.
    pub ending: Option<Completion>,
    /// Reasoning was skipped; and the text ends within it.
    pub reasoning: bool,
    pub in_reasoning: bool,
    /// Where the text begins that is not reasoning.
    pub body: usize,
}

impl Found {
    /// What was found so far is no answer.
    pub fn forget(&mut self) {
        *self = Self {
            reasoning: self.reasoning,
            ..Self::default()
        };
    }

    pub fn note(&mut self, fault: ParseFault, was_json: bool) {
        if self.fault.is_none() || was_json {
            self.fault = Some(fault);
            self.fault_was_json = was_json;
        }
    }
}
