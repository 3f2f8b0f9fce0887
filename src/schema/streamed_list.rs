//! The list whose elements are worth having one by one, while the rest is still being written.

use serde_json::{Map, Value, json};

use super::Schema;
use super::references::move_references;

/// Where the list is in a value, and what each of its elements has to be.
#[derive(Debug)]
pub struct StreamedList {
    /// The members that lead to it from the root; none: it is the root itself.
    pub path: Vec<String>,
    pub element: Schema,
}

/// The longest chain of references that is followed.
const MAX_CHAIN: usize = 32;
/// What the whole schema is called within an element's, so that its references lead where they led before.
const WHOLE: &str = "whole";

impl StreamedList {
    /// The root, if it is a list; else the one list of objects among the members of the root.
    #[must_use]
    pub fn of(schema: &Schema) -> Option<Self> {
        let whole = &**schema.value();
        let root = resolved(whole, whole)?;
        let (path, items) = if names(root, "array") {
            (Vec::new(), root.get("items")?)
        } else {
            let lists = root
                .get("properties")?
                .as_object()?
                .iter()
                .filter_map(|(name, member)| {
                    let items = resolved(whole, member)
                        .filter(|member| names(member, "array"))?
                        .get("items")?;
                    resolved(whole, items).filter(|element| names(element, "object"))?;
                    Some((vec![name.clone()], items))
                });
            let mut lists = lists;
            let first = lists.next()?;
            if lists.next().is_some() {
                return None;
            }
            first
        };
        let element = element(whole, items)?;
        Some(Self {
            path,
            element: Schema::compile(&element.to_string()).ok()?,
        })
    }
}

/// Where the references of a schema lead.
fn resolved<'s>(whole: &'s Value, mut schema: &'s Value) -> Option<&'s Value> {
    for _ in 0..MAX_CHAIN {
        let Some(reference) = schema.get("$ref") else {
            return Some(schema);
        };
        schema = whole.pointer(reference.as_str()?.strip_prefix('#')?)?;
    }
    None
}

fn names(schema: &Value, kind: &str) -> bool {
    schema.get("type").is_some_and(|said| said == kind)
}

/// The schema of an element by itself. `None` where references lead by names, which the change of place would make wrong.
fn element(whole: &Value, items: &Value) -> Option<Value> {
    let mut whole = whole.clone();
    let draft = whole.as_object_mut()?.remove("$schema");
    let id = whole.as_object_mut()?.remove("$id");
    let id = id
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim_end_matches('#');
    let (mut items, to) = (items.clone(), format!("#/$defs/{WHOLE}"));
    (move_references(&mut whole, id, &to) && move_references(&mut items, id, &to)).then_some(())?;
    let mut schema = Map::new();
    schema.extend(draft.map(|draft| ("$schema".to_owned(), draft)));
    schema.insert("allOf".to_owned(), json!([items]));
    // Both drafts find a reference in it.
    schema.insert("$defs".to_owned(), json!({WHOLE: whole}));
    Some(Value::Object(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(schema: &Value) -> Option<StreamedList> {
        StreamedList::of(&Schema::compile(&schema.to_string()).unwrap())
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
