//! The number in a text: with separators, a currency or a unit, and nothing that could make it another one.

use schema_dialect::NodeRef;
use serde_json::{Number, Value};

use super::text_normalize::bare;
use super::units::{self, Scale};

/// Maximum length of a text that is parsed, in bytes.
const MAX_TEXT: usize = 64;

/// Parses the number that `text` means, for the member `name` of this schema. `None`: it has several numbers or is ambiguous.
pub fn parse(text: &str, schema: NodeRef<'_>, name: &str) -> Option<Value> {
    let text = bare(text);
    if text.len() > MAX_TEXT {
        return None;
    }
    let (is_negative, rest) = sign(text);
    let (has_currency, rest) = currency_before(rest);
    let (is_negative, rest) = if is_negative {
        (true, rest)
    } else {
        sign(rest)
    };
    let length = rest.find(|c: char| !is_of_number(c)).unwrap_or(rest.len());
    let digits = rest
        .get(..length)?
        .trim_end_matches(|c: char| !c.is_ascii_digit());
    let behind = rest.get(digits.len()..)?;
    let (digits, exponent, behind) = exponent(digits, behind);
    let scale = units::parse(behind, has_currency, schema, name)?;
    let decimal = Decimal::parse(digits)?;
    let decimal = match scale {
        Scale::Power(power) => decimal.times(power + exponent)?,
        Scale::None => decimal.times(exponent)?,
    };
    let number: Number =
        serde_json::from_str(&format!("{}{decimal}", if is_negative { "-" } else { "" })).ok()?;
    number
        .as_f64()
        .is_some_and(f64::is_finite)
        .then_some(Value::Number(number))
}

/// Returns true for a character that is part of a number.
fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || is_group_space(c) || matches!(c, '.' | ',' | '_' | '\'' | '’' | ' ')
}

/// Returns true for a space that separates groups of digits.
fn is_group_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{202f}' | '\u{2009}')
}

/// Splits off the sign. True: the number is negative.
fn sign(text: &str) -> (bool, &str) {
    for minus in ['-', '−'] {
        if let Some(rest) = text.strip_prefix(minus) {
            return (true, rest.trim_start());
        }
    }
    (
        false,
        text.strip_prefix(['+', '#']).unwrap_or(text).trim_start(),
    )
}

/// Splits off a currency in front of the number. True: there is one.
fn currency_before(text: &str) -> (bool, &str) {
    let letters = text
        .find(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '−' | '+'))
        .unwrap_or(text.len());
    let (before, rest) = text.split_at_checked(letters).unwrap_or(("", text));
    if !before.is_empty() && units::is_currency(before.trim()) {
        (true, rest)
    } else {
        (false, text)
    }
}

/// Splits off an exponent such as `e5`: returns the digits, the exponent and the rest.
fn exponent<'t>(digits: &'t str, behind: &'t str) -> (&'t str, i32, &'t str) {
    let none = (digits, 0, behind);
    let Some(power) = behind.strip_prefix(['e', 'E']) else {
        return none;
    };
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    let length = unsigned
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    let signed = power.len() - unsigned.len() + length;
    match (
        power.get(..signed).and_then(|power| power.parse().ok()),
        power.get(signed..),
    ) {
        (Some(power), Some(rest)) if (-300..=300).contains(&power) => (digits, power, rest),
        _ => none,
    }
}

/// Digits of a number, and the number of digits after the decimal point.
struct Decimal {
    digits: String,
    fraction: i32,
}

impl Decimal {
    /// Parses digits with separators: `1,234.5`, `1 234,5`, `1.234.567`. `None`: a separator is ambiguous.
    fn parse(text: &str) -> Option<Self> {
        let point = point(text)?;
        let (whole, fraction) = point.map_or(Some((text, "")), |at| {
            Some((text.get(..at)?, text.get(at + 1..)?))
        })?;
        let is_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_fraction = fraction.is_empty() || fraction.split('_').all(is_digits);
        if !is_fraction
            || fraction.contains('_') && whole.contains(|c: char| c != '_' && !c.is_ascii_digit())
        {
            return None;
        }
        let fraction = fraction.replace('_', "");
        let groups: Vec<&str> = whole.split(|c: char| !c.is_ascii_digit()).collect();
        let mut separators = whole.chars().filter(|c| !c.is_ascii_digit());
        let separator = separators.next();
        let is_one_kind = separators.all(|other| Some(other) == separator);
        let is_grouped = match groups.as_slice() {
            [only] => !only.is_empty() || !fraction.is_empty(),
            [first, rest @ ..] => {
                (1..=3).contains(&first.len())
                    && !first.starts_with('0')
                    && rest.iter().all(|group| group.len() == 3)
            }
            [] => false,
        };
        // "01234" is a code, not a number.
        let is_code = whole.len() > 1 && whole.starts_with('0');
        let length = i32::try_from(fraction.len()).ok()?;
        (is_one_kind && is_grouped && !is_code).then(|| Self {
            digits: groups.concat() + &fraction,
            fraction: length,
        })
    }

    /// Multiplies the number by a power of ten.
    fn times(mut self, power: i32) -> Option<Self> {
        self.fraction -= power;
        let most = i32::try_from(self.digits.len()).ok()?;
        (self.fraction > -320 && self.fraction < most + 320).then_some(self)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let zeros = usize::try_from(-self.fraction).unwrap_or(0);
        let fraction = usize::try_from(self.fraction).unwrap_or(0);
        let digits = format!("{}{}", self.digits, "0".repeat(zeros));
        let padded = format!("{digits:0>width$}", width = fraction + 1);
        let (whole, behind) = padded.split_at(padded.len() - fraction);
        let whole = whole.trim_start_matches('0');
        let behind = behind.trim_end_matches('0');
        let point = if behind.is_empty() { "" } else { "." };
        write!(
            f,
            "{}{point}{behind}",
            if whole.is_empty() { "0" } else { whole }
        )
    }
}

/// Returns the index of the decimal point. The inner `None`: the number has no point. The outer
/// `None`: the point is ambiguous.
#[expect(clippy::option_option, reason = "two questions")]
fn point(text: &str) -> Option<Option<usize>> {
    let (dots, commas) = (text.matches('.').count(), text.matches(',').count());
    let last = text.rfind(['.', ',']);
    let behind = last.map_or(0, |at| text.len() - at - 1);
    match (dots, commas) {
        (1, 0) => Some(last),
        // Thousands, as a program writes them; two digits are cents; any other count may be two numbers.
        (0, 1) if behind == 3 => Some(None),
        (0, 1) if behind == 2 => Some(last),
        (0, 1) => None,
        (0, _) | (_, 0) => Some(None),
        // Both: the last is the point, if there is one of it.
        (1, _) if text.rfind('.') == last => Some(last),
        (_, 1) if text.rfind(',') == last => Some(last),
        _ => None,
    }
}
