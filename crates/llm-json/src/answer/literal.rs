//! Numbers and literals: classification of unquoted words.

use serde_json::Value;

use crate::strict_json::parse_number;

use super::cursor::Cursor;
use super::repair::Repair;

/// Literals of JSON.
pub const LITERALS: [&str; 3] = ["true", "false", "null"];

/// Classification of an unquoted word.
pub enum Word {
    /// A number or literal of JSON.
    Known(Value),
    /// A known value in a notation that is not JSON's, with the repair.
    Repaired(Value, Repair),
    /// A number outside the range of `f64`.
    OutOfRange,
    /// Neither a number nor a literal.
    Unknown,
}

/// Returns true if a number or a literal begins here.
pub fn begins_with_known(mut ahead: Cursor<'_>) -> bool {
    let word = ahead.skip_while(is_word);
    // A word at the end of the text may still become any other word.
    !word.is_empty() && (ahead.is_at_end() || !matches!(classify(word), Word::Unknown))
}

/// Returns true for a character of a number or a literal.
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.')
}

/// Classifies an unquoted word.
pub fn classify(word: &str) -> Word {
    match word {
        "true" => Word::Known(Value::Bool(true)),
        "false" => Word::Known(Value::Bool(false)),
        "null" => Word::Known(Value::Null),
        "True" | "TRUE" => Word::Repaired(Value::Bool(true), Repair::ForeignLiteral),
        "False" | "FALSE" => Word::Repaired(Value::Bool(false), Repair::ForeignLiteral),
        "None" | "Null" | "NULL" | "undefined" | "NaN" | "nan" => {
            Word::Repaired(Value::Null, Repair::ForeignLiteral)
        }
        "Infinity" | "-Infinity" | "+Infinity" | "inf" | "-inf" => Word::OutOfRange,
        _ => number(word),
    }
}

/// Classifies a word that is no literal.
fn number(word: &str) -> Word {
    if let Some(number) = parse_number(word) {
        return Word::Known(Value::Number(number));
    }
    let Some(rewritten) = rewrite(word) else {
        return Word::Unknown;
    };
    match parse_number(&rewritten) {
        Some(number) => Word::Repaired(Value::Number(number), Repair::Number),
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
