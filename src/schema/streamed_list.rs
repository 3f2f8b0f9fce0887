//! The list whose elements are worth having one by one, while the rest is still being written.
//!
//! The schema of an element is compiled once, for the first stream, and kept with the schema of the whole.

use std::sync::{Arc, PoisonError};

use schema_dialect::{JsonType, NodeRef};
use serde_json::{Value, json};
use throttle::MemoryReservation;

use super::cache::compile_as_work;
use super::compiled::{Schema, StreamedList};
use crate::types::{Code, Error};

/// Name of the whole schema within an element's, for references to the whole.
const WHOLE: &str = "whole";
/// Draft of a normalised schema.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

impl Schema {
    /// Returns the list whose elements are streamed, as [`StreamedList::for_schema`] does. Compiles the schema of its elements unless it is
    /// kept already, as long work if that may take longer than about a millisecond. What it takes of `memory` is held until this schema is
    /// dropped.
    ///
    /// # Errors
    /// `overloaded` if there is no memory for the elements' schema now, `payload_too_large` if there never is.
    pub async fn streamed_list(
        self: &Arc<Self>,
        memory: MemoryReservation,
    ) -> Result<Option<StreamedList>, Error> {
        if let Some(kept) = self.list.get() {
            return Ok(kept.clone());
        }
        let (schema, caller) = (Arc::clone(self), memory.caller());
        compile_as_work(self.raw.get(), caller, move || schema.keep_list(memory)).await
    }

    /// Returns the compiled list; compiles and stores it at the first call.
    fn keep_list(&self, memory: MemoryReservation) -> Result<Option<StreamedList>, Error> {
        let _lock = self
            .list_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.list.get() {
            return Ok(kept.clone());
        }
        let list = StreamedList::compile(self, |text| Schema::compile_within(text, memory))?;
        if let Some(list) = &list {
            self.add_bytes(list.element.memory_bytes());
        }
        Ok(self.list.get_or_init(|| list).clone())
    }
}

impl StreamedList {
    /// Returns the list of a schema: the root if it is a list, else the one list of objects among the members of the root.
    /// `None`: there is none, or there are several.
    ///
    /// The schema of its elements is compiled each time, without a reservation, unless [`Schema::streamed_list`] has kept it.
    #[must_use]
    pub fn for_schema(schema: &Schema) -> Option<Self> {
        match schema.list.get() {
            Some(kept) => kept.clone(),
            None => Self::compile(schema, Schema::compile).unwrap_or_default(),
        }
    }

    /// Finds the list of a schema, and compiles the schema of its elements. `None`: there is no such list, or what is an element's is no
    /// schema by itself.
    fn compile(
        schema: &Schema,
        compile: impl FnOnce(&str) -> Result<Schema, Error>,
    ) -> Result<Option<Self>, Error> {
        let Some((path, items)) = find(schema.tree().root().target()) else {
            return Ok(None);
        };
        match compile(&element(items).to_string()) {
            Ok(element) => Ok(Some(Self {
                path,
                element: Arc::new(element),
            })),
            Err(error) if error.code == Code::InvalidSchema => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the path of the list whose elements are streamed, and the schema of its elements.
fn find(root: NodeRef<'_>) -> Option<(Vec<String>, NodeRef<'_>)> {
    if let Some(items) = items_of(root) {
        return Some((Vec::new(), items));
    }
    let mut lists = root.properties()?.iter().filter_map(|(name, member)| {
        let items = items_of(member)?;
        let is_object = items.target().is_of(JsonType::Object);
        is_object.then(|| (vec![name.to_owned()], items))
    });
    let first = lists.next()?;
    lists.next().is_none().then_some(first)
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
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_list_is_compiled_once_and_reserved_for_as_long_as_the_schema_lives() {
        let pattern = "(a|b|ab){3000}";
        let text = json!({"type": "array", "items": {"type": "string", "pattern": pattern}});
        let schema = Arc::new(Schema::compile(&text.to_string()).unwrap());
        let compiled = schema.memory_bytes();
        let small = MemoryLedger::new(1 << 20, 1 << 20);
        let refused = schema.streamed_list(small.empty(CallerId(1), MemoryUse::Schemas));
        let refused = refused.await.unwrap_err();
        assert_eq!(
            (refused.code, small.snapshot().held),
            (Code::PayloadTooLarge, 0)
        );
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let lists = (1..=20).map(|caller| {
            let memory = ledger.empty(CallerId(caller), MemoryUse::Schemas);
            let schema = Arc::clone(&schema);
            async move { schema.streamed_list(memory).await.unwrap().unwrap() }
        });
        let lists = futures_util::future::join_all(lists).await;
        let first = &lists[0].element;
        assert!(lists.iter().all(|list| Arc::ptr_eq(&list.element, first)));
        let of_publisher = StreamedList::for_schema(&schema).unwrap();
        assert!(Arc::ptr_eq(&of_publisher.element, first));
        let held = ledger.snapshot();
        assert!(held.held > 1 << 20 && held.held == first.memory_bytes());
        assert_eq!(held.by_caller.len(), 1);
        assert_eq!(schema.memory_bytes(), compiled + held.held);
        drop((schema, lists, of_publisher));
        assert_eq!(ledger.snapshot().held, 0);
    }

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
