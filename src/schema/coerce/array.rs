//! Matching of arrays, element by element. No element is left out.

use schema_dialect::NodeRef;
use serde_json::Value;

use super::coercer::Coercer;
use super::coercion::{Coercion, Match, Shapes};
use super::path::Path;

/// Matches the elements of an array with a schema.
pub fn match_elements(
    coercer: &mut Coercer,
    schema: NodeRef<'_>,
    items: &[Value],
    at: &Path<'_>,
) -> Option<Match> {
    let first = schema.prefix_items();
    let rest = schema.items();
    let (mut changed, mut cost, mut notes) = (Vec::new(), 0_u32, Vec::new());
    for (index, item) in items.iter().enumerate() {
        let Some(schema) = first.and_then(|first| first.get(index)).or(rest) else {
            break;
        };
        if let Match::Coerced(element) =
            coercer.fit(schema, item, &at.element(index), Shapes::Inward)?
        {
            cost = cost.saturating_add(element.cost);
            notes.extend(element.notes);
            changed.push((index, element.value));
        }
    }
    if changed.is_empty() {
        return Some(Match::AsIs);
    }
    let mut changed = changed.into_iter().peekable();
    let elements = items.iter().enumerate().map(|(index, item)| {
        match changed.next_if(|(place, _)| *place == index) {
            Some((_, element)) => Some(element),
            None => coercer.copy(item),
        }
    });
    Some(Match::Coerced(Coercion {
        value: Value::Array(elements.collect::<Option<_>>()?),
        cost,
        notes,
    }))
}
