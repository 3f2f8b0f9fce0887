//! Keys of objects, with missing or extra quotes, colons and commas around them.

use super::cursor::{Cursor, is_elision};
use super::quote::{self, QuoteContext};
use super::reader::{LEFT_OUT, ParseFault, Reader, Words};
use super::repair::Repair;

impl<'t> Reader<'t> {
    /// Skips a word in capitals before a quoted key or the object's end: `"a": 1, COMMENT "b": 2`.
    pub(super) fn stray_word(&mut self) {
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        let word = ahead.skip_while(|c| c.is_ascii_uppercase() || c == '_');
        let has_space = !ahead.skip_while(char::is_whitespace).is_empty();
        if word.len() > 2
            && has_space
            && (ahead.peek() == Some('}') || quote::begins_quoted_key(ahead))
        {
            self.repairs.note(Repair::StrayWord);
            self.cursor = Cursor::new(self.cursor.whole(), ahead.offset());
        }
    }

    /// Parses a key and its colon.
    pub(super) fn name(&mut self) -> Result<String, ParseFault> {
        let mut key = self.key()?;
        if self.opens_value(&key) {
            key.truncate(key.trim_end().len() - 1);
            return Ok(key);
        }
        self.trivia()?;
        self.colon()?;
        Ok(key)
    }

    /// Returns true if the quote behind the colon opens the value, and moves back to it:
    /// `{"a:"x"}`.
    fn opens_value(&mut self, key: &str) -> bool {
        let quote = self.cursor.previous().filter(|&c| quote::is_quote(c));
        let is_opening = key.trim_end().len() > 1
            && key.trim_end().ends_with(':')
            && self.cursor.peek().is_some_and(char::is_alphanumeric);
        let Some(quote) = quote.filter(|_| is_opening) else {
            return false;
        };
        self.repairs.note(Repair::MissingQuote);
        self.was_json = true;
        self.cursor = Cursor::new(self.cursor.whole(), self.cursor.offset() - quote.len_utf8());
        true
    }

    fn key(&mut self) -> Result<String, ParseFault> {
        let at = self.cursor.offset();
        let rest = self.cursor.rest();
        if is_elision(rest) {
            return Err(ParseFault::new(at, LEFT_OUT));
        }
        if self.cursor.peek().is_some_and(quote::is_quote) && !rest.starts_with("```") {
            return self.string(QuoteContext::Key);
        }
        let mut key = self.cursor.skip_while(quote::is_bare_key);
        if self.cursor.is_at_end() {
            return Err(ParseFault::cut(at));
        }
        if self.cursor.peek() == Some(' ') && !key.is_empty() {
            key = self.spaced_key(key);
        } else if self.cursor.peek() == Some('"')
            && !key.is_empty()
            && self.has_colon_behind_quote()
        {
            self.cursor.bump();
        }
        if key.is_empty() {
            return Err(ParseFault::new(
                at,
                "expected a key in double quotes or '}'",
            ));
        }
        self.repairs.note(Repair::UnquotedKey);
        Ok(key.to_owned())
    }

    /// Returns a key with spaces, `Some key: 1`, up to its colon, or only its first word if no
    /// colon follows.
    fn spaced_key(&mut self, first: &'t str) -> &'t str {
        let start = self.cursor.offset() - first.len();
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        ahead.skip_while(|c| quote::is_bare_key(c) || c == ' ');
        if ahead.peek() != Some(':') {
            return first;
        }
        self.cursor
            .skip_while(|c| quote::is_bare_key(c) || c == ' ');
        self.cursor.since(start).trim_end()
    }

    /// Returns true if only the opening quote of a key is missing: `b": 1`.
    fn has_colon_behind_quote(&self) -> bool {
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        ahead.bump();
        ahead.trivia();
        ahead.peek() == Some(':')
    }

    fn colon(&mut self) -> Result<(), ParseFault> {
        let at = self.cursor.offset();
        if self.cursor.eat("=>") || self.cursor.eat("=") {
            self.repairs.note(Repair::Colon);
        } else if self.cursor.is_at_end() {
            return Err(ParseFault::cut(at));
        } else if self
            .cursor
            .previous()
            .is_some_and(|c| quote::is_quote(c) || c.is_whitespace())
            && self.words == Words::Elements
            && quote::begins_value(self.cursor)
        {
            self.repairs.note(Repair::Colon);
        } else if !self.cursor.eat(":") {
            return Err(ParseFault::new(at, "expected ':' after a key"));
        }
        self.was_json = true;
        Ok(())
    }
}
