//! Fuzz harness: one function for each fuzz target, from bytes to a panic if a promise of the service is broken.
//!
//! `make fuzz` drives the targets with libFuzzer (nightly Rust, a workspace of its own). `tests/fuzz` of the service includes
//! this library by path and drives the same functions with random bytes and with the corpus, in every `make test`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic reports a finding to the fuzzer"
)]

mod answer;
mod body;
mod lines;
pub mod lowered;
mod rules;
mod schema;
mod stream;

pub use answer::answer;
pub use body::body;
pub use lines::lines;
pub use lowered::lowered;
pub use rules::rules;
pub use schema::{made_up, schema};
pub use stream::stream;

use serde_json::Value;

use extractd::types::{Error, StrictJson};

/// Name and function of a target. The name is also that of its binary and of its corpus folder.
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

/// Maximum length of an error message, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Parses strict JSON. `None`: the bytes are not valid JSON.
fn strict_json(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text)
        .ok()
        .map(|StrictJson(value)| value)
}

/// Returns the number of levels of arrays and objects.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Asserts that an error message is neither empty nor too long.
fn check_message(message: &str) {
    assert!(!message.trim().is_empty(), "the message is empty");
    assert!(
        message.len() <= MAX_MESSAGE_BYTES,
        "the message has {} bytes",
        message.len()
    );
}

/// Asserts that each pointer of the error names a value of the document, or a required field that is missing.
fn check_pointers(error: &Error, document: Option<&Value>) {
    check_message(&error.detail);
    for fault in &error.errors {
        check_message(&fault.message);
        let Some(document) = document else { continue };
        let required = fault.message == "this field is required";
        let pointer = if required {
            fault.pointer.rsplit_once('/').unwrap_or_default().0
        } else {
            &fault.pointer
        };
        assert!(
            document.pointer(pointer).is_some(),
            "no value at {pointer:?}: {error:?}"
        );
    }
}
