//! Normalised tree of a schema, and ways through it.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Draft;
use serde_json::Value;

use crate::keyword::{self, Holds};
use crate::{SchemaDocument, SchemaError, Warning, pointer};
use crate::{build, builder};

/// Part of the instance that a subschema applies to, relative to its parent schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies<'s> {
    /// The same value.
    Here,
    /// The same value, as one of several alternatives.
    Either,
    /// The member of this name.
    Member(&'s str),
    /// Any member or element.
    Inside,
    /// Nothing: a definition, used by reference.
    Nowhere,
}

impl Applies<'_> {
    /// Returns true if the subschema applies to the same value.
    #[must_use]
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Here | Self::Either)
    }
}

/// Schema in the keywords of 2020-12, in which every reference leads to `#` or to `#/$defs/NAME`.
///
/// A schema in it is a [`Value`]: `true`, `false` or an object. It has no `$schema`, `$id`, anchors or unknown keywords. What a
/// `$ref` of an old draft makes a validator ignore is under [`crate::IGNORED_SIBLINGS`].
#[derive(Debug)]
pub struct Tree {
    root: Arc<Value>,
    document: Value,
    draft: Draft,
    /// Places of the definitions in the document, by name; the root has the empty name.
    sources: HashMap<String, String>,
    warnings: Vec<Warning>,
}

impl Tree {
    pub(crate) const fn new(
        root: Arc<Value>,
        document: Value,
        draft: Draft,
        sources: HashMap<String, String>,
        warnings: Vec<Warning>,
    ) -> Self {
        Self {
            root,
            document,
            draft,
            sources,
            warnings,
        }
    }

    /// Reads a document into a tree.
    ///
    /// # Errors
    /// If a reference leads outside the document or nowhere, or the tree has more than 200,000 values.
    pub fn build(document: SchemaDocument) -> Result<Self, SchemaError> {
        build::build(document)
    }

    /// Returns the document by which a validator judges.
    #[must_use]
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// Returns the draft of the document's root.
    #[must_use]
    pub const fn draft(&self) -> Draft {
        self.draft
    }

    /// Returns the root schema, with the definitions that are referred to under `$defs`.
    #[must_use]
    pub const fn root(&self) -> &Arc<Value> {
        &self.root
    }

    /// Returns the likely mistakes that were found, at most [`crate::MAX_WARNINGS`].
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Adds a warning, up to the maximum.
    pub fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < crate::MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }

    /// Returns the direct subschemas including definitions, without following references.
    #[must_use]
    pub fn parts<'s>(&'s self, schema: &'s Value) -> Vec<(Applies<'s>, &'s Value)> {
        let mut parts = Vec::new();
        for (name, value) in schema.as_object().into_iter().flatten() {
            let Some(holds) = keyword::holds(name) else {
                continue;
            };
            let applies = applies(name);
            match (holds, value) {
                (Holds::Many, Value::Array(many)) => {
                    parts.extend(many.iter().map(|part| (applies, part)));
                }
                (Holds::Named, Value::Object(named)) => {
                    parts.extend(named.iter().map(|(name, part)| match applies {
                        Applies::Member(_) => (Applies::Member(name.as_str()), part),
                        other => (other, part),
                    }));
                }
                (Holds::One | Holds::OneOrMany, part) => parts.push((applies, part)),
                _ => {}
            }
        }
        parts
    }

    /// Follows references, up to 8, and returns their target; the schema itself if it has none.
    #[must_use]
    pub fn target<'s>(&'s self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..8 {
            let Some(target) = self.reference(schema) else {
                break;
            };
            schema = target;
        }
        schema
    }

    /// Returns the target of a schema's `$ref`. `None`: the schema has no `$ref`.
    #[must_use]
    pub fn reference(&self, schema: &Value) -> Option<&Value> {
        self.resolve(schema.get("$ref")?.as_str()?)
    }

    /// Returns the subschemas that apply to a value or its parts, including the target of a reference.
    #[must_use]
    pub fn applied<'s>(&'s self, schema: &'s Value) -> Vec<(Applies<'s>, &'s Value)> {
        let mut applied = self.parts(schema);
        applied.retain(|(applies, _)| *applies != Applies::Nowhere);
        applied.extend(self.reference(schema).map(|target| (Applies::Here, target)));
        applied
    }

    /// Returns the schema that a reference of the tree leads to.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<&Value> {
        match reference.strip_prefix("#/$defs/") {
            Some(name) => self.root.get("$defs")?.get(name),
            None => (reference == "#").then_some(&self.root),
        }
    }

    /// Returns the JSON Pointer in the caller's document of a schema of the tree, found by identity; empty if it is not there.
    #[must_use]
    pub fn locate(&self, schema: &Value) -> String {
        let definitions = self.root.get("$defs").and_then(Value::as_object);
        let bases = definitions
            .into_iter()
            .flatten()
            .map(|(name, definition)| (name.as_str(), definition))
            .chain([("", &*self.root)]);
        let mut found =
            bases.filter_map(|(name, base)| Some((name, path_to(base, schema, name.is_empty())?)));
        let Some((name, inner)) = found.next() else {
            return String::new();
        };
        let base = self.sources.get(name).map_or("", String::as_str);
        builder::source_of(&self.document, self.draft, base, &inner)
    }
}

/// Returns the path of `part` within `schema` by identity. Definitions are left out at the root.
fn path_to(schema: &Value, part: &Value, is_root: bool) -> Option<String> {
    if std::ptr::eq(schema, part) {
        return Some(String::new());
    }
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !(is_root && *name == "$defs"))
            .find_map(|(name, member)| Some(pointer("", name) + &path_to(member, part, false)?)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| Some(format!("/{index}{}", path_to(item, part, false)?))),
        _ => None,
    }
}

fn applies(keyword: &str) -> Applies<'static> {
    match keyword {
        "anyOf" | "oneOf" => Applies::Either,
        "properties" => Applies::Member(""),
        "patternProperties"
        | "additionalProperties"
        | "unevaluatedProperties"
        | "items"
        | "prefixItems"
        | "unevaluatedItems"
        | "contains" => Applies::Inside,
        "propertyNames" | "contentSchema" | "$defs" => Applies::Nowhere,
        _ => Applies::Here,
    }
}

/// Lets the references to the whole, in a schema of a tree, lead to `to` instead. Returns true if there was one.
pub fn move_root(schema: &mut Value, to: &str) -> bool {
    let mut moved = false;
    for (name, value) in schema.as_object_mut().into_iter().flatten() {
        match (keyword::holds(name), value) {
            (_, Value::String(target)) if name == "$ref" && target == "#" => {
                to.clone_into(target);
                moved = true;
            }
            (Some(Holds::Many), Value::Array(parts)) => {
                for part in parts {
                    moved |= move_root(part, to);
                }
            }
            (Some(Holds::Named), Value::Object(named)) => {
                for part in named.values_mut() {
                    moved |= move_root(part, to);
                }
            }
            (Some(Holds::One | Holds::OneOrMany), part) => moved |= move_root(part, to),
            _ => {}
        }
    }
    moved
}
