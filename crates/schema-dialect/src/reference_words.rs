//! References of a schema whose text has not been parsed yet.

/// Kinds of the references from a schema to its own parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum References {
    /// There are none.
    None,
    /// Each leads to the same part each time.
    Fixed,
    /// Some lead to a part that depends on the schemas around the reference: there are as many targets as ways to it.
    Dynamic,
}

/// Returns the most costly kind of references that a schema may have, by the words in its text. A word that is written with an escape,
/// as in `"\u0024ref"`, is not found.
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
