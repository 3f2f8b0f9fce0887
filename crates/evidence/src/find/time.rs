//! Times of day in the forms that people write.

use super::ideographs::read_ideographs;
use crate::clusters::{Class, class};
use crate::fold::decimal_digit;

/// Time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

/// Possible reading of a time: its bytes, and its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub start: usize,
    pub end: usize,
    pub time: Time,
}

/// Words around an hour, and the hours that each adds to one before noon.
const BEFORE: [(&str, u8); 14] = [
    ("下午", 12),
    ("晚上", 12),
    ("中午", 12),
    ("上午", 0),
    ("早上", 0),
    ("凌晨", 0),
    ("午後", 12),
    ("午前", 0),
    ("오후", 12),
    ("오전", 0),
    ("夜", 12),
    ("朝", 0),
    ("शाम", 12),
    ("सुबह", 0),
];

const AFTER: [(&str, u8); 30] = [
    ("a.m.", 0),
    ("p.m.", 12),
    ("a. m.", 0),
    ("p. m.", 12),
    ("am", 0),
    ("pm", 12),
    ("AM", 0),
    ("PM", 12),
    ("A.M.", 0),
    ("P.M.", 12),
    ("a.m", 0),
    ("p.m", 12),
    ("in the morning", 0),
    ("in the afternoon", 12),
    ("in the evening", 12),
    ("de la mañana", 0),
    ("de la tarde", 12),
    ("de la noche", 12),
    ("du matin", 0),
    ("du soir", 12),
    ("утра", 0),
    ("вечера", 12),
    ("дня", 12),
    ("صباحا", 0),
    ("صباحًا", 0),
    ("صباحاً", 0),
    ("ص", 0),
    ("مساءً", 12),
    ("مساء", 12),
    ("م", 12),
];

/// Words that mark a number as an hour.
const HOURS: [&str; 17] = [
    "Uhr",
    "uhr",
    "heures",
    "heure",
    "h",
    "o'clock",
    "o’clock",
    "点",
    "點",
    "时",
    "時",
    "시",
    "บ้าน",
    "นาฬิกา",
    "น.",
    "часов",
    "часа",
];

/// Reads the time that starts with the digit at byte `at`.
pub fn time_at(text: &str, at: usize) -> Option<Reading> {
    let (hour, mut end) = number(text, at)?;
    let mut time = Time {
        hour,
        minute: 0,
        second: 0,
    };
    let mut is_time = false;
    let mut parts = [0_u8; 2];
    for part in &mut parts {
        let Some((value, after, is_sure)) = next_part(text, end) else {
            break;
        };
        *part = value;
        end = after;
        is_time |= is_sure;
    }
    [time.minute, time.second] = parts;
    let has_minutes = end > number(text, at)?.1;
    let rest = text.get(end..)?;
    let trimmed = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let space = rest.len() - trimmed.len();
    if let Some(word) = word_at(trimmed, &HOURS).filter(|_| space <= 3) {
        is_time = true;
        end += space + word.len();
        if !has_minutes {
            let (minute, after) = minutes_after(text, end);
            time.minute = minute;
            end = after;
        }
    }
    let rest = text.get(end..)?;
    let trimmed = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let space = rest.len() - trimmed.len();
    let mut start = at;
    let after = AFTER
        .iter()
        .filter(|(word, _)| is_word(trimmed, word))
        .max_by_key(|(word, _)| word.len());
    if let Some((word, noon)) = after.filter(|_| space <= 3 && hour <= 12) {
        end += space + word.len();
        time.hour = hour % 12 + noon;
        is_time = true;
    } else if let Some((before, noon)) = half_of_day_before(text, at).filter(|_| hour <= 12) {
        start = before;
        time.hour = if hour == 12 && noon == 0 {
            0
        } else {
            hour % 12 + noon
        };
        is_time |= has_minutes;
    }
    let is_valid = time.hour < 24 && time.minute < 60 && time.second < 60;
    (is_time && is_valid).then_some(Reading { start, end, time })
}

/// Returns the minutes and seconds after ":" (sure), "." or "h".
fn next_part(text: &str, end: usize) -> Option<(u8, usize, bool)> {
    let rest = text.get(end..)?;
    let sign = rest.chars().next()?;
    if !matches!(sign, ':' | '：' | '.' | 'h' | 'H') {
        return None;
    }
    let start = end + sign.len_utf8();
    let (value, after) = number(text, start)?;
    let digits = text.get(start..after)?.chars().count();
    (digits == 2 && value < 60).then_some((value, after, sign != '.'))
}

/// Returns the minutes after the word for an hour: 点30分, 点半, Uhr 30.
fn minutes_after(text: &str, end: usize) -> (u8, usize) {
    let rest = text.get(end..).unwrap_or_default();
    if rest.starts_with('半') {
        return (30, end + '半'.len_utf8());
    }
    let space = usize::from(rest.starts_with(' '));
    let Some((value, after)) = number(text, end + space) else {
        return (0, end);
    };
    let tail = text.get(after..).unwrap_or_default();
    match tail.chars().next().filter(|c| matches!(c, '分' | '분')) {
        Some(minute) => (value, after + minute.len_utf8()),
        // "14 h 30", "14 Uhr 30": two digits, and nothing that makes them a quantity.
        None if after == end + space + 2
            && tail
                .chars()
                .next()
                .is_none_or(|c| class(c) == Class::Gap && c != '%') =>
        {
            (value, after)
        }
        None => (0, end),
    }
}

/// Reads one or two digits, or Chinese numerals.
fn number(text: &str, at: usize) -> Option<(u8, usize)> {
    let rest = text.get(at..)?;
    let digits: Vec<char> = rest
        .chars()
        .take(3)
        .take_while(|c| decimal_digit(*c).is_some())
        .collect();
    if digits.is_empty() {
        let (value, end) = read_ideographs(text, at)?;
        return Some((u8::try_from(value).ok()?, end));
    }
    let value = digits
        .iter()
        .filter_map(|c| decimal_digit(*c))
        .fold(0, |sum, digit| sum * 10 + u16::from(digit));
    let end = at + digits.iter().map(|c| c.len_utf8()).sum::<usize>();
    (digits.len() <= 2).then_some((u8::try_from(value).ok()?, end))
}

fn half_of_day_before(text: &str, at: usize) -> Option<(usize, u8)> {
    let before = text.get(..at)?.trim_end_matches(' ');
    if at - before.len() > 1 {
        return None;
    }
    BEFORE
        .iter()
        .find(|(word, _)| before.ends_with(word))
        .map(|(word, noon)| (before.len() - word.len(), *noon))
}

fn word_at<'w>(rest: &str, words: &[&'w str]) -> Option<&'w str> {
    words.iter().find(|word| is_word(rest, word)).copied()
}

/// Returns true if `rest` starts with `word`, and no letter follows unless the script has no spaces.
fn is_word(rest: &str, word: &str) -> bool {
    rest.strip_prefix(word).is_some_and(|after| {
        let is_spaced = word
            .chars()
            .next()
            .is_some_and(|c| class(c) == Class::Letter);
        !is_spaced
            || after
                .chars()
                .next()
                .is_none_or(|c| class(c) != Class::Letter)
    })
}

/// Reads the time of an ISO 8601 text: 14:30, 14:30:00.5, with or without a zone.
pub fn read_iso(text: &str) -> Option<Time> {
    let bare = text.trim_end_matches('Z');
    let bare = bare.split(['+', '-']).next()?;
    let bare = bare.split('.').next()?;
    let mut parts = bare.split(':');
    let mut part = || -> Option<u8> {
        let part = parts.next()?;
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse().ok())?
    };
    let (hour, minute) = (part()?, part()?);
    let second = part().unwrap_or_default();
    let is_time = hour < 24 && minute < 60 && second < 61;
    is_time.then_some(Time {
        hour,
        minute,
        second,
    })
}
