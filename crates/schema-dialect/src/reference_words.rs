//! References of a schema whose text has not been parsed yet.

/// How a schema refers to parts of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum References {
    /// Not at all.
    None,
    /// To the same part each time.
    Fixed,
    /// To a part that depends on the schemas around the reference: there are as many targets as ways to it.
    Dynamic,
}

/// Returns how a schema refers to parts of itself at most, by the words in its text. An escape, as in `"\u0024ref"`, may hide a word:
/// then it is not found.
#[must_use]
pub fn references_in(text: &str) -> References {
    let words = ["$dynamicRef", "$recursiveRef"];
    if words.into_iter().any(|word| text.contains(word)) {
        References::Dynamic
    } else if text.contains("$ref") {
        References::Fixed
    } else {
        References::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_by_their_words() {
        for (text, expected) in [
            (r#"{"type": "object"}"#, References::None),
            (r##"{"$ref": "#/$defs/a"}"##, References::Fixed),
            (
                r##"{"a": {"$ref": "#"}, "$dynamicRef": "#b"}"##,
                References::Dynamic,
            ),
            (r##"{"$recursiveRef": "#"}"##, References::Dynamic),
        ] {
            assert_eq!(references_in(text), expected, "{text}");
        }
    }
}
