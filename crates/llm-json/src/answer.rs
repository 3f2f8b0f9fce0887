//! Tolerant JSON parser for complete model answers: finds and repairs the JSON value that a text
//! contains.
//!
//! Strict JSON is returned unchanged. Any other text is scanned once from left to right. Reasoning
//! blocks are skipped, and every `{` or `[` in the prose is parsed strictly, then tolerantly. The
//! caller's schema chooses among the candidates.
//!
//! Three invariants: a truncated answer is never closed into a shorter one, prose never becomes a
//! value, and the work is linear in the size of the text.
//!
//! An object that lacks only closing braces is reported as [`Unclosed`]: the schema decides if it
//! is complete. Any other truncated value is reported with its [`Completion`]: the provider's stop
//! reason decides if the text is complete.
//!
//! Must not know schemas (only a predicate), providers or HTTP.
//!
//! - `candidate_scanner`: pieces of the text worth parsing; `reasoning`: pieces to skip;
//!   `scan_result`: the outcome of a scan
//! - `tolerant_parser`: objects and arrays, with `key`, `bracket_recovery`, `string`, `quote`,
//!   `scalar` and `unquoted_text`
//! - `cursor`: position in the text, white space and comments
//! - `completion`: end of a truncated value; `repair`: repairs and their sentences

mod bracket_recovery;
mod candidate_scanner;
mod completion;
mod cursor;
mod key;
mod literal;
mod quote;
mod reader;
pub(crate) mod reasoning;
mod repair;
mod scalar;
mod scan_result;
mod string;
#[cfg(test)]
mod tests;
mod tolerant_parser;
mod unquoted_text;

use std::fmt;
use std::ops::Range;

use serde_json::Value;

use crate::strict_json::StrictJson;
pub use completion::Completion;
use cursor::position;
use reader::ParseFault;
pub use repair::Repair;
use repair::Repairs;
use scan_result::{Candidate, Found};
use tolerant_parser::UnclosedPolicy;

/// A JSON value and the repairs that were needed to parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The value. If no candidate was accepted, the one with the longest text.
    pub value: Value,
    /// Repairs, each kind once, in the order of the text. Empty for strict JSON.
    pub repairs: Vec<Repair>,
}

/// Error for a text without a JSON value that can be parsed without guessing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoJson {
    /// Reason with line and column, for a person or for the model in a validation retry.
    pub message: String,
    /// True if the text ends within its JSON or its reasoning, so that a higher output limit might
    /// have helped.
    pub truncated: bool,
    /// Byte offset behind the reasoning, if the text has no JSON at all, not even broken JSON.
    pub prose: Option<usize>,
    /// The parsed object, if only closing braces of objects are missing.
    pub unclosed: Option<Box<Unclosed>>,
    /// The missing end, if the text ends within its only value.
    pub ending: Option<Completion>,
}

/// An object that lacks only closing braces: the text, or its code block, ends behind a complete
/// member and outside every array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclosed {
    /// The parsed object, closed, and its repairs.
    pub answer: Answer,
    /// Number of open objects: the outermost one, its last member, and so on.
    pub levels: usize,
}

impl NoJson {
    /// Returns an error that has only a message.
    fn told(message: String) -> Self {
        Self {
            message,
            truncated: false,
            prose: None,
            unclosed: None,
            ending: None,
        }
    }
}

impl fmt::Display for NoJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NoJson {}

/// Parses a text that is strict JSON as a whole. Returns `None` for other text and for more than a
/// million values.
#[must_use]
pub fn strict(text: &str) -> Option<Value> {
    if candidate_scanner::holds_too_many_values(text) {
        return None;
    }
    serde_json::from_str(text)
        .ok()
        .map(|StrictJson(value)| value)
}

/// Parses the JSON value that `text` contains.
///
/// `accepts` returns true if a value is valid for the caller. It decides among several candidates
/// and is called at most 32 times, never for text that is strict JSON as a whole.
///
/// The last accepted strict candidate wins, then the last accepted repaired one, then the one with
/// the longest text, so that the caller can report its errors.
///
/// # Errors
/// Returns [`NoJson`] if the text has no candidate, ends within one, closes a list before its last
/// element, or holds more than a million values.
pub fn parse(text: &str, accepts: impl Fn(&Value) -> bool) -> Result<Answer, NoJson> {
    let candidates = candidates(text)?;
    let chosen = if candidates.is_strict() {
        None
    } else {
        candidates.accepted(accepts)
    };
    let chosen = chosen.unwrap_or_else(|| candidates.largest());
    Ok(candidates.take(chosen))
}

/// Finds the JSON values that `text` may mean; at least one.
///
/// # Errors
/// Returns [`NoJson`] in the cases of [`parse`].
pub fn candidates(text: &str) -> Result<Candidates<'_>, NoJson> {
    if candidate_scanner::holds_too_many_values(text) {
        let message = format!(
            "the answer holds more than {} values",
            candidate_scanner::MAX_VALUES
        );
        return Err(NoJson::told(message));
    }
    if let Some(value) = strict(text) {
        let whole = Candidate {
            value,
            span: 0..text.len(),
            body: 0,
            repairs: Repairs::default(),
            is_strict: true,
        };
        return Ok(Candidates {
            text,
            list: vec![whole],
            is_strict: true,
            reasoning: false,
        });
    }
    if let Some(value) = unescaped(text) {
        let mut repairs = Repairs::default();
        repairs.note(Repair::EscapedDocument);
        let whole = Candidate {
            value,
            span: 0..text.len(),
            body: 0,
            repairs,
            is_strict: false,
        };
        return Ok(Candidates {
            text,
            list: vec![whole],
            is_strict: false,
            reasoning: false,
        });
    }
    let mut found = candidate_scanner::scan(text);
    let unclosed = found
        .left_open
        .take()
        .map(|(span, left_open)| Box::new(unclosed(text, span, found.body, *left_open)));
    // A truncated value after a complete one is an error too: the model was correcting or extending
    // its answer.
    if let Some(opened) = found.cut {
        return Err(NoJson {
            unclosed,
            ending: found.ending,
            ..cut(text, opened)
        });
    }
    if found.list.is_empty() {
        return Err(NoJson {
            unclosed,
            ..nothing(text, &found)
        });
    }
    let found = Candidates {
        text,
        list: found.list,
        is_strict: false,
        reasoning: found.reasoning,
    };
    match found.reopened_list() {
        None => Ok(found),
        Some(at) => Err(broken(
            text,
            ParseFault::new(at, "more elements follow behind the closing bracket"),
        )),
    }
}

/// Parses JSON in which every quote is escaped: the content of a JSON string without its outer
/// quotes.
fn unescaped(text: &str) -> Option<Value> {
    let text = text.trim_matches(cursor::is_space);
    if !text
        .strip_prefix(['{', '['])?
        .trim_start()
        .starts_with("\\\"")
    {
        return None;
    }
    let lines = text
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t");
    strict(&serde_json::from_str::<String>(&format!("\"{lines}\"")).ok()?)
}

/// Returns the content of a text that is quoted as a whole: in any quotes, escaped quotes, or
/// several strings joined by `+`. Returns `None` for other text.
#[must_use]
pub fn quoted(text: &str) -> Option<String> {
    if text.starts_with("\\\"") {
        let inner = serde_json::from_str::<String>(&format!("\"{text}\"")).ok()?;
        return serde_json::from_str(&inner).ok();
    }
    text.starts_with(quote::is_quote)
        .then(|| tolerant_parser::parse_string(text))
        .flatten()
}

/// JSON values found in a text, in its order.
pub struct Candidates<'t> {
    text: &'t str,
    list: Vec<Candidate>,
    /// True if the text is strict JSON as a whole.
    is_strict: bool,
    reasoning: bool,
}

/// Maximum number of candidates checked of each kind (strict, repaired), counted from the end:
/// later values are likelier to be the answer. One schema check may take a second.
const MAX_TRIED: usize = 16;

impl Candidates<'_> {
    /// Returns true if the text is strict JSON as a whole.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Returns the number of candidates, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the values in the order of the text.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.list.iter().map(|candidate| &candidate.value)
    }

    /// Returns the indices of the candidates worth checking, the likeliest first: strict ones, then
    /// repaired ones, each from the end.
    pub fn likeliest(&self) -> impl Iterator<Item = usize> {
        let of_kind = |is_strict| {
            let places = self.list.iter().enumerate().rev();
            places
                .filter(move |(_, candidate)| candidate.is_strict == is_strict)
                .map(|(place, _)| place)
                .take(MAX_TRIED)
        };
        of_kind(true).chain(of_kind(false))
    }

    /// Returns the index of the likeliest accepted candidate. At most 32 are checked.
    pub fn accepted(&self, accepts: impl Fn(&Value) -> bool) -> Option<usize> {
        self.likeliest().find(|&place| {
            self.list
                .get(place)
                .is_some_and(|candidate| accepts(&candidate.value))
        })
    }

    /// Returns the value at an index; `None` behind the last one.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Value> {
        self.list.get(place).map(|candidate| &candidate.value)
    }

    /// Returns the index of the candidate with the longest text.
    #[must_use]
    pub fn largest(&self) -> usize {
        let lengths = self
            .list
            .iter()
            .map(|candidate| candidate.span.len())
            .enumerate();
        lengths
            .max_by_key(|&(_, length)| length)
            .map_or(0, |(place, _)| place)
    }

    /// Returns true if the candidates follow one another like the elements of a list, with only
    /// separators between them.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        let between = self.list.len().saturating_sub(1);
        between > 0 && self.gaps().skip(1).take(between).all(is_separator) && !self.has_fragments()
    }

    /// Returns true if pieces of other objects surround the candidates, so that the candidates are
    /// not the whole answer.
    #[must_use]
    pub fn has_fragments(&self) -> bool {
        self.gaps()
            .any(|gap| gap.contains(['{', '}']) && gap.contains([':', '"', '\'']))
    }

    /// Returns the end of the first list if more elements follow its closing bracket: `[1, 2],
    /// {"a": 3}]`.
    fn reopened_list(&self) -> Option<usize> {
        let first = self
            .list
            .iter()
            .position(|candidate| candidate.value.is_array())?;
        let end = self.list.get(first)?.span.end;
        let gap = self
            .gaps()
            .nth(first + 1)?
            .trim_start_matches(cursor::is_space);
        let goes_on = gap.starts_with(',') || gap.is_empty() && first + 1 < self.list.len();
        if !goes_on {
            return None;
        }
        let (mut has_more, mut depth) = (false, 0_usize);
        for gap in self.gaps().skip(first + 1) {
            for c in gap.chars() {
                match c {
                    '[' => depth += 1,
                    ']' if depth > 0 => depth -= 1,
                    ']' if has_more => return Some(end),
                    _ => has_more |= c.is_alphanumeric(),
                }
            }
            // A value follows every gap but the last.
            has_more = true;
        }
        None
    }

    /// Returns the text around the candidates: before the first, between each two, and behind the
    /// last.
    pub fn gaps(&self) -> impl Iterator<Item = &str> {
        let starts = self
            .list
            .iter()
            .map(|candidate| candidate.span.start)
            .chain([self.text.len()]);
        let body = self.list.first().map_or(0, |candidate| candidate.body);
        let ends = [body]
            .into_iter()
            .chain(self.list.iter().map(|candidate| candidate.span.end));
        ends.zip(starts)
            .map(|(end, start)| self.text.get(end..start).unwrap_or_default())
    }

    /// Returns all candidates as one list.
    #[must_use]
    pub fn take_all(mut self) -> Answer {
        let first = self
            .list
            .first()
            .map_or(0, |candidate| candidate.span.start);
        let last = self.list.last().map_or(0, |candidate| candidate.span.end);
        let mut repairs = Repairs::default();
        let mut values = Vec::with_capacity(self.list.len());
        for candidate in self.list.drain(..) {
            repairs.extend(candidate.repairs);
            values.push(candidate.value);
        }
        repairs.note(Repair::Sequence);
        let whole = Candidate {
            value: Value::Array(values),
            span: first..last,
            body: first,
            repairs: Repairs::default(),
            is_strict: false,
        };
        let mut answer = finish(self.text, whole, Repairs::default());
        answer.repairs.extend(repairs.into_vec());
        answer
    }

    /// Returns the candidate at an index, with its own repairs and those for the text around it.
    #[must_use]
    pub fn take(mut self, place: usize) -> Answer {
        let mut repairs = Repairs::default();
        if self.is_strict || place >= self.list.len() {
            let value = self.list.pop().map(|whole| whole.value).unwrap_or_default();
            return Answer {
                value,
                repairs: repairs.into_vec(),
            };
        }
        if self.reasoning {
            repairs.note(Repair::Reasoning);
        }
        if self.list.len() > 1 {
            repairs.note(Repair::SeveralValues);
        }
        finish(self.text, self.list.swap_remove(place), repairs)
    }
}

/// Returns true if a gap holds only white space, commas, list marks, comments and code fences.
fn is_separator(gap: &str) -> bool {
    gap.lines().all(|line| {
        let line = line.trim_matches(|c: char| {
            cursor::is_space(c) || matches!(c, ',' | ';' | '-' | '*' | '.' | ')' | '•')
        });
        let is_comment = line.starts_with("//")
            || line.starts_with('#')
            || (line.starts_with("/*") && line.ends_with("*/"));
        line.is_empty()
            || is_comment
            || is_fence(line)
            || line.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Parses like [`parse`] and returns the number of bytes read tolerantly, lookahead included, as a
/// measure of the work.
///
/// # Errors
/// Returns [`NoJson`] in the cases of [`parse`].
#[cfg(any(test, feature = "counted"))]
pub fn parse_counted(
    text: &str,
    accepts: impl Fn(&Value) -> bool,
) -> (Result<Answer, NoJson>, usize) {
    cursor::BYTES_READ.set(0);
    (parse(text, accepts), cursor::BYTES_READ.get())
}

/// Adds the repairs for the text around the chosen candidate to its own.
fn finish(text: &str, candidate: Candidate, mut repairs: Repairs) -> Answer {
    let around = [
        text.get(candidate.body..candidate.span.start)
            .unwrap_or_default(),
        text.get(candidate.span.end..).unwrap_or_default(),
    ];
    if around
        .iter()
        .any(|part| part.lines().any(|line| !is_blank(line) && !is_fence(line)))
    {
        repairs.note(Repair::SurroundingText);
    } else if around.iter().any(|part| !is_blank(part)) {
        repairs.note(Repair::CodeFence);
    } else if text.starts_with('\u{feff}') {
        repairs.note(Repair::ByteOrderMark);
    } else if !around
        .iter()
        .all(|part| part.trim_matches([' ', '\t', '\r', '\n']).is_empty())
    {
        repairs.note(Repair::UnusualSpace);
    }
    repairs.extend(candidate.repairs);
    Answer {
        value: candidate.value,
        repairs: repairs.into_vec(),
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(cursor::is_space)
}

fn is_fence(line: &str) -> bool {
    let line = line.trim_matches(cursor::is_space);
    line.starts_with("```") || line.starts_with("~~~")
}

fn cut(text: &str, opened: usize) -> NoJson {
    let what = match text.as_bytes().get(opened) {
        Some(b'{') => "object",
        _ => "array",
    };
    let message = format!(
        "the answer stops before its JSON is complete: the {what} opened at {} is not closed when the text ends at {}",
        position(text, opened),
        position(text, text.len()),
    );
    NoJson {
        truncated: true,
        ..NoJson::told(message)
    }
}

fn unclosed(
    text: &str,
    span: Range<usize>,
    body: usize,
    UnclosedPolicy {
        value,
        levels,
        repairs,
    }: UnclosedPolicy,
) -> Unclosed {
    let candidate = Candidate {
        value,
        span,
        body,
        repairs,
        is_strict: false,
    };
    Unclosed {
        answer: finish(text, candidate, Repairs::default()),
        levels,
    }
}

fn broken(text: &str, fault: ParseFault) -> NoJson {
    NoJson::told(format!(
        "the JSON in the answer is broken at {}: {}",
        position(text, fault.at),
        fault.message
    ))
}

fn nothing(text: &str, found: &Found) -> NoJson {
    if let Some(fault) = found.fault.filter(|_| !found.in_reasoning) {
        return broken(text, fault);
    }
    let message = if found.in_reasoning {
        "the answer ends within its reasoning, before any JSON"
    } else if is_blank(text) {
        "the answer is empty"
    } else {
        "the answer holds no JSON object or array"
    };
    let prose = (!found.in_reasoning).then_some(found.body);
    NoJson {
        truncated: found.in_reasoning,
        prose,
        ..NoJson::told(message.to_owned())
    }
}
