//! Schema of a validation retry.
//!
//! A model of this size does not heed feedback: asked again, it writes another value that the text does not state. So the grammar of a
//! validation retry lacks the optional properties whose values were rejected. The answer is validated against the whole schema.

use std::sync::Arc;

use schema_dialect::{NodeRef, Tree, pointer_tokens};

use super::answer_schema::{AnswerSchema, LeftOut};
use crate::types::FieldError;

/// Maximum number of references that are followed one after another.
const MAX_REFERENCES: usize = 8;

/// Returns the schema without the optional properties that errors point to. Follows properties, list items and references.
///
/// A property of a definition, or of list items, is left out wherever the definition or the list is used: each of them may lack it.
pub fn without_rejected(tree: &Arc<Tree>, errors: &[FieldError]) -> AnswerSchema {
    let rejected = errors
        .iter()
        .flat_map(|error| optional_properties(tree, &error.pointer));
    AnswerSchema::new(Arc::clone(tree), rejected.collect())
}

/// Returns the optional properties that describe the value at a JSON Pointer of an answer: none if it is required, or not described
/// by a property; several if a schema describes it beside its reference.
fn optional_properties(tree: &Tree, pointer: &str) -> Vec<LeftOut> {
    let mut tokens: Vec<_> = pointer_tokens(pointer).collect();
    let Some(name) = tokens.pop() else {
        return Vec::new();
    };
    let mut parents = tokens.iter();
    let Some(object) = parents.try_fold(tree.root(), |schema, token| part(schema, token)) else {
        return Vec::new();
    };
    let is_required =
        |schema: NodeRef<'_>| schema.required().iter().any(|required| **required == *name);
    if followed(object).any(is_required) {
        return Vec::new();
    }
    followed(object)
        .filter(|schema| property(*schema, &name).is_some())
        .map(|schema| (schema.id(), Box::from(&*name)))
        .collect()
}

/// Returns the schema of a member or an element of a schema's values.
fn part<'t>(schema: NodeRef<'t>, token: &str) -> Option<NodeRef<'t>> {
    followed(schema).find_map(|schema| property(schema, token).or_else(|| element(schema, token)))
}

fn property<'t>(schema: NodeRef<'t>, name: &str) -> Option<NodeRef<'t>> {
    schema.properties()?.get(name)
}

fn element<'t>(schema: NodeRef<'t>, token: &str) -> Option<NodeRef<'t>> {
    let index = token.parse().ok()?;
    let first = schema.prefix_items().and_then(|items| items.get(index));
    first.or_else(|| schema.items())
}

/// Returns a schema and the targets of its references.
fn followed(schema: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    std::iter::successors(Some(schema), |schema| schema.reference()).take(1 + MAX_REFERENCES)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::test_fixture::tree;

    fn narrowed(schema: &Value, pointers: &[&str]) -> Value {
        let errors: Vec<_> = pointers
            .iter()
            .map(|pointer| FieldError::new(*pointer, ""))
            .collect();
        without_rejected(&tree(schema), &errors).to_json()
    }

    fn names<'v>(schema: &'v Value, place: &str) -> Vec<&'v str> {
        let properties = schema.pointer(place).and_then(Value::as_object);
        properties.unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn optional_properties_that_were_rejected_are_left_out() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "a/b": {"type": "string"},
            "home": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"note": {"type": "string"}}}}}});
        let changed = narrowed(&schema, &["/a~1b", "/home/city"]);
        assert_eq!(names(&changed, "/properties"), ["name", "home", "lines"]);
        assert_eq!(names(&changed, "/properties/home/properties"), ["zip"]);
        let unchanged = narrowed(
            &schema,
            &["/name", "", "/lines/0", "/unknown", "/home/zip/x"],
        );
        assert_eq!(unchanged, schema);
    }

    #[test]
    fn properties_of_list_items_are_left_out_of_each() {
        let schema = json!({"properties": {
            "lines": {"items": {"required": ["sku"], "properties": {"sku": {}, "note": {}, "tags": {"items": {"properties": {"x": {}}}}}}},
            "pair": {"prefixItems": [{"properties": {"a": {}}}, {"properties": {"a": {}}}], "items": {"properties": {"a": {}}}}}});
        let changed = narrowed(
            &schema,
            &["/lines/3/note", "/lines/0/sku", "/lines/0/tags/12/x"],
        );
        let lines = "/properties/lines/items/properties";
        assert_eq!(names(&changed, lines), ["sku", "tags"]);
        assert!(names(&changed, &format!("{lines}/tags/items/properties")).is_empty());
        let changed = narrowed(&schema, &["/pair/1/a", "/pair/7/a", "/pair/-/a"]);
        let pair = &changed["properties"]["pair"];
        assert_eq!(
            pair["prefixItems"][0],
            schema["properties"]["pair"]["prefixItems"][0]
        );
        assert!(names(pair, "/prefixItems/1/properties").is_empty());
        assert!(names(pair, "/items/properties").is_empty());
    }

    #[test]
    fn properties_of_a_definition_are_left_out_wherever_it_is_used() {
        let schema = json!({"$ref": "#/$defs/order", "$defs": {
            "order": {"properties": {"billing": {"$ref": "#/$defs/address"}, "shipping": {"$ref": "#/$defs/other"},
                "parent": {"$ref": "#"}, "sure": {"$ref": "#/$defs/address", "required": ["city"], "properties": {"own": {}}}}},
            "other": {"$ref": "#/$defs/address"},
            "address": {"required": ["street"], "properties": {"street": {}, "city": {}}}}});
        let address = "/$defs/address/properties";
        for pointer in [
            "/billing/city",
            "/shipping/city",
            "/parent/parent/billing/city",
        ] {
            let changed = narrowed(&schema, &[pointer]);
            assert_eq!(names(&changed, address), ["street"], "{pointer}");
            assert_eq!(changed["$defs"]["order"], schema["$defs"]["order"]);
        }
        // Beside the reference, the city is required; the other property is not.
        let changed = narrowed(&schema, &["/sure/city", "/shipping/street", "/sure/own"]);
        assert_eq!(names(&changed, address), ["street", "city"]);
        assert!(names(&changed, "/$defs/order/properties/sure/properties").is_empty());
    }

    #[test]
    fn every_token_of_a_pointer_is_unescaped() {
        let schema = json!({"properties": {
            "a/b": {"properties": {"c~d": {"properties": {"~1": {}, "properties": {}}}}}}});
        let inner = "/properties/a~1b/properties/c~0d/properties";
        let changed = narrowed(&schema, &["/a~1b/c~0d/~01"]);
        assert_eq!(names(&changed, inner), ["properties"]);
        let changed = narrowed(&schema, &["/a~1b/c~0d/properties"]);
        assert_eq!(names(&changed, inner), ["~1"]);
    }

    #[test]
    fn references_that_lead_to_each_other_end() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
        assert_eq!(narrowed(&schema, &["/x/y"]), schema);
    }
}
