//! JSON Pointers and messages of field errors, within a size limit: a name or value from a caller may be a megabyte.

use std::borrow::Cow;

use serde_path_to_error::{Path, Segment};

use schema_dialect::pointer;

/// Maximum length of an error message, in bytes.
const MAX_MESSAGE_BYTES: usize = 300;
/// Maximum length of a JSON Pointer, in bytes.
const MAX_POINTER_BYTES: usize = 1024;

/// Returns the JSON Pointer of a path, or of its deepest ancestor whose pointer is not too long.
#[must_use]
pub fn pointer_to(path: &Path) -> String {
    let mut at = String::new();
    for segment in path {
        let next = match segment {
            Segment::Seq { index } => member_pointer(&at, &index.to_string()),
            Segment::Map { key } => member_pointer(&at, key),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        if next.len() <= at.len() {
            return at;
        }
        at = next;
    }
    at
}

/// Returns the JSON Pointer of a member, or `parent` if it is too long.
#[must_use]
pub fn member_pointer(parent: &str, name: &str) -> String {
    // A name of megabytes is not copied.
    if name.len() <= MAX_POINTER_BYTES {
        let member = pointer(parent, name);
        if member.len() <= MAX_POINTER_BYTES {
            return member;
        }
    }
    parent.to_owned()
}

/// Returns the pointer, or that of its deepest ancestor that is not longer than 1024 bytes.
#[must_use]
pub fn truncate_pointer(pointer: &str) -> &str {
    if pointer.len() <= MAX_POINTER_BYTES {
        return pointer;
    }
    // A pointer that ends before a slash names an ancestor.
    let bytes = pointer
        .as_bytes()
        .get(..=MAX_POINTER_BYTES)
        .unwrap_or_default();
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'/')
        .unwrap_or_default();
    pointer.get(..end).unwrap_or_default()
}

/// Returns the message, or its first and last part if it is longer than 300 bytes.
#[must_use]
pub fn truncate_for_display(message: &str) -> Cow<'_, str> {
    shorten(message, MAX_MESSAGE_BYTES)
}

/// Returns the text, or its first and last part if it is longer than `max` bytes.
pub(super) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    const MARK: &str = " … ";
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let half = max.saturating_sub(MARK.len()) / 2;
    let head = text
        .get(..text.floor_char_boundary(half))
        .unwrap_or_default();
    let tail = text
        .get(text.ceil_char_boundary(text.len().saturating_sub(half))..)
        .unwrap_or_default();
    Cow::Owned([head, MARK, tail].concat())
}

/// Valid JSON that this service does not accept. serde_json reports it as a syntax error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrepresentable {
    /// Number beyond the range of a double.
    Number,
    /// Nesting deeper than 127 levels.
    Depth,
}

impl Unrepresentable {
    /// Recognizes such an error of serde_json. `None`: another error.
    #[must_use]
    pub fn from_error(error: &serde_json::Error) -> Option<Self> {
        let message = error.to_string();
        if message.starts_with("number out of range") {
            Some(Self::Number)
        } else if message.starts_with("recursion limit exceeded") {
            Some(Self::Depth)
        } else {
            None
        }
    }

    /// Returns the message for the caller.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Number => "this number is beyond what a 64-bit floating-point number can hold",
            Self::Depth => "this is nested too deeply; at most 127 levels are read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pointer_ends_at_an_ancestor() {
        assert_eq!(truncate_pointer("/a/b"), "/a/b");
        assert_eq!(truncate_pointer(&format!("/a/{}", "é".repeat(1000))), "/a");
        assert_eq!(
            truncate_pointer(&format!("/{}/a", "b".repeat(1023))),
            format!("/{}", "b".repeat(1023))
        );
        assert_eq!(truncate_pointer(&format!("/{}", "b".repeat(1024))), "");
        assert_eq!(truncate_pointer(&"/a".repeat(1000)), "/a".repeat(512));
    }

    #[test]
    fn a_member_with_a_long_name_has_the_pointer_of_its_parent() {
        assert_eq!(member_pointer("/a", "b/c"), "/a/b~1c");
        assert_eq!(member_pointer("/a", &"b".repeat(1021)).len(), 1024);
        assert_eq!(member_pointer("/a", &"b".repeat(1022)), "/a");
        assert_eq!(member_pointer("/a", &"~".repeat(600)), "/a");
        assert_eq!(member_pointer("", &"b".repeat(1 << 20)), "");
    }

    #[test]
    fn unrepresentable_json_is_recognized() {
        let of = |text: &str| {
            Unrepresentable::from_error(
                &serde_json::from_str::<llm_json::StrictJson>(text).unwrap_err(),
            )
        };
        assert_eq!(of("[1e400]"), Some(Unrepresentable::Number));
        assert_eq!(of(&"[".repeat(200)), Some(Unrepresentable::Depth));
        assert_eq!(of("[1e"), None);
    }

    #[test]
    fn a_long_message_keeps_both_ends() {
        assert_eq!(truncate_for_display("short"), "short");
        let long = format!("from {} to", "é".repeat(1000));
        let shown = truncate_for_display(&long);
        assert!(
            shown.starts_with("from é") && shown.ends_with("é to") && shown.len() < 320,
            "{shown}"
        );
    }
}
