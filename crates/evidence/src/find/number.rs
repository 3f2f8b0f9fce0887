//! Numbers written with digits, in every common form.

use crate::clusters::{Class, class};
use crate::decimal::Decimal;
use crate::find::units::{multiplier, percent_sign};
use crate::fold::{decimal_digit, is_dash};

/// A way to read a number at a place. One place can have several.
#[derive(Debug)]
pub struct Reading {
    pub start: usize,
    pub end: usize,
    pub value: Decimal,
    /// Doubt about the reading: 0 for none.
    pub penalty: u8,
}

/// Most groups of digits in one number.
const MOST_GROUPS: usize = 16;

/// Digits between two separators.
#[derive(Clone, Copy, Debug)]
struct Group {
    start: usize,
    end: usize,
    count: usize,
    /// Separator before the group.
    separator: char,
}

/// Reads the numbers that start with the digit at byte `at`, and returns the byte after what was read.
pub fn read_numbers_at(text: &str, at: usize, readings: &mut Vec<Reading>) -> usize {
    let context = Context::new(text, at);
    let mut groups = groups(text, at);
    if context.is_in_list {
        groups.truncate(1);
    }
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return at + 1;
    };
    let whole = interpretations(text, &groups);
    if whole.is_empty() {
        let value = integer(text, std::slice::from_ref(first));
        context.push(text, (at, first.end), &value, 10, readings);
        return first.end;
    }
    if let Some(start) = context
        .apostrophe
        .filter(|_| groups.len() == 1 && first.count == 2)
    {
        for century in ["19", "20"] {
            let value = Decimal::new(false, &format!("{century}{}", digits(text, &groups)), "", 0);
            readings.push(Reading {
                start,
                end: last.end,
                value,
                penalty: 30,
            });
        }
    }
    for (value, penalty) in whole {
        context.push(text, (at, last.end), &value, penalty, readings);
    }
    // "1 234" may also be two numbers.
    let is_spaced = |group: &Group| group.separator.is_whitespace();
    let Some(spaced) = groups.iter().skip(1).position(is_spaced) else {
        return last.end;
    };
    let before = groups.get(..=spaced).unwrap_or_default();
    let end = before.last().map_or(first.end, |group| group.end);
    for (value, penalty) in interpretations(text, before) {
        context.push(
            text,
            (at, end),
            &value,
            penalty.saturating_add(15),
            readings,
        );
    }
    end
}

/// Splits digits at the separators that numbers may have.
fn groups(text: &str, at: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut start = at;
    let mut separator = '\0';
    while groups.len() < MOST_GROUPS {
        let rest = text.get(start..).unwrap_or_default();
        let count = rest
            .chars()
            .take_while(|c| decimal_digit(*c).is_some())
            .count();
        let end = start + rest.chars().take(count).map(char::len_utf8).sum::<usize>();
        if count == 0 || (separator.is_whitespace() && count != 3) {
            break;
        }
        groups.push(Group {
            start,
            end,
            count,
            separator,
        });
        let Some(next) = text.get(end..).and_then(|rest| rest.chars().next()) else {
            break;
        };
        let is_separator = matches!(next, '.' | ',' | '\'' | '’' | '٫' | '٬' | '，' | '．' | '_')
            || (matches!(next, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
                && groups.iter().skip(1).all(|group| group.separator == next)
                && groups.first().is_some_and(|first| first.count <= 3));
        if !is_separator {
            break;
        }
        separator = next;
        start = end + next.len_utf8();
    }
    groups
}

/// Returns the numbers that groups of digits may stand for; none if they are no single number.
fn interpretations(text: &str, groups: &[Group]) -> Vec<(Decimal, u8)> {
    let mut found = Vec::new();
    let Some((last, before)) = groups.split_last() else {
        return found;
    };
    if before.is_empty() {
        return vec![(integer(text, groups), 0)];
    }
    let is_decimal_sign = matches!(last.separator, '.' | ',' | '٫' | '，' | '．');
    let is_point = matches!(last.separator, '.' | '٫' | '．');
    let can_group = last.separator != '٫' && is_grouped(groups);
    if can_group {
        let doubt = if before.len() == 1 && is_point { 20 } else { 0 };
        found.push((integer(text, groups), doubt));
    }
    let is_other_sign = before
        .iter()
        .skip(1)
        .all(|group| group.separator != last.separator);
    if is_decimal_sign && is_other_sign && (before.len() == 1 || is_grouped(before)) {
        let whole = digits(text, before);
        let fraction = digits(text, std::slice::from_ref(last));
        let doubt = if can_group && !is_point { 20 } else { 0 };
        found.push((Decimal::new(false, &whole, &fraction, 0), doubt));
    }
    found
}

/// Returns true for thousands (1,234,567) and for lakhs (12,34,567) with one separator.
fn is_grouped(groups: &[Group]) -> bool {
    let Some((first, rest)) = groups.split_first() else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else {
        return true;
    };
    let separator = last.separator;
    let is_thousands = middle.iter().all(|group| group.count == 3);
    let is_lakhs =
        !middle.is_empty() && first.count <= 2 && middle.iter().all(|group| group.count == 2);
    (1..=3).contains(&first.count)
        && last.count == 3
        && (is_thousands || is_lakhs)
        && middle.iter().all(|group| group.separator == separator)
}

fn integer(text: &str, groups: &[Group]) -> Decimal {
    Decimal::new(false, &digits(text, groups), "", 0)
}

fn digits(text: &str, groups: &[Group]) -> String {
    groups
        .iter()
        .filter_map(|group| text.get(group.start..group.end))
        .flat_map(str::chars)
        .filter_map(decimal_digit)
        .map(|digit| char::from(b'0' + digit))
        .collect()
}

/// Signs before a number.
struct Context {
    penalty: u8,
    /// True after a digit with a comma or full stop that did not belong to one number: 1,2,3 or 12.05.2026.
    is_in_list: bool,
    /// First byte of a minus sign that belongs to the number.
    minus: Option<usize>,
    /// True after an opening parenthesis: accountants write (5) for -5.
    is_in_parentheses: bool,
    /// First byte of an apostrophe that stands for a century: '92.
    apostrophe: Option<usize>,
    /// First byte of a decimal point without a zero before it.
    point: Option<usize>,
}

impl Context {
    fn new(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or_default();
        let mut context = Self {
            penalty: 0,
            is_in_list: false,
            minus: None,
            is_in_parentheses: before.ends_with('('),
            apostrophe: None,
            point: None,
        };
        let mut chars = before.chars().rev();
        let (Some(sign), previous) = (chars.next(), chars.next()) else {
            return context;
        };
        let previous_class = previous.map_or(Class::Gap, class);
        let place = at - sign.len_utf8();
        match sign {
            ':' | '/' if previous_class == Class::Digit => context.penalty = 15,
            '.' | ',' if previous_class == Class::Digit => {
                context.penalty = 10;
                context.is_in_list = true;
            }
            '\'' | '’' if previous_class == Class::Gap => context.apostrophe = Some(place),
            '.' if previous_class == Class::Gap && previous != Some('.') => {
                context.point = Some(place);
            }
            _ if is_dash(sign) => match previous_class {
                Class::Gap => context.minus = Some(place),
                Class::Letter => context.penalty = 20,
                _ => {}
            },
            _ if is_currency(sign) && previous.is_some_and(is_dash) => {
                let dash = previous.map_or(0, char::len_utf8);
                context.minus = Some(place - dash);
            }
            _ => context.minus = minus_word(before),
        }
        context
    }

    fn push(
        &self,
        text: &str,
        (start, end): (usize, usize),
        value: &Decimal,
        penalty: u8,
        readings: &mut Vec<Reading>,
    ) {
        let Some(suffix) = Suffix::new(text, end) else {
            return;
        };
        let penalty = penalty
            .saturating_add(self.penalty)
            .saturating_add(suffix.penalty);
        let mut push = |start, end, value, penalty| {
            readings.push(Reading {
                start,
                end,
                value,
                penalty,
            });
        };
        if let Some(point) = self.point {
            let digits = text.get(start..end).unwrap_or_default();
            push(
                point,
                end,
                Decimal::new(false, "", digits, 0),
                penalty.saturating_add(5),
            );
        }
        let negative = self.minus.or(self.is_in_parentheses.then_some(start));
        let mut scaled = vec![(end, 0, penalty)];
        scaled.extend(
            suffix
                .scaled
                .iter()
                .map(|(end, exponent)| (*end, *exponent, penalty)),
        );
        for (index, (end, exponent, penalty)) in scaled.iter().copied().enumerate() {
            let value = value.shifted(exponent);
            // With "1.2k", 1.2 is the less likely meaning.
            let penalty = if index == 0 && suffix.is_attached {
                penalty.saturating_add(30)
            } else {
                penalty
            };
            if let Some(negative) = negative {
                push(negative, end, value.signed(true), penalty);
            }
            let doubt = if self.minus.is_some() { 25 } else { 0 };
            push(start, end, value, penalty.saturating_add(doubt));
        }
    }
}

/// Returns the first byte of a word for "minus" before the number.
fn minus_word(before: &str) -> Option<usize> {
    let trimmed = before.trim_end_matches([' ', '\u{a0}']);
    let is_near = before.len() - trimmed.len() <= 2;
    [
        "minus",
        "Minus",
        "moins",
        "menos",
        "минус",
        "负",
        "負",
        "マイナス",
        "ناقص",
        "סימן מינוס",
        "ऋण",
        "ลบ",
    ]
    .iter()
    .find(|word| is_near && trimmed.ends_with(**word))
    .map(|word| trimmed.len() - word.len())
}

fn is_currency(c: char) -> bool {
    matches!(
        c,
        '$' | '€' | '£' | '¥' | '₹' | '₽' | '₪' | '฿' | '₩' | '￥'
    )
}

/// Text right after a number.
struct Suffix {
    penalty: u8,
    /// Ends and exponents of the number with its suffix: "k", "million", "%".
    scaled: Vec<(usize, i64)>,
    /// True if a suffix stands without a space: "1.2k".
    is_attached: bool,
}

impl Suffix {
    /// Reads what follows; `None` if the digits are part of an identifier such as 3f8a.
    fn new(text: &str, end: usize) -> Option<Self> {
        let mut suffix = Self {
            penalty: 0,
            scaled: Vec::new(),
            is_attached: false,
        };
        let rest = text.get(end..).unwrap_or_default();
        let next = rest.chars().next();
        let letters: String = rest
            .chars()
            .take(16)
            .take_while(|c| class(*c) == Class::Letter)
            .collect();
        let after = rest
            .get(letters.len()..)
            .and_then(|rest| rest.chars().next());
        if !letters.is_empty() && after.is_some_and(|c| decimal_digit(c).is_some()) {
            suffix.penalty = match letters.as_str() {
                "x" | "h" | "T" | "×" | "m" => 20,
                _ => return None,
            };
        }
        if let Some((bytes, exponent)) = multiplier(rest) {
            suffix.scaled.push((end + bytes, exponent));
            suffix.is_attached = bytes <= 2 && bytes == letters.len();
        }
        if let Some(bytes) = percent_sign(rest) {
            suffix.scaled.push((end + bytes, -2));
        }
        if next.is_some_and(|c| matches!(c, ':' | '/')) {
            suffix.penalty = 15;
        }
        Some(suffix)
    }
}

/// Reads a number in scientific notation, 1.2e3, that starts at `at`.
pub fn read_scientific(text: &str, at: usize) -> Option<Reading> {
    let rest = text.get(at..)?;
    let length = rest
        .bytes()
        .take(40)
        .take_while(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
        })
        .count();
    let candidate = rest.get(..length)?.trim_end_matches(['.', '+', '-']);
    let after = rest.get(candidate.len()..)?.chars().next();
    if !candidate.contains(['e', 'E']) || after.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let value = Decimal::from_json(candidate)?;
    Some(Reading {
        start: at,
        end: at + candidate.len(),
        value,
        penalty: 0,
    })
}

/// Reads a whole text as one number, as a string leaf may hold.
pub fn read_whole(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let at = text.find(|c| decimal_digit(c).is_some())?;
    if text.len() > 64 {
        return None;
    }
    let mut readings = Vec::new();
    read_numbers_at(text, at, &mut readings);
    readings
        .into_iter()
        .filter(|reading| reading.start == 0 && reading.end == text.len())
        .min_by_key(|reading| reading.penalty)
        .map(|reading| reading.value)
}
