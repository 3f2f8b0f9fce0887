//! Brackets that are missing, or come too early, where what was meant is plain.

use serde_json::{Map, Value};

use super::cursor::{Cursor, is_space};
use super::quote::{self, QuoteContext};
use super::repair::Repair;
use super::tolerant_parser::{MAX_DEPTH, ParseFault, Reader, TOO_DEEP, Words};

impl Reader<'_> {
    /// Moves over the closing brace. `{"a": 1}, "b": 2}`: one in the middle of the outermost object is none.
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

    /// `{"a": [1, 2}`, `[{"a": 1]`: the bracket of what is around this closes it too. Only one, and only behind a whole value.
    pub(super) fn closes_around(&mut self, close: char) -> bool {
        let mut ahead = self.cursor;
        ahead.skip_while(char::is_whitespace);
        let (around, is_within) = if close == ']' {
            ('}', self.open & 3 == 2)
        } else {
            (']', self.open & 3 == 1)
        };
        let is_open = self.depth > 1
            && is_within
            && ahead.peek() == Some(around)
            && !self.repairs.has_duplicate();
        if is_open {
            self.repairs.note(Repair::MissingBracket);
            self.cursor = ahead;
        }
        is_open
    }

    /// `["a": 1}, {"a": 2}]`: where an element should begin is a key, its colon and a value.
    pub(super) fn lacks_brace(&self, close: char) -> bool {
        let is_data = self.in_objects > 0 || self.words == Words::Elements;
        close == ']' && is_data && quote::begins_member_for_certain(self.cursor)
    }

    /// `["a": 1}]`: an object whose opening brace is missing, up to its own closing one and over it.
    pub(super) fn unopened(&mut self) -> Result<Value, ParseFault> {
        if self.depth == MAX_DEPTH {
            return Err(ParseFault::new(self.cursor.at(), TOO_DEEP));
        }
        self.repairs.note(Repair::MissingBracket);
        self.was_json = true;
        let around = self.open;
        // As if within an object, so that no other bracket closes it.
        self.open = around << 1 | 3;
        self.depth += 1;
        let value = self.object()?;
        self.open = around;
        self.depth -= 1;
        Ok(value)
    }

    /// The text, or its block of code, ends behind a whole member, with no array around it. A quote inside a string makes its end unclear.
    pub(super) fn is_left_open(&self) -> bool {
        let rest = self.cursor.rest().trim_start_matches(is_space);
        let ends = rest.is_empty() || rest.starts_with("```") || rest.starts_with("~~~");
        ends && self.depth == self.in_objects && !self.repairs.has(&Repair::InnerQuote)
    }

    /// `{"a": "one line }`: the string that begins at `start` runs to the end of the text, over white space and as many braces as are
    /// open. What it is without them, if it has no bracket, quote, escape or line break of its own, and no array is around it.
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

/// Where the key is that follows behind a closing brace and a comma, with its colon; or its value and another brace.
pub fn next_member(mut behind: Cursor<'_>) -> Option<Cursor<'_>> {
    behind.skip_while(is_space);
    let has_comma = behind.eat(",");
    behind.skip_while(is_space);
    (has_comma && (quote::begins_quoted_key(behind) || quote::begins_last_member(behind)))
        .then_some(behind)
}
