//! Candidates: the JSON values found in a text, and the choice among them.

use serde_json::Value;

use super::cursor;
use super::repair::{Repair, Repairs};
use super::scan_result::Candidate;

/// A JSON value and the repairs that were needed to parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The value. If no candidate was accepted, the one with the longest text.
    pub value: Value,
    /// Repairs, each kind once, in the order of the text. Empty for strict JSON.
    pub repairs: Vec<Repair>,
}

/// JSON values found in a text, in its order.
pub struct Candidates<'t> {
    pub(super) text: &'t str,
    pub(super) list: Vec<Candidate>,
    /// True if the text is strict JSON as a whole.
    pub(super) is_strict: bool,
    /// True if the text has reasoning.
    pub(super) reasoning: bool,
}

/// Maximum number of candidates checked of each kind (strict, repaired), counted from the end:
/// later values are likelier to be the answer. One schema check may take a second.
const MAX_TRIED: usize = 16;

impl<'t> Candidates<'t> {
    /// Creates the only candidate of a text that is one value as a whole.
    pub(super) fn whole_text(
        text: &'t str,
        value: Value,
        repairs: Repairs,
        is_strict: bool,
    ) -> Self {
        let whole = Candidate {
            value,
            span: 0..text.len(),
            body: 0,
            repairs,
            is_strict,
        };
        Self {
            text,
            list: vec![whole],
            is_strict,
            reasoning: false,
        }
    }
}

impl Candidates<'_> {
    /// Returns true if the text is strict JSON as a whole.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Returns the number of candidates, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the values in the order of the text.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.list.iter().map(|candidate| &candidate.value)
    }

    /// Returns the indices of the candidates worth checking, the likeliest first: strict ones, then
    /// repaired ones, each from the end.
    pub fn likeliest(&self) -> impl Iterator<Item = usize> {
        let of_kind = |is_strict| {
            let places = self.list.iter().enumerate().rev();
            places
                .filter(move |(_, candidate)| candidate.is_strict == is_strict)
                .map(|(place, _)| place)
                .take(MAX_TRIED)
        };
        of_kind(true).chain(of_kind(false))
    }

    /// Returns the index of the likeliest accepted candidate. At most 32 are checked.
    pub fn accepted(&self, accepts: impl Fn(&Value) -> bool) -> Option<usize> {
        self.likeliest().find(|&place| {
            self.list
                .get(place)
                .is_some_and(|candidate| accepts(&candidate.value))
        })
    }

    /// Returns the value at an index; `None` behind the last one.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Value> {
        self.list.get(place).map(|candidate| &candidate.value)
    }

    /// Returns the index of the candidate with the longest text.
    #[must_use]
    pub fn largest(&self) -> usize {
        let lengths = self
            .list
            .iter()
            .map(|candidate| candidate.span.len())
            .enumerate();
        lengths
            .max_by_key(|&(_, length)| length)
            .map_or(0, |(place, _)| place)
    }

    /// Returns true if the candidates follow one another like the elements of a list, with only
    /// separators between them.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        let between = self.list.len().saturating_sub(1);
        between > 0 && self.gaps().skip(1).take(between).all(is_separator) && !self.has_fragments()
    }

    /// Returns true if pieces of other objects surround the candidates, so that the candidates are
    /// not the whole answer.
    #[must_use]
    pub fn has_fragments(&self) -> bool {
        self.gaps()
            .any(|gap| gap.contains(['{', '}']) && gap.contains([':', '"', '\'']))
    }

    /// Returns the end of the first list if more elements follow its closing bracket: `[1, 2],
    /// {"a": 3}]`.
    pub(super) fn reopened_list(&self) -> Option<usize> {
        let first = self
            .list
            .iter()
            .position(|candidate| candidate.value.is_array())?;
        let end = self.list.get(first)?.span.end;
        let gap = self
            .gaps()
            .nth(first + 1)?
            .trim_start_matches(cursor::is_space);
        let goes_on = gap.starts_with(',') || gap.is_empty();
        if !goes_on {
            return None;
        }
        let (mut has_more, mut depth) = (false, 0_usize);
        for gap in self.gaps().skip(first + 1) {
            for c in gap.chars() {
                match c {
                    '[' => depth += 1,
                    ']' if depth > 0 => depth -= 1,
                    ']' if has_more => return Some(end),
                    _ => has_more |= c.is_alphanumeric(),
                }
            }
            // A value follows every gap but the last.
            has_more = true;
        }
        None
    }

    /// Returns the text around the candidates: before the first, between each two, and behind the
    /// last.
    pub fn gaps(&self) -> impl Iterator<Item = &str> {
        let starts = self
            .list
            .iter()
            .map(|candidate| candidate.span.start)
            .chain([self.text.len()]);
        let body = self.list.first().map_or(0, |candidate| candidate.body);
        let ends = [body]
            .into_iter()
            .chain(self.list.iter().map(|candidate| candidate.span.end));
        ends.zip(starts)
            .map(|(end, start)| self.text.get(end..start).unwrap_or_default())
    }

    /// Returns all candidates as one list.
    #[must_use]
    pub fn take_all(mut self) -> Answer {
        let first = self
            .list
            .first()
            .map_or(0, |candidate| candidate.span.start);
        let last = self.list.last().map_or(0, |candidate| candidate.span.end);
        let mut repairs = Repairs::default();
        let mut values = Vec::with_capacity(self.list.len());
        for candidate in self.list.drain(..) {
            repairs.extend(candidate.repairs);
            values.push(candidate.value);
        }
        repairs.note(Repair::Sequence);
        let whole = Candidate {
            value: Value::Array(values),
            span: first..last,
            body: first,
            repairs: Repairs::default(),
            is_strict: false,
        };
        let mut answer = finish(self.text, whole, Repairs::default());
        answer.repairs.extend(repairs.into_vec());
        answer
    }

    /// Returns the candidate at an index, with its own repairs and those for the text around it.
    #[must_use]
    pub fn take(mut self, place: usize) -> Answer {
        let mut repairs = Repairs::default();
        if place >= self.list.len() {
            let value = self.list.pop().map(|whole| whole.value).unwrap_or_default();
            return Answer {
                value,
                repairs: repairs.into_vec(),
            };
        }
        if self.reasoning {
            repairs.note(Repair::Reasoning);
        }
        if self.list.len() > 1 {
            repairs.note(Repair::SeveralValues);
        }
        finish(self.text, self.list.swap_remove(place), repairs)
    }
}

/// Returns true if a gap holds only white space, commas, list marks, comments and code fences.
fn is_separator(gap: &str) -> bool {
    gap.lines().all(|line| {
        let line = line.trim_matches(|c: char| {
            cursor::is_space(c) || matches!(c, ',' | ';' | '-' | '*' | '.' | ')' | '•')
        });
        let is_comment = line.starts_with("//")
            || line.starts_with('#')
            || (line.starts_with("/*") && line.ends_with("*/"));
        line.is_empty()
            || is_comment
            || is_fence(line)
            || line.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Adds the repairs for the text around the chosen candidate to its own.
pub(super) fn finish(text: &str, candidate: Candidate, mut repairs: Repairs) -> Answer {
    let around = [
        text.get(candidate.body..candidate.span.start)
            .unwrap_or_default(),
        text.get(candidate.span.end..).unwrap_or_default(),
    ];
    if around
        .iter()
        .any(|part| part.lines().any(|line| !is_blank(line) && !is_fence(line)))
    {
        repairs.note(Repair::SurroundingText);
    } else if around.iter().any(|part| !is_blank(part)) {
        repairs.note(Repair::CodeFence);
    } else if text.starts_with('\u{feff}') {
        repairs.note(Repair::ByteOrderMark);
    } else if !around
        .iter()
        .all(|part| part.trim_matches([' ', '\t', '\r', '\n']).is_empty())
    {
        repairs.note(Repair::UnusualSpace);
    }
    repairs.extend(candidate.repairs);
    Answer {
        value: candidate.value,
        repairs: repairs.into_vec(),
    }
}

/// Returns true if a text has only white space.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(cursor::is_space)
}

/// Returns true for the first or last line of a code block.
fn is_fence(line: &str) -> bool {
    let line = line.trim_matches(cursor::is_space);
    line.starts_with("```") || line.starts_with("~~~")
}
