//! Unquoted strings: the rules for their end, and for text that is no string.

use serde_json::Value;

use super::cursor::Cursor;
use super::quote::{self, QuoteContext};
use super::reader::{LEFT_OUT, ParseFault, Reader};
use super::repair::Repair;
use super::scalar::{is_group, starts_comment};

/// Type names in a schema-like form without values: `{name: string, age: number}`.
const TYPE_NAMES: [&str; 11] = [
    "string", "number", "integer", "boolean", "array", "object", "str", "int", "float", "bool",
    "any",
];

/// Maximum length of a line that may be a type, in bytes.
const MAX_TYPE: usize = 1024;

impl<'t> Reader<'t> {
    /// Parses an unquoted string, up to the comma, bracket, comment or line end behind it.
    pub(super) fn bare_text(&mut self, place: QuoteContext) -> Result<Value, ParseFault> {
        let at = self.cursor.offset();
        let mut braces = 0;
        loop {
            self.cursor
                .skip_while(|c| !matches!(c, ',' | '{' | '}' | ']' | '\n' | '#' | '/' | '"'));
            let is_comment = self.cursor.previous().is_some_and(char::is_whitespace);
            match self.cursor.peek() {
                None => return Err(ParseFault::cut(at)),
                Some('"')
                    if place == QuoteContext::Member
                        && is_comment
                        && quote::begins_quoted_key(self.cursor) =>
                {
                    break;
                }
                Some('"') => self.cursor.bump(),
                Some(',') if place == QuoteContext::Member && is_group(self.cursor, at) => {
                    self.cursor.bump()
                }
                Some(',') if place == QuoteContext::Member && self.goes_on() => self.cursor.bump(),
                Some('{') => {
                    let Some(length) = words_in_braces(self.cursor) else {
                        break;
                    };
                    braces += length;
                    self.cursor = Cursor::new(self.cursor.whole(), self.cursor.offset() + length);
                    continue;
                }
                Some('#') if !is_comment => self.cursor.bump(),
                Some('/') if !is_comment || !starts_comment(self.cursor) => self.cursor.bump(),
                Some(_) => break,
            };
        }
        let mut text = self.cursor.since(at).trim_end();
        if let Some(unquoted) = text.strip_suffix('"').filter(|text| !text.contains('"')) {
            self.repairs.note(Repair::MissingQuote);
            text = unquoted;
        }
        if text.contains("...") || text.contains('…') || TYPE_NAMES.contains(&text) {
            return Err(ParseFault::new(at, LEFT_OUT));
        }
        let is_odd = |c: char| {
            quote::is_quote(c)
                || (c == '{' && braces == 0)
                || matches!(c, '[' | '(' | ')' | '<' | '>' | ';' | '=' | '|' | '\\')
        };
        if !begins_well(text) || text.contains(is_odd) || text.contains(": ") {
            text = self
                .line(at, place)
                .ok_or_else(|| ParseFault::new(at, "expected a JSON value"))?;
        }
        self.repairs.note(Repair::UnquotedString);
        Ok(Value::String(text.to_owned()))
    }

    /// Returns true if the text continues behind this comma instead of a key: several words, or one
    /// word before the closing quote. Example: `a: one, two words here, b: 3`.
    fn goes_on(&self) -> bool {
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        ahead.bump();
        let has_space = !ahead.skip_while(|c| c == ' ').is_empty();
        let words = ahead.skip_while(|c| {
            !matches!(
                c,
                ',' | '"' | '\'' | '\n' | ':' | '=' | '{' | '}' | '[' | ']'
            )
        });
        let is_several = words.starts_with(char::is_alphabetic) && words.trim_end().contains(' ');
        match ahead.peek() {
            Some('"') if quote::begins_quoted_key(ahead) => has_space && is_several,
            Some('"') => !words.ends_with(' ') && ends_at_quote(ahead),
            // `one, two, three."`: the closing quote comes later.
            Some(',') if has_space && words.starts_with(char::is_alphabetic) && !is_several => {
                let more =
                    ahead.skip_while(|c| c.is_alphanumeric() || matches!(c, ',' | ' ' | '.' | '-'));
                more.ends_with(|c: char| c.is_alphanumeric() || c == '.')
                    && ahead.peek() == Some('"')
                    && ends_at_quote(ahead)
            }
            Some(',' | '}' | '\n') => has_space && is_several,
            _ => false,
        }
    }

    /// Returns the text of a type that contains a function, on a line of its own: `props: {name:
    /// string, done: () => void}`.
    pub(super) fn type_in_braces(&mut self) -> Option<String> {
        let at = self.cursor.offset();
        // The cheapest check first: a brace on a line of its own is rare.
        if self.cursor.peek() != Some('{') || !self.begins_line(at) {
            return None;
        }
        let line = self.cursor.window(MAX_TYPE).skip_while(|c| c != '\n');
        let is_type = line.contains(") =>") && !line.contains(['\'', '’']);
        let text = is_type.then(|| self.line_from(at)).flatten()?;
        self.repairs.note(Repair::UnquotedString);
        Some(text.to_owned())
    }

    /// Returns the line that begins at `at`, without a final comma, if the next line begins a
    /// member or ends the object.
    fn line(&mut self, at: usize, place: QuoteContext) -> Option<&'t str> {
        let is_text = self.cursor.whole().get(at..).is_some_and(begins_well);
        (place == QuoteContext::Member && is_text && self.begins_line(at))
            .then(|| self.line_from(at))?
    }

    /// Returns the text from `at` to the end of its line, without a final comma, if no value
    /// continues behind it.
    fn line_from(&mut self, at: usize) -> Option<&'t str> {
        let mut ahead = Cursor::new(self.cursor.whole(), at);
        let line = ahead.skip_while(|c| c != '\n').trim_end();
        let text = line.strip_suffix(',').unwrap_or(line).trim_end();
        let next = ahead.window(quote::LOOKAHEAD);
        let is_line = !next.is_at_end() && quote::begins_member(next);
        let is_whole = !text.contains(['"', '“', '”', '`'])
            && !text.contains("...")
            && !text.contains('…')
            && is_balanced(text);
        (is_line && is_whole).then(|| {
            self.cursor = Cursor::new(self.cursor.whole(), at + text.len());
            text
        })
    }

    /// Returns true if only a key precedes `at` on its line.
    fn begins_line(&self, at: usize) -> bool {
        let before = self.cursor.whole().get(..at).unwrap_or_default();
        let mut back = before.chars().rev().take(quote::LOOKAHEAD);
        back.find(|c| matches!(c, '{' | '[' | ',' | '\n')) == Some('\n')
    }
}

/// Returns true if the member ends behind the next quote.
fn ends_at_quote(mut ahead: Cursor<'_>) -> bool {
    ahead.bump();
    ahead.skip_while(|c| c == ' ');
    matches!(ahead.peek(), Some(',' | '}' | '\n'))
}

/// Returns true if an unquoted string can begin like this.
fn begins_well(text: &str) -> bool {
    text.starts_with(|c: char| {
        c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '¥' | '+' | '-' | '/')
    })
}

/// Returns true if the brackets are closed in order. Brackets of types (`Promise<Post>`) and arrows
/// are ignored.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    text.chars().all(|c| match c {
        '(' | '[' | '{' => {
            open.push(c);
            true
        }
        ')' => open.pop() == Some('('),
        ']' => open.pop() == Some('['),
        '}' => open.pop() == Some('{'),
        _ => true,
    }) && open.is_empty()
}

/// Returns the length in bytes of braces behind a word that contain only words: `words{in braces}`.
fn words_in_braces(cursor: Cursor<'_>) -> Option<usize> {
    cursor.previous().filter(|c| c.is_alphanumeric())?;
    let mut ahead = cursor.window(quote::LOOKAHEAD);
    ahead.bump();
    let words = ahead.skip_while(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-'));
    (!words.is_empty() && ahead.eat("}")).then(|| words.len() + 2)
}
