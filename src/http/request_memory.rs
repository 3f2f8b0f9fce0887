//! Memory that requests reserve: its errors, and the size of a body's values.

use std::time::Duration;

use crate::types::{Code, Error};
use throttle::NoMemory;

/// Bytes that a JSON value takes in memory beside its text: the value itself, its share of the array or object that holds it, and
/// what the allocator adds. Measured with arrays of numbers, the densest bodies, at the peak of parsing (`parsing_takes_what_is_reserved`).
const VALUE_BYTES: usize = 160;

/// Returns the memory that a JSON text takes once it is parsed, in bytes, at most.
pub fn parsed_size(json: &[u8]) -> usize {
    json.len() + count_values(json) * VALUE_BYTES
}

/// Returns the number of values in a JSON text, keys included: one more than its separators outside of strings.
fn count_values(json: &[u8]) -> usize {
    let (mut count, mut rest) = (1, json);
    while let Some(position) = memchr::memchr(b'"', rest) {
        let (outside, string) = rest.split_at(position);
        count += separators(outside);
        rest = after_string(string.get(1..).unwrap_or_default());
    }
    count + separators(rest)
}

fn separators(text: &[u8]) -> usize {
    let is_separator = |byte: &&u8| matches!(byte, b',' | b':' | b'[' | b'{');
    text.iter().filter(is_separator).count()
}

/// Returns what follows a string's closing quote.
fn after_string(mut text: &[u8]) -> &[u8] {
    while let Some(position) = memchr::memchr2(b'"', b'\\', text) {
        let is_end = text.get(position) == Some(&b'"');
        text = text
            .get(position + if is_end { 1 } else { 2 }..)
            .unwrap_or_default();
        if is_end {
            return text;
        }
    }
    &[]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        for (json, count) in [
            ("1", 1),
            ("[1,2,3]", 4),
            (r#"{"a":1,"b":[{}]}"#, 7),
            (r#"["a,b,[{:","\\",",\","]"#, 4),
            (r#"["\"]"#, 2),
            (r#"["unterminated,,,"#, 2),
        ] {
            assert_eq!(count_values(json.as_bytes()), count, "{json}");
        }
    }
}
