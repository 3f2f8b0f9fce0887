//! Subschemas that apply to a place in an instance.

use std::collections::HashSet;

use schema_dialect::{Tree, pointer_tokens};
use serde_json::Value;

/// Maximum number of subschemas that are examined for one place.
const MAX_SCHEMAS: usize = 256;

/// Returns the subschemas that apply to the value at a JSON Pointer of an instance, in every alternative.
pub fn schemas_at<'t>(tree: &'t Tree, location: &str) -> Vec<&'t Value> {
    let mut here = expanded(tree, vec![tree.root()]);
    for token in pointer_tokens(location) {
        let inner = here
            .iter()
            .flat_map(|schema| children(schema, &token))
            .collect();
        here = expanded(tree, inner);
    }
    here
}

/// Returns the schemas with all that applies to the same value.
pub(super) fn expanded<'t>(tree: &'t Tree, mut todo: Vec<&'t Value>) -> Vec<&'t Value> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if all.len() >= MAX_SCHEMAS || !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        all.push(schema);
        let applied = tree.applied(schema).into_iter();
        todo.extend(
            applied
                .filter(|(applies, _)| applies.is_here())
                .map(|(_, part)| part),
        );
    }
    all
}

/// Returns the subschemas for the member or element that a token names.
pub(super) fn children<'t>(schema: &'t Value, token: &str) -> Vec<&'t Value> {
    let mut children: Vec<&Value> = Vec::new();
    let property = schema.get("properties").and_then(|named| named.get(token));
    if property.is_none() {
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
        children.extend(by_pattern.into_iter().flat_map(|named| named.values()));
        children.extend(schema.get("additionalProperties"));
        children.extend(schema.get("unevaluatedProperties"));
    }
    children.extend(property);
    if let Ok(index) = token.parse::<usize>() {
        let first = schema.get("prefixItems").and_then(|first| first.get(index));
        children.extend(first.or_else(|| schema.get("items")));
        children.extend(schema.get("unevaluatedItems"));
    }
    children
}
