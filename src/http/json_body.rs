//! Strict JSON request bodies: unknown and duplicate fields are errors, located by line and column or by JSON Pointer.
//!
//! A body is parsed once, fast. Only if that fails is it parsed again, to find the line and column of a syntax error, or the
//! JSON Pointer of an invalid field.

use llm_json::surrogates::replace_half_surrogates;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::types::{Code, Error, Unrepresentable, pointer, pointer_to, truncate_for_display};

/// Parses a body. Half a surrogate pair becomes U+FFFD.
///
/// # Errors
/// `invalid_json`, or `invalid_request` with the pointer of the first invalid field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = &*replace_half_surrogates(bytes);
    serde_json::from_slice(bytes).map_err(|error| locate_error::<T>(bytes, &error))
}

fn locate_error<T: DeserializeOwned>(bytes: &[u8], first: &serde_json::Error) -> Error {
    let unrepresentable = Unrepresentable::from_error(first)
        .map(Unrepresentable::message)
        .or_else(|| wrong_enum_type(first));
    if !first.is_data() && unrepresentable.is_none() {
        return not_json(bytes, first);
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return not_json(bytes, &error);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => {
            let (location, message) = (pointer_to(error.path()), message(error.inner()));
            if let Some(message) = unrepresentable {
                return Error::invalid(location, message);
            }
            match message
                .strip_prefix("missing field `")
                .and_then(|rest| rest.strip_suffix('`'))
            {
                Some(field) => Error::invalid(pointer(&location, field), "this field is required"),
                None => Error::invalid(location, message),
            }
        }
        Ok(_) => Error::invalid("", message(first)),
    }
}

/// Returns a message if a string enum got another type, which serde_json reports as a syntax error.
fn wrong_enum_type(error: &serde_json::Error) -> Option<&'static str> {
    error
        .to_string()
        .starts_with("expected value")
        .then_some("wrong type; expected a string")
}

fn not_json(bytes: &[u8], error: &serde_json::Error) -> Error {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Error::new(Code::InvalidJson, "the body is empty; send a JSON object");
    }
    Error::new(
        Code::InvalidJson,
        truncate_for_display(&format!("the body is not JSON: {error}")),
    )
}

/// Parses JSON assembled from a query.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid field.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    parse(text.as_bytes())
}

/// Returns serde_json's message without its position, which the JSON Pointer replaces, and without Rust's type names.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rfind(" at line ")
        .and_then(|end| text.get(..end))
        .unwrap_or(&text);
    match text.strip_suffix("expected i64") {
        Some(text) => format!(
            "{}expected a whole number of 64 bits",
            truncate_for_display(text)
        ),
        None => truncate_for_display(text).into_owned(),
    }
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
            ("{} {}", "trailing"),
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
            error.errors[0].pointer.clone()
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
                .ends_with("expected a whole number of 64 bits")
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
