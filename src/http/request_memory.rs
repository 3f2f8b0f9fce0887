//! Memory that requests reserve: its errors, and the size of a body's values.

use std::time::Duration;

use serde_json::Value;

use crate::types::{Code, Error, count_values};
use throttle::NoMemory;

/// Bytes that a JSON value takes in memory beside its text: the smallest array that holds a value has room for four, and a long
/// one takes three times its values while it is moved to twice its room. `tests/memory_estimates.rs` compares this with what is
/// allocated.
const VALUE_BYTES: usize = 4 * size_of::<Value>();

/// Returns the memory that a JSON text takes once it is parsed, in bytes, at most.
#[must_use]
pub fn parsed_size(json: &[u8]) -> usize {
    json.len() + count_values(json) * VALUE_BYTES
}

/// Returns the error of a request for which there is no memory.
pub fn no_memory(refused: &NoMemory) -> Error {
    match refused {
        NoMemory::TooLarge { .. } => Error::new(
            Code::PayloadTooLarge,
            format!(
                "the request is too large: {refused} (`limits.max_memory_bytes`, `limits.max_queue_bytes`); send fewer values at a time, \
                 or send the inputs as NDJSON, which is streamed"
            ),
        ),
        NoMemory::Full | NoMemory::ShareUsedUp => Error::new(
            Code::Overloaded,
            format!(
                "{refused} (`limits.max_memory_bytes`, `limits.max_queue_bytes`); retry in 1 s, or send NDJSON, which is streamed"
            ),
        )
        .retry_after(Duration::from_secs(1)),
    }
}
