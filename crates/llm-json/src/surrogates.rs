//! Half surrogate pairs in escapes: JSON by its grammar, and what JavaScript writes for a text that was cut within an emoji.

use std::borrow::Cow;

use memchr::memmem;

/// Length of an escaped code unit: `\ud83c`.
const ESCAPE_BYTES: usize = 6;

/// Returns JSON in which each escaped half of a surrogate pair is U+FFFD. Linear in the length; without such an escape, the JSON is
/// returned as it is.
#[must_use]
pub fn replace_half_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let has_surrogates = memmem::find_iter(json, b"\\u")
        .any(|at| matches!(code_unit(json.get(at..)), Some(0xd800..=0xdfff)));
    if !has_surrogates {
        return Cow::Borrowed(json);
    }
    let (mut out, mut rest) = (Vec::with_capacity(json.len()), json);
    // A backslash occurs in strings only, so each begins an escape.
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let taken = match code_unit(Some(escape)) {
            Some(0xd800..=0xdbff)
                if matches!(code_unit(escape.get(ESCAPE_BYTES..)), Some(0xdc00..=0xdfff)) =>
            {
                out.extend_from_slice(escape.get(..2 * ESCAPE_BYTES).unwrap_or_default());
                2 * ESCAPE_BYTES
            }
            Some(0xd800..=0xdfff) => {
                out.extend_from_slice(b"\\ufffd");
                ESCAPE_BYTES
            }
            _ => {
                let taken = escape.len().min(2);
                out.extend_from_slice(escape.get(..taken).unwrap_or_default());
                taken
            }
        };
        rest = escape.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Returns the code unit of the escape that a text begins with.
fn code_unit(text: Option<&[u8]>) -> Option<u16> {
    let digits = text?.get(..ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_are_replaced() {
        for (json, replaced) in [
            (r#"{"a":"x"}"#, r#"{"a":"x"}"#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00 b""#, r#""\ufffd b""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d\n""#, r#""\\\ufffd\n""#),
            (r#""\ud83"#, r#""\ud83"#),
        ] {
            let found = replace_half_surrogates(json.as_bytes());
            assert_eq!(std::str::from_utf8(&found).unwrap(), replaced);
        }
    }
}
