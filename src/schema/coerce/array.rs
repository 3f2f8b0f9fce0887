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
    let mut coercion: Option<Coercion> = None;
    for (index, item) in items.iter().enumerate() {
        let Some(schema) = first.and_then(|first| first.get(index)).or(rest) else {
            break;
        };
        if let Match::Coerced(element) =
            coercer.fit(schema, item, &at.element(index), Shapes::Inward)?
        {
            let list = coercion.get_or_insert_with(|| Coercion {
                value: Value::Null,
                cost: 0,
                notes: Vec::new(),
            });
            if list.value.is_null() {
                list.value = Value::Array(items.to_vec());
            }
            if let Some(place) = list.value.get_mut(index) {
                *place = element.value;
            }
            list.cost = list.cost.saturating_add(element.cost);
            list.notes.extend(element.notes);
        }
    }
    Some(coercion.map_or(Match::AsIs, Match::Coerced))
}
