//! Parsing of unquoted words: numbers, literals, function calls and text.

use serde_json::Value;

use crate::strict_json::parse_number;

use super::cursor::Cursor;
use super::literal::{LITERALS, Word, classify, is_word};
use super::quote::{self, QuoteContext};
use super::reader::{ParseFault, Reader, Words};
use super::repair::Repair;

impl Reader<'_> {
    /// Parses an unquoted word.
    pub(super) fn scalar(&mut self, place: QuoteContext) -> Result<Value, ParseFault> {
        let start = self.cursor;
        let word = self.cursor.skip_while(is_word);
        if self.cursor.is_at_end() {
            // A literal is complete; a number may have been truncated.
            let literal = if place == QuoteContext::Member && LITERALS.contains(&word) {
                serde_json::from_str(word).ok()
            } else {
                None
            };
            return literal.ok_or_else(|| ParseFault::cut(start.offset()));
        }
        // Outside objects, an unquoted word is prose.
        let may_be_text = self.in_objects > 0 || self.words == Words::Elements;
        let is_cut_number = place == QuoteContext::Member && is_group(self.cursor, start.offset());
        let is_quoted_behind =
            may_be_text && self.cursor.peek() == Some('"') && !begins_string(self.cursor, place);
        let ends =
            (!may_be_text || word_ends(self.cursor, place)) && !is_cut_number && !is_quoted_behind;
        match classify(word) {
            Word::OutOfRange if ends => Err(ParseFault::new(
                start.offset(),
                "the number is out of range",
            )),
            Word::Known(value) if ends => Ok(value),
            Word::Repaired(value, repair) if ends => {
                self.repairs.note(repair);
                Ok(value)
            }
            _ if may_be_text => {
                if let Some(argument) = self.call(start) {
                    return Ok(argument);
                }
                self.cursor = start;
                self.bare_text(place)
            }
            _ => Err(ParseFault::new(start.offset(), "expected a JSON value")),
        }
    }

    /// Returns the only argument of a call, a quoted string or a number: `ObjectId("5f")`.
    fn call(&mut self, start: Cursor<'_>) -> Option<Value> {
        self.cursor.eat("(").then_some(())?;
        let has_name = self.cursor.since(start.offset()).len() > 1;
        let inside = self
            .cursor
            .window(quote::LOOKAHEAD)
            .skip_while(|c| !matches!(c, ')' | '\n' | '\\'));
        let argument = inside.trim();
        let text = ['"', '\'']
            .iter()
            .find_map(|&mark| argument.strip_prefix(mark)?.strip_suffix(mark));
        let value = match text {
            Some(text) if !text.contains(quote::is_quote) => Value::String(text.to_owned()),
            Some(_) => return None,
            None => Value::Number(parse_number(argument)?),
        };
        self.cursor.eat(inside);
        let is_call = has_name && self.cursor.eat(")");
        is_call.then(|| {
            self.repairs.note(Repair::FunctionCall);
            value
        })
    }
}

/// Returns true if a quote right behind a word begins the next key or element instead of ending
/// this one.
fn begins_string(cursor: Cursor<'_>, place: QuoteContext) -> bool {
    let mut ahead = cursor.window(quote::LOOKAHEAD);
    ahead.bump();
    ahead.skip_while(char::is_whitespace);
    place == QuoteContext::Element && !matches!(ahead.peek(), Some(',' | ']'))
        || quote::begins_quoted_key(cursor)
}

/// Returns true for a group of three digits behind a comma that follows digits, if it is no key:
/// `1,234`.
pub fn is_group(cursor: Cursor<'_>, start: usize) -> bool {
    let is_number =
        |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+' | '$' | '€' | '£' | '¥' | ' ');
    let before = cursor.since(start);
    let mut ahead = cursor.window(quote::LOOKAHEAD);
    ahead.bump();
    let is_three = ahead.skip_while(|c| c.is_ascii_digit()).len() == 3;
    ahead.trivia();
    let is_key = matches!(ahead.peek(), Some(':' | '='));
    before.len() < quote::LOOKAHEAD
        && before.ends_with(|c: char| c.is_ascii_digit())
        && before.chars().all(is_number)
        && is_three
        && !is_key
}

/// Returns true if a comment begins at the cursor.
pub fn starts_comment(cursor: Cursor<'_>) -> bool {
    cursor.rest().starts_with("//") || cursor.rest().starts_with("/*")
}

/// Returns true if nothing that belongs to the word follows it ("12 apples").
fn word_ends(after: Cursor<'_>, place: QuoteContext) -> bool {
    let mut after = after.window(quote::LOOKAHEAD);
    after.skip_while(|c| matches!(c, ' ' | '\t' | '\u{a0}'));
    match after.peek() {
        None | Some(',' | '}' | ']' | '\r' | '\n' | '#') => true,
        Some('/') => starts_comment(after),
        Some(c) if quote::is_quote(c) => true,
        Some(_) if place == QuoteContext::Member => quote::begins_member(after),
        Some(_) => quote::begins_value(after),
    }
}
