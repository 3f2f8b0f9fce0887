//! Objects of a schema that get no additional properties in its grammar.
//!
//! Objects are open by default in JSON Schema, and a small model then keeps inventing properties. An answer without additional
//! properties is valid against the open schema too.

use std::collections::HashSet;

use schema_dialect::{Applies, Keyword, Named, NodeId, NodeRef, Tree};

/// Keywords that compose a schema of others.
const COMPOSED: [Keyword; 6] = [
    Keyword::AllOf,
    Keyword::AnyOf,
    Keyword::OneOf,
    Keyword::Not,
    Keyword::If,
    Keyword::Reference,
];

/// Keywords of an object that states its additional properties itself, or needs them.
const OPENED: [Keyword; 4] = [
    Keyword::AdditionalProperties,
    Keyword::PatternProperties,
    Keyword::UnevaluatedProperties,
    Keyword::MinProperties,
];

/// Keywords that describe or demand members, which an object closed beside them may lack.
const MEMBERS: [Keyword; 7] = [
    Keyword::Properties,
    Keyword::PatternProperties,
    Keyword::Required,
    Keyword::DependentRequired,
    Keyword::MinProperties,
    Keyword::Enum,
    Keyword::Const,
];

/// Returns the objects to close: those with properties that are neither composed nor part of a composition, since closing a part
/// could contradict another.
///
/// The root and the definitions are looked at, and properties and list items below them. The branches of a composition are not: a
/// definition that one refers to is closed if each use of it is alone. Nothing below a composition, or below a part of one, is closed.
pub fn closed_objects(tree: &Tree) -> HashSet<NodeId> {
    let parts = combined_parts(tree);
    let mut closed = HashSet::new();
    let definitions = tree.definitions().map(|(_, definition)| definition);
    let mut open: Vec<_> = definitions.chain([tree.root()]).collect();
    while let Some(schema) = open.pop() {
        if has_any(schema, &COMPOSED) || parts.contains(&schema.id()) {
            continue;
        }
        open.extend(schema.properties().into_iter().flat_map(Named::nodes));
        open.extend(schema.items());
        if schema.properties().is_some() && !has_any(schema, &OPENED) {
            closed.insert(schema.id());
        }
    }
    closed
}

/// Returns the schemas that describe one value together with others, wherever one of their uses does.
fn combined_parts(tree: &Tree) -> HashSet<NodeId> {
    let mut parts = HashSet::new();
    let mut open = tree.schemas();
    open.retain(|schema| combines(*schema));
    while let Some(schema) = open.pop() {
        let applied = schema.applied().into_iter();
        open.extend(
            applied
                .filter(|(applies, part)| applies.is_here() && parts.insert(part.id()))
                .map(|(_, part)| part),
        );
    }
    parts
}

/// Returns true if more than one part of a schema describes the members of the same object: its own keywords, the target of its
/// reference, each schema of `allOf`, and each list of alternatives.
///
/// A single schema in `allOf` combines nothing: some generators write a reference with a description so.
fn combines(schema: NodeRef<'_>) -> bool {
    let own = usize::from(has_any(schema, &MEMBERS));
    let choices = Keyword::CHOICES.into_iter();
    let choices = choices.filter(|keyword| schema.has(*keyword)).count();
    let applied = schema.applied().into_iter();
    let parts = applied.filter(|(applies, part)| *applies == Applies::Here && is_part(*part));
    own + choices + parts.count() > 1
}

/// Returns true if a schema says something about the members of an object.
fn is_part(schema: NodeRef<'_>) -> bool {
    has_any(schema, &MEMBERS) || has_any(schema, &COMPOSED) || schema.has(Keyword::DependentSchemas)
}

fn has_any(schema: NodeRef<'_>, keywords: &[Keyword]) -> bool {
    keywords.iter().any(|keyword| schema.has(*keyword))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::test_fixture::tree;

    /// Returns the places of the closed objects in the document.
    fn closed(schema: &Value) -> Vec<String> {
        let tree = tree(schema);
        let closed = closed_objects(&tree);
        let nodes = tree.nodes().filter(|node| closed.contains(&node.id()));
        let mut places: Vec<_> = nodes.map(NodeRef::locate).collect();
        places.sort();
        places
    }

    #[test]
    fn plain_objects_are_closed_and_composed_ones_are_not() {
        let open = json!({"properties": {"a": {"items": {"properties": {"b": true}}}, "c": {"allOf": [{"properties": {}}]}}});
        assert_eq!(closed(&open), ["", "/properties/a/items"]);
        let tuple = json!({"prefixItems": [{"properties": {}}], "items": {"properties": {}}});
        assert_eq!(closed(&tuple), ["/items"]);
        for composed in [
            json!({"anyOf": [{"properties": {"a": true}}, {"type": "null"}]}),
            json!({"properties": {"a": {"properties": {}}}, "not": {"required": ["b"]}}),
            json!({"if": {"properties": {"a": {"const": 1}}}, "then": {"properties": {"b": true}}}),
        ] {
            assert!(closed(&composed).is_empty(), "{composed}");
        }
    }

    #[test]
    fn objects_that_state_or_need_additional_properties_stay_open() {
        for keyword in [
            json!({"additionalProperties": true}),
            json!({"additionalProperties": {"type": "string"}}),
            json!({"patternProperties": {"^x": {}}}),
            json!({"unevaluatedProperties": true}),
            json!({"minProperties": 2}),
        ] {
            let mut schema = json!({"properties": {"a": {"properties": {"b": true}}}});
            let members = keyword.as_object().unwrap().clone();
            schema.as_object_mut().unwrap().extend(members);
            assert_eq!(closed(&schema), ["/properties/a"], "{schema}");
        }
        assert!(closed(&json!({"type": "object"})).is_empty());
    }

    #[test]
    fn a_definition_is_closed_if_each_use_of_it_is_alone() {
        let with = |use_: Value| {
            json!({"properties": {"plain": {"$ref": "#/$defs/d"}, "use": use_},
                "$defs": {"d": {"properties": {"a": {"properties": {"b": true}}}}, "e": {"$ref": "#/$defs/d"}}})
        };
        let all = ["", "/$defs/d", "/$defs/d/properties/a"];
        for alone in [
            json!({"$ref": "#/$defs/d"}),
            json!({"$ref": "#/$defs/e", "type": "object", "description": "D", "x-extractd-grounding": "off"}),
            json!({"allOf": [{"$ref": "#/$defs/d"}], "default": {}}),
            json!({"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}]}),
            json!({"allOf": [{"$ref": "#/$defs/d"}, {"title": "T"}, {"type": "object"}]}),
            json!({"allOf": [{"properties": {"x": {"$ref": "#/$defs/d"}}}, {"properties": {"y": true}}]}),
            json!({"items": {"$ref": "#/$defs/d"}}),
        ] {
            assert_eq!(closed(&with(alone.clone())), all, "{alone}");
        }
        for combined in [
            json!({"allOf": [{"$ref": "#/$defs/d"}, {"properties": {"x": true}}]}),
            json!({"allOf": [{"$ref": "#/$defs/e"}, {"required": ["x"]}]}),
            json!({"$ref": "#/$defs/d", "properties": {"x": true}}),
            json!({"$ref": "#/$defs/e", "required": ["x"]}),
            json!({"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}], "properties": {"x": true}}),
            json!({"allOf": [{"oneOf": [{"allOf": [{"$ref": "#/$defs/e"}]}]}, {"properties": {"x": true}}]}),
            json!({"$ref": "#/$defs/d", "anyOf": [{"required": ["x"]}, {"required": ["y"]}]}),
            json!({"$ref": "#/$defs/d", "dependentSchemas": {"a": {"required": ["x"]}}}),
        ] {
            assert_eq!(closed(&with(combined.clone())), [""], "{combined}");
        }
    }

    #[test]
    fn definitions_of_a_root_that_is_a_reference_are_closed() {
        let schema = json!({"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"child": {"$ref": "#/$defs/d"}}}}});
        assert_eq!(closed(&schema), ["/$defs/d"]);
        let extended =
            json!({"properties": {"child": {"allOf": [{"$ref": "#"}, {"required": ["x"]}]}}});
        assert!(closed(&extended).is_empty());
    }

    #[test]
    fn what_an_old_reference_makes_ignored_is_no_part() {
        let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"a": {"$ref": "#/definitions/d", "properties": {"x": {"properties": {}}}, "required": ["x"]}},
            "definitions": {"d": {"properties": {"b": true}}}});
        assert_eq!(closed(&schema), ["", "/definitions/d"]);
    }
}
