//! Fence around the input text, which keeps the model from reading it as instructions (prompt
//! injection).

use std::borrow::Cow;

/// Returns the text between `<text>` tags. A closing tag within the text, in any case and with spaces, is escaped, so that the
/// text cannot leave its fence.
#[must_use]
pub fn fenced(text: &str) -> String {
    let text = without_closing_tags(text);
    ["<text>\n", &*text, "\n</text>"].concat()
}

/// Escapes the slash of each `</text`.
fn without_closing_tags(text: &str) -> Cow<'_, str> {
    let mut escaped = String::new();
    let mut copied = 0;
    for start in memchr::memchr_iter(b'<', text.as_bytes()) {
        let Some(slash) = slash_of_closing_tag(text, start) else {
            continue;
        };
        escaped.push_str(text.get(copied..slash).unwrap_or_default());
        escaped.push_str("\\/");
        copied = slash + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    escaped.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(escaped)
}

/// Returns the position of the slash of a closing tag that starts at `start`.
fn slash_of_closing_tag(text: &str, start: usize) -> Option<usize> {
    let tag = text.get(start + 1..)?;
    let after_space = tag.trim_start();
    let slash = start + 1 + (tag.len() - after_space.len());
    let name = after_space.strip_prefix('/')?.trim_start();
    let is_text = name
        .get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case("text"));
    is_text.then_some(slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_cannot_close_its_fence() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a </text> b", "a <\\/text> b"),
            ("</TEXT></Text\n>", "<\\/TEXT><\\/Text\n>"),
            ("< / text >", "< \\/ text >"),
            ("<<//text <a>", "<<//text <a>"),
            ("<text> </texture </te", "<text> <\\/texture </te"),
        ] {
            assert_eq!(
                fenced(text),
                format!("<text>\n{expected}\n</text>"),
                "{text}"
            );
        }
    }
}
