//! From the text that a model wrote to the JSON value that it means.
//!
//! Strict JSON is returned as it is. Anything else is scanned once from left to right: reasoning blocks are skipped, and every
//! `{` or `[` in the prose is read strictly, then tolerantly. The schema chooses among the values found.
//! Three promises: an answer that was cut off is never closed into a shorter one, prose never becomes a value, and
//! the work is linear in the size of the text.
//!
//! Knows no schema (only a predicate), no provider and no HTTP.
//!
//! - `scan`: which pieces of the text are worth reading; `reasoning`: which are not; `found`: what came of it
//! - `object`: the tolerant reader, with `string`, `quote` and `scalar`; `cursor`: the place in the text, white space and comments
//! - `repair`: what was mended, in words

mod cursor;
mod found;
mod object;
mod quote;
pub(super) mod reasoning;
mod repair;
mod scalar;
mod scan;
mod string;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::model::Plain;
use cursor::position;
use found::{Candidate, Found};
use repair::Repairs;

/// A JSON value, and what had to be mended to get it.
#[derive(Debug, Clone, PartialEq)]
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
    if scan::holds_too_many_values(text) {
        return None;
    }
    serde_json::from_str(text).ok().map(|Plain(value)| value)
}

/// Reads the JSON value that `text` means. `accepts` says whether a value is valid for the caller; it decides among several
/// candidates, and is called at most 32 times, never for text that is strict JSON as a whole.
///
/// The last accepted strict candidate wins, then the last accepted mended one, then the largest of all, so that the
/// caller can say what is wrong with it.
///
/// # Errors
/// [`NoJson`] when there is no candidate at all, when the text stops within one, or when it holds a million values.
pub fn parse(text: &str, accepts: impl Fn(&Value) -> bool) -> Result<Answer, NoJson> {
    if scan::holds_too_many_values(text) {
        return Err(NoJson { message: format!("the answer holds more than {} values", scan::MAX_VALUES), truncated: false });
    }
    if let Some(value) = strict(text) {
        return Ok(Answer { value, repairs: Vec::new() });
    }
    let mut found = scan::scan(text);
    // Even after a whole candidate: the model was about to correct it, or to add to it.
    if let Some(opened) = found.cut {
        return Err(cut(text, opened));
    }
    let Some(candidate) = choose(&mut found, accepts) else { return Err(nothing(text, &found)) };
    let mut repairs = Repairs::default();
    if found.reasoning {
        repairs.note(repair::REASONING);
    }
    if found.count > 1 {
        repairs.note(repair::SEVERAL);
    }
    Ok(finish(text, candidate, repairs))
}

/// As [`parse`], with the bytes that were read tolerantly, looking ahead included: the work that was done.
///
/// # Errors
/// As [`parse`].
#[cfg(any(test, fuzzing, doc))]
pub fn parse_counted(text: &str, accepts: impl Fn(&Value) -> bool) -> (Result<Answer, NoJson>, usize) {
    cursor::BYTES_READ.set(0);
    (parse(text, accepts), cursor::BYTES_READ.get())
}

fn choose(found: &mut Found, accepts: impl Fn(&Value) -> bool) -> Option<Candidate> {
    for group in [&mut found.strict, &mut found.mended] {
        if let Some(last) = group.iter().rposition(|candidate| accepts(&candidate.value)) {
            return group.remove(last);
        }
    }
    found.take_largest()
}

/// Adds what was left out around the chosen candidate to its own repairs.
fn finish(text: &str, candidate: Candidate, mut repairs: Repairs) -> Answer {
    let around =
        [text.get(candidate.body..candidate.span.start).unwrap_or_default(), text.get(candidate.span.end..).unwrap_or_default()];
    if around.iter().any(|part| part.lines().any(|line| !is_blank(line) && !is_fence(line))) {
        repairs.note(repair::AROUND);
    } else if around.iter().any(|part| !is_blank(part)) {
        repairs.note(repair::FENCE);
    } else if text.starts_with('\u{feff}') {
        repairs.note(repair::BYTE_ORDER_MARK);
    } else if !around.iter().all(|part| part.trim_matches([' ', '\t', '\r', '\n']).is_empty()) {
        repairs.note(repair::ODD_SPACE);
    }
    repairs.extend(candidate.repairs);
    Answer { value: candidate.value, repairs: repairs.into_vec() }
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
    NoJson {
        message: format!(
            "the answer stops before its JSON is complete: the {what} opened at {} is not closed when the text ends at {}",
            position(text, opened),
            position(text, text.len()),
        ),
        truncated: true,
    }
}

fn nothing(text: &str, found: &Found) -> NoJson {
    let (message, truncated) = if found.in_reasoning {
        ("the answer ends within its reasoning, before any JSON".to_owned(), true)
    } else if let Some(fault) = &found.fault {
        (format!("the JSON in the answer is broken at {}: {}", position(text, fault.at), fault.message), false)
    } else if is_blank(text) {
        ("the answer is empty".to_owned(), false)
    } else {
        ("the answer holds no JSON object or array".to_owned(), false)
    };
    NoJson { message, truncated }
}
