//! What the fuzzers drive, one function for each target: bytes in, and a panic if what is promised of them does not hold.
//!
//! `make fuzz` has libFuzzer look for such bytes; `tests` drives the same functions with made-up ones and with the corpus, in
//! every `make test`. Not in the binary.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a fuzzer is told"
)]

mod answer;
mod body;
mod lines;
mod lowered;
mod rules;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

pub use answer::answer;
pub use body::body;
pub use lines::lines;
pub use lowered::lowered;
pub use rules::rules;
pub use schema::{made_up, schema};
pub use stream::stream;

use serde_json::Value;

use crate::types::{Error, StrictJson};

/// A target with its name, which is that of its binary and of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("answer", answer),
    ("body", body),
    ("lines", lines),
    ("lowered", lowered),
    ("made_up", made_up),
    ("rules", rules),
    ("schema", schema),
    ("stream", stream),
];

/// The longest thing that is said of something wrong, in bytes.
const MOST_WORDS_BYTES: usize = 4096;

/// JSON as it stands, if it is some.
fn plain(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text)
        .ok()
        .map(|StrictJson(value)| value)
}

/// Levels of arrays and objects.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// What is said is something, and not much.
fn check_words(words: &str) {
    assert!(!words.trim().is_empty(), "nothing is said");
    assert!(
        words.len() <= MOST_WORDS_BYTES,
        "{} bytes are said",
        words.len()
    );
}

/// Each place that is named is there, or is one that has to be there.
fn check_places(error: &Error, document: Option<&Value>) {
    check_words(&error.detail);
    for fault in &error.errors {
        check_words(&fault.message);
        let Some(document) = document else { continue };
        let required = fault.message == "this field is required";
        let place = if required {
            fault.pointer.rsplit_once('/').unwrap_or_default().0
        } else {
            &fault.pointer
        };
        assert!(
            document.pointer(place).is_some(),
            "{place:?} is not there: {error:?}"
        );
    }
}
