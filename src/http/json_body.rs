//! Strict JSON request bodies: unknown and duplicate fields are errors, located by line and column or by JSON Pointer.
//!
//! A body is parsed once, fast. Only if that fails is it parsed again, to find the line and column of a syntax error, or the
//! JSON Pointer of an invalid field.

use llm_json::surrogates::replace_half_surrogates;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::types::{
    Code, Error, MORE_TEXT, Unrepresentable, member_pointer, missing_field, plain_message,
    pointer_to,
};

/// Parses a body. Half a surrogate pair becomes U+FFFD.
///
/// # Errors
/// `invalid_json`, or `invalid_request` with the pointer of the first invalid field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = &*replace_half_surrogates(bytes);
    serde_json::from_slice(bytes).map_err(|error| locate_error::<T>(bytes, &error))
}

fn locate_error<T: DeserializeOwned>(bytes: &[u8], first: &serde_json::Error) -> Error {
    let unrepresentable = Unrepresentable::from_error(first).map(Unrepresentable::message);
    if !first.is_data() && unrepresentable.is_none() {
        return not_json(bytes, first);
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return not_json(bytes, &error);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => {
            let (location, error) = (pointer_to(error.path()), error.into_inner());
            if let Some(message) = unrepresentable {
                return Error::invalid(location, message);
            }
            match missing_field(&error) {
                Some(field) => {
                    Error::invalid(member_pointer(&location, &field), "this field is required")
                }
                None => Error::invalid(location, plain_message(&error)),
            }
        }
        Ok(_) => Error::invalid("", plain_message(first)),
    }
}

/// Returns the error for a body that is not JSON: what is wrong, where, and what to do about mistakes that are common.
pub fn not_json(bytes: &[u8], error: &serde_json::Error) -> Error {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Error::new(Code::InvalidJson, "the body is empty; send a JSON object");
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        let detail = format!(
            "the body is not UTF-8: byte {at} does not belong there; convert the text to UTF-8 first"
        );
        return Error::new(Code::InvalidJson, detail);
    }
    if bytes.iter().take(4).any(|byte| *byte == 0) {
        let detail = "the body is UTF-16 or UTF-32; convert the text to UTF-8 first";
        return Error::new(Code::InvalidJson, detail);
    }
    let message = plain_message(error);
    let found = found_at(bytes, error);
    let before = if found.is_empty() {
        String::new()
    } else {
        format!(" (`{found}`)")
    };
    let advice = advice(&message, &found);
    Error::new(
        Code::InvalidJson,
        format!(
            "the body is not JSON at line {} column {}{before}: {message}{advice}",
            error.line(),
            error.column()
        ),
    )
}

/// Returns the beginning of the text that is wrong; empty at the end of the body.
fn found_at(bytes: &[u8], error: &serde_json::Error) -> String {
    const MAX_CHARS: usize = 20;
    if error.is_eof() {
        return String::new();
    }
    let line = bytes
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or_default();
    let text = line
        .get(error.column().saturating_sub(1)..)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(..text.len().min(MAX_CHARS * 4)).unwrap_or(text));
    let text = text.trim_start_matches(char::REPLACEMENT_CHARACTER);
    text.chars()
        .take(MAX_CHARS)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Returns what to do about a mistake that is common, after a semicolon.
fn advice(message: &str, found: &str) -> &'static str {
    const LITERALS: [&str; 6] = ["None", "True", "False", "NaN", "undefined", "Infinity"];
    if message == MORE_TEXT {
        return "; to send one input per line (NDJSON), use `Content-Type: application/x-ndjson` at /v1/extract/batch or /v1/jobs";
    }
    if LITERALS.iter().any(|literal| found.starts_with(literal)) {
        return "; JSON has `null`, `true` and `false`, and no other words";
    }
    if found.starts_with('\'') {
        return "; JSON has double quotes only";
    }
    ""
}

/// Parses JSON assembled from a query.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid field.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    parse(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Batch, Item, Single};

    #[test]
    fn a_syntax_error_has_its_line_and_column() {
        for (body, words) in [
            ("{\"a\": 1,}", "line 1 column 9"),
            ("{\n\"a\" 1}", "line 2"),
            ("", "empty"),
            (
                "{} {}",
                "at line 1 column 4 (`{}`): there is more text after the JSON value; to send",
            ),
            (
                "{\"a\": None}",
                "at line 1 column 7 (`None}`): a value is expected here; JSON has `null`",
            ),
            ("{'a': 1}", "must be in double quotes"),
            ("{\"inputs\": 3, \"x\": }", "line 1"),
        ] {
            let error = parse::<Batch>(body.as_bytes()).unwrap_err();
            assert_eq!(error.code, Code::InvalidJson, "{body}");
            assert!(error.detail.contains(words), "{error}");
        }
        assert_eq!(
            parse::<Batch>(b"{\"instructions\": \"\xff\"}")
                .unwrap_err()
                .code,
            Code::InvalidJson
        );
    }

    #[test]
    fn a_long_value_is_truncated_in_the_error() {
        let long = "é".repeat(100_000);
        for body in [
            format!(r#"{{"{long}": 1}}"#),
            format!(r#"{{"mode": "{long}"}}"#),
            format!(r#"{{"max_attempts": "{long}"}}"#),
            format!(r#"{{"metadata": {{"{long}": 1}}}}"#),
            format!(r#"{{"inputs": [{{"input": "a", "{long}": 1}}]}}"#),
        ] {
            let error = parse::<Batch>(body.as_bytes()).unwrap_err();
            assert_eq!(error.code, Code::InvalidRequest);
            assert!(
                error.detail.len() + error.errors[0].pointer.len() < 2000,
                "{}",
                error.detail.len()
            );
        }
    }

    #[test]
    fn an_invalid_field_has_its_pointer() {
        let pointer = |error: Error| {
            assert_eq!(error.code, Code::InvalidRequest);
            String::from(error.errors[0].pointer.clone())
        };
        for (body, at) in [
            (r#"{"inptus": []}"#, "/inptus"),
            (r#"{"inputs": ["a", 3]}"#, "/inputs/1"),
            (
                r#"{"inputs": ["a", {"id": 3, "input": "a"}]}"#,
                "/inputs/1/id",
            ),
            (r#"{"inputs": [{"inputs": "a"}]}"#, "/inputs/0/inputs"),
            (
                r#"{"inputs": [[{"type": "text", "text": 3}]]}"#,
                "/inputs/0/0/text",
            ),
            (r#"{"max_attempts": 0}"#, "/max_attempts"),
            (
                r#"{"examples": [{"input": "a", "output": 1, "x~/": 1}]}"#,
                "/examples/0/x~0~1",
            ),
            (r#"{"metadata": {"a": 1}}"#, "/metadata/a"),
            (r#"{"concurrency": 0}"#, "/concurrency"),
            (r#"{"seed": 1, "seed": 1}"#, "/seed"),
            (r#"{"mode": 5}"#, "/mode"),
            (r#"{"on_error": ["stop"]}"#, "/on_error"),
            (r#"{"inputs": ["a", [[[]]]]}"#, "/inputs/1/0/0"),
            ("[]", ""),
        ] {
            assert_eq!(
                pointer(parse::<Batch>(body.as_bytes()).unwrap_err()),
                at,
                "{body}"
            );
        }
        for (body, at) in [
            (r#"{"seed": 1e400}"#, "/seed"),
            (r#"{"temperature": -1e999}"#, "/temperature"),
            (
                r#"{"examples": [{"input": "a", "output": [1, 1e400]}]}"#,
                "/examples/0/output/1",
            ),
        ] {
            let error = parse::<Batch>(body.as_bytes()).unwrap_err();
            assert!(error.detail.contains("64-bit"), "{error}");
            assert_eq!(pointer(error), at, "{body}");
        }
        assert!(
            parse::<Single>(br#"{"seed": 0.5}"#)
                .unwrap_err()
                .detail
                .contains("expected a whole number of 64 bits, found `0.5`")
        );
        let deep = format!(
            r#"{{"examples": [{{"input": "a", "output": {}{}}}]}}"#,
            "[".repeat(1000),
            "]".repeat(1000)
        );
        assert!(
            parse::<Batch>(deep.as_bytes())
                .unwrap_err()
                .detail
                .contains("nested too deeply")
        );
        assert_eq!(
            pointer(parse::<Single>(br#"{"inputs": []}"#).unwrap_err()),
            "/inputs"
        );
        assert_eq!(
            pointer(parse::<Item>(br#"{"id": "a"}"#).unwrap_err()),
            "/input"
        );
    }
}
