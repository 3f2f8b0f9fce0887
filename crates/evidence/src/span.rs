//! Spans of a text, and the units they are counted in.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Unit of the offsets of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetUnit {
    /// Unicode code points, as Python counts.
    #[default]
    CodePoint,
    /// UTF-16 code units, as JavaScript, Java and C# count.
    Utf16,
    /// Bytes of UTF-8, as Rust and Go count.
    Byte,
}

/// Part of a text: from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Returns the span as a range.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Converts a span of `text` from one unit to another. Offsets past the end become the end.
    #[must_use]
    pub fn convert(self, text: &str, from: OffsetUnit, to: OffsetUnit) -> Self {
        let offset = |offset| from_byte(text, to_byte(text, offset, from), to);
        Self {
            start: offset(self.start),
            end: offset(self.end),
        }
    }
}

fn to_byte(text: &str, offset: usize, unit: OffsetUnit) -> usize {
    match unit {
        OffsetUnit::Byte => text.floor_char_boundary(offset.min(text.len())),
        OffsetUnit::CodePoint => text
            .char_indices()
            .nth(offset)
            .map_or(text.len(), |(at, _)| at),
        OffsetUnit::Utf16 => {
            let mut units = 0;
            text.char_indices()
                .find(|(_, c)| {
                    let found = units >= offset;
                    units += c.len_utf16();
                    found
                })
                .map_or(text.len(), |(at, _)| at)
        }
    }
}

fn from_byte(text: &str, byte: usize, unit: OffsetUnit) -> usize {
    let before = text.get(..byte).unwrap_or(text);
    count(before, unit)
}

/// Counts the units of a text.
fn count(text: &str, unit: OffsetUnit) -> usize {
    let bytes = text.as_bytes();
    let starts = || bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    match unit {
        OffsetUnit::Byte => bytes.len(),
        OffsetUnit::CodePoint => starts(),
        OffsetUnit::Utf16 => starts() + bytes.iter().filter(|byte| **byte >= 0xf0).count(),
    }
}

/// Converts spans of bytes to another unit, all in one pass over the text.
pub(crate) fn convert_all<'s>(
    text: &str,
    unit: OffsetUnit,
    spans: impl Iterator<Item = &'s mut Span>,
) {
    if unit == OffsetUnit::Byte || text.is_ascii() {
        return;
    }
    let mut offsets: Vec<&mut usize> = spans
        .flat_map(|span| [&mut span.start, &mut span.end])
        .collect();
    offsets.sort_unstable();
    let (mut byte, mut units) = (0, 0);
    for offset in offsets {
        units += text.get(byte..*offset).map_or(0, |part| count(part, unit));
        byte = *offset;
        *offset = units;
    }
}
