//! Size of JSON in values, counted in the text without parsing it, or in the value. `tests/memory_estimates.rs` compares it with what is
//! allocated.

use std::io;

use llm_json::VALUE_BYTES;
use serde::Serialize;
use serde_json::Value;

/// Maximum size of a JSON text that is parsed on a worker of the runtime, in bytes. A larger one would delay other requests.
const MAX_INLINE_BYTES: usize = 64 * 1024;
/// Maximum number of values of such a text. They take about half a millisecond (measured with numbers in `extra_body`).
const MAX_INLINE_VALUES: usize = 4_000;

/// Returns true if parsing a JSON text is long work, by its length or by its values.
#[must_use]
pub fn is_long_to_parse(json: &[u8]) -> bool {
    // A text has at most as many values as bytes, so a short one is not counted.
    json.len() > MAX_INLINE_BYTES
        || (json.len() > MAX_INLINE_VALUES && count_values(json) > MAX_INLINE_VALUES)
}

/// Returns the memory that a JSON text takes once it is parsed, in bytes, at most.
#[must_use]
pub fn parsed_size(json: &[u8]) -> usize {
    json.len() + count_values(json) * VALUE_BYTES
}

/// Returns the length of a value as JSON, in bytes; `None` if that is more than `max`.
#[must_use]
pub fn written_size<T: Serialize + ?Sized>(value: &T, max: usize) -> Option<usize> {
    let mut left = Left(max);
    serde_json::to_writer(&mut left, value).ok()?;
    Some(max - left.0)
}

/// Writer that counts down the bytes that may still be written.
struct Left(usize);

impl io::Write for Left {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the memory that a parsed value takes beside its text, in bytes, at most.
#[must_use]
pub fn size_beside_text(value: &Value) -> usize {
    count_parsed(value) * VALUE_BYTES
}

/// Returns the number of values within a value, itself and keys included.
fn count_parsed(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(count_parsed).sum::<usize>(),
        Value::Object(members) => {
            let counts = members.values().map(|member| 1 + count_parsed(member));
            1 + counts.sum::<usize>()
        }
        _ => 1,
    }
}

/// Returns the number of values in a JSON text, keys included: one more than its separators outside of strings.
#[must_use]
pub fn count_values(json: &[u8]) -> usize {
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

/// Returns what follows a string's closing quote; nothing if it has none.
#[must_use]
pub fn after_string(mut text: &[u8]) -> &[u8] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_long_by_its_length_or_by_its_values() {
        let is_long = |json: &str| is_long_to_parse(json.as_bytes());
        assert!(!is_long(&format!("\"{}\"", "a".repeat(60_000))));
        assert!(is_long(&format!("\"{}\"", "a".repeat(MAX_INLINE_BYTES))));
        assert!(!is_long(&format!("[{}0]", "0,".repeat(3_000))));
        assert!(is_long(&format!("[{}0]", "0,".repeat(5_000))));
    }

    #[test]
    fn a_value_is_written_as_far_as_it_may_be() {
        let value = serde_json::json!({"a": [1, "\n"]});
        assert_eq!(written_size(&value, 14), Some(14));
        assert_eq!(written_size(&value, 13), None);
    }

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

    #[test]
    fn a_parsed_value_counts_no_more_than_its_text() {
        for json in ["1", "[1,2,3]", r#"{"a":1,"b":[{}]}"#, r#"["a,b",{}]"#] {
            let size = size_beside_text(&serde_json::from_str(json).unwrap());
            let of_text = count_values(json.as_bytes()) * VALUE_BYTES;
            assert!(size <= of_text && size * 2 > of_text, "{json}: {size}");
        }
    }
}
