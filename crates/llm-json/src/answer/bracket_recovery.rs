//! Recovery of brackets that are missing or come too early, where the intended structure is
//! certain.

use serde_json::{Map, Value};

use super::cursor::{Cursor, is_space};
use super::quote::{self, QuoteContext};
use super::reader::{MAX_DEPTH, ParseFault, Reader, TOO_DEEP, Words};
use super::repair::Repair;

impl Reader<'_> {
    /// Moves over the closing brace and returns true. A brace in the middle of the outermost object
    /// is skipped instead: `{"a": 1}, "b": 2}`.
    pub(super) fn ends_object(&mut self, members: &Map<String, Value>) -> bool {
        let mut ahead = self.cursor;
        if !ahead.eat("}") {
            return false;
        }
        if self.depth == 1
            && !members.is_empty()
            && let Some(next) = next_member(ahead)
        {
            self.repairs.note(Repair::EarlyBrace);
            self.is_reopened = true;
            self.cursor = next;
            return false;
        }
        self.cursor = ahead;
        true
    }

    /// Returns true if the bracket of the surrounding container also closes this one: `{"a": [1,
    /// 2}`, `[{"a": 1]`. Only one level, and only behind a complete value.
    pub(super) fn closes_around(&mut self, close: char) -> bool {
        let mut ahead = self.cursor;
        ahead.skip_while(char::is_whitespace);
        let (around, is_within) = if close == ']' {
            ('}', self.open & 3 == 2)
        } else {
            (']', self.open & 3 == 1)
        };
        let is_open = self.depth > 1
            && self.depth != self.unopened
            && is_within
            && ahead.peek() == Some(around)
            && !self.repairs.has_duplicate();
        if is_open {
            self.repairs.note(Repair::MissingBracket);
            self.cursor = ahead;
        }
        is_open
    }

    /// Returns true if a key, its colon and a value stand where an element should begin: `["a": 1},
    /// {"a": 2}]`.
    pub(super) fn lacks_brace(&self, close: char) -> bool {
        let is_data = self.in_objects > 0 || self.words == Words::Elements;
        close == ']' && is_data && quote::begins_member_for_certain(self.cursor)
    }

    /// Parses an object whose opening brace is missing, up to and over its closing brace: `["a":
    /// 1}]`.
    pub(super) fn unopened(&mut self) -> Result<Value, ParseFault> {
        if self.depth == MAX_DEPTH {
            return Err(ParseFault::new(self.cursor.offset(), TOO_DEEP));
        }
        self.repairs.note(Repair::MissingBracket);
        self.was_json = true;
        let around = self.unopened;
        self.unopened = self.depth + 1;
        let value = self.within(1, Self::object)?;
        self.unopened = around;
        Ok(value)
    }

    /// Returns true if the text or its code block ends behind a complete member, outside every
    /// array. False after a quote inside a string, whose end is uncertain.
    pub(super) fn is_left_open(&self) -> bool {
        let rest = self.cursor.rest().trim_start_matches(is_space);
        let ends = rest.is_empty() || rest.starts_with("```") || rest.starts_with("~~~");
        ends && self.depth == self.in_objects && !self.repairs.has(&Repair::InnerQuote)
    }

    /// Returns the content of an unclosed string at `start` that is followed only by white space
    /// and as many braces as are open: `{"a": "one line }`.
    ///
    /// Returns `None` if the content has brackets, quotes, escapes or line breaks, or if an array
    /// surrounds it.
    pub(super) fn string_before_braces(
        &mut self,
        start: usize,
        place: QuoteContext,
    ) -> Option<String> {
        let text = self.cursor.since(start).trim_end_matches(is_space);
        let text = text.strip_suffix("\n```").unwrap_or(text);
        let string = text.trim_end_matches(|c: char| c == '}' || c.is_whitespace());
        let behind = text.get(string.len()..)?;
        let is_closed =
            behind.starts_with(char::is_whitespace) && behind.matches('}').count() == self.depth;
        let is_plain = !string.is_empty()
            && !string.ends_with(',')
            && !string.contains(|c: char| {
                c < ' '
                    || matches!(c, '{' | '}' | '[' | ']' | '\\')
                    || c != '\'' && quote::is_quote(c)
            });
        (place == QuoteContext::Member && self.depth == self.in_objects && is_closed && is_plain)
            .then(|| {
                self.repairs.note(Repair::MissingQuote);
                self.was_json = true;
                string.to_owned()
            })
    }
}

/// Returns the position of a key and its colon behind a closing brace and a comma, or of a key, its
/// value and another brace.
pub fn next_member(mut behind: Cursor<'_>) -> Option<Cursor<'_>> {
    behind.skip_while(is_space);
    let has_comma = behind.eat(",");
    behind.skip_while(is_space);
    (has_comma && (quote::begins_quoted_key(behind) || quote::begins_last_member(behind)))
        .then_some(behind)
}
