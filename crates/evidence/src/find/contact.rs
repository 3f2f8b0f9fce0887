//! Phone numbers, URLs and e-mail addresses by their canonical form.

use crate::decimal::Decimal;
use crate::fold::{decimal_digit, is_dash};

/// Digits of a phone number, without the zeros of "00" and the trunk prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone(String);

/// Fewest digits of a phone number.
pub const FEWEST_DIGITS: usize = 7;

/// Most digits of a phone number: those of E.164, with an international prefix.
const MOST_DIGITS: usize = 18;

/// Most digits of a country code.
const COUNTRY_DIGITS: usize = 3;

impl Phone {
    /// Reads a text that consists of digits and the signs of phone numbers.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_prefix("tel:").unwrap_or(text);
        let is_phone = text
            .chars()
            .all(|c| decimal_digit(c).is_some() || is_phone_sign(c));
        is_phone
            .then(|| Self::from_digits(&digits(&text.replace("(0)", ""))))
            .flatten()
    }

    /// Reads a phone number that was stored as a JSON number.
    pub fn from_number(number: &Decimal) -> Option<Self> {
        number
            .integer_digits()
            .and_then(|digits| Self::from_digits(&digits))
    }

    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_phone = (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len());
        let significant = digits.trim_start_matches('0');
        (is_phone && significant.len() >= 6).then(|| Self(significant.to_owned()))
    }

    /// Returns the last digits, by which a phone number is found.
    pub fn key(&self) -> u32 {
        key(&self.0)
    }

    /// Returns true if both reach the same phone: equal, or one has a country code and the other has none.
    pub fn reaches(&self, other: &Self) -> bool {
        let (long, short) = if self.0.len() >= other.0.len() {
            (&self.0, &other.0)
        } else {
            (&other.0, &self.0)
        };
        long.len() - short.len() <= COUNTRY_DIGITS
            && (long == short || (short.len() >= FEWEST_DIGITS && long.ends_with(short.as_str())))
    }
}

fn key(digits: &str) -> u32 {
    let tail = digits
        .get(digits.len().saturating_sub(6)..)
        .unwrap_or(digits);
    tail.parse().unwrap_or_default()
}

fn digits(text: &str) -> String {
    text.chars()
        .filter_map(decimal_digit)
        .map(|digit| char::from(b'0' + digit))
        .collect()
}

fn is_phone_sign(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '.' | '/' | '(' | ')' | '+') || is_dash(c)
}

/// Digits in a text that may be a phone number.
#[derive(Debug, Default)]
pub struct PhoneRun {
    digits: String,
    /// First byte, byte after, and number of digits up to the end, of each group of digits.
    groups: Vec<(usize, usize, usize)>,
}

impl PhoneRun {
    /// Reads the run that starts with the digit at byte `at`, and returns the byte after it.
    pub fn starting_at(text: &str, at: usize) -> (Self, usize) {
        let mut run = Self::default();
        let mut start = at;
        loop {
            let rest = text.get(start..).unwrap_or_default();
            let group: String = rest
                .chars()
                .take(20)
                .take_while(|c| decimal_digit(*c).is_some())
                .collect();
            if group.is_empty() || run.digits.len() + group.len() > 20 {
                break;
            }
            let end = start + group.len();
            let is_trunk = group == "0"
                && text
                    .get(..start)
                    .is_some_and(|before| before.ends_with('('))
                && rest.starts_with("0)");
            if !is_trunk {
                run.digits.push_str(&digits(&group));
                run.groups.push((start, end, run.digits.len()));
            }
            let rest = text.get(end..).unwrap_or_default();
            let signs: usize = rest
                .chars()
                .take(4)
                .take_while(|c| is_phone_sign(*c))
                .map(char::len_utf8)
                .sum();
            start = end + signs;
            if signs == 0 {
                break;
            }
        }
        let end = run.groups.last().map_or(at + 1, |group| group.1);
        (run, end.max(at + 1))
    }

    /// Calls `found` with the key, the phone and the bytes of each number that the run may hold, the longest first.
    pub fn phones(&self, text: &str, found: &mut impl FnMut(Phone, usize, usize)) {
        for (last, (_, end, upto)) in self.groups.iter().enumerate().rev() {
            for first in 0..=last {
                let skipped = first
                    .checked_sub(1)
                    .and_then(|before| self.groups.get(before))
                    .map_or(0, |group| group.2);
                let Some((start, ..)) = self.groups.get(first) else {
                    continue;
                };
                if let Some(phone) = self.digits.get(skipped..*upto).and_then(Phone::from_digits) {
                    found(phone, start_of_phone(text, *start), *end);
                }
            }
        }
    }
}

/// Returns the first byte of a phone number: that of the "+" or "(" before its digits.
fn start_of_phone(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or_default();
    let bare = before.trim_end_matches(['+', '(']);
    start - (before.len() - bare.len()).min(2)
}

/// Returns true for an e-mail address.
pub fn is_email(text: &str) -> bool {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && !host.contains('@')
            && !text.contains(char::is_whitespace)
    })
}

/// Returns a URL without scheme, "www." and closing slash, and true if the text is a URL.
pub fn bare_url(text: &str) -> (&str, bool) {
    let text = text.trim();
    let (bare, has_scheme) = match text.split_once("://") {
        Some((scheme, rest))
            if scheme.len() <= 8 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            (rest, true)
        }
        _ => (text, false),
    };
    let host = bare
        .get(..4)
        .filter(|www| www.eq_ignore_ascii_case("www."))
        .map_or(bare, |www| &bare[www.len()..]);
    let has_www = host.len() < bare.len();
    let is_url = !text.contains(char::is_whitespace)
        && host.contains('.')
        && (has_scheme || has_www || is_domain(host));
    if is_url {
        (host.trim_end_matches('/'), true)
    } else {
        (text, false)
    }
}

/// Returns true for a host name with a path: example.com/pricing, not "3.5" or "e.g.".
fn is_domain(text: &str) -> bool {
    let host = text.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let labels: Vec<_> = host.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    labels.len() >= 2
        && labels.iter().all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
        && top.len() >= 2
        && top.chars().all(char::is_alphabetic)
        && labels
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|label| label.len() >= 2)
}

/// Returns the bytes of a whole URL around those of its bare form.
pub fn whole_url(text: &str, start: usize, end: usize) -> (usize, usize) {
    let mut before = text.get(..start).unwrap_or_default();
    let tail = |before: &str, length: usize| {
        before
            .len()
            .checked_sub(length)
            .and_then(|at| before.get(at..).map(str::to_ascii_lowercase))
    };
    if tail(before, 4).as_deref() == Some("www.") {
        before = &before[..before.len() - 4];
    }
    if let Some(host) = before.strip_suffix("://") {
        let scheme = host
            .bytes()
            .rev()
            .take(9)
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        before = &host[..host.len() - scheme];
    }
    let slash = usize::from(text.get(end..).is_some_and(|rest| {
        rest.starts_with('/') && !rest[1..].starts_with(|c: char| c.is_alphanumeric())
    }));
    (before.len(), end + slash)
}

/// Returns true if an address goes on before or after these bytes: a longer host, a longer name.
pub fn is_part_of_address(text: &str, start: usize, end: usize) -> bool {
    let joins = |c: char| matches!(c, '.' | '-' | '_' | '@' | '+' | '%');
    let mut after = text.get(end..).unwrap_or_default().chars();
    let goes_on =
        after.next().is_some_and(joins) && after.next().is_some_and(char::is_alphanumeric);
    let mut before = text.get(..start).unwrap_or_default().chars().rev();
    let is_joined =
        before.next().is_some_and(joins) && before.next().is_some_and(char::is_alphanumeric);
    goes_on || is_joined
}
