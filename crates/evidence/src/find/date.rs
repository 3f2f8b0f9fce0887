//! Dates in the forms that people write.

mod digits;
mod named_month;

use super::ideographs::read_ideographs;
use super::months::month;
use super::number_words;
use crate::fold::decimal_digit;
use crate::tokens::Tokens;

/// A day, a month or a day without its year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: Option<Year>,
    pub month: u8,
    pub day: Option<u8>,
}

/// Year, complete or abbreviated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Year {
    Full(u32),
    /// The last two digits of a year.
    Short(u32),
}

impl Year {
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Full(a), Self::Full(b)) => a == b,
            (Self::Full(a) | Self::Short(a), Self::Full(b) | Self::Short(b)) => a % 100 == b % 100,
        }
    }
}

/// A way to read a date that starts at a token.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub date: Date,
    /// Token after the date.
    pub next: usize,
    /// Byte after the date: after 日, which is no part of the last number.
    pub end: usize,
    pub penalty: u8,
}

impl Date {
    /// Returns the doubt that `self`, from a text, is the wanted date; `None` if it is another.
    pub fn doubt(self, wanted: Self) -> Option<u8> {
        if self.month != wanted.month || (wanted.day.is_some() && self.day != wanted.day) {
            return None;
        }
        let day_doubt = if wanted.day.is_none() && self.day.is_some() {
            10
        } else {
            0
        };
        match (self.year, wanted.year) {
            (Some(found), Some(year)) if !found.agrees(year) => None,
            (Some(Year::Short(_)), Some(_)) => Some(5 + day_doubt),
            (None, Some(_)) => (wanted.day.is_some()).then_some(20),
            _ => Some(day_doubt),
        }
    }
}

/// A number that may be part of a date.
#[derive(Clone, Copy)]
struct Count {
    value: u32,
    digits: usize,
    next: usize,
    end: usize,
}

/// A text with its tokens.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    pub text: &'a str,
    pub tokens: &'a Tokens,
}

impl<'a> Words<'a> {
    fn count(self, token: usize) -> Option<Count> {
        let word = self.tokens.text(self.text, token);
        let first = word.chars().next()?;
        if decimal_digit(first).is_none() {
            let words = number_words::number_at(self.text, self.tokens, token);
            if let Some((value, next)) = words.filter(|(value, _)| *value <= 31) {
                let end = self.tokens.end(next - 1);
                return Some(Count {
                    value: u32::try_from(value).ok()?,
                    digits: 2,
                    next,
                    end,
                });
            }
            let (value, end) = read_ideographs(self.text, self.tokens.start(token))?;
            let digits = self
                .text
                .get(self.tokens.start(token)..end)?
                .chars()
                .count();
            let next = self.tokens.at_or_after(end);
            return Some(Count {
                value: u32::try_from(value).ok()?,
                digits,
                next,
                end,
            });
        }
        let mut value = 0_u32;
        let mut digits = 0;
        for c in word.chars() {
            value = value
                .checked_mul(10)?
                .checked_add(u32::from(decimal_digit(c)?))?;
            digits += 1;
        }
        let end = self.tokens.end(token);
        (digits <= 8).then_some(Count {
            value,
            digits,
            next: token + 1,
            end,
        })
    }

    fn near_count(self, token: usize) -> Option<Count> {
        let gap = self.gap(token);
        (gap.chars().count() <= 2)
            .then(|| self.count(token))
            .flatten()
    }

    fn gap(self, token: usize) -> &'a str {
        self.tokens.gap_before(self.text, token)
    }

    fn is(self, token: usize, words: &[&str]) -> bool {
        let word = self.tokens.text(self.text, token);
        words
            .iter()
            .any(|candidate| word.eq_ignore_ascii_case(candidate))
    }

    /// Reads the dates that start at a token.
    pub fn dates(self, token: usize, readings: &mut Vec<Reading>) {
        if let Some(reading) = self.month_first(token) {
            readings.push(reading);
            readings.extend(self.last_day_of_range(token));
        }
        if let Some(reading) = self.era(token) {
            readings.push(reading);
        }
        let Some(first) = self.count(token) else {
            return;
        };
        if let Some(reading) = self.ideographic(first) {
            readings.push(reading);
            return;
        }
        if let Some(reading) = self.compact(first) {
            readings.push(reading);
        }
        if let Some(reading) = self.day_first(first) {
            readings.push(reading);
            return;
        }
        readings.extend(self.first_day_of_range(first));
        self.numeric(first, readings);
    }
}

/// Returns a reading if its month and day are those of a date.
fn reading_of(
    year: Option<Year>,
    month: u8,
    day: Option<u32>,
    (next, end): (usize, usize),
    penalty: u8,
) -> Option<Reading> {
    let day = day.map(|day| u8::try_from(day).unwrap_or(u8::MAX));
    let is_date = (1..=12).contains(&month) && day.is_none_or(|day| (1..=31).contains(&day));
    is_date.then_some(Reading {
        date: Date { year, month, day },
        next,
        end,
        penalty,
    })
}

impl Year {
    fn full(count: Count) -> Self {
        Self::Full(buddhist(count.value))
    }
}

fn month_of(count: Count) -> Option<u8> {
    u8::try_from(count.value)
        .ok()
        .filter(|month| (1..=12).contains(month))
}

/// Returns the common year of a Thai one.
fn buddhist(year: u32) -> u32 {
    if (2443..2700).contains(&year) {
        year - 543
    } else {
        year
    }
}
