//! Values that differ from the text only in where words are divided: "iPhone15", "e-mail", "DE89 3704 0044".

use std::collections::HashMap;

use super::date::Words;
use crate::clusters::is_boundary;
use crate::fold::{Marks, decimal_digit, fold_char, fold_punctuation};
use crate::mention::{Mention, Status};
use crate::positions::HashedMap;
use crate::query::Query;
use crate::tokens::{Hash, Tokens};

/// Characters by which a value is looked up.
const KEY_CHARS: usize = 3;

/// Fewest and most letters and digits of a value that is searched for.
const CHARS: std::ops::RangeInclusive<usize> = 4..=128;

/// Fewest letters of an abbreviation in capitals: USA for U.S.A.
const CAPITALS: usize = 3;

/// Most abbreviations of two letters that are searched for in one text.
const MOST_PAIRS: usize = 32;

/// Adds mentions to the queries that have none.
pub fn find(source: Words, queries: &mut [Query], values: &Tokens) {
    let pairs = queries
        .iter_mut()
        .filter(|query| query.mentions.is_empty() && query.has_words());
    let pairs = pairs.filter_map(|query| Some((capital_pair(&query.text)?, query)));
    for (pair, query) in pairs.take(MOST_PAIRS) {
        find_pair(source, query, pair);
    }
    let mut wanted: HashedMap<Vec<usize>> = HashMap::default();
    let mut squashed = Vec::with_capacity(queries.len());
    for (number, query) in queries.iter().enumerate() {
        let chars =
            if query.mentions.is_empty() && query.has_words() && query.forms.number.is_none() {
                squash(query, values)
            } else {
                Vec::new()
            };
        let is_capital =
            chars.len() == CAPITALS && query.text.chars().all(|c| c.is_uppercase() || c == '.');
        if CHARS.contains(&chars.len()) || is_capital {
            wanted
                .entry(key(chars.iter().copied()))
                .or_default()
                .push(number);
        }
        squashed.push(chars);
    }
    if wanted.is_empty() {
        return;
    }
    let mut budget = 1_000_000 + 16 * source.text.len();
    for token in 0..source.tokens.len() {
        let Some(numbers) = wanted.get(&key(chars_from(source, token))) else {
            continue;
        };
        for number in numbers {
            let (Some(chars), Some(query)) = (squashed.get(*number), queries.get_mut(*number))
            else {
                continue;
            };
            if let Some(end) = walk(source, token, chars, &mut budget) {
                query.mentions.extend(Mention::new(
                    source.tokens.start(token),
                    end,
                    Status::Normalized,
                    60,
                ));
            }
        }
        if budget == 0 {
            return;
        }
    }
}

/// Returns the letters of UK or U.K.
fn capital_pair(value: &str) -> Option<[char; 2]> {
    let letters: Vec<char> = value
        .trim()
        .chars()
        .filter(|c| !matches!(c, '.' | ' '))
        .collect();
    let pair = <[char; 2]>::try_from(letters).ok()?;
    (value.len() < 16 && pair.iter().all(|c| c.is_uppercase())).then_some(pair)
}

/// Adds the mentions of two capitals with or without full stops.
fn find_pair(source: Words, query: &mut Query, [first, second]: [char; 2]) {
    let text = source.text;
    let is_word = |c: char| c.is_alphanumeric() || c == '.';
    for form in [
        format!("{first}.{second}."),
        format!("{first}. {second}."),
        format!("{first}{second}"),
    ] {
        for (start, found) in text.match_indices(&form).take(64) {
            let end = start + found.len();
            let is_whole = !text
                .get(..start)
                .is_some_and(|before| before.ends_with(is_word))
                && !text
                    .get(end..)
                    .is_some_and(|after| after.starts_with(char::is_alphanumeric));
            if is_whole && is_boundary(text, start) && is_boundary(text, end) {
                query
                    .mentions
                    .extend(Mention::new(start, end, Status::Normalized, 60));
            }
        }
    }
}

/// Returns the folded letters and digits of a value; none if it has signs that matter.
fn squash(query: &Query, values: &Tokens) -> Vec<char> {
    let value = query.searched();
    let mut chars = Vec::new();
    for (place, token) in query.tokens.clone().enumerate() {
        let gap = place
            .checked_sub(1)
            .and_then(|_| value.get(values.end(token - 1)..values.start(token)));
        let word = values.text(value, token);
        let is_between_digits = chars.last().is_some_and(char::is_ascii_digit)
            && word.starts_with(|c| decimal_digit(c).is_some());
        let is_open =
            gap.is_none_or(|gap| push_gap(gap, is_between_digits, &mut |c| chars.push(c)));
        if !is_open || chars.len() > *CHARS.end() {
            return Vec::new();
        }
        push_folded(word, &mut |c| chars.push(c));
    }
    chars
}

fn push_folded(word: &str, push: &mut impl FnMut(char)) {
    for c in word
        .chars()
        .filter(|c| !c.is_whitespace() && !crate::fold::is_dash(*c))
    {
        fold_char(c, Marks::Drop, push);
    }
}

/// Adds the signs between two words that matter: those in 2022/23 and 3.5. Returns false for signs that no value is squashed over.
fn push_gap(gap: &str, is_between_digits: bool, push: &mut impl FnMut(char)) -> bool {
    gap.len() <= 8
        && gap.chars().filter_map(fold_punctuation).all(|c| match c {
            '.' | ',' | '/' | ':' if is_between_digits => {
                push(c);
                true
            }
            '-' | '\'' | '_' | '(' | ')' | '.' | ',' | '/' => true,
            _ => false,
        })
}

fn key(chars: impl Iterator<Item = char>) -> u32 {
    let mut hash = Hash::default();
    chars.take(KEY_CHARS).for_each(|c| hash.add(c));
    hash.finish().unwrap_or_default()
}

/// Returns the first folded characters from a token on.
fn chars_from(source: Words, token: usize) -> impl Iterator<Item = char> {
    let mut first = ['\0'; KEY_CHARS];
    let mut count = 0;
    let mut token = token;
    while count < KEY_CHARS && token < source.tokens.len() {
        let word = source.tokens.text(source.text, token);
        for c in word.chars().take(KEY_CHARS) {
            push_folded(c.encode_utf8(&mut [0; 4]), &mut |c| {
                if let Some(slot) = first.get_mut(count) {
                    *slot = c;
                }
                count += 1;
            });
        }
        token += 1;
    }
    first.into_iter().take(count)
}

/// Returns the byte after the value, if it stands at a token and ends with one.
fn walk(source: Words, token: usize, chars: &[char], budget: &mut usize) -> Option<usize> {
    let mut at = 0;
    let mut token = token;
    while at < chars.len() {
        let word = source.tokens.text(source.text, token);
        let before = at.checked_sub(1).and_then(|before| chars.get(before));
        let is_between_digits = before.is_some_and(char::is_ascii_digit)
            && word.starts_with(|c| decimal_digit(c).is_some());
        let mut is_same = !word.is_empty();
        let mut compare = |c| {
            is_same &= chars.get(at) == Some(&c);
            at += 1;
        };
        let gap = source.tokens.gap_before(source.text, token);
        if before.is_some() && !push_gap(gap, is_between_digits, &mut compare) {
            return None;
        }
        push_folded(word, &mut compare);
        *budget = budget.saturating_sub(word.len());
        if !is_same || *budget == 0 {
            return None;
        }
        token += 1;
    }
    let end = source.tokens.end(token - 1);
    // The last full stop of "U.S.A." belongs to it.
    let is_dotted = source.tokens.gap_before(source.text, token - 1) == "." && at > 1;
    let has_dot = source
        .text
        .get(end..)
        .is_some_and(|rest| rest.starts_with('.'));
    Some(end + usize::from(is_dotted && has_dot && chars.iter().all(char::is_ascii_alphabetic)))
}
