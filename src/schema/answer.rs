//! From the text that a model wrote to the JSON value that it means.
//!
//! Strict JSON is returned as it is. Anything else is scanned once from left to right: reasoning blocks are skipped, and every
//! `{` or `[` in the prose is read strictly, then tolerantly. The schema chooses among the values found.
//! Three promises: an answer that was cut off is never closed into a shorter one, prose never becomes a value, and
//! the work is linear in the size of the text.
//!
//! An object of which nothing but the closing brace is missing is told as [`Unclosed`]: whether it is whole, the schema knows. What any
//! other text lacks at its end is told as [`Ending`]: whether it was to end there, the provider knows.
//!
//! Knows no schema (only a predicate), no provider and no HTTP.
//!
//! - `scan`: which pieces of the text are worth reading; `reasoning`: which are not; `found`: what came of it
//! - `object`: the tolerant reader, with `member`, `ends`, `string`, `quote`, `scalar` and `bare`; `cursor`: the place in the text, white space and comments
//! - `ending`: what a text lacks that ends too early; `repair`: what was mended, in words

mod bracket_recovery;
mod candidate_scanner;
mod completion;
mod cursor;
mod key;
mod quote;
pub(super) mod reasoning;
mod repair;
mod scalar;
mod scan_result;
mod string;
#[cfg(test)]
mod tests;
mod tolerant_parser;
mod unquoted_text;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde_json::Value;

use crate::types::StrictJson;
pub use completion::Completion;
use cursor::position;
use repair::Repairs;
use scan_result::{Candidate, Found};
use tolerant_parser::{ParseFault, UnclosedPolicy};

/// A JSON value, and what had to be mended to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The value; not necessarily an accepted one: if no candidate was, it is the largest.
    pub value: Value,
    /// Short sentences for people, each kind once, in the order of the text. Empty for strict JSON.
    pub repairs: Vec<Cow<'static, str>>,
}

/// The text holds no JSON value that can be read without guessing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoJson {
    /// What is wrong, with line and column, for a person or for the model that is asked again.
    pub message: String,
    /// The text ends before its JSON (or its reasoning) does: more room might have helped.
    pub truncated: bool,
    /// Where the text begins that is not reasoning, if there is no JSON in it, not even broken JSON.
    pub prose: Option<usize>,
    /// What the text says, if all that is missing in it is closing braces of objects.
    pub unclosed: Option<Box<Unclosed>>,
    /// What the text lacks, if it ends within the only value in it.
    pub ending: Option<Completion>,
}

/// An object of which only closing braces are missing: the text, or its block of code, ends behind a whole member, within no array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclosed {
    pub answer: Answer,
    /// How many objects are open: the outermost, its last member, and so on.
    pub levels: usize,
}

impl NoJson {
    /// With nothing to say but this.
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

/// The value of a text that is strict JSON as a whole and holds no more than a million values.
#[must_use]
pub fn strict(text: &str) -> Option<Value> {
    if candidate_scanner::holds_too_many_values(text) {
        return None;
    }
    serde_json::from_str(text)
        .ok()
        .map(|StrictJson(value)| value)
}

/// Reads the JSON value that `text` means. `accepts` says whether a value is valid for the caller; it decides among several
/// candidates, and is called at most 32 times, never for text that is strict JSON as a whole.
///
/// The last accepted strict candidate wins, then the last accepted mended one, then the largest of all, so that the
/// caller can say what is wrong with it.
///
/// # Errors
/// [`NoJson`] when there is no candidate at all, when the text stops within one, when a list is closed before its last element, or
/// when it holds a million values.
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
/// As [`parse`].
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
        repairs.note(repair::ESCAPED);
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
    // Even after a whole candidate: the model was about to correct it, or to add to it.
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

/// JSON of which every quote is escaped: what is in a string, without the quotes around it.
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

/// The text that a quoted text is: in any quotes, escaped ones too, or in several that are added up. `None` if it is not quoted as a whole.
#[must_use]
pub fn quoted(text: &str) -> Option<String> {
    if text.starts_with("\\\"") {
        let inner = serde_json::from_str::<String>(&format!("\"{text}\"")).ok()?;
        return serde_json::from_str(&inner).ok();
    }
    text.starts_with(quote::is_quote)
        .then(|| tolerant_parser::read_string(text))
        .flatten()
}

/// The sentences that say that an object was closed, and that the end of a text was made up.
pub const CLOSED: &str = repair::CLOSED;
pub const ENDED: &str = repair::ENDED;

/// The values found in a text, in its order.
pub struct Candidates<'t> {
    text: &'t str,
    list: Vec<Candidate>,
    /// The text is strict JSON as a whole.
    is_strict: bool,
    reasoning: bool,
}

/// Candidates of a kind that are tried, the last ones: the later a value, the likelier it is the answer. Each may be held against the
/// schema, which may take a second.
const MAX_TRIED: usize = 16;

impl Candidates<'_> {
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.is_strict
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The value of each, in the order of the text.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.list.iter().map(|candidate| &candidate.value)
    }

    /// The places of those that are worth trying, the likeliest first: strict ones, then mended ones, each from the end.
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

    /// The likeliest one that is accepted; at most 32 are tried.
    pub fn accepted(&self, accepts: impl Fn(&Value) -> bool) -> Option<usize> {
        self.likeliest().find(|&place| {
            self.list
                .get(place)
                .is_some_and(|candidate| accepts(&candidate.value))
        })
    }

    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Value> {
        self.list.get(place).map(|candidate| &candidate.value)
    }

    /// The one with the longest text.
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

    /// Whether they follow one another as the elements of a list would, with nothing but separators between them.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        let between = self.list.len().saturating_sub(1);
        between > 0 && self.gaps().skip(1).take(between).all(is_separator) && !self.has_fragments()
    }

    /// Whether pieces of other objects stand beside them, so that they are not all that was said.
    #[must_use]
    pub fn has_fragments(&self) -> bool {
        self.gaps()
            .any(|gap| gap.contains(['{', '}']) && gap.contains([':', '"', '\'']))
    }

    /// `[1, 2], {"a": 3}]`: where the first list among them ends before its last element.
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
            // Behind each gap but the last is a value.
            has_more = true;
        }
        None
    }

    /// The text around them: before the first, between two, and behind the last.
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

    /// All of them as one list.
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
        repairs.note(repair::SEQUENCE);
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

    /// The one at a place of the list, with all that was mended or left out around it.
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
            repairs.note(repair::REASONING);
        }
        if self.list.len() > 1 {
            repairs.note(repair::SEVERAL);
        }
        finish(self.text, self.list.swap_remove(place), repairs)
    }
}

/// White space, commas, list marks, fences: what stands between two elements and says nothing.
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

/// Returns the result of [`parse`] and the number of bytes read tolerantly, lookahead included. Without debug assertions, the
/// number is 0.
///
/// # Errors
/// As [`parse`].
pub fn parse_counted(
    text: &str,
    accepts: impl Fn(&Value) -> bool,
) -> (Result<Answer, NoJson>, usize) {
    #[cfg(debug_assertions)]
    {
        cursor::BYTES_READ.set(0);
        (parse(text, accepts), cursor::BYTES_READ.get())
    }
    #[cfg(not(debug_assertions))]
    (parse(text, accepts), 0)
}

/// Adds what was left out around the chosen candidate to its own repairs.
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
        repairs.note(repair::AROUND);
    } else if around.iter().any(|part| !is_blank(part)) {
        repairs.note(repair::FENCE);
    } else if text.starts_with('\u{feff}') {
        repairs.note(repair::BYTE_ORDER_MARK);
    } else if !around
        .iter()
        .all(|part| part.trim_matches([' ', '\t', '\r', '\n']).is_empty())
    {
        repairs.note(repair::ODD_SPACE);
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
