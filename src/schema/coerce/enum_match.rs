//! Matching of a text with a listed word: in another case, with punctuation, by its description, or
//! as the only one in a sentence.

use serde_json::Value;

use super::matcher::Coercion;
use super::path::{Path, shown};
use super::scalar::{says_nothing, truth};
use super::text_normalize::{bare, is_doubt, key_form, words};
use crate::types::json_equal;

/// Another way of writing the word; words beside it.
const SPELLED: u32 = 1;
const AMONG: u32 = 2;
/// The longest text in which a word is looked for, in bytes, and the most words of a list.
const MAX_TEXT: usize = 600;
const MAX_LISTED: usize = 64;

/// The values that a schema lists.
pub fn listed(schema: &Value) -> Option<&[Value]> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(std::slice::from_ref(only)),
        (None, Some(Value::Array(listed))) => Some(listed),
        _ => None,
    }
}

/// The one listed value that is meant; with a description where there is one.
pub fn choose(listed: &[(&Value, Option<&str>)], value: &Value, at: &Path<'_>) -> Option<Coercion> {
    let (chosen, cost) = match value {
        Value::String(text) => in_words(listed, text)?,
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

fn in_words<'s>(listed: &[(&'s Value, Option<&str>)], text: &str) -> Option<(&'s Value, u32)> {
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
        // Numbers with signs, and words of marks alone, have no form.
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
        let told = listed
            .iter()
            .filter(|(_, about)| about.is_some_and(|about| key_form(about) == form))
            .map(|(value, _)| *value);
        if let Some(value) = only(told) {
            return Some((value, SPELLED));
        }
    }
    let others = listed
        .iter()
        .map(|(value, _)| *value)
        .filter(|value| match value {
            Value::Bool(listed) => truth(text) == Some(*listed),
            Value::Null => says_nothing(&Value::String(text.to_owned())),
            Value::Number(_) => {
                serde_json::from_str::<Value>(text).is_ok_and(|read| json_equal(&read, value))
            }
            _ => false,
        });
    if let Some(value) = only(others) {
        return Some((value, SPELLED));
    }
    among(listed, text).map(|value| (value, AMONG))
}

/// `-1`, `+`, `C#`: marks that are part of the word.
fn has_sign(word: &str) -> bool {
    word.starts_with(['-', '+', '−']) || word.ends_with(['+', '#', '-'])
}

/// The only listed word in a text, which does not doubt it.
fn among<'s>(listed: &[(&'s Value, Option<&str>)], text: &str) -> Option<&'s Value> {
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

enum Found<'s> {
    None,
    One(&'s Value),
    Many,
}

/// Goes through the text word by word, taking the longest listed one at each place.
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

fn only<'v>(mut values: impl Iterator<Item = &'v Value>) -> Option<&'v Value> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}
