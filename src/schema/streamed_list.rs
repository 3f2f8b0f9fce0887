//! The list whose elements are worth having one by one, while the rest is still being written.

use schema_dialect::{JsonType, NodeRef};
use serde_json::{Value, json};

use super::compiled::Schema;

/// List of a schema whose elements are streamed one by one.
#[derive(Debug)]
pub struct StreamedList {
    /// The members that lead to it from the root; none: it is the root itself.
    pub path: Vec<String>,
    pub element: Schema,
}

/// Name of the whole schema within an element's, for references to the whole.
const WHOLE: &str = "whole";
/// Draft of a normalised schema.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

impl StreamedList {
    /// Returns the list of a schema: the root if it is a list, else the one list of objects among the members of the root.
    /// `None`: there is none, or there are several.
    #[must_use]
    pub fn for_schema(schema: &Schema) -> Option<Self> {
        let tree = schema.tree();
        let root = tree.root().target();
        let (path, items) = if let Some(items) = items_of(root) {
            (Vec::new(), items)
        } else {
            let mut lists = root.properties()?.iter().filter_map(|(name, member)| {
                let items = items_of(member)?;
                let is_object = items.target().is_of(JsonType::Object);
                is_object.then(|| (vec![name.to_owned()], items))
            });
            let first = lists.next()?;
            if lists.next().is_some() {
                return None;
            }
            first
        };
        Some(Self {
            path,
            element: Schema::compile(&element(items).to_string()).ok()?,
        })
    }
}

/// Returns the schema of a list's elements. `None`: the schema is no list, or does not describe its elements.
fn items_of(schema: NodeRef<'_>) -> Option<NodeRef<'_>> {
    let list = schema.target();
    list.items().filter(|_| list.is_of(JsonType::Array))
}

/// Returns the schema of an element by itself, with the definitions that the whole has.
fn element(items: NodeRef<'_>) -> Value {
    let tree = items.tree();
    let mut name = WHOLE.to_owned();
    while tree.definitions().any(|(known, _)| known == name) {
        name.push('_');
    }
    let root = format!("#/$defs/{name}");
    let mut definitions = tree.definitions_json(&root);
    if tree.refers_to_root() {
        definitions.insert(name, tree.root().to_json(&root));
    }
    json!({"$schema": DRAFT, "allOf": [items.to_json(&root)], "$defs": definitions})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(schema: &Value) -> Option<StreamedList> {
        StreamedList::for_schema(&Schema::compile(&schema.to_string()).unwrap())
    }

    #[test]
    fn a_list_is_the_root_or_the_one_list_of_objects() {
        let person = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let people = json!({"type": "array", "items": person, "minItems": 2});
        let root = list(&people).unwrap();
        assert!(
            root.path.is_empty()
                && root.element.is_valid(&json!({"name": "Ada"}))
                && !root.element.is_valid(&json!({}))
        );
        assert!(
            list(&json!({"type": "array", "items": {"type": "integer"}}))
                .unwrap()
                .element
                .is_valid(&json!(1))
        );
        let tags = json!({"type": "array", "items": {"type": "string"}});
        let member = json!({"type": "object", "properties": {"people": people, "tags": tags}});
        assert_eq!(list(&member).unwrap().path, ["people"]);
        assert!(
            list(&json!({"type": "object", "properties": {"a": people, "b": people}})).is_none()
        );
        assert!(list(&person).is_none());
    }

    #[test]
    fn references_lead_where_they_led() {
        for definitions in ["$defs", "definitions"] {
            let schema = json!({
                "$id": "https://example.com/tree", "$ref": format!("#/{definitions}/trees"),
                definitions: {
                    "tree": {"type": "object", "properties": {"below": {"$ref": format!("#/{definitions}/trees")}}, "required": ["name"]},
                    "trees": {"type": "array", "items": {"$ref": format!("#/{definitions}/tree")}},
                }
            });
            let list = list(&schema).unwrap();
            assert!(
                list.element
                    .is_valid(&json!({"name": 1, "below": [{"name": 2}]})),
                "{definitions}"
            );
            assert!(
                !list.element.is_valid(&json!({"name": 1, "below": [{}]})),
                "{definitions}"
            );
        }
    }

    #[test]
    fn a_member_may_be_called_as_a_keyword_is() {
        let schema = json!({
            "type": "array",
            "items": {"type": "object", "properties": {"default": {"$ref": "#/$defs/name"}, "enum": {"$ref": "#/$defs/name"}}},
            "$defs": {"name": {"type": "string"}}
        });
        let list = list(&schema).unwrap();
        assert!(list.element.is_valid(&json!({"default": "a", "enum": "b"})));
        assert!(
            !list.element.is_valid(&json!({"default": 1}))
                && !list.element.is_valid(&json!({"enum": 1}))
        );
    }

    #[test]
    fn a_value_may_look_like_a_reference() {
        let value = json!({"$ref": "#/$defs/name", "$id": "a"});
        let schema = json!({"type": "array", "items": {"const": value}, "$defs": {"name": {"enum": [value]}}});
        let list = list(&schema).unwrap();
        assert!(
            list.element.is_valid(&value)
                && !list
                    .element
                    .is_valid(&json!({"$ref": "#/$defs/whole/$defs/name", "$id": "a"}))
        );
    }
}
