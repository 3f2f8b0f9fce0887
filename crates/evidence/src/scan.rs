//! Passes over a text for values with a meaning: numbers, dates, times and phone numbers.

use std::collections::HashMap;

use crate::clusters::is_boundary;
use crate::decimal::Decimal;
use crate::find::contact::PhoneRun;
use crate::find::date::{Date, Words};
use crate::find::number::{self, Reading};
use crate::find::time::Time;
use crate::find::units::percent_sign;
use crate::find::{date, ideographs, number_words, time};
use crate::fold::decimal_digit;
use crate::mention::{Mention, Status};
use crate::query::{Forms, Query};

/// Doubt about a number in words, which may be an article or part of a name.
const WORD_PENALTY: u8 = 40;

/// Passes over one text, for all queries.
pub struct Scan<'a, 'q, 'v> {
    pub source: Words<'a>,
    pub queries: &'q mut [Query<'v>],
    /// Most mentions of one value.
    pub limit: usize,
}

/// Returns the queries by a key of their forms.
fn by<K: std::hash::Hash + Eq>(
    queries: &[Query],
    key: impl Fn(&Forms) -> Option<K>,
) -> HashMap<K, Vec<usize>> {
    let mut found: HashMap<K, Vec<usize>> = HashMap::new();
    for (number, query) in queries.iter().enumerate() {
        if let Some(key) = key(&query.forms) {
            found.entry(key).or_default().push(number);
        }
    }
    found
}

impl Scan<'_, '_, '_> {
    /// Adds a mention of a query, exact if the text there is that of the value.
    fn add(&mut self, number: usize, (start, end): (usize, usize), penalty: u8) {
        let text = self.source.text;
        if !is_boundary(text, start) || !is_boundary(text, end) {
            return;
        }
        let Some(query) = self.queries.get_mut(number) else {
            return;
        };
        let is_same = text.get(start..end) == Some(query.text.trim());
        let status = if is_same {
            Status::Exact
        } else {
            Status::Normalized
        };
        if query.mentions.len() < self.limit {
            query
                .mentions
                .extend(Mention::new(start, end, status, penalty));
        }
    }

    /// Finds numbers in digits and in words.
    pub fn numbers(&mut self) {
        let wanted = by(self.queries, |forms| forms.number.clone());
        if wanted.is_empty() {
            return;
        }
        let source = self.source;
        let mut readings: Vec<Reading> = Vec::new();
        let (mut after, mut after_words) = (0, 0);
        for token in 0..source.tokens.len() {
            let start = source.tokens.start(token);
            let word = source.tokens.text(source.text, token);
            let Some(first) = word.chars().next() else {
                continue;
            };
            let digit = if decimal_digit(first).is_some() {
                Some(0)
            } else {
                digit_after_currency(word)
            };
            readings.clear();
            if let Some(digit) = digit {
                if start >= after {
                    readings.extend(number::read_scientific(source.text, start));
                    after = number::read_numbers_at(source.text, start + digit, &mut readings);
                }
            } else if let Some(reading) = vulgar_fraction(source, token, first) {
                readings.push(reading);
            } else if token >= after_words {
                let found = words(source, token);
                after_words = found.as_ref().map_or(0, |(_, next)| *next);
                readings.extend(found.map(|(reading, _)| reading));
                let percent = readings
                    .last()
                    .and_then(|reading| as_percent(source.text, reading));
                readings.extend(percent);
            }
            for reading in &readings {
                for number in wanted.get(&reading.value).into_iter().flatten() {
                    self.add(*number, (reading.start, reading.end), reading.penalty);
                }
            }
        }
    }

    /// Finds dates, and the times that belong to dates.
    pub fn dates(&mut self) {
        let wanted = by(self.queries, |forms| {
            forms.date.map(|date| (date.month, date.day))
        });
        if wanted.is_empty() {
            return;
        }
        let source = self.source;
        let (mut readings, mut next) = (Vec::new(), 0);
        for token in 0..source.tokens.len() {
            readings.clear();
            if token >= next {
                source.dates(token, &mut readings);
            }
            for reading in &readings {
                for key in [reading.date.day, None] {
                    let numbers = wanted.get(&(reading.date.month, key)).into_iter().flatten();
                    for number in numbers
                        .filter(|_| key.is_none() == reading.date.day.is_none() || key.is_none())
                    {
                        self.add_date(*number, token, reading);
                    }
                    if reading.date.day.is_none() {
                        break;
                    }
                }
                next = next.max(reading.next);
            }
        }
    }

    fn add_date(&mut self, number: usize, token: usize, reading: &date::Reading) {
        let wanted = self.queries.get(number).and_then(|query| query.forms.date);
        if let Some(doubt) = wanted.and_then(|wanted: Date| reading.date.doubt(wanted)) {
            let start = self.source.tokens.start(token);
            self.add(
                number,
                (start, reading.end),
                reading.penalty.saturating_add(doubt),
            );
        }
    }

    /// Finds times of day.
    pub fn times(&mut self) {
        let wanted = by(self.queries, |forms| {
            forms.time.map(|time| (time.hour, time.minute))
        });
        if wanted.is_empty() {
            return;
        }
        let source = self.source;
        let mut after = 0;
        for token in 0..source.tokens.len() {
            let start = source.tokens.start(token);
            let reading = if start >= after {
                time::time_at(source.text, start).or_else(|| named_time(source, token))
            } else {
                None
            };
            let Some(reading) = reading else { continue };
            after = reading.end;
            let key = (reading.time.hour, reading.time.minute);
            for number in wanted.get(&key).into_iter().flatten() {
                self.add_time(*number, &reading);
            }
        }
    }

    fn add_time(&mut self, number: usize, reading: &time::Reading) {
        let Some(query) = self.queries.get_mut(number) else {
            return;
        };
        let seconds = |time: Time| time.second;
        let wanted = query.forms.time.map_or(0, seconds);
        if reading.time.second != 0 && reading.time.second != wanted {
            return;
        }
        if query.forms.date.is_none() {
            self.add(number, (reading.start, reading.end), 0);
        } else if query.times.len() < self.limit {
            query.times.extend(Mention::new(
                reading.start,
                reading.end,
                Status::Normalized,
                0,
            ));
        }
    }

    /// Finds phone numbers.
    pub fn phones(&mut self) {
        let wanted = by(self.queries, |forms| {
            forms.phone.as_ref().map(crate::find::contact::Phone::key)
        });
        if wanted.is_empty() {
            return;
        }
        let source = self.source;
        let mut after = 0;
        for token in 0..source.tokens.len() {
            let start = source.tokens.start(token);
            let is_digit = source
                .tokens
                .text(source.text, token)
                .starts_with(|c| decimal_digit(c).is_some());
            if !is_digit || start < after {
                continue;
            }
            let (run, end) = PhoneRun::starting_at(source.text, start);
            after = end;
            run.phones(source.text, &mut |phone, start, end| {
                for number in wanted.get(&phone.key()).into_iter().flatten() {
                    let form = self
                        .queries
                        .get(*number)
                        .and_then(|query| query.forms.phone.as_ref());
                    if form.is_some_and(|wanted| wanted.reaches(&phone)) {
                        self.add(*number, (start, end), 10);
                    }
                }
            });
        }
    }
}

/// Reads a number in words or in Chinese numerals at a token, and returns the token after it.
fn words(source: Words, token: usize) -> Option<(Reading, usize)> {
    let start = source.tokens.start(token);
    let (value, end, next) =
        if let Some((value, next)) = number_words::number_at(source.text, source.tokens, token) {
            (value, source.tokens.end(next - 1), next)
        } else {
            let (value, end) = ideographs::read_ideographs(source.text, start)?;
            (value, end, source.tokens.at_or_after(end))
        };
    let value = Decimal::from_integer(value);
    Some((
        Reading {
            start,
            end,
            value,
            penalty: WORD_PENALTY,
        },
        next,
    ))
}

/// Reads ¾ and 3½.
fn vulgar_fraction(source: Words, token: usize, first: char) -> Option<Reading> {
    let fraction = match first {
        '½' => "5",
        '¼' => "25",
        '¾' => "75",
        '⅕' => "2",
        '⅖' => "4",
        '⅗' => "6",
        '⅘' => "8",
        '⅛' => "125",
        '⅜' => "375",
        '⅝' => "625",
        '⅞' => "875",
        _ => return None,
    };
    let (start, end) = (source.tokens.start(token), source.tokens.end(token));
    if end - start != first.len_utf8() {
        return None;
    }
    let before = token
        .checked_sub(1)
        .map(|before| source.tokens.text(source.text, before));
    let is_near = source.tokens.gap_before(source.text, token).len() <= 1;
    let is_whole = |word: &&str| word.len() <= 9 && word.bytes().all(|byte| byte.is_ascii_digit());
    let whole = before
        .filter(is_whole)
        .filter(|word| is_near && !word.is_empty());
    Some(Reading {
        start: whole.map_or(start, |_| source.tokens.start(token - 1)),
        end,
        value: Decimal::new(false, whole.unwrap_or_default(), fraction, 0),
        penalty: 0,
    })
}

/// Reads noon and midnight.
fn named_time(source: Words, token: usize) -> Option<time::Reading> {
    const NOON: [&str; 7] = [
        "noon",
        "midday",
        "mittag",
        "mittags",
        "midi",
        "mediodía",
        "mezzogiorno",
    ];
    const MIDNIGHT: [&str; 5] = [
        "midnight",
        "mitternacht",
        "minuit",
        "medianoche",
        "mezzanotte",
    ];
    let word = source.tokens.text(source.text, token);
    if word.len() > 16 {
        return None;
    }
    let word = word.to_lowercase();
    let is_noon = NOON.contains(&word.as_str());
    (is_noon || MIDNIGHT.contains(&word.as_str())).then(|| time::Reading {
        start: source.tokens.start(token),
        end: source.tokens.end(token),
        time: Time {
            hour: if is_noon { 12 } else { 0 },
            minute: 0,
            second: 0,
        },
    })
}

/// Returns the fraction that a number in words with "percent" after it stands for.
fn as_percent(text: &str, reading: &Reading) -> Option<Reading> {
    let bytes = percent_sign(text.get(reading.end..)?)?;
    let value = reading.value.shifted(-2);
    Some(Reading {
        start: reading.start,
        end: reading.end + bytes,
        value,
        penalty: WORD_PENALTY,
    })
}

/// Returns the place of the first digit after a currency or the like: EUR12, Rs500, No7.
fn digit_after_currency(word: &str) -> Option<usize> {
    let at = word.find(|c: char| c.is_ascii_digit())?;
    let letters = word.get(..at)?;
    let is_code = letters.len() == 3 && letters.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_known = [
        "Rs", "rs", "kr", "Kr", "US", "R", "C", "A", "HK", "NT", "No", "no", "Nr", "nr", "x", "X",
    ]
    .contains(&letters);
    (is_code || is_known).then_some(at)
}
