//! Choice of a branch of `anyOf` or `oneOf`: the one that needs the fewest changes.

use schema_dialect::{NodeRef, Nodes};
use serde_json::Value;

use super::coercer::Coercer;
use super::coercion::{Coercion, Match, Shapes};
use super::enum_match;
use super::path::Path;

/// Matches `value` with the branch of the lowest cost. `None`: no branch matches, or two of equal cost lead to different values.
pub fn choose(
    coercer: &mut Coercer,
    branches: Nodes<'_>,
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    let mut best: Option<Coercion> = None;
    let mut is_tie = false;
    for branch in branches.iter() {
        match coercer.fit(branch, value, at, shapes) {
            None => {}
            Some(Match::AsIs) => return Some(Match::AsIs),
            Some(Match::Coerced(coercion)) => match &best {
                Some(known) if known.cost < coercion.cost => {}
                Some(known) if known.cost == coercion.cost => {
                    is_tie |= known.value != coercion.value;
                }
                _ => (best, is_tie) = (Some(coercion), false),
            },
        }
    }
    // If each branch is a single constant, match against all of them at once, with their titles and descriptions.
    let constants = || branches.iter().filter_map(NodeRef::constant);
    if constants().nth(1).is_some() {
        let chosen = enum_match::choose_branch(coercer, branches, value, at);
        let is_word = best
            .as_ref()
            .is_none_or(|best| constants().any(|word| *word == best.value));
        if is_word && (chosen.is_some() || value.is_string()) {
            return chosen.map(Match::Coerced);
        }
    }
    best.filter(|_| !is_tie).map(Match::Coerced)
}
