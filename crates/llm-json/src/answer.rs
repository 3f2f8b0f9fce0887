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
//! - `candidates`: the values found, and the choice among them; `no_json`: the error if there are none
//! - `completion`: end of a truncated value; `repair`: repairs and their sentences

mod bracket_recovery;
pub(crate) mod candidate_scanner;
mod candidates;
mod completion;
mod cursor;
mod key;
mod literal;
mod no_json;
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

use std::ops::Range;

use serde_json::Value;

pub use candidates::{Answer, Candidates};
pub use completion::Completion;
pub use no_json::{NoJson, Unclosed};
pub use repair::Repair;

use crate::strict_json::StrictJson;
use candidates::finish;
use no_json::{malformed, truncated, without_json};
use reader::ParseFault;
use repair::Repairs;
use scan_result::Candidate;
use tolerant_parser::UnclosedPolicy;

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
        return Err(NoJson::with_message(message));
    }
    if let Some(value) = strict(text) {
        return Ok(Candidates::whole_text(
            text,
            value,
            Repairs::default(),
            true,
        ));
    }
    if let Some(value) = unescaped(text) {
        let mut repairs = Repairs::default();
        repairs.note(Repair::EscapedDocument);
        return Ok(Candidates::whole_text(text, value, repairs, false));
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
            ..truncated(text, opened)
        });
    }
    if found.list.is_empty() {
        return Err(NoJson {
            unclosed,
            ..without_json(text, &found)
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
        Some(at) => Err(malformed(
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

/// Converts an object that lacks only closing braces.
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
