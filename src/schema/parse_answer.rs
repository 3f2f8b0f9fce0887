//! An answer read by a schema: parsed, brought to the caller's form, held against the schema, and mended toward it.

use serde_json::{Value, json};

use super::coerce::{Coerced, Whole, has_second_thoughts};
use super::compiled::Schema;
use crate::types::FieldError;
use llm_json::answer::{self, Answer, Candidates, NoJson, Repair};

/// Answer of a model, parsed and validated.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedAnswer {
    pub value: Value,
    /// Repairs, of the syntax first and then toward the schema.
    pub repairs: Vec<String>,
    /// Validation errors of the value; empty if it is valid.
    pub faults: Vec<FieldError>,
    /// Description of the place within the value at which the text ends. The value is valid, but
    /// complete only if the text was to end there.
    pub left_open: Option<String>,
}

/// Objects that are put together from prose, and bytes of prose between two of them.
const MAX_ELEMENTS: usize = 32;
const MAX_GAP: usize = 120;

impl Schema {
    /// Reads the value that `text` means. `raised` brings a parsed value to the caller's form; `coerce`: whether one that is not
    /// valid may be mended toward the schema. What is valid is never changed.
    ///
    /// # Errors
    /// [`NoJson`] when nothing can be read, or the text ends within a value and is not valid as it stands.
    pub fn read(
        &self,
        text: &str,
        raised: impl Fn(Value) -> Value,
        coerce: bool,
    ) -> Result<ParsedAnswer, NoJson> {
        match answer::candidates(text) {
            Ok(candidates) => Ok(self.chosen(candidates, &raised, coerce)),
            Err(none) if coerce => {
                let read = self
                    .prose(text, &none)
                    .or_else(|| self.closed(&none, &raised));
                read.or_else(|| self.ended(text, &none, raised)).ok_or(none)
            }
            Err(none) => Err(none),
        }
    }

    /// Returns the meaning of the values found in a text.
    fn chosen(
        &self,
        candidates: Candidates<'_>,
        raised: &impl Fn(Value) -> Value,
        coerce: bool,
    ) -> ParsedAnswer {
        if coerce && self.is_list_of_kinds(&candidates) {
            return whole(candidates.take_all(), &|value| value);
        }
        if let Some(valid) = candidates.accepted(|value| self.is_valid(&raised(value.clone()))) {
            return whole(candidates.take(valid), raised);
        }
        if coerce && let Some(read) = self.coerced_among(&candidates, raised) {
            return match read {
                Mend::One(place, coerced) => mended(&candidates.take(place), coerced),
                Mend::All(coerced) => mended(&candidates.take_all(), coerced),
                Mend::Sequence => whole(candidates.take_all(), &|value| value),
            };
        }
        let largest = candidates.largest();
        let read = whole(candidates.take(largest), raised);
        ParsedAnswer {
            faults: self.faults(&read.value),
            ..read
        }
    }

    /// `[1] {"a": 2}`: a list among what follows one another is an element, where the schema takes all of it as a list.
    fn is_list_of_kinds(&self, candidates: &Candidates<'_>) -> bool {
        let is_mixed =
            candidates.values().any(Value::is_array) && candidates.values().any(Value::is_object);
        is_mixed
            && candidates.is_sequence()
            && self.takes_lists()
            && self.is_valid(&Value::Array(candidates.values().cloned().collect()))
    }

    /// Returns true if the schema describes the elements of the root.
    fn takes_lists(&self) -> bool {
        let tree = &*self.tree;
        let items = tree.target(tree.root()).get("items");
        items.is_some_and(|items| items.as_object().is_some_and(|items| !items.is_empty()))
    }

    /// The candidate that needs the least mending, the later of two; or all, where a list is wanted and none is one.
    fn coerced_among(
        &self,
        candidates: &Candidates<'_>,
        raised: &impl Fn(Value) -> Value,
    ) -> Option<Mend> {
        if candidates.is_sequence() {
            let all = Value::Array(candidates.values().cloned().collect());
            if self.is_valid(&all) {
                return Some(Mend::Sequence);
            }
            let has_lists = candidates.values().any(Value::is_array);
            if !has_lists && let Some(coerced) = self.coerced(&all, Whole::No) {
                return Some(Mend::All(coerced));
            }
        }
        if self.are_elements(candidates) {
            return Some(Mend::Sequence);
        }
        let is_whole = if candidates.count() == 1 && !candidates.has_fragments() {
            Whole::Yes
        } else {
            Whole::No
        };
        let mut best: Option<(usize, Coerced)> = None;
        for place in candidates.likeliest() {
            let value = raised(candidates.get(place)?.clone());
            if let Some(coerced) = self.coerced(&value, is_whole)
                && best
                    .as_ref()
                    .is_none_or(|(_, known)| coerced.cost < known.cost)
            {
                best = Some((place, coerced));
            }
        }
        best.map(|(place, coerced)| Mend::One(place, coerced))
    }

    /// Different objects, with a few words between them, none of which takes back or replaces another, where the schema wants a list
    /// of such: `one {"a": 1} and another {"a": 2}`.
    fn are_elements(&self, candidates: &Candidates<'_>) -> bool {
        let count = candidates.count();
        let is_plain = (2..=MAX_ELEMENTS).contains(&count)
            && candidates.values().all(Value::is_object)
            && candidates.gaps().all(|gap| {
                gap.len() <= MAX_GAP
                    && !gap.contains(['{', '}', '[', ']', '"'])
                    && !has_second_thoughts(gap)
            });
        if !is_plain || !self.takes_lists() || self.is_valid(&json!([{}])) {
            return false;
        }
        let values: Vec<_> = candidates.values().cloned().collect();
        let is_different = values
            .iter()
            .enumerate()
            .all(|(place, value)| !values.iter().skip(place + 1).any(|other| other == value));
        is_different && self.is_valid(&Value::Array(values))
    }

    /// An object without its closing brace, where nothing else can be missing: it is valid, and each object that is open has every
    /// property that the schema names for it. Whatever else a text ends in may have been cut off: a list, a string, a number.
    fn closed(&self, none: &NoJson, raised: &impl Fn(Value) -> Value) -> Option<ParsedAnswer> {
        let unclosed = none.unclosed.as_deref()?;
        let tree = &*self.tree;
        let (mut schema, mut value): (&Value, _) = (tree.root(), &unclosed.answer.value);
        for level in 1..=unclosed.levels {
            let named = tree.target(schema);
            let properties = named.get("properties")?.as_object()?;
            let is_map = named.get("patternProperties").is_some()
                || named
                    .get("additionalProperties")
                    .is_some_and(Value::is_object);
            let members = value.as_object().filter(|_| !properties.is_empty())?;
            if is_map || !properties.keys().all(|name| members.contains_key(name)) {
                return None;
            }
            if level < unclosed.levels {
                let (last, inner) = members.iter().next_back()?;
                (schema, value) = (properties.get(last)?, inner);
            }
        }
        let read = whole(unclosed.answer.clone(), raised);
        self.is_valid(&read.value).then_some(read)
    }

    /// A text that ends within its value, read as if it were to end there.
    fn ended(
        &self,
        text: &str,
        none: &NoJson,
        raised: impl Fn(Value) -> Value,
    ) -> Option<ParsedAnswer> {
        let text = none.ending.as_ref()?.complete(text);
        let mut read = self.chosen(answer::candidates(&text).ok()?, &raised, true);
        read.repairs.push(Repair::ClosedAtEnd.to_string());
        read.left_open = Some(none.message.clone());
        read.faults.is_empty().then_some(read)
    }

    /// Reads an answer without JSON.
    fn prose(&self, text: &str, none: &NoJson) -> Option<ParsedAnswer> {
        let coerced = self.coerced_text(text.get(none.prose?..)?)?;
        Some(ParsedAnswer {
            value: coerced.value,
            repairs: coerced.repairs,
            faults: Vec::new(),
            left_open: None,
        })
    }
}

enum Mend {
    One(usize, Coerced),
    All(Coerced),
    /// All are a valid list as they are.
    Sequence,
}

fn whole(answer: Answer, raised: &impl Fn(Value) -> Value) -> ParsedAnswer {
    ParsedAnswer {
        value: raised(answer.value),
        repairs: sentences(&answer.repairs),
        faults: Vec::new(),
        left_open: None,
    }
}

fn mended(answer: &Answer, coerced: Coerced) -> ParsedAnswer {
    let repairs = [sentences(&answer.repairs), coerced.repairs].concat();
    ParsedAnswer {
        value: coerced.value,
        repairs,
        faults: Vec::new(),
        left_open: None,
    }
}

fn sentences(repairs: &[Repair]) -> Vec<String> {
    repairs.iter().map(ToString::to_string).collect()
}
