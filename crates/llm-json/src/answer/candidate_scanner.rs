//! Single pass over an answer that finds the pieces that may be the intended JSON.
//!
//! Every parse continues behind what it read, so the pass is linear. Where a broken piece has to be
//! read twice, a budget bounds the work.

use std::ops::Range;

use serde_json::Value;

use super::bracket_recovery::next_member;
use super::cursor::{Cursor, is_space};
use super::quote;
use super::reader::{ParseFault, Words};
use super::reasoning::{self, ReasoningTag};
use super::repair::{Repair, Repairs};
use super::scan_result::{Candidate, Found};
use super::tolerant_parser::{self, Broken, RepairedValue};
use crate::strict_json::StrictJson;

/// Bytes that may be parsed again for each byte of the text, in addition to the pass itself.
const BUDGET_PER_BYTE: usize = 8;

/// Maximum white space before the JSON that begins a text, in bytes.
const LEADING_SPACE: usize = 1024;

/// Maximum number of values parsed from one answer, for strict and tolerant parsing each. A value
/// takes 80 bytes of memory and two bytes of text.
pub const MAX_VALUES: usize = 1_000_000;

/// Returns true if the text, as strict JSON, could hold more values than [`MAX_VALUES`].
pub fn holds_too_many_values(text: &str) -> bool {
    // Each value but the first follows one of these.
    text.len() > MAX_VALUES
        && memchr::memchr3_iter(b',', b'[', b'{', text.as_bytes())
            .nth(MAX_VALUES)
            .is_some()
}

/// Finds the candidates in `text`, which is not strict JSON as a whole.
pub fn scan(text: &str) -> Found {
    let budget = text
        .len()
        .saturating_mul(BUDGET_PER_BYTE)
        .saturating_add(1024);
    let mut scan = Scan {
        text,
        at: 0,
        body: 0,
        fence: None,
        budget,
        room: MAX_VALUES,
        found: Found::default(),
    };
    while scan.step() {}
    scan.end_of_fence(text.len());
    if scan.found.list.is_empty() && scan.found.cut.is_none() && !scan.found.in_reasoning {
        scan.scalar(scan.body..text.len());
    }
    if !scan.found.fault_was_json && !text.trim_start().starts_with(['{', '[']) {
        scan.found.fault = None; // a bracket in prose is no broken JSON
    }
    scan.found.body = scan.body;
    scan.found
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// Byte offset behind the reasoning.
    body: usize,
    /// Start of the open code fence's content, and the number of candidates before it.
    fence: Option<(usize, usize)>,
    budget: usize,
    /// Number of values that may still be parsed tolerantly.
    room: usize,
    found: Found,
}

impl Scan<'_> {
    /// Moves to the next character of interest and past it. Returns false at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(next) = rest
            .bytes()
            .position(|byte| matches!(byte, b'{' | b'[' | b'<' | b'`' | b'~'))
        else {
            return false;
        };
        self.at += next;
        let rest = self.rest();
        if let Some(mark) = reasoning::mark_at(rest) {
            return self.mark(mark);
        }
        match rest.as_bytes().first() {
            Some(b'{' | b'[') => self.candidate(),
            Some(b'`' | b'~') => {
                self.fence_line();
                true
            }
            _ => {
                self.at += 1;
                true
            }
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn mark(&mut self, mark: ReasoningTag) -> bool {
        self.found.reasoning = true;
        match mark {
            ReasoningTag::Opening { length, closing } => {
                let end = reasoning::end_of(
                    self.text.get(self.at + length..).unwrap_or_default(),
                    closing,
                );
                let Some(end) = end else {
                    self.found.in_reasoning = true;
                    return false;
                };
                self.at += length + end;
            }
            // The opening mark was in the prompt: everything before the closing one is reasoning.
            ReasoningTag::Closing { length } => {
                self.found.forget();
                self.fence = None;
                self.at += length;
            }
        }
        if self.found.list.is_empty() {
            self.body = self.at;
        }
        true
    }

    /// Returns the meaning of unquoted words: elements where the JSON begins the text or a code
    /// block, otherwise prose.
    fn words(&self, start: usize) -> Words {
        let before = |from: usize| self.text.get(from..start).unwrap_or_default();
        let begins_block = self.fence.is_some_and(|(line, count)| {
            count == self.found.list.len() && before(line).chars().all(is_space)
        });
        if begins_block
            || (before(self.body).len() < LEADING_SPACE && before(self.body).chars().all(is_space))
        {
            Words::Elements
        } else {
            Words::Prose
        }
    }

    /// Parses the object or array here. Returns false if the text ends within it.
    fn candidate(&mut self) -> bool {
        let start = self.at;
        let mut strict = serde_json::Deserializer::from_str(self.rest()).into_iter::<StrictJson>();
        if let Some(Ok(StrictJson(value))) = strict.next() {
            let end = start + strict.byte_offset();
            return match self.longer(start, end) {
                Some(mended) => self.keep(mended.value, start..mended.end, Some(mended.repairs)),
                None => self.budget > 0 && self.keep(value, start..end, None),
            };
        }
        match tolerant_parser::parse(self.text, start, self.words(start), &mut self.room) {
            Ok(mended) => self.keep(mended.value, start..mended.end, Some(mended.repairs)),
            Err(broken) if broken.fault.cut => {
                self.found.cut = Some(start);
                self.left_open(start, broken);
                false
            }
            Err(broken) => self.skip_broken(start, broken),
        }
    }

    /// Parses further than `end` if the value that looks complete there may have ended in the
    /// middle: `{"a": "use "}" here"}`, `{"a": 1}, "b": 2}`.
    fn longer(&mut self, start: usize, end: usize) -> Option<RepairedValue> {
        let behind = Cursor::new(self.text, end);
        (behind.peek() == Some('"') || next_member(behind).is_some()).then_some(())?;
        let read = tolerant_parser::parse(self.text, start, self.words(start), &mut self.room);
        let reached = match &read {
            Ok(mended) => mended.end,
            Err(broken) => broken.reached,
        };
        let within_budget = self.spend(reached.saturating_sub(start));
        read.ok().filter(|mended| within_budget && mended.end > end)
    }

    /// Keeps a candidate. `repairs` is `None` for a value parsed strictly.
    fn keep(&mut self, value: Value, span: Range<usize>, repairs: Option<Repairs>) -> bool {
        self.at = span.end;
        // `{"a": 1}, "b": 2}`: an extra bracket. The value lacks the rest.
        let after = Cursor::new(self.text, span.end);
        let has_more = next_member(after).is_some();
        // `{"a": {"b": [1}, "c": 2}}`: the bracket was missing elsewhere, so the nesting is
        // uncertain.
        let is_doubtful = repairs.as_ref().is_some_and(|repairs| {
            let is_twofold = repairs.has_duplicate()
                && (repairs.has(&Repair::MissingBracket) || repairs.has(&Repair::MissingQuote));
            is_twofold || repairs.has(&Repair::MissingBracket) && goes_on(after)
        });
        if has_more || is_doubtful {
            let fault = ParseFault::new(
                span.end,
                "more members or brackets follow behind the closing bracket",
            );
            return self.skip_to_close(span.end, 1, fault) && self.spend(span.len());
        }
        let is_strict = repairs.is_none();
        let candidate = Candidate {
            value,
            span,
            body: self.body,
            repairs: repairs.unwrap_or_default(),
            is_strict,
        };
        self.found.list.push(candidate);
        true
    }

    /// Skips a piece that cannot be parsed. Content of broken JSON is no answer; text behind a
    /// bracket in prose may be one.
    fn skip_broken(&mut self, start: usize, broken: Broken) -> bool {
        let within_budget = self.spend(broken.reached.saturating_sub(start));
        if broken.was_json {
            let fault = broken.fault;
            self.left_open(start, broken);
            return self.skip_to_close(start, 0, fault) && within_budget;
        }
        self.found.note(broken.fault, false);
        self.at = broken.fault.at.max(start + 1);
        within_budget
    }

    /// Keeps an unclosed object, and the missing end of any truncated value, if the text has no
    /// other value.
    fn left_open(&mut self, start: usize, broken: Broken) {
        let is_only = self.found.list.is_empty() && !self.found.fault_was_json;
        let is_data = broken.was_json || self.words(start) == Words::Elements;
        self.found.ending = broken.ending.filter(|_| is_only && is_data);
        let span = start..broken.fault.at;
        self.found.left_open = broken
            .left_open
            .filter(|_| is_only)
            .map(|left_open| (span, left_open));
    }

    /// Moves behind the bracket that brings `depth` to 0, counted from `from`, or behind the
    /// paragraph if there is none.
    fn skip_to_close(&mut self, from: usize, depth: usize, fault: ParseFault) -> bool {
        self.found.note(fault, true);
        let rest = self.text.get(from..).unwrap_or_default();
        // A bracket before the fault was inside a string that the parser could read, but this
        // simple count cannot.
        let closed = closing_bracket(rest, depth).filter(|&length| from + length > fault.at);
        let (length, cost) = if let Some(length) = closed {
            (length, length)
        } else {
            let behind = self.text.get(fault.at.max(from)..).unwrap_or_default();
            let ends = ["\n\n", "\n\r\n", "\n```", "\n~~~"]
                .iter()
                .filter_map(|end| behind.find(end));
            let end = ends
                .chain(reasoning::first_closing(behind))
                .min()
                .unwrap_or(behind.len());
            (rest.len() - behind.len() + end, rest.len())
        };
        self.at = from + length.max(1);
        self.spend(cost)
    }

    /// Takes bytes from the budget. Returns false if too much of the text was read repeatedly.
    fn spend(&mut self, bytes: usize) -> bool {
        self.budget = self.budget.saturating_sub(bytes);
        if self.budget == 0 {
            let fault = ParseFault::new(self.at, "there are too many broken pieces before this");
            self.found.forget();
            self.found.note(fault, true);
            self.fence = None;
        }
        self.budget > 0
    }

    /// Handles a run of fence characters: a code fence begins or ends a block; any other run is
    /// prose.
    fn fence_line(&mut self) {
        let mut cursor = Cursor::new(self.text, self.at);
        let line_start = self
            .text
            .get(..self.at)
            .unwrap_or_default()
            .trim_end_matches(' ');
        let mark = cursor.peek();
        let length = cursor.skip_while(|c| Some(c) == mark).len();
        let is_fence = length >= 3 && (line_start.is_empty() || line_start.ends_with('\n'));
        if is_fence && !self.end_of_fence(self.at) {
            let line = cursor
                .rest()
                .find('\n')
                .map_or(self.text.len(), |end| cursor.offset() + end);
            self.fence = Some((line, self.found.list.len()));
        }
        self.at = cursor.offset();
    }

    /// Ends the open code block, in which a scalar is a candidate if it has no object or array.
    /// Returns false if no block was open.
    fn end_of_fence(&mut self, end: usize) -> bool {
        let Some((start, count)) = self.fence.take() else {
            return false;
        };
        if count == self.found.list.len() && self.found.cut.is_none() {
            self.scalar(start..end);
        }
        true
    }

    fn scalar(&mut self, range: Range<usize>) {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let trimmed = text.trim_matches(is_space);
        if let Ok(StrictJson(
            value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)),
        )) = serde_json::from_str(trimmed)
        {
            let start = range.start + (text.len() - text.trim_start_matches(is_space).len());
            let span = start..start + trimmed.len();
            self.found.list.push(Candidate {
                value,
                span,
                body: self.body,
                repairs: Repairs::default(),
                is_strict: true,
            });
        }
    }
}

/// Returns true if more JSON follows.
fn goes_on(mut behind: Cursor<'_>) -> bool {
    behind.skip_while(is_space);
    let is_fence = behind.rest().starts_with("```");
    behind.peek().is_some_and(|c| {
        matches!(c, '}' | ']' | '{' | '[' | ',') || quote::is_quote(c) && !is_fence
    })
}

/// Returns the byte offset behind the bracket that brings `depth` back to 0. Ignores strings in
/// double quotes.
fn closing_bracket(text: &str, mut depth: usize) -> Option<usize> {
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'\n' => in_string = false,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
