//! Matching of a value with enumerated ones: in another case, with punctuation, by its description, or as the only one in a
//! sentence.

use std::ops::Range;
use std::sync::Arc;

use schema_dialect::{NodeRef, Nodes};
use serde_json::Value;

use super::choices::{BYTES_PER_VISIT, COMPARED_PER_VISIT, Listed, MAX_WORD, has_sign};
use super::coercer::Coercer;
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
/// Number of comparisons of an enumerated word with a place of a sentence that cost one visit.
const PLACES_PER_VISIT: usize = 64;

/// Returns the only value that a node lists and `value` can mean.
pub fn choose(
    coercer: &mut Coercer,
    node: NodeRef<'_>,
    value: &Value,
    at: &Path<'_>,
) -> Option<Coercion> {
    let choices = Arc::clone(&coercer.choices);
    let listed: Vec<_> = choices
        .of_node(node)
        .map(|listed| Listed {
            about: "",
            ..listed
        })
        .collect();
    choose_listed(coercer, &listed, value, at)
}

/// Returns the only constant of the branches that `value` can mean, by itself or by its title or description.
pub fn choose_branch(
    coercer: &mut Coercer,
    branches: Nodes<'_>,
    value: &Value,
    at: &Path<'_>,
) -> Option<Coercion> {
    let choices = Arc::clone(&coercer.choices);
    let constants = branches.iter().filter(|branch| branch.constant().is_some());
    let listed: Vec<_> = constants
        .flat_map(|branch| choices.of_node(branch))
        .collect();
    coercer.spend(listed.len() / COMPARED_PER_VISIT)?;
    choose_listed(coercer, &listed, value, at)
}

fn choose_listed(
    coercer: &mut Coercer,
    listed: &[Listed<'_>],
    value: &Value,
    at: &Path<'_>,
) -> Option<Coercion> {
    let (chosen, cost) = match value {
        Value::String(text) => match_text(coercer, listed, text)?,
        Value::Null => return None,
        // 2 for "2", and the other way round.
        scalar if !scalar.is_object() && !scalar.is_array() => {
            let text = scalar.to_string();
            let same = listed.iter().map(|listed| listed.value);
            let same = same.filter(|value| value.as_str() == Some(&text));
            (only(same)?, SPELLED)
        }
        _ => return None,
    };
    let note = at.note(&format!("read {} as {}", shown(value), shown(chosen)));
    Some(Coercion::new(coercer.copy(chosen)?, cost, note))
}

/// Finds the enumerated value that a text means.
fn match_text<'c>(
    coercer: &mut Coercer,
    listed: &[Listed<'c>],
    text: &str,
) -> Option<(&'c Value, u32)> {
    if text.len() > MAX_WORD {
        return None;
    }
    let text = bare(text);
    let words = || listed.iter().filter(|listed| listed.form.words > 0);
    let trimmed = || {
        let is_same = |listed: &&Listed<'_>| {
            let word = listed.word();
            word.and_then(|word| word.get(listed.form.trimmed.clone())) == Some(text)
        };
        words().filter(is_same).map(|listed| listed.value)
    };
    if trimmed().next().is_some() {
        return only(trimmed()).map(|value| (value, SPELLED));
    }
    let form = key_form(text);
    if !form.is_empty() {
        let same = words().filter(|listed| *listed.form.key == *form);
        let mut same: Vec<_> = same.map(|listed| listed.value).collect();
        // Signed numbers, and words that consist of marks, have no normalized form.
        let is_signed = words().any(|listed| listed.form.has_sign);
        if is_signed && !same.is_empty() {
            let lower = text.to_lowercase();
            coercer.spend(same.len() * MAX_WORD / BYTES_PER_VISIT)?;
            same.retain(|value| {
                value.as_str().is_some_and(|word| {
                    !(has_sign(word) || has_sign(text)) || word.to_lowercase() == lower
                })
            });
        }
        if !same.is_empty() {
            return only(same.into_iter()).map(|value| (value, SPELLED));
        }
        let described = listed.iter().filter(|listed| *listed.about == *form);
        if let Some(value) = only(described.map(|listed| listed.value)) {
            return Some((value, SPELLED));
        }
    }
    let truth = parse_boolean(text);
    let is_nothing = is_placeholder(&Value::String(text.to_owned()));
    let number = serde_json::from_str::<Value>(text)
        .ok()
        .filter(Value::is_number);
    if number.is_some() {
        let numbers = listed.iter().filter_map(|listed| listed.value.as_number());
        let bytes: usize = numbers.map(|number| number.as_str().len()).sum();
        coercer.spend(bytes / BYTES_PER_VISIT)?;
    }
    let others = listed
        .iter()
        .map(|listed| listed.value)
        .filter(|value| match value {
            Value::Bool(listed) => truth == Some(*listed),
            Value::Null => is_nothing,
            Value::Number(_) => number
                .as_ref()
                .is_some_and(|number| json_equal(number, value)),
            _ => false,
        });
    if let Some(value) = only(others) {
        return Some((value, SPELLED));
    }
    only_mentioned(coercer, listed, text).map(|value| (value, AMONG))
}

/// Returns the only enumerated word in a text, unless the text casts doubt on it.
fn only_mentioned<'c>(
    coercer: &mut Coercer,
    listed: &[Listed<'c>],
    text: &str,
) -> Option<&'c Value> {
    if text.len() > MAX_TEXT || listed.len() > MAX_LISTED {
        return None;
    }
    let candidates: Vec<_> = listed
        .iter()
        .filter(|listed| listed.form.words > 0)
        .collect();
    let has_signs = candidates.iter().any(|listed| listed.form.has_sign);
    let sentence = Sentence::new(text);
    for in_any_case in [false, true]
        .into_iter()
        .take(if has_signs { 1 } else { 2 })
    {
        coercer.spend(sentence.places.len() * candidates.len() / PLACES_PER_VISIT)?;
        match find(&candidates, &sentence, in_any_case) {
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

/// Text with its words, each also in its normalized form.
struct Sentence<'t> {
    text: &'t str,
    /// Normalized forms of all words, one after the other. Between words, nothing has a form.
    forms: String,
    /// Bytes of each word in the text and in the forms.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl<'t> Sentence<'t> {
    fn new(text: &'t str) -> Self {
        let (mut forms, mut places) = (String::new(), Vec::new());
        for (start, word) in words(text) {
            let before = forms.len();
            forms.push_str(&key_form(word));
            places.push((start..start + word.len(), before..forms.len()));
        }
        Self {
            text,
            forms,
            places,
        }
    }

    /// Returns the word at a place.
    fn word(&self, at: usize) -> Option<&'t str> {
        let (place, _) = self.places.get(at)?;
        self.text.get(place.clone())
    }

    /// Returns true if a listed word stands at a place.
    fn has_at(&self, at: usize, listed: &Listed<'_>, in_any_case: bool) -> bool {
        let last = at + listed.form.words - 1;
        let (Some((first, first_form)), Some((last, last_form))) =
            (self.places.get(at), self.places.get(last))
        else {
            return false;
        };
        if in_any_case {
            self.forms.get(first_form.start..last_form.end) == Some(&*listed.form.key)
        } else {
            self.text.get(first.start..last.end) == listed.word()
        }
    }
}

/// Finds the enumerated words in a text, the longest at each place.
fn find<'c>(candidates: &[&Listed<'c>], sentence: &Sentence<'_>, in_any_case: bool) -> Found<'c> {
    let (mut found, mut has_doubt, mut at) = (None, false, 0);
    while let Some(word) = sentence.word(at) {
        let here = candidates
            .iter()
            .filter(|listed| sentence.has_at(at, listed, in_any_case));
        match here.max_by_key(|listed| listed.form.words) {
            Some(listed) if found.is_some_and(|found| found != listed.value) => return Found::Many,
            Some(listed) => {
                found = Some(listed.value);
                at += listed.form.words;
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
