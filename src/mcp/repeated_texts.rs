//! Check of the texts of a JSON-RPC message that its answer repeats: none of them needs to be long.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::types::Error;

/// Maximum length of such a text as JSON, in bytes.
const MAX_BYTES: usize = 256;

/// Member of an object, by its name.
type Members = &'static [(&'static str, Member)];

#[derive(Debug)]
enum Member {
    /// Text that is repeated, at this JSON Pointer.
    Repeated(&'static str),
    /// Object with such texts.
    Object(Members),
}

const MESSAGE: Members = &[
    ("id", Member::Repeated("/id")),
    ("params", Member::Object(PARAMS)),
];
const PARAMS: Members = &[
    (
        "protocolVersion",
        Member::Repeated("/params/protocolVersion"),
    ),
    ("requestId", Member::Repeated("/params/requestId")),
    ("_meta", Member::Object(META)),
];
const META: Members = &[
    (
        "io.modelcontextprotocol/protocolVersion",
        Member::Repeated("/params/_meta/io.modelcontextprotocol~1protocolVersion"),
    ),
    (
        "progressToken",
        Member::Repeated("/params/_meta/progressToken"),
    ),
];

/// Checks that the ID of a message and the version of its protocol are short. What is no message is left to the transport.
///
/// # Errors
/// `invalid_request` at the first text that is longer than 256 bytes.
pub fn check_repeated_texts(message: &[u8]) -> Result<(), Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    check(deserializer.deserialize_map(Found(MESSAGE)))
}

/// Checks the members that were found in an object.
fn check(found: serde_json::Result<Vec<(&Member, &RawValue)>>) -> Result<(), Error> {
    for (member, value) in found.unwrap_or_default() {
        match member {
            Member::Repeated(pointer) if value.get().len() > MAX_BYTES => {
                let message = format!("has more than {MAX_BYTES} bytes");
                return Err(Error::invalid(*pointer, message));
            }
            Member::Repeated(_) => {}
            Member::Object(members) => {
                let mut deserializer = serde_json::Deserializer::from_str(value.get());
                check(deserializer.deserialize_map(Found(members)))?;
            }
        }
    }
    Ok(())
}

/// Visitor that returns all members with one of the names, also those that are given twice.
struct Found(Members);

impl<'de> Visitor<'de> for Found {
    type Value = Vec<(&'static Member, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let wanted = self.0.iter().find(|(wanted, _)| *wanted == name);
            if let Some((_, member)) = wanted {
                found.push((member, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_or_version_is_refused_wherever_it_stands() {
        let long = "x".repeat(MAX_BYTES);
        for (message, pointer) in [
            (format!(r#"{{"id": "{long}", "method": "x"}}"#), "/id"),
            (format!(r#"{{"i\u0064": 1, "id": ["{long}"]}}"#), "/id"),
            (format!(r#"{{"id": "{long}", "id": 1}}"#), "/id"),
            (
                format!(r#"{{"id": 1, "params": {{"protocolVersion": "{long}"}}}}"#),
                "/params/protocolVersion",
            ),
            (
                format!(
                    r#"{{"params": {{"_meta": {{"io.modelcontextprotocol/protocolVersion": "{long}"}}}}}}"#
                ),
                "/params/_meta/io.modelcontextprotocol~1protocolVersion",
            ),
        ] {
            let error = check_repeated_texts(message.as_bytes()).unwrap_err();
            assert_eq!(error.errors[0].pointer, pointer, "{message}");
        }
    }

    #[test]
    fn other_texts_may_be_long_and_what_is_no_message_is_left_to_the_transport() {
        let long = "x".repeat(2 * MAX_BYTES);
        for message in [
            format!(
                r#"{{"id": "{}", "params": {{"arguments": {{"id": "{long}"}}}}}}"#,
                "x".repeat(MAX_BYTES - 2)
            ),
            format!(r#"{{"id": 1, "params": ["{long}"], "method": "{long}"}}"#),
            format!(r#"["{long}"]"#),
            format!(r#"{{"id": "{long}"#),
            String::new(),
        ] {
            check_repeated_texts(message.as_bytes()).unwrap();
        }
    }
}
