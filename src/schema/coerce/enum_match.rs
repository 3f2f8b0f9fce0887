//! Matching of a value with enumerated ones: in another case, with punctuation, by its description, or as the only one in a
//! sentence.

use serde_json::Value;

use super::coercion::Coercion;
use super::path::{Path, shown};
use super::scalar::{is_placeholder, parse_boolean};
use super::text_normalize::{bare, is_doubt, key_form, words};
use crate::types::json_equal;

/// Cost of a different spelling.
const SPELLED: u32 = 1;
/// Cost of a word within a sentence.
const AMONG: u32 = 2;
/// Maximum length of a sentence that is searched, in bytes.
const MAX_TEXT: usize = 600;
/// Maximum number of enumerated words that are searched for.
const MAX_LISTED: usize = 64;

/// Returns the only enumerated value that `value` can mean. Each may have a description.
pub fn choose(listed: &[(&Value, Option<&str>)], value: &Value, at: &Path<'_>) -> Option<Coercion> {
    let (chosen, cost) = match value {
        Value::String(text) => match_text(listed, text)?,
        Value::Null => return None,
        // 2 for "2", and the other way round.
        scalar if !scalar.is_object() && !scalar.is_array() => {
            let text = scalar.to_string();
            (
                only(
                    listed
                        .iter()
                        .filter(|(listed, _)| listed.as_str() == Some(&text))
                        .map(|(value, _)| *value),
                )?,
                SPELLED,
            )
        }
        _ => return None,
    };
    let note = at.note(&format!("read {} as {}", shown(value), shown(chosen)));
    Some(Coercion::new(chosen.clone(), cost, note))
}

/// Finds the enumerated value that a text means.
fn match_text<'s>(listed: &[(&'s Value, Option<&str>)], text: &str) -> Option<(&'s Value, u32)> {
    let text = bare(text);
    let words = || {
        listed
            .iter()
            .filter_map(|(value, _)| Some((*value, value.as_str()?)))
    };
    let trimmed = || {
        words()
            .filter(|(_, word)| word.trim() == text)
            .map(|(value, _)| value)
    };
    if trimmed().next().is_some() {
        return only(trimmed()).map(|value| (value, SPELLED));
    }
    let form = key_form(text);
    if !form.is_empty() {
        let mut same: Vec<_> = words()
            .filter(|(_, word)| key_form(word) == form)
            .map(|(value, _)| value)
            .collect();
        // Signed numbers, and words that consist of marks, have no normalized form.
        let is_signed = words().any(|(_, word)| has_sign(word));
        let is_exact = |word: &str| word.to_lowercase() == text.to_lowercase();
        same.retain(|value| {
            value.as_str().is_some_and(|word| {
                !(is_signed && (has_sign(word) || has_sign(text))) || is_exact(word)
            })
        });
        if !same.is_empty() {
            return only(same.into_iter()).map(|value| (value, SPELLED));
        }
        let described = listed
            .iter()
            .filter(|(_, about)| about.is_some_and(|about| key_form(about) == form))
            .map(|(value, _)| *value);
        if let Some(value) = only(described) {
            return Some((value, SPELLED));
        }
    }
    let others = listed
        .iter()
        .map(|(value, _)| *value)
        .filter(|value| match value {
            Value::Bool(listed) => parse_boolean(text) == Some(*listed),
            Value::Null => is_placeholder(&Value::String(text.to_owned())),
            Value::Number(_) => {
                serde_json::from_str::<Value>(text).is_ok_and(|read| json_equal(&read, value))
            }
            _ => false,
        });
    if let Some(value) = only(others) {
        return Some((value, SPELLED));
    }
    only_mentioned(listed, text).map(|value| (value, AMONG))
}

/// Returns true if a word has marks that are part of it: `-1`, `+`, `C#`.
fn has_sign(word: &str) -> bool {
    word.starts_with(['-', '+', '−']) || word.ends_with(['+', '#', '-'])
}

/// Returns the only enumerated word in a text, unless the text casts doubt on it.
fn only_mentioned<'s>(listed: &[(&'s Value, Option<&str>)], text: &str) -> Option<&'s Value> {
    if text.len() > MAX_TEXT || listed.len() > MAX_LISTED {
        return None;
    }
    let exact = |word: &str, found: &str| word == found;
    let in_any_case = |word: &str, found: &str| key_form(word) == key_form(found);
    let candidates: Vec<_> = listed
        .iter()
        .filter_map(|(value, _)| Some((*value, value.as_str()?)))
        .collect();
    let ways: &[fn(&str, &str) -> bool] = if candidates.iter().any(|(_, word)| has_sign(word)) {
        &[exact]
    } else {
        &[exact, in_any_case]
    };
    for &is_same in ways {
        match find(&candidates, text, is_same) {
            Found::None => {}
            Found::One(value) => return Some(value),
            Found::Many => return None,
        }
    }
    None
}

/// Enumerated words in a text.
enum Found<'s> {
    None,
    One(&'s Value),
    Many,
}

/// Finds the enumerated words in a text, the longest at each place.
fn find<'s>(
    candidates: &[(&'s Value, &str)],
    text: &str,
    is_same: fn(&str, &str) -> bool,
) -> Found<'s> {
    let places: Vec<_> = words(text).collect();
    let (mut found, mut has_doubt, mut at) = (None, false, 0);
    while let Some(&(start, word)) = places.get(at) {
        let longest = candidates.iter().filter_map(|(value, listed)| {
            let length = words(listed).count().max(1);
            let (last, end) = places.get(at + length - 1)?;
            let span = text.get(start..last + end.len())?;
            is_same(listed, span).then_some((length, *value))
        });
        match longest.max_by_key(|(length, _)| *length) {
            Some((_, value)) if found.is_some_and(|found| found != value) => return Found::Many,
            Some((length, value)) => {
                found = Some(value);
                at += length;
            }
            None => {
                has_doubt |= is_doubt(word);
                at += 1;
            }
        }
    }
    match found {
        Some(_) if has_doubt => Found::Many,
        Some(value) => Found::One(value),
        None => Found::None,
    }
}

/// Returns the value if all are equal.
fn only<'v>(mut values: impl Iterator<Item = &'v Value>) -> Option<&'v Value> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}
