//! Matching of one value with one schema, with coercions where they are needed.

use schema_dialect::{Keyword, NodeRef, Nodes};
use serde_json::Value;

use super::coercer::Coercer;
use super::coercion::{Match, Shapes};
use super::path::Path;
use super::{any_of, array, enum_match, object, wrapping};
use crate::types::json_equal;

/// Maximum nesting of schemas, references included: an answer has at most 127 levels, each with a few schemas.
const MAX_DEPTH: usize = 512;

impl Coercer {
    /// Matches `value` with `schema`. Returns `None` if no change makes it match. A match may still
    /// violate a keyword that coercion does not read.
    pub fn fit(
        &mut self,
        schema: NodeRef<'_>,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        self.spend(1)?;
        if self.depth >= MAX_DEPTH {
            return None;
        }
        match schema.as_bool() {
            Some(true) => Some(Match::AsIs),
            Some(false) => None,
            None => {
                self.depth += 1;
                let fit = self.match_all_keywords(schema, value, at, shapes);
                self.depth -= 1;
                fit
            }
        }
    }

    /// Applies the schema's own keywords, then its references and `allOf`, each to the value that
    /// the one before returned.
    fn match_all_keywords(
        &mut self,
        schema: NodeRef<'_>,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        let mut so_far = self.match_own_keywords(schema, value, at, shapes)?;
        let parts = schema.all_of().into_iter().flat_map(Nodes::iter);
        for part in schema.reference().into_iter().chain(parts) {
            so_far = self.and_then(so_far, value, |coercer, value| {
                coercer.fit(part, value, at, shapes)
            })?;
        }
        for keyword in Keyword::CHOICES {
            if let Some(branches) = schema.children(keyword) {
                so_far = self.and_then(so_far, value, |coercer, value| {
                    any_of::choose(coercer, branches, value, at, shapes)
                })?;
            }
        }
        Some(so_far)
    }

    /// Matches the value with the keywords of `schema`, without its references and combinations.
    fn match_own_keywords(
        &mut self,
        schema: NodeRef<'_>,
        value: &Value,
        at: &Path<'_>,
        shapes: Shapes,
    ) -> Option<Match> {
        if let Some(choices) = schema.listed_values() {
            self.spend(self.choices.visits(schema, value))?;
            if choices.iter().any(|listed| json_equal(listed, value)) {
                return Some(Match::AsIs);
            }
            return enum_match::choose(self, schema, value, at)
                .map(Match::Coerced)
                .or_else(|| wrapping::rewrap(self, schema, value, at, shapes));
        }
        if !has_type(schema, value) {
            return wrapping::convert(self, schema, value, at, shapes);
        }
        match value {
            Value::Object(members) => {
                let fit = object::match_members(self, schema, members, at);
                let is_close = fit.as_ref().is_some_and(
                    |fit| !matches!(fit, Match::Coerced(coercion) if coercion.cost >= object::FAR),
                );
                if is_close {
                    return fit;
                }
                nearer(fit, wrapping::rewrap(self, schema, value, at, shapes))
            }
            Value::Array(items) => array::match_elements(self, schema, items, at)
                .or_else(|| wrapping::rewrap(self, schema, value, at, shapes)),
            _ => Some(Match::AsIs),
        }
    }
}

/// Returns the match of the lower cost; the first if both are equal.
fn nearer(one: Option<Match>, other: Option<Match>) -> Option<Match> {
    match (one, other) {
        (Some(Match::Coerced(one)), Some(Match::Coerced(other))) => {
            Some(Match::Coerced(if other.cost < one.cost {
                other
            } else {
                one
            }))
        }
        (one, other) => one.or(other),
    }
}

/// Returns true if the value has one of the types that the schema names, or the schema names none.
fn has_type(schema: NodeRef<'_>, value: &Value) -> bool {
    let types = schema.types();
    types.is_empty() || types.iter().any(|kind| kind.accepts(value))
}
