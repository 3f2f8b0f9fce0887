//! Lists, element by element. None is left out.

use serde_json::Value;

use super::matcher::{Coercer, Coercion, Match, Shapes};
use super::path::Path;

pub fn fit<'s>(
    work: &mut Coercer<'s>,
    schema: &'s Value,
    items: &[Value],
    at: &Path<'_>,
) -> Option<Match> {
    let first = schema.get("prefixItems").and_then(Value::as_array);
    let rest = schema.get("items");
    let mut mended: Option<Coercion> = None;
    for (index, item) in items.iter().enumerate() {
        let Some(schema) = first.and_then(|first| first.get(index)).or(rest) else {
            break;
        };
        if let Match::Mended(element) =
            work.fit(schema, item, &at.element(index), Shapes::Inward)?
        {
            let list = mended.get_or_insert_with(|| Coercion {
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
    Some(mended.map_or(Match::AsIs, Match::Mended))
}
