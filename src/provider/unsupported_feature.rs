//! What a server does not take, and how it says so.

use super::{RequestShape, UpstreamErrorBody};
use crate::types::Mode;

/// What a server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// The mode, whatever is asked in it.
    Mode,
    /// This schema in this mode; others may do.
    Schema,
    Temperature,
    Seed,
    /// The output limit as it was put: by this name, or as large as this.
    OutputLimit,
    /// The wish to be told the usage at the end of a stream.
    StreamUsage,
    /// Streaming.
    Stream,
}

/// A set of lessons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnsupportedSet(u8);

impl UnsupportedSet {
    #[must_use]
    pub const fn has(self, lesson: Unsupported) -> bool {
        self.0 & 1 << lesson as u8 != 0
    }

    /// False when it was there already.
    pub const fn add(&mut self, lesson: Unsupported) -> bool {
        let is_new = !self.has(lesson);
        self.0 |= 1 << lesson as u8;
        is_new
    }
}

/// The words in which a server refuses, in small letters.
#[derive(Debug)]
pub struct ErrorPatterns {
    /// The mode is fine, and this schema is not.
    pub schema: &'static [&'static str],
    pub json_schema: &'static [&'static str],
    pub tools: &'static [&'static str],
    pub json_object: &'static [&'static str],
    /// A 500 without any of these is an accident and teaches nothing.
    pub in_a_500: &'static [&'static str],
}

/// How servers say that they do not know a field, or not this value of it.
const UNKNOWN_FIELD: [&str; 9] = [
    "unsupported",
    "not supported",
    "unknown",
    "unrecognized",
    "instead",
    "extra inputs",
    "not permitted",
    "maximum allowed",
    "supports at most",
];

/// What a refusal (400, 422, 500, 501) asks to leave out or rename, if it does.
pub fn unsupported_in(
    status: u16,
    said: &UpstreamErrorBody,
    form: RequestShape,
    words: &ErrorPatterns,
) -> Option<Unsupported> {
    let message = said.message.to_ascii_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if status == 500 && !names(words.in_a_500) {
        return None;
    }
    let mode = match form.mode {
        Mode::JsonSchema => words.json_schema,
        Mode::Tools => words.tools,
        Mode::JsonObject => words.json_object,
        Mode::Auto | Mode::Text => &[],
    };
    if form.stream && names(&["stream_options", "include_usage"]) {
        Some(Unsupported::StreamUsage)
    } else if form.stream && names(&["stream"]) {
        Some(Unsupported::Stream)
    } else if matches!(form.mode, Mode::JsonSchema | Mode::Tools) && names(words.schema) {
        Some(Unsupported::Schema)
    } else if names(mode) {
        Some(Unsupported::Mode)
    } else if names(&["max_tokens", "max_completion_tokens"]) && names(&UNKNOWN_FIELD) {
        Some(Unsupported::OutputLimit)
    } else if names(&["temperature"]) {
        Some(Unsupported::Temperature)
    } else if names(&["seed"]) {
        Some(Unsupported::Seed)
    } else {
        None
    }
}
