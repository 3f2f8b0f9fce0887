//! Numbers, literals, and words that should have had quotes.

use serde_json::{Number, Value};

use super::cursor::Cursor;
use super::object::{Fault, LEFT_OUT, Reader, Words};
use super::quote::{self, Place};
use super::repair;

/// `{name: string, age: number}` shows a form; it has no values.
const TYPE_NAMES: [&str; 11] =
    ["string", "number", "integer", "boolean", "array", "object", "str", "int", "float", "bool", "any"];

const LITERALS: [&str; 3] = ["true", "false", "null"];

/// The longest line that is held for a type, in bytes.
const MAX_TYPE: usize = 1024;

/// What a word without quotes is.
enum Word {
    Known(Value),
    /// Known, but not as JSON writes it; with the repair.
    Mended(Value, &'static str),
    /// A number that no `f64` holds.
    OutOfRange,
    Unknown,
}

impl<'t> Reader<'t> {
    pub(super) fn scalar(&mut self, place: Place) -> Result<Value, Fault> {
        let start = self.cursor;
        let word = self.cursor.skip_while(is_word);
        if self.cursor.is_at_end() {
            // A literal is whole; a number may have been cut in the middle.
            let literal = if place == Place::Member && LITERALS.contains(&word) { serde_json::from_str(word).ok() } else { None };
            return literal.ok_or_else(|| Fault::cut(start.at()));
        }
        // Outside of objects, a bare word is prose.
        let may_be_text = self.in_objects > 0 || self.words == Words::Elements;
        let is_cut_number = place == Place::Member && is_group(self.cursor, start.at());
        let is_quoted_behind = may_be_text && self.cursor.peek() == Some('"') && !begins_string(self.cursor, place);
        let ends = (!may_be_text || word_ends(self.cursor, place)) && !is_cut_number && !is_quoted_behind;
        match classify(word) {
            Word::OutOfRange if ends => Err(Fault::new(start.at(), "the number is out of range")),
            Word::Known(value) if ends => Ok(value),
            Word::Mended(value, repair) if ends => {
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
            _ => Err(Fault::new(start.at(), "expected a JSON value")),
        }
    }

    /// `a: one, two words here, b: 3`: behind this comma is no key, but more of the text: several words, or one before its closing quote.
    fn goes_on(&self) -> bool {
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        ahead.bump();
        let has_space = !ahead.skip_while(|c| c == ' ').is_empty();
        let words = ahead.skip_while(|c| !matches!(c, ',' | '"' | '\'' | '\n' | ':' | '=' | '{' | '}' | '[' | ']'));
        let is_several = words.starts_with(char::is_alphabetic) && words.trim_end().contains(' ');
        match ahead.peek() {
            Some('"') if quote::begins_quoted_key(ahead) => has_space && is_several,
            Some('"') => !words.ends_with(' ') && ends_at_quote(ahead),
            // `one, two, three."`: the closing quote is further on
            Some(',') if has_space && words.starts_with(char::is_alphabetic) && !is_several => {
                let more = ahead.skip_while(|c| c.is_alphanumeric() || matches!(c, ',' | ' ' | '.' | '-'));
                more.ends_with(|c: char| c.is_alphanumeric() || c == '.') && ahead.peek() == Some('"') && ends_at_quote(ahead)
            }
            Some(',' | '}' | '\n') => has_space && is_several,
            _ => false,
        }
    }

    /// `props: {name: string, done: () => void}` on a line of its own: a type with a function in it is text, not values.
    pub(super) fn type_in_braces(&mut self) -> Option<String> {
        let is_brace = self.cursor.peek() == Some('{');
        let line = self.cursor.window(MAX_TYPE).skip_while(|c| c != '\n');
        let is_type = is_brace && line.contains(") =>") && !line.contains(['\'', '’']);
        let at = self.cursor.at();
        let is_member = is_type && self.begins_line(at);
        let text = is_member.then(|| self.line_from(at)).flatten()?;
        self.repairs.note(repair::BARE_TEXT);
        Some(text.to_owned())
    }

    /// The line that begins at `at`, without a comma at its end, if the next one begins a member or ends the object.
    fn line(&mut self, at: usize, place: Place) -> Option<&'t str> {
        let is_text = self.cursor.whole().get(at..).is_some_and(begins_well);
        (place == Place::Member && is_text && self.begins_line(at)).then(|| self.line_from(at))?
    }

    /// The text from `at` to the end of its line, without a comma there, if no value goes on behind it.

    fn line_from(&mut self, at: usize) -> Option<&'t str> {
        let mut ahead = Cursor::new(self.cursor.whole(), at);
        let line = ahead.skip_while(|c| c != '\n').trim_end();
        let text = line.strip_suffix(',').unwrap_or(line).trim_end();
        let next = ahead.window(quote::LOOKAHEAD);
        let is_line = !next.is_at_end() && quote::begins_member(next);
        let is_whole = !text.contains(['"', '“', '”', '`']) && !text.contains("...") && !text.contains('…') && is_balanced(text);
        (is_line && is_whole).then(|| {
            self.cursor = Cursor::new(self.cursor.whole(), at + text.len());
            text
        })
    }

    /// Whether nothing but a key is before `at` on its line.
    fn begins_line(&self, at: usize) -> bool {
        let before = self.cursor.whole().get(..at).unwrap_or_default();
        let mut back = before.chars().rev().take(quote::LOOKAHEAD);
        back.find(|c| matches!(c, '{' | '[' | ',' | '\n')) == Some('\n')
    }

    /// `ObjectId("5f")`: the one argument of a call, in quotes or a number.
    fn call(&mut self, start: Cursor<'_>) -> Option<Value> {
        self.cursor.eat("(").then_some(())?;
        let has_name = self.cursor.since(start.at()).len() > 1;
        let inside = self.cursor.window(quote::LOOKAHEAD).skip_while(|c| !matches!(c, ')' | '\n' | '\\'));
        let argument = inside.trim();
        let text = ['"', '\''].iter().find_map(|&mark| argument.strip_prefix(mark)?.strip_suffix(mark));
        let value = match text {
            Some(text) if !text.contains(quote::is_quote) => Value::String(text.to_owned()),
            Some(_) => return None,
            None => Value::Number(serde_json::from_str(argument).ok()?),
        };
        self.cursor.eat(inside);
        let is_call = has_name && self.cursor.eat(")");
        is_call.then(|| {
            self.repairs.note(repair::CALL);
            value
        })
    }

    /// Reads a string without quotes, up to the comma, bracket, comment or line end behind it.
    fn bare_text(&mut self, place: Place) -> Result<Value, Fault> {
        let at = self.cursor.at();
        let mut braces = 0;
        loop {
            self.cursor.skip_while(|c| !matches!(c, ',' | '{' | '}' | ']' | '\n' | '#' | '/' | '"'));
            let is_comment = self.cursor.previous().is_some_and(char::is_whitespace);
            match self.cursor.peek() {
                None => return Err(Fault::cut(at)),
                Some('"') if place == Place::Member && is_comment && quote::begins_quoted_key(self.cursor) => break,
                Some('"') => self.cursor.bump(),
                Some(',') if place == Place::Member && is_group(self.cursor, at) => self.cursor.bump(),
                Some(',') if place == Place::Member && self.goes_on() => self.cursor.bump(),
                Some('{') => {
                    let Some(length) = words_in_braces(self.cursor) else { break };
                    braces += length;
                    self.cursor = Cursor::new(self.cursor.whole(), self.cursor.at() + length);
                    continue;
                }
                Some('#') if !is_comment => self.cursor.bump(),
                Some('/') if !is_comment || !starts_comment(self.cursor) => self.cursor.bump(),
                Some(_) => break,
            };
        }
        let mut text = self.cursor.since(at).trim_end();
        if let Some(unquoted) = text.strip_suffix('"').filter(|text| !text.contains('"')) {
            self.repairs.note(repair::NO_QUOTE);
            text = unquoted;
        }
        if text.contains("...") || text.contains('…') || TYPE_NAMES.contains(&text) {
            return Err(Fault::new(at, LEFT_OUT));
        }
        let is_odd = |c: char| {
            quote::is_quote(c) || (c == '{' && braces == 0) || matches!(c, '[' | '(' | ')' | '<' | '>' | ';' | '=' | '|' | '\\')
        };
        if !begins_well(text) || text.contains(is_odd) || text.contains(": ") {
            text = self.line(at, place).ok_or_else(|| Fault::new(at, "expected a JSON value"))?;
        }
        self.repairs.note(repair::BARE_TEXT);
        Ok(Value::String(text.to_owned()))
    }
}

/// The member ends behind the quote that is next.
fn ends_at_quote(mut ahead: Cursor<'_>) -> bool {
    ahead.bump();
    ahead.skip_while(|c| c == ' ');
    matches!(ahead.peek(), Some(',' | '}' | '\n'))
}

/// A text without quotes begins like this.
fn begins_well(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '¥' | '+' | '-' | '/'))
}

/// Whether its brackets are closed in their order; those of types (`Promise<Post>`) and arrows are not looked at.
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

/// `words{in braces}`: the bytes of the braces behind a word, with nothing but words in them.
fn words_in_braces(cursor: Cursor<'_>) -> Option<usize> {
    cursor.previous().filter(|c| c.is_alphanumeric())?;
    let mut ahead = cursor.window(quote::LOOKAHEAD);
    ahead.bump();
    let words = ahead.skip_while(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-'));
    (!words.is_empty() && ahead.eat("}")).then(|| words.len() + 2)
}

/// Whether a quote right behind a word begins the next key or element, rather than ending this one.
fn begins_string(cursor: Cursor<'_>, place: Place) -> bool {
    let mut ahead = cursor.window(quote::LOOKAHEAD);
    ahead.bump();
    ahead.skip_while(char::is_whitespace);
    place == Place::Element && !matches!(ahead.peek(), Some(',' | ']')) || quote::begins_quoted_key(cursor)
}

/// `1,234`: three digits behind a comma that is behind digits, and no key.
fn is_group(cursor: Cursor<'_>, start: usize) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+' | '$' | '€' | '£' | '¥' | ' ');
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

/// A number or a literal begins here.
pub fn begins_with_known(mut ahead: Cursor<'_>) -> bool {
    let word = ahead.skip_while(is_word);
    // A word that the text ends in may become anything.
    !word.is_empty() && (ahead.is_at_end() || !matches!(classify(word), Word::Unknown))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.')
}

fn starts_comment(cursor: Cursor<'_>) -> bool {
    cursor.rest().starts_with("//") || cursor.rest().starts_with("/*")
}

/// Nothing that belongs to the word follows it ("12 apples").
fn word_ends(after: Cursor<'_>, place: Place) -> bool {
    let mut after = after.window(quote::LOOKAHEAD);
    after.skip_while(|c| matches!(c, ' ' | '\t' | '\u{a0}'));
    match after.peek() {
        None | Some(',' | '}' | ']' | '\r' | '\n' | '#') => true,
        Some('/') => starts_comment(after),
        Some(c) if quote::is_quote(c) => true,
        Some(_) if place == Place::Member => quote::begins_member(after),
        Some(_) => quote::begins_value(after),
    }
}

fn classify(word: &str) -> Word {
    match word {
        "true" => Word::Known(Value::Bool(true)),
        "false" => Word::Known(Value::Bool(false)),
        "null" => Word::Known(Value::Null),
        "True" | "TRUE" => Word::Mended(Value::Bool(true), repair::LITERAL),
        "False" | "FALSE" => Word::Mended(Value::Bool(false), repair::LITERAL),
        "None" | "Null" | "NULL" | "undefined" | "NaN" | "nan" => Word::Mended(Value::Null, repair::LITERAL),
        "Infinity" | "-Infinity" | "+Infinity" | "inf" | "-inf" => Word::OutOfRange,
        _ => number(word),
    }
}

fn number(word: &str) -> Word {
    if let Ok(number) = serde_json::from_str::<Number>(word) {
        return Word::Known(Value::Number(number));
    }
    let Some(rewritten) = rewrite(word) else { return Word::Unknown };
    match serde_json::from_str::<Number>(&rewritten) {
        Ok(number) => Word::Mended(Value::Number(number), repair::NUMBER),
        // The rewritten form is well-formed.
        Err(_) => Word::OutOfRange,
    }
}

/// `+5`, `.5`, `5.`, `0x1f` as JSON writes them. Leading zeros are left alone: `01234` is a postal code.
fn rewrite(word: &str) -> Option<String> {
    let (sign, unsigned) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let is_hex = !hex.starts_with('+');
        return u64::from_str_radix(hex, 16).ok().filter(|_| is_hex).map(|value| format!("{sign}{value}"));
    }
    let split = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at_checked(split)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let power = exponent.get(1..).unwrap_or_default();
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    let is_number = digits(whole)
        && digits(fraction)
        && digits(power)
        && !(whole.is_empty() && fraction.is_empty())
        && !(whole.len() > 1 && whole.starts_with('0'))
        && (exponent.is_empty() || !power.is_empty());
    is_number.then(|| {
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}{exponent}")
    })
}
