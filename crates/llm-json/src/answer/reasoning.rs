//! Marks that reasoning models put around their reasoning (`<think>`). Text between them is never
//! an answer.

/// Opening and closing marks, compared without case. `[THINK]` is Magistral's. Servers that put the
/// opening mark into the prompt leave only the closing one in the answer.
const MARKS: [(&str, &str); 5] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
];

/// A reasoning mark at the beginning of a text, with its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningTag {
    Opening {
        length: usize,
        closing: &'static str,
    },
    Closing {
        length: usize,
    },
}

/// Returns the mark with which `text` begins.
pub fn mark_at(text: &str) -> Option<ReasoningTag> {
    MARKS.iter().find_map(|&(opening, closing)| {
        if begins_with(text, opening) {
            Some(ReasoningTag::Opening {
                length: opening.len(),
                closing,
            })
        } else if begins_with(text, closing) {
            Some(ReasoningTag::Closing {
                length: closing.len(),
            })
        } else {
            None
        }
    })
}

/// Returns the byte offset behind the first `closing` mark in `text`.
pub fn end_of(text: &str, closing: &str) -> Option<usize> {
    let found = text
        .as_bytes()
        .windows(closing.len())
        .position(|window| window.eq_ignore_ascii_case(closing.as_bytes()));
    found.map(|start| start + closing.len())
}

/// Returns the byte offset of the first closing mark of any kind in `text`.
pub fn first_closing(text: &str) -> Option<usize> {
    text.match_indices(['<', '['])
        .map(|(at, _)| at)
        .find(|&at| {
            matches!(
                mark_at(text.get(at..).unwrap_or_default()),
                Some(ReasoningTag::Closing { .. })
            )
        })
}

fn begins_with(text: &str, mark: &str) -> bool {
    text.as_bytes()
        .get(..mark.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(mark.as_bytes()))
}
