//! Numbers, literals, and words that should have had quotes.

use serde_json::{Number, Value};

use super::cursor::Cursor;
use super::object::{Fault, LEFT_OUT, Reader};
use super::quote::{self, Place};
use super::repair;

/// `{name: string, age: number}` shows a form; it has no values.
const TYPE_NAMES: [&str; 11] =
    ["string", "number", "integer", "boolean", "array", "object", "str", "int", "float", "bool", "any"];

/// What a word without quotes is.
enum Word {
    Known(Value),
    /// Known, but not as JSON writes it; with the repair.
    Mended(Value, &'static str),
    /// A number that no `f64` holds.
    OutOfRange,
    Unknown,
}

impl Reader<'_> {
    pub(super) fn scalar(&mut self, place: Place) -> Result<Value, Fault> {
        let start = self.cursor;
        let word = self.cursor.skip_while(is_word);
        if self.cursor.is_at_end() {
            return Err(Fault::cut(start.at()));
        }
        // Outside of objects, a bare word is prose.
        let may_be_text = self.in_objects > 0;
        let ends = !may_be_text || word_ends(self.cursor, place);
        match classify(word) {
            Word::OutOfRange if ends => Err(Fault::new(start.at(), "the number is out of range")),
            Word::Known(value) if ends => Ok(value),
            Word::Mended(value, repair) if ends => {
                self.repairs.note(repair);
                Ok(value)
            }
            _ if may_be_text => {
                self.cursor = start;
                self.bare_text()
            }
            _ => Err(Fault::new(start.at(), "expected a JSON value")),
        }
    }

    /// Reads a string without quotes, up to the comma, bracket, comment or line end behind it.
    fn bare_text(&mut self) -> Result<Value, Fault> {
        let at = self.cursor.at();
        loop {
            self.cursor.skip_while(|c| !matches!(c, ',' | '}' | ']' | '\n' | '#' | '/'));
            let is_comment = self.cursor.previous().is_some_and(char::is_whitespace);
            match self.cursor.peek() {
                None => return Err(Fault::cut(at)),
                Some('#') if !is_comment => self.cursor.bump(),
                Some('/') if !is_comment || !starts_comment(self.cursor) => self.cursor.bump(),
                Some(_) => break,
            };
        }
        let text = self.cursor.since(at).trim_end();
        if text.contains("...") || text.contains('…') || TYPE_NAMES.contains(&text) {
            return Err(Fault::new(at, LEFT_OUT));
        }
        let begins_well = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '¥' | '+' | '-'));
        let is_odd = |c: char| quote::is_quote(c) || matches!(c, '{' | '[' | '(' | ')' | '<' | '>' | ';' | '=' | '|' | '\\');
        if !begins_well || text.contains(is_odd) || text.contains(": ") {
            return Err(Fault::new(at, "expected a JSON value"));
        }
        self.repairs.note(repair::BARE_TEXT);
        Ok(Value::String(text.to_owned()))
    }
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
