//! Parsing of an answer by a schema: parsed, lifted to the caller's form, validated, and coerced if invalid.

use std::cell::Cell;

use schema_dialect::{Keyword, NodeRef};
use serde_json::{Value, json};

use super::coerce::{Coerced, Whole, has_second_thoughts};
use super::compiled::Schema;
use super::validation_cost::Evaluations;
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

/// Maximum number of objects in prose that are read as one list.
const MAX_ELEMENTS: usize = 32;
/// Maximum length of the prose between two of them, in bytes.
const MAX_GAP: usize = 120;

impl Schema {
    /// Parses the value that `text` means. `lift` converts a parsed value to the caller's form. `coerce` allows coercing an
    /// invalid value toward the schema; a valid one is never changed.
    ///
    /// # Errors
    /// [`NoJson`] if nothing can be parsed, or the text ends within a value and is not valid as it stands.
    pub fn parse_answer(
        &self,
        text: &str,
        lift: impl Fn(Value) -> Value,
        coerce: bool,
    ) -> Result<ParsedAnswer, NoJson> {
        self.parse_answer_within(text, lift, coerce, &Evaluations::of_answer())
    }

    /// Parses as [`Schema::parse_answer`], and validates with the evaluations that are left for the answer.
    ///
    /// # Errors
    /// [`NoJson`] as [`Schema::parse_answer`].
    pub fn parse_answer_within(
        &self,
        text: &str,
        lift: impl Fn(Value) -> Value,
        coerce: bool,
        evaluations: &Evaluations,
    ) -> Result<ParsedAnswer, NoJson> {
        let reader = Reader {
            schema: self,
            lift,
            evaluations,
        };
        match answer::candidates(text) {
            Ok(candidates) => Ok(reader.choose_candidate(candidates, coerce)),
            Err(none) if coerce => reader
                .parse_prose(text, &none)
                .or_else(|| reader.close_object(&none))
                .or_else(|| reader.parse_unfinished(text, &none))
                .ok_or(none),
            Err(none) => Err(none),
        }
    }
}

/// Reader of one answer: all that it tries shares the evaluations that are left.
struct Reader<'a, L> {
    schema: &'a Schema,
    /// Conversion of a value to the caller's form.
    lift: L,
    evaluations: &'a Evaluations,
}

impl<L: Fn(Value) -> Value> Reader<'_, L> {
    fn is_valid(&self, value: &Value) -> bool {
        self.schema.is_valid_within(value, self.evaluations)
    }

    fn coerced(&self, value: &Value, whole: Whole) -> Option<Coerced> {
        self.schema.coerced(value, whole, self.evaluations)
    }

    /// Returns the meaning of the values found in a text.
    fn choose_candidate(&self, candidates: Candidates<'_>, coerce: bool) -> ParsedAnswer {
        let lift = &self.lift;
        if coerce && self.is_list_of_kinds(&candidates) {
            return uncoerced(candidates.take_all(), &|value| value);
        }
        let lifted = Cell::new(Value::Null);
        let is_valid = |value: &Value| {
            let value = lift(value.clone());
            let is_valid = self.is_valid(&value);
            lifted.set(value);
            is_valid
        };
        // The value that was checked last is the accepted one.
        if let Some(valid) = candidates.accepted(is_valid) {
            return uncoerced(candidates.take(valid), &|_| lifted.take());
        }
        if coerce && let Some(read) = self.coerce_candidates(&candidates) {
            return match read {
                CandidateCoercion::One(place, coerced) => {
                    coerced_answer(&candidates.take(place), coerced)
                }
                CandidateCoercion::All(coerced) => coerced_answer(&candidates.take_all(), coerced),
                CandidateCoercion::Sequence => uncoerced(candidates.take_all(), &|value| value),
            };
        }
        let largest = candidates.largest();
        let read = uncoerced(candidates.take(largest), lift);
        ParsedAnswer {
            faults: self.schema.faults(&read.value),
            ..read
        }
    }

    /// Returns true if a list between other values is an element, as in `[1] {"a": 2}`: the schema accepts all values as one list.
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
        let items = self.schema.tree().root().target().items();
        items.is_some_and(|items| items.keyword_count() > 0)
    }

    /// Chooses the candidate of the lowest cost, the later of two equal ones; or all, if the schema asks for a list and none is one.
    fn coerce_candidates(&self, candidates: &Candidates<'_>) -> Option<CandidateCoercion> {
        if candidates.is_sequence() {
            let all = Value::Array(candidates.values().cloned().collect());
            if self.is_valid(&all) {
                return Some(CandidateCoercion::Sequence);
            }
            let has_lists = candidates.values().any(Value::is_array);
            if !has_lists && let Some(coerced) = self.coerced(&all, Whole::No) {
                return Some(CandidateCoercion::All(coerced));
            }
        }
        if self.are_elements(candidates) {
            return Some(CandidateCoercion::Sequence);
        }
        let is_whole = if candidates.count() == 1 && !candidates.has_fragments() {
            Whole::Yes
        } else {
            Whole::No
        };
        let mut best: Option<(usize, Coerced)> = None;
        for place in candidates.likeliest() {
            let value = (self.lift)(candidates.get(place)?.clone());
            if let Some(coerced) = self.coerced(&value, is_whole)
                && best
                    .as_ref()
                    .is_none_or(|(_, known)| coerced.cost < known.cost)
            {
                best = Some((place, coerced));
            }
        }
        best.map(|(place, coerced)| CandidateCoercion::One(place, coerced))
    }

    /// Returns true if the candidates are elements of one list: different objects, with a few words between them that neither
    /// correct nor replace one, as in `one {"a": 1} and another {"a": 2}`.
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

    /// Closes an object that lacks its closing brace, if nothing else can be missing: it is valid, and each open object has every
    /// property that the schema names. Any other truncated value may be incomplete: a list, a string, a number.
    fn close_object(&self, none: &NoJson) -> Option<ParsedAnswer> {
        let unclosed = none.unclosed.as_deref()?;
        let (mut schema, mut value) = (self.schema.tree().root(), &unclosed.answer.value);
        for level in 1..=unclosed.levels {
            let named = schema.target();
            let properties = named.properties()?;
            let is_map = named.has(Keyword::PatternProperties)
                || named
                    .additional_properties()
                    .is_some_and(NodeRef::is_object);
            let members = value.as_object().filter(|_| !properties.is_empty())?;
            if is_map || !properties.names().all(|name| members.contains_key(name)) {
                return None;
            }
            if level < unclosed.levels {
                let (last, inner) = members.iter().next_back()?;
                (schema, value) = (properties.get(last)?, inner);
            }
        }
        let read = uncoerced(unclosed.answer.clone(), &self.lift);
        self.is_valid(&read.value).then_some(read)
    }

    /// Reads a text that ends within its value as if it were to end there.
    fn parse_unfinished(&self, text: &str, none: &NoJson) -> Option<ParsedAnswer> {
        let text = none.ending.as_ref()?.complete(text);
        let mut read = self.choose_candidate(answer::candidates(&text).ok()?, true);
        read.repairs.push(Repair::ClosedAtEnd.to_string());
        read.left_open = Some(none.message.clone());
        read.faults.is_empty().then_some(read)
    }

    /// Reads an answer without JSON.
    fn parse_prose(&self, text: &str, none: &NoJson) -> Option<ParsedAnswer> {
        let coerced = self
            .schema
            .coerced_text(text.get(none.prose?..)?, self.evaluations)?;
        Some(ParsedAnswer {
            value: coerced.value,
            repairs: coerced.repairs,
            faults: Vec::new(),
            left_open: None,
        })
    }
}

/// Coercion of the candidates.
enum CandidateCoercion {
    /// Candidate at an index, coerced.
    One(usize, Coerced),
    /// List of all candidates, coerced.
    All(Coerced),
    /// List of all candidates, which is valid unchanged.
    Sequence,
}

/// Converts an answer that needs no coercion.
fn uncoerced(answer: Answer, lift: &impl Fn(Value) -> Value) -> ParsedAnswer {
    ParsedAnswer {
        value: lift(answer.value),
        repairs: sentences(&answer.repairs),
        faults: Vec::new(),
        left_open: None,
    }
}

/// Joins the repairs of an answer with those of its coercion.
fn coerced_answer(answer: &Answer, coerced: Coerced) -> ParsedAnswer {
    let repairs = [sentences(&answer.repairs), coerced.repairs].concat();
    ParsedAnswer {
        value: coerced.value,
        repairs,
        faults: Vec::new(),
        left_open: None,
    }
}

/// Returns the descriptions of repairs.
fn sentences(repairs: &[Repair]) -> Vec<String> {
    repairs.iter().map(ToString::to_string).collect()
}
