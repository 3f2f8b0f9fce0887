//! `anyOf` and `oneOf`: the branch that is nearest to what was written.

use serde_json::Value;

use super::enum_match;
use super::matcher::{Coercer, Coercion, Match, Shapes};
use super::path::Path;

/// Fits `value` to the branch that takes the least mending; where two need as much and differ in what they make of it, to none.
pub fn choose<'s>(
    work: &mut Coercer<'s>,
    branches: &'s [Value],
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    let mut best: Option<Coercion> = None;
    let mut is_tie = false;
    for branch in branches {
        match work.fit(branch, value, at, shapes) {
            None => {}
            Some(Match::AsIs) => return Some(Match::AsIs),
            Some(Match::Mended(mended)) => match &best {
                Some(known) if known.cost < mended.cost => {}
                Some(known) if known.cost == mended.cost => is_tie |= known.value != mended.value,
                _ => (best, is_tie) = (Some(mended), false),
            },
        }
    }
    // Words of which each has a branch of its own: all are looked at together, with what is said of them.
    if let Some(named) = named(branches) {
        let chosen = enum_match::choose(&named, value, at);
        let is_word = best
            .as_ref()
            .is_none_or(|best| named.iter().any(|(word, _)| **word == best.value));
        if is_word && (chosen.is_some() || value.is_string()) {
            return chosen.map(Match::Mended);
        }
    }
    best.filter(|_| !is_tie).map(Match::Mended)
}

/// The constants of branches that have one, with their descriptions; `None` if there are fewer than two.
fn named(branches: &[Value]) -> Option<Vec<(&Value, Option<&str>)>> {
    let named: Vec<_> = branches
        .iter()
        .filter_map(|branch| {
            let text = |keyword| branch.get(keyword).and_then(Value::as_str);
            Some((
                branch.get("const")?,
                text("title").or_else(|| text("description")),
            ))
        })
        .collect();
    (named.len() > 1).then_some(named)
}
