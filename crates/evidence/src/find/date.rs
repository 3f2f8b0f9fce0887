//! Dates in the forms that people write.

use super::months::month;
use super::number_words::{self, read_ideographs};
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

/// Doubt about a day whose month or year stands beside another day.
const RANGE_PENALTY: u8 = 15;

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

    /// Reads the first day of "3rd and 4th of March 2024" or "3.–5. März"; the second one is read at its own token.
    fn first_day_of_range(self, first: Count) -> Option<Reading> {
        let at = self.after_connector(first.next)?;
        let second = self.count(at).filter(|second| second.digits <= 2)?;
        let reading = self.day_first(second)?;
        let day = u8::try_from(first.value)
            .ok()
            .filter(|day| (1..=31).contains(day))?;
        let date = Date {
            day: Some(day),
            ..reading.date
        };
        (first.digits <= 2).then_some(Reading {
            date,
            next: first.next,
            penalty: RANGE_PENALTY,
            ..reading
        })
    }

    /// Reads the last day of "March 3 to 5, 2024".
    fn last_day_of_range(self, token: usize) -> Option<Reading> {
        let (month, next) = month(self.text, self.tokens, token)?;
        let first = self.near_count(next).filter(|first| first.digits <= 2)?;
        let at = self.after_connector(first.next)?;
        let last = self.count(at).filter(|last| last.digits <= 2)?;
        if self.gap(last.next).starts_with([':', '%', '.']) && !self.gap(last.next).ends_with(' ') {
            return None;
        }
        let (mut at, mut end) = (last.next, last.end);
        if self.is(at, &["st", "nd", "rd", "th"]) {
            end = self.tokens.end(at);
            at += 1;
        }
        let (year, after) = match self.year_after(at) {
            (None, _) => (None, (at, end)),
            found => found,
        };
        reading_of(year, month, Some(last.value), after, RANGE_PENALTY)
    }

    /// Returns the token after "to", "and" or a dash between two days.
    fn after_connector(self, token: usize) -> Option<usize> {
        const WORDS: [&str; 16] = [
            "and", "to", "or", "through", "until", "und", "bis", "oder", "et", "au", "à", "y",
            "al", "e", "a", "и",
        ];
        let ordinals = ["st", "nd", "rd", "th", "er", "º"];
        let token = token + usize::from(self.is(token, &ordinals));
        if self.gap(token).chars().count() > 4 {
            return None;
        }
        if WORDS
            .iter()
            .any(|word| self.tokens.text(self.text, token) == *word)
        {
            return Some(token + 1);
        }
        let sign = self.gap(token).trim_matches([' ', '.']);
        matches!(sign, "-" | "–" | "—" | "/" | "&" | "+").then_some(token)
    }

    /// Reads dates such as 5 January 2026, 5. Januar, 5th of January, 5 de enero de 2026, 2026 January 5.
    fn day_first(self, first: Count) -> Option<Reading> {
        let mut at = first.next;
        if self.is(
            at,
            &["st", "nd", "rd", "th", "er", "ère", "º", "ª", "o", "de"],
        ) {
            at += 1;
        }
        if self.is(at, &["day"]) {
            at += 1;
        }
        let is_year = first.digits == 4;
        if self.is(at, &["of", "de", "del", "d"]) && !is_year {
            at += 1;
        }
        if self.gap(at).chars().count() > 3 {
            return None;
        }
        let (month, next) = month(self.text, self.tokens, at)?;
        if is_year && first.value < 1000 {
            return None;
        }
        if is_year {
            let day = self.near_count(next).filter(|day| day.digits <= 2);
            let after = day.map_or((next, self.tokens.end(next - 1)), |day| (day.next, day.end));
            let year = Some(Year::full(first));
            return reading_of(year, month, day.map(|day| day.value), after, 0);
        }
        let (year, (next, end)) = self.year_after(next);
        reading_of(year, month, Some(first.value), (next, end), 0)
    }

    /// Reads dates such as January 5, 2026; Jan 5; January 2026. An ordinal in words is not supported.
    fn month_first(self, token: usize) -> Option<Reading> {
        let (month, next) = month(self.text, self.tokens, token)?;
        let count = self.near_count(next)?;
        if count.digits == 4 {
            return reading_of(
                Some(Year::Full(buddhist(count.value))),
                month,
                None,
                (count.next, count.end),
                0,
            );
        }
        let mut at = count.next;
        let mut end = count.end;
        if self.is(at, &["st", "nd", "rd", "th"]) {
            end = self.tokens.end(at);
            at += 1;
        }
        let (year, after) = match self.year_after(at) {
            (None, _) => (None, (at, end)),
            found => found,
        };
        reading_of(year, month, Some(count.value), after, 0)
    }

    fn near_count(self, token: usize) -> Option<Count> {
        let gap = self.gap(token);
        (gap.chars().count() <= 2)
            .then(|| self.count(token))
            .flatten()
    }

    /// Reads a year after the name of a month.
    fn year_after(self, token: usize) -> (Option<Year>, (usize, usize)) {
        let none = (None, (token, self.tokens.end(token.saturating_sub(1))));
        let mut at = token;
        if self.is(at, &["de", "del", "of", "г", "พ", "ค"]) {
            at += if self.is(at, &["พ", "ค"]) { 2 } else { 1 };
        }
        let gap = self.gap(at);
        if gap.chars().count() > 3 || gap.contains(['\n', ';', '(', ')']) {
            return none;
        }
        match self.count(at) {
            Some(count) if count.digits == 4 => (
                Some(Year::Full(buddhist(count.value))),
                (count.next, count.end),
            ),
            Some(count)
                if count.digits == 2
                    && gap.ends_with(['\'', '’', ' ', '-', '.'])
                    && !gap.contains(',') =>
            {
                let is_time = self.gap(count.next).starts_with([':', '%']);
                if is_time {
                    none
                } else {
                    (Some(Year::Short(count.value)), (count.next, count.end))
                }
            }
            _ => none,
        }
    }

    /// Reads dates such as 2026年1月5日, 1月5日, 2026년 1월 5일.
    fn ideographic(self, first: Count) -> Option<Reading> {
        let mut month = first;
        let mut year = None;
        if self.is(first.next, &["年", "년"]) {
            year = Some(if first.digits == 2 {
                Year::Short(first.value)
            } else {
                Year::Full(first.value)
            });
            month = self.near_count(first.next + 1)?;
        }
        if !self.is(month.next, &["月", "월"]) {
            return None;
        }
        let end = (month.next + 1, self.tokens.end(month.next));
        let day = self
            .near_count(month.next + 1)
            .filter(|day| self.is(day.next, &["日", "号", "號", "일"]));
        let Some(day) = day else {
            return reading_of(year, u8::try_from(month.value).ok()?, None, end, 0)
                .filter(|_| year.is_some());
        };
        let end = (day.next + 1, self.tokens.end(day.next));
        reading_of(
            year,
            u8::try_from(month.value).ok()?,
            Some(day.value),
            end,
            0,
        )
    }

    /// Reads dates such as 令和8年1月5日.
    fn era(self, token: usize) -> Option<Reading> {
        let start = self.tokens.start(token);
        let rest = self.text.get(start..)?;
        let base = [("令和", 2018), ("平成", 1988), ("昭和", 1925)]
            .iter()
            .find(|(name, _)| rest.starts_with(name))?
            .1;
        let count = if self.is(token + 2, &["元"]) {
            Count {
                value: 1,
                digits: 1,
                next: token + 3,
                end: self.tokens.end(token + 2),
            }
        } else {
            self.count(token + 2)?
        };
        self.ideographic(Count {
            value: count.value + base,
            digits: 4,
            ..count
        })
    }

    /// Reads dates such as 20260105.
    #[expect(clippy::unused_self, reason = "called like the readers beside it")]
    fn compact(self, first: Count) -> Option<Reading> {
        if first.digits != 8 {
            return None;
        }
        let (year, rest) = (first.value / 10_000, first.value % 10_000);
        let is_year = (1900..2100).contains(&year);
        let month = u8::try_from(rest / 100).ok()?;
        reading_of(
            Some(Year::Full(year)),
            month,
            Some(rest % 100),
            (first.next, first.end),
            5,
        )
        .filter(|_| is_year)
    }

    /// Reads dates such as 2026-01-05, 05/01/2026, 5.1.26, 05/01.
    fn numeric(self, first: Count, readings: &mut Vec<Reading>) {
        let separator = |gap: &str| {
            let sign = gap.trim();
            let is_sign = matches!(sign, "-" | "/" | "." | "‐" | "‑" | "–" | "／" | "．");
            (is_sign && gap.len() - sign.len() <= 1)
                .then(|| sign.chars().next())
                .flatten()
        };
        let Some(sign) = separator(self.gap(first.next)) else {
            return;
        };
        let Some(second) = self.count(first.next) else {
            return;
        };
        if second.digits > 2 {
            readings.extend(month_of(first).and_then(|month| {
                let is_year = first.digits <= 2 && second.digits == 4 && second.value > 1000;
                let after = (second.next, second.end);
                reading_of(Some(Year::full(second)), month, None, after, 10).filter(|_| is_year)
            }));
            return;
        }
        let third = (separator(self.gap(second.next)) == Some(sign))
            .then(|| self.count(second.next))
            .flatten();
        let Some(third) = third else {
            self.numeric_pair(first, second, sign, readings);
            return;
        };
        let after = (third.next, third.end);
        if first.digits == 4 && third.digits <= 2 {
            let year = Some(Year::Full(buddhist(first.value)));
            readings.extend(
                month_of(second)
                    .and_then(|month| reading_of(year, month, Some(third.value), after, 0)),
            );
        } else if first.digits <= 2 && matches!(third.digits, 2 | 4) {
            let year = Some(if third.digits == 4 {
                Year::Full(buddhist(third.value))
            } else {
                Year::Short(third.value)
            });
            let day_first = month_of(second)
                .and_then(|month| reading_of(year, month, Some(first.value), after, 0));
            let month_first = month_of(first)
                .and_then(|month| reading_of(year, month, Some(second.value), after, 0));
            readings.extend(day_first);
            readings.extend(month_first.filter(|_| sign != '.'));
        }
    }

    /// Reads dates such as 05/01, 5.1., 2026-01, 01/26.
    fn numeric_pair(self, first: Count, second: Count, sign: char, readings: &mut Vec<Reading>) {
        let after = (second.next, second.end);
        if first.digits == 4 {
            let year = Some(Year::Full(first.value));
            readings
                .extend(month_of(second).and_then(|month| reading_of(year, month, None, after, 0)));
            return;
        }
        if sign == '/' && second.digits == 2 {
            let expiry = month_of(first).and_then(|month| {
                reading_of(Some(Year::Short(second.value)), month, None, after, 25)
            });
            readings.extend(expiry);
        }
        let is_german = sign == '.'
            && self
                .text
                .get(second.end..)
                .is_some_and(|rest| rest.starts_with('.'));
        if sign != '/' && !is_german {
            return;
        }
        let day_first = month_of(second)
            .and_then(|month| reading_of(None, month, Some(first.value), after, 20));
        let month_first = month_of(first)
            .and_then(|month| reading_of(None, month, Some(second.value), after, 20));
        readings.extend(day_first);
        readings.extend(month_first.filter(|_| !is_german));
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
