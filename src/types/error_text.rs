//! Texts and pointers of errors, within a size limit: they repeat names and values of callers, which may be megabytes, and a slow reader
//! may hold an error for long.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Serialize;

use super::json_pointer::{shorten, truncate_pointer};

/// Text of an error, at most `MAX` bytes: a longer one keeps its first and last part, with " … " between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ErrorText<const MAX: usize>(String);

/// Message of a field error.
pub type ErrorMessage = ErrorText<1024>;
/// Detail of an error: that of a field error has its pointer and its message.
pub type ErrorDetail = ErrorText<4096>;

/// JSON Pointer of a field error, at most 1024 bytes: instead of a longer one, that of its deepest ancestor which is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ErrorPointer(String);

impl<const MAX: usize> From<String> for ErrorText<MAX> {
    fn from(text: String) -> Self {
        match shorten(&text, MAX) {
            Cow::Borrowed(_) => Self(text),
            Cow::Owned(short) => Self(short),
        }
    }
}

impl<const MAX: usize> From<&str> for ErrorText<MAX> {
    fn from(text: &str) -> Self {
        Self(shorten(text, MAX).into_owned())
    }
}

impl From<String> for ErrorPointer {
    fn from(pointer: String) -> Self {
        let short = truncate_pointer(&pointer);
        if short.len() < pointer.len() {
            Self(short.to_owned())
        } else {
            Self(pointer)
        }
    }
}

impl From<&str> for ErrorPointer {
    fn from(pointer: &str) -> Self {
        Self(truncate_pointer(pointer).to_owned())
    }
}

macro_rules! acts_as_text {
    ([$($parameters:tt)*] $type:ty) => {
        impl<$($parameters)*> From<Cow<'_, str>> for $type {
            fn from(text: Cow<'_, str>) -> Self {
                text.into_owned().into()
            }
        }

        impl<$($parameters)*> From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }

        impl<$($parameters)*> Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<$($parameters)*> PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.0 == *other
            }
        }

        impl<$($parameters)*> PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.0 == **other
            }
        }

        impl<$($parameters)*> fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

acts_as_text!([const MAX: usize] ErrorText<MAX>);
acts_as_text!([] ErrorPointer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_both_ends_and_is_shortened_once() {
        assert_eq!(ErrorMessage::from("short"), "short");
        let long = format!("from {} to", "é".repeat(1 << 20));
        let short = ErrorMessage::from(long.as_str());
        assert!(short.starts_with("from é") && short.ends_with("é to") && short.contains(" … "));
        assert!(short.len() <= 1024, "{}", short.len());
        assert_eq!(ErrorMessage::from(long), short);
        assert_eq!(ErrorMessage::from(String::from(short.clone())), short);
    }

    #[test]
    fn a_long_pointer_is_that_of_an_ancestor() {
        let pointer = format!("/extractd/{}", "~1".repeat(1 << 20));
        assert_eq!(ErrorPointer::from(pointer.as_str()), "/extractd");
        assert_eq!(ErrorPointer::from(pointer), "/extractd");
        assert_eq!(ErrorPointer::from("/a/0".to_owned()), "/a/0");
    }
}
