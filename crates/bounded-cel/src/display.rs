//! Text shortened for display: an expression or a value may be far longer than a message should be.

use std::borrow::Cow;

/// Maximum length of a text in a message, in bytes.
const MAX_TEXT_BYTES: usize = 300;
/// Maximum length of a violation's JSON Pointer, in bytes.
const MAX_POINTER_BYTES: usize = 1024;

/// Returns the text, or its first and last part if it is longer than 300 bytes.
pub fn truncate_for_display(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES {
        return Cow::Borrowed(text);
    }
    let half = MAX_TEXT_BYTES / 2;
    let head = text
        .get(..text.floor_char_boundary(half))
        .unwrap_or_default();
    let tail = text
        .get(text.ceil_char_boundary(text.len() - half)..)
        .unwrap_or_default();
    Cow::Owned(format!("{head} … {tail}"))
}

/// Returns the JSON Pointer of the reference tokens, or of their longest prefix that fits into 1024 bytes.
pub fn pointer<'a>(tokens: impl IntoIterator<Item = &'a String>) -> String {
    let mut pointer = String::new();
    for token in tokens {
        let escaped = token.replace('~', "~0").replace('/', "~1");
        if pointer.len() + 1 + escaped.len() > MAX_POINTER_BYTES {
            break;
        }
        pointer.push('/');
        pointer.push_str(&escaped);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_both_ends() {
        assert_eq!(truncate_for_display("short"), "short");
        let long = format!("from {} to", "é".repeat(1000));
        let shown = truncate_for_display(&long);
        assert!(
            shown.starts_with("from é") && shown.ends_with("é to") && shown.len() < 320,
            "{shown}"
        );
    }

    #[test]
    fn a_long_pointer_ends_at_an_ancestor() {
        let of =
            |tokens: &[&str]| pointer(&tokens.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a/b", "c~"]), "/a~1b/c~0");
        assert_eq!(of(&["a", &"é".repeat(1000)]), "/a");
        assert_eq!(
            of(&[&"b".repeat(1023), "a"]),
            format!("/{}", "b".repeat(1023))
        );
        assert_eq!(of(&[&"b".repeat(1024)]), "");
        assert_eq!(of(&["a"; 1000]), "/a".repeat(512));
    }
}
