//! The list whose elements are worth having one by one, while the rest is still being written.

use schema_dialect::move_root;
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
        let root = tree.target(tree.root());
        let items_of = |schema| {
            let list = tree.target(schema);
            list.get("items").filter(|_| is_of_type(list, "array"))
        };
        let (path, items) = if let Some(items) = items_of(root) {
            (Vec::new(), items)
        } else {
            let members = root.get("properties")?.as_object()?.iter();
            let mut lists = members.filter_map(|(name, member)| {
                let items = items_of(member)?;
                is_of_type(tree.target(items), "object").then(|| (vec![name.clone()], items))
            });
            let first = lists.next()?;
            if lists.next().is_some() {
                return None;
            }
            first
        };
        Some(Self {
            path,
            element: Schema::compile(&element(tree.root(), items).to_string()).ok()?,
        })
    }
}

fn is_of_type(schema: &Value, kind: &str) -> bool {
    schema.get("type").is_some_and(|named| named == kind)
}

/// Returns the schema of an element by itself, with the definitions that the whole has.
fn element(root: &Value, items: &Value) -> Value {
    let mut definitions = root.get("$defs").cloned().unwrap_or_else(|| json!({}));
    let mut whole = root.clone();
    if let (Some(whole), Some(definitions)) = (whole.as_object_mut(), definitions.as_object_mut()) {
        whole.shift_remove("$defs");
        let mut name = WHOLE.to_owned();
        while definitions.contains_key(&name) {
            name.push('_');
        }
        let mut items = items.clone();
        let to = format!("#/$defs/{name}");
        let mut whole = Value::Object(std::mem::take(whole));
        let has_root_references = move_root(&mut items, &to)
            | move_root(&mut whole, &to)
            | definitions.values_mut().fold(false, |moved, definition| {
                moved | move_root(definition, &to)
            });
        if has_root_references {
            definitions.insert(name, whole);
        }
        return json!({"$schema": DRAFT, "allOf": [items], "$defs": definitions});
    }
    items.clone()
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
