//! One schema and one value: whether it fits, or can be made to.

use serde_json::Value;

use super::path::Path;
use super::{any_of, array, enum_match, object, wrapping};
use crate::types::{is_of_type, json_equal};
use schema_dialect::Tree;

/// Visits for each value, and so many for every answer.
const VISITS_PER_VALUE: usize = 48;
const LEAST_VISITS: usize = 4096;
/// Schemas one within the other, references included: an answer has at most 127 levels, each with a few.
const MAX_DEPTH: usize = 512;

/// Result of matching a value with a schema.
#[derive(Debug)]
pub enum Match {
    AsIs,
    Mended(Coercion),
}

/// A value in another form.
#[derive(Debug, Clone, PartialEq)]
pub struct Coercion {
    pub value: Value,
    pub cost: u32,
    pub notes: Vec<String>,
}

impl Coercion {
    pub fn new(value: Value, cost: u32, note: String) -> Self {
        Self {
            value,
            cost,
            notes: vec![note],
        }
    }
}

/// Changes of shape that may be made to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shapes {
    Any,
    /// Something around it may be taken away, but it is not put into anything.
    Inward,
    /// One was made already.
    None,
}

/// Mends values; keeps count of the work.
pub struct Coercer<'s> {
    pub tree: &'s Tree,
    budget: usize,
    depth: usize,
}

impl<'s> Coercer<'s> {
    pub fn new(tree: &'s Tree, value: &Value) -> Self {
        Self {
            tree,
            budget: count(value)
                .saturating_mul(VISITS_PER_VALUE)
                .saturating_add(LEAST_VISITS),
            depth: 0,
        }
    }

    /// Returns the visits that are left.
    pub const fn budget(&self) -> usize {
        self.budget
    }

    /// `None` once there was too much work.
    pub fn spend(&mut self, visits: usize) -> Option<()> {
        let left = self.budget.checked_sub(visits);
        self.budget = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// Matches `value` with `schema`. Returns `None` if no change makes it match. A match may still
    /// violate a keyword that coercion does not read.
    pub fn fit(
        &mut self,
        schema: &'s Value,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        self.spend(1)?;
        if self.depth >= MAX_DEPTH {
            return None;
        }
        match schema {
            Value::Bool(true) => Some(Match::AsIs),
            Value::Object(_) => {
                self.depth += 1;
                let fit = self.all(schema, value, at, shapes);
                self.depth -= 1;
                fit
            }
            _ => None,
        }
    }

    /// Applies the schema's own keywords, then its references and `allOf`, each to the value that
    /// the one before returned.
    fn all(
        &mut self,
        schema: &'s Value,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        let mut so_far = self.own(schema, value, at, shapes)?;
        let tree = self.tree;
        let reference = tree.reference(schema);
        let parts = schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for part in reference.into_iter().chain(parts) {
            so_far = self.then(so_far, value, |work, value| {
                work.fit(part, value, at, shapes)
            })?;
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
                so_far = self.then(so_far, value, |work, value| {
                    any_of::choose(work, branches, value, at, shapes)
                })?;
            }
        }
        Some(so_far)
    }

    /// Goes on with what is there of `value`.
    fn then(
        &mut self,
        so_far: Match,
        value: &Value,
        next: impl FnOnce(&mut Self, &Value) -> Option<Match>,
    ) -> Option<Match> {
        match so_far {
            Match::AsIs => next(self, value),
            Match::Mended(first) => Some(Match::Mended(match next(self, &first.value)? {
                Match::AsIs => first,
                Match::Mended(second) => {
                    let notes = [first.notes, second.notes].concat();
                    Coercion {
                        value: second.value,
                        cost: first.cost + second.cost,
                        notes,
                    }
                }
            })),
        }
    }

    /// By the keywords of `schema` alone.
    fn own(
        &mut self,
        schema: &'s Value,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        if let Some(choices) = enum_match::listed(schema) {
            self.spend(choices.len() / 16)?;
            if choices.iter().any(|listed| json_equal(listed, value)) {
                return Some(Match::AsIs);
            }
            let plain: Vec<_> = choices.iter().map(|listed| (listed, None)).collect();
            return enum_match::choose(&plain, value, at)
                .map(Match::Mended)
                .or_else(|| wrapping::reshaped(self, schema, value, at, shapes));
        }
        if !has_type(schema, value) {
            return wrapping::converted(self, schema, value, at, shapes);
        }
        match value {
            Value::Object(members) => {
                let fit = object::fit(self, schema, members, at);
                let is_close = fit.as_ref().is_some_and(
                    |fit| !matches!(fit, Match::Mended(mended) if mended.cost >= object::FAR),
                );
                if is_close {
                    return fit;
                }
                nearer(fit, wrapping::reshaped(self, schema, value, at, shapes))
            }
            Value::Array(items) => array::fit(self, schema, items, at)
                .or_else(|| wrapping::reshaped(self, schema, value, at, shapes)),
            _ => Some(Match::AsIs),
        }
    }
}

fn nearer(one: Option<Match>, other: Option<Match>) -> Option<Match> {
    match (one, other) {
        (Some(Match::Mended(one)), Some(Match::Mended(other))) => {
            Some(Match::Mended(if other.cost < one.cost {
                other
            } else {
                one
            }))
        }
        (one, other) => one.or(other),
    }
}

/// Returns true if the value has one of the types that the schema names, or the schema names none.
fn has_type(schema: &Value, value: &Value) -> bool {
    let mut named = wanted(schema).peekable();
    named.peek().is_none() || named.any(|name| is_of_type(value, name))
}

/// The types that a schema names.
pub fn wanted(schema: &Value) -> impl Iterator<Item = &str> {
    let kind = schema.get("type");
    let one = kind.and_then(Value::as_str);
    let many = kind
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// Values in a value, itself included; a long text counts as several.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len() / 32,
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}
