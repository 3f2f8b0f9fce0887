//! Numbers, literals and function calls, and the words that are none of these.

use serde_json::Value;

use crate::strict_json::parse_number;

use super::cursor::Cursor;
use super::quote::{self, QuoteContext};
use super::repair::Repair;
use super::tolerant_parser::{ParseFault, Reader, Words};

pub(super) const LITERALS: [&str; 3] = ["true", "false", "null"];

/// Classification of an unquoted word.
enum Word {
    Known(Value),
    /// A known value in a notation that is not JSON's, with the repair.
    Mended(Value, Repair),
    /// A number outside the range of `f64`.
    OutOfRange,
    Unknown,
}

impl Reader<'_> {
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
            return literal.ok_or_else(|| ParseFault::cut(start.at()));
        }
        // Outside objects, an unquoted word is prose.
        let may_be_text = self.in_objects > 0 || self.words == Words::Elements;
        let is_cut_number = place == QuoteContext::Member && is_group(self.cursor, start.at());
        let is_quoted_behind =
            may_be_text && self.cursor.peek() == Some('"') && !begins_string(self.cursor, place);
        let ends =
            (!may_be_text || word_ends(self.cursor, place)) && !is_cut_number && !is_quoted_behind;
        match classify(word) {
            Word::OutOfRange if ends => {
                Err(ParseFault::new(start.at(), "the number is out of range"))
            }
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
            _ => Err(ParseFault::new(start.at(), "expected a JSON value")),
        }
    }

    /// Returns the only argument of a call, a quoted string or a number: `ObjectId("5f")`.
    fn call(&mut self, start: Cursor<'_>) -> Option<Value> {
        self.cursor.eat("(").then_some(())?;
        let has_name = self.cursor.since(start.at()).len() > 1;
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

/// Returns true if a number or a literal begins here.
pub fn begins_with_known(mut ahead: Cursor<'_>) -> bool {
    let word = ahead.skip_while(is_word);
    // A word at the end of the text may still become any other word.
    !word.is_empty() && (ahead.is_at_end() || !matches!(classify(word), Word::Unknown))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.')
}

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

fn classify(word: &str) -> Word {
    match word {
        "true" => Word::Known(Value::Bool(true)),
        "false" => Word::Known(Value::Bool(false)),
        "null" => Word::Known(Value::Null),
        "True" | "TRUE" => Word::Mended(Value::Bool(true), Repair::ForeignLiteral),
        "False" | "FALSE" => Word::Mended(Value::Bool(false), Repair::ForeignLiteral),
        "None" | "Null" | "NULL" | "undefined" | "NaN" | "nan" => {
            Word::Mended(Value::Null, Repair::ForeignLiteral)
        }
        "Infinity" | "-Infinity" | "+Infinity" | "inf" | "-inf" => Word::OutOfRange,
        _ => number(word),
    }
}

fn number(word: &str) -> Word {
    if let Some(number) = parse_number(word) {
        return Word::Known(Value::Number(number));
    }
    let Some(rewritten) = rewrite(word) else {
        return Word::Unknown;
    };
    match parse_number(&rewritten) {
        Some(number) => Word::Mended(Value::Number(number), Repair::Number),
        // The rewritten form is well-formed.
        None => Word::OutOfRange,
    }
}

/// Rewrites `+5`, `.5`, `5.` and `0x1f` in JSON's notation. Leading zeros are kept: `01234` is a
/// postal code.
fn rewrite(word: &str) -> Option<String> {
    let (sign, unsigned) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    if let Some(hex) = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
    {
        let is_hex = !hex.starts_with('+');
        return u64::from_str_radix(hex, 16)
            .ok()
            .filter(|_| is_hex)
            .map(|value| format!("{sign}{value}"));
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
