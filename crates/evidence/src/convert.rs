//! Conversion of evidence to another unit of offsets.

use crate::index::LeafEvidence;
use crate::span::OffsetUnit;

/// Converts the spans of evidence from one unit to another, all in one pass over the text. Offsets past the end become the end.
pub fn convert_offsets(
    text: &str,
    from: OffsetUnit,
    to: OffsetUnit,
    evidence: &mut [LeafEvidence],
) {
    if from == to || text.is_ascii() {
        return;
    }
    let spans = evidence.iter_mut().flat_map(|leaf| &mut leaf.spans);
    let mut offsets: Vec<&mut usize> = spans
        .flat_map(|span| [&mut span.start, &mut span.end])
        .collect();
    offsets.sort_unstable();
    let mut rest = text.chars();
    let (mut before, mut after) = (0, 0);
    for offset in offsets {
        while before < *offset {
            let Some(c) = rest.next() else { break };
            before += units(c, from);
            after += units(c, to);
        }
        *offset = after;
    }
}

const fn units(c: char, unit: OffsetUnit) -> usize {
    match unit {
        OffsetUnit::CodePoint => 1,
        OffsetUnit::Utf16 => c.len_utf16(),
        OffsetUnit::Byte => c.len_utf8(),
    }
}
