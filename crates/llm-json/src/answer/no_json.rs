//! Error for a text without JSON that can be parsed without guessing.

use std::fmt;

use super::candidates::{Answer, is_blank};
use super::completion::Completion;
use super::cursor::position;
use super::reader::ParseFault;
use super::scan_result::Found;

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
    pub(super) fn with_message(message: String) -> Self {
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

/// Creates the error of a text that ends within the value opened at `opened`.
pub fn truncated(text: &str, opened: usize) -> NoJson {
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
        ..NoJson::with_message(message)
    }
}

/// Creates the error of malformed JSON.
pub fn malformed(text: &str, fault: ParseFault) -> NoJson {
    NoJson::with_message(format!(
        "the JSON in the answer is broken at {}: {}",
        position(text, fault.at),
        fault.message
    ))
}

/// Creates the error of a text without JSON.
pub fn without_json(text: &str, found: &Found) -> NoJson {
    if let Some(fault) = found.fault.filter(|_| !found.in_reasoning) {
        return malformed(text, fault);
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
        ..NoJson::with_message(message.to_owned())
    }
}
