//! Alignment of a document's values with a text.

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::plain;
use ::evidence::{Index, LeafEvidence, OffsetUnit, Options, Status};

/// Reads the bytes up to the first NUL as a text and those after it as a JSON document, or as one string, and aligns them: each span
/// lies in the text, between grapheme clusters, in order, and is what it claims to be.
pub fn evidence(data: &[u8]) {
    let data = String::from_utf8_lossy(data);
    let (text, rest) = data.split_once('\0').unwrap_or((&data, &data));
    let value = plain(rest.as_bytes()).unwrap_or_else(|| Value::String(rest.to_owned()));
    let index = Index::new(text);
    let align = |unit| {
        index.align(
            &value,
            &Options {
                unit,
                ..Options::default()
            },
        )
    };
    let found = align(OffsetUnit::Byte);
    let boundaries: Vec<usize> = text
        .grapheme_indices(true)
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    for leaf in &found {
        check(text, &value, &boundaries, leaf);
    }
    for unit in [OffsetUnit::CodePoint, OffsetUnit::Utf16] {
        for (leaf, bytes) in align(unit).iter().zip(&found) {
            assert_eq!((&leaf.pointer, leaf.status), (&bytes.pointer, bytes.status));
            for (span, bytes) in leaf.spans.iter().zip(&bytes.spans) {
                assert_eq!(span.convert(text, unit, OffsetUnit::Byte), *bytes);
            }
        }
    }
}

fn check(text: &str, value: &Value, boundaries: &[usize], leaf: &LeafEvidence) {
    let value = value
        .pointer(&leaf.pointer)
        .expect("the pointer leads to a leaf");
    let is_there = !matches!(leaf.status, Status::Absent | Status::Derived);
    assert_eq!(is_there, !leaf.spans.is_empty(), "{leaf:?}");
    let mut end = 0;
    let mut there = Vec::new();
    for span in &leaf.spans {
        assert!(
            end <= span.start && span.start < span.end,
            "the spans are not in order: {leaf:?}"
        );
        end = span.end;
        for at in [span.start, span.end] {
            assert!(
                boundaries.binary_search(&at).is_ok(),
                "{at} is inside a cluster: {leaf:?}"
            );
        }
        there.push(&text[span.range()]);
    }
    assert_eq!(
        leaf.text,
        there.join(" … "),
        "the text is not that of the spans"
    );
    if leaf.status == Status::Exact {
        let wanted = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(leaf.text.trim(), wanted.trim(), "it is not exact");
    }
}
