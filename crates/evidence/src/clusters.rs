//! Grapheme clusters and the classes of characters that words are made of.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use crate::fold::{decimal_digit, is_ignorable};

/// Part that a grapheme cluster has in words, by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Letter,
    Digit,
    /// A cluster that is a word of its own: scripts without spaces, emoji.
    Solo,
    /// Nothing to see: the word goes on.
    Ignored,
    /// White space and punctuation.
    Gap,
}

/// Returns the class of a cluster that starts with `c`.
pub fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            '0'..='9' => Class::Digit,
            'a'..='z' | 'A'..='Z' => Class::Letter,
            _ => Class::Gap,
        };
    }
    if is_unspaced(c) {
        Class::Solo
    } else if is_ignorable(c) {
        Class::Ignored
    } else if decimal_digit(c).is_some() {
        Class::Digit
    } else if c.is_alphanumeric() {
        Class::Letter
    } else if is_pictograph(c) {
        Class::Solo
    } else {
        Class::Gap
    }
}

/// Returns true for scripts that do not separate words: Chinese, Japanese, Thai, Lao, Khmer, Burmese; and for Korean, whose
/// particles are written on to the word.
pub fn is_unspaced(c: char) -> bool {
    let code = u32::from(c);
    if code < 0x0e00 {
        return false;
    }
    let is_digit =
        matches!(code, 0x0e50..=0x0e59 | 0x0ed0..=0x0ed9 | 0x1040..=0x1049 | 0x17e0..=0x17e9);
    !is_digit
        && matches!(code,
            0x0e01..=0x0e4e | 0x0e81..=0x0edf | 0x1000..=0x109f | 0x1100..=0x11ff | 0x1780..=0x17d3
            | 0x3005..=0x3007 | 0x3041..=0x309f | 0x30a1..=0x30fa | 0x30fc..=0x30ff | 0x3130..=0x318e
            | 0x3200..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xa960..=0xa97c | 0xac00..=0xd7fb
            | 0xf900..=0xfaff | 0xff66..=0xffdc | 0x20000..=0x3ffff)
}

fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c), 0x2190..=0x21ff | 0x2300..=0x27bf | 0x2900..=0x297f | 0x2b00..=0x2bff
        | 0x1f000..=0x1faff)
}

/// Returns true if no cluster holds `c` and a neighbour of which this is also true.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0x20..=0x7e | 0xa0..=0xa8 | 0xaa..=0xac | 0xaf..=0x2ff | 0x370..=0x482
        | 0x48a..=0x58f | 0x5d0..=0x5ea | 0x620..=0x64a | 0x3000..=0x3029 | 0x3041..=0x3096
        | 0x30a1..=0x30ff | 0x4e00..=0x9fff | 0xff01..=0xff9d)
}

/// Returns the cluster that starts at byte `at`, which is a boundary.
pub fn next_cluster(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let first = *bytes.get(at)?;
    let second = bytes.get(at + 1).copied().unwrap_or(b' ');
    if first.is_ascii() && second.is_ascii() && first != b'\r' {
        return text.get(at..=at);
    }
    let rest = text.get(at..)?;
    let mut chars = rest.chars();
    let c = chars.next()?;
    if stands_alone(c) && chars.next().is_none_or(stands_alone) {
        return rest.get(..c.len_utf8());
    }
    rest.graphemes(true).next()
}

/// Bytes around a position that decide about it.
const CONTEXT_BYTES: usize = 64;

/// Returns true if byte `at` lies between two clusters. Flags and joined emoji longer than the context are cut by no caller: they
/// are tokens.
pub fn is_boundary(text: &str, at: usize) -> bool {
    if !text.is_char_boundary(at) {
        return false;
    }
    let before = text.get(..at).and_then(|part| part.chars().next_back());
    let after = text.get(at..).and_then(|part| part.chars().next());
    let (Some(before), Some(after)) = (before, after) else {
        return true;
    };
    if stands_alone(before) && stands_alone(after) {
        return true;
    }
    let start = text.floor_char_boundary(at.saturating_sub(CONTEXT_BYTES));
    let end = text.ceil_char_boundary((at + CONTEXT_BYTES).min(text.len()));
    let Some(context) = text.get(start..end) else {
        return false;
    };
    GraphemeCursor::new(at - start, context.len(), true)
        .is_boundary(context, 0)
        .unwrap_or(false)
}
