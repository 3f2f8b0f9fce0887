//! Result of a scan: the candidates, and the reason why there are no others.

use std::ops::Range;

use serde_json::Value;

use super::completion::Completion;
use super::reader::ParseFault;
use super::repair::Repairs;
use super::tolerant_parser::UnclosedPolicy;

/// A value found in a text.
pub struct Candidate {
    pub value: Value,
    /// Byte range of the value in the text.
    pub span: Range<usize>,
    /// Byte offset behind the reasoning.
    pub body: usize,
    pub repairs: Repairs,
    /// True if the value was parsed strictly.
    pub is_strict: bool,
}

/// Everything that a scan found.
#[derive(Default)]
pub struct Found {
    /// Candidates in the order of the text.
    pub list: Vec<Candidate>,
    /// Error of the last broken piece that was meant as JSON, otherwise of the first broken piece.
    pub fault: Option<ParseFault>,
    /// True if the broken piece of `fault` was meant as JSON.
    pub fault_was_json: bool,
    /// Start of the object or array in which the text ends.
    pub cut: Option<usize>,
    /// Object that lacks only its end, with its range. Set only if no candidate precedes it and
    /// nothing broken follows it.
    pub left_open: Option<(Range<usize>, Box<UnclosedPolicy>)>,
    /// Missing end of the value in which the text ends, on the same condition.
    pub ending: Option<Completion>,
    /// True if reasoning was skipped.
    pub reasoning: bool,
    /// True if the text ends within reasoning.
    pub in_reasoning: bool,
    /// Byte offset behind the reasoning.
    pub body: usize,
}

impl Found {
    /// Discards everything that was found so far.
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
