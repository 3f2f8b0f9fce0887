//! Subschemas that apply to a place in an instance.

use std::collections::HashSet;

use schema_dialect::{Keyword, Named, NodeRef, Tree, pointer_tokens};

/// Maximum number of subschemas that are examined for one place.
const MAX_SCHEMAS: usize = 256;

/// Returns the subschemas that apply to the value at a JSON Pointer of an instance, in every alternative.
pub fn schemas_at<'t>(tree: &'t Tree, location: &str) -> Vec<NodeRef<'t>> {
    let mut here = expanded(vec![tree.root()]);
    for token in pointer_tokens(location) {
        let inner = here
            .iter()
            .flat_map(|schema| children(*schema, &token))
            .collect();
        here = expanded(inner);
    }
    here
}

/// Returns the schemas with all that applies to the same value.
pub(super) fn expanded(mut todo: Vec<NodeRef<'_>>) -> Vec<NodeRef<'_>> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if all.len() >= MAX_SCHEMAS || !seen.insert(schema) {
            continue;
        }
        all.push(schema);
        let applied = schema.applied().into_iter();
        todo.extend(
            applied
                .filter(|(applies, _)| applies.is_here())
                .map(|(_, part)| part),
        );
    }
    all
}

/// Returns the subschemas for the member or element that a token names.
pub(super) fn children<'t>(schema: NodeRef<'t>, token: &str) -> Vec<NodeRef<'t>> {
    let mut children = Vec::new();
    let property = schema.properties().and_then(|named| named.get(token));
    if property.is_none() {
        let by_pattern = schema.named(Keyword::PatternProperties);
        children.extend(by_pattern.into_iter().flat_map(Named::nodes));
        children.extend(schema.additional_properties());
        children.extend(schema.child(Keyword::UnevaluatedProperties));
    }
    children.extend(property);
    if let Ok(index) = token.parse::<usize>() {
        let first = schema.prefix_items().and_then(|first| first.get(index));
        children.extend(first.or_else(|| schema.items()));
        children.extend(schema.child(Keyword::UnevaluatedItems));
    }
    children
}
