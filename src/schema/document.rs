//! Schema document: traversal of subschemas and resolution of references.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::{Map, Value};

use crate::types::pointer;

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
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Here | Self::Either)
    }
}

/// Form of a keyword's value.
#[derive(Clone, Copy)]
enum Holds {
    One,
    /// An array of schemas, or in old drafts a single one.
    Many,
    Named,
}

const KEYWORDS: [(&str, Holds, Applies<'static>); 25] = [
    ("allOf", Holds::Many, Applies::Here),
    ("anyOf", Holds::Many, Applies::Either),
    ("oneOf", Holds::Many, Applies::Either),
    ("not", Holds::One, Applies::Here),
    ("if", Holds::One, Applies::Here),
    ("then", Holds::One, Applies::Here),
    ("else", Holds::One, Applies::Here),
    ("dependentSchemas", Holds::Named, Applies::Here),
    ("dependencies", Holds::Named, Applies::Here),
    ("properties", Holds::Named, Applies::Member("")),
    ("patternProperties", Holds::Named, Applies::Inside),
    ("additionalProperties", Holds::One, Applies::Inside),
    ("unevaluatedProperties", Holds::One, Applies::Inside),
    ("propertyNames", Holds::One, Applies::Nowhere),
    ("items", Holds::Many, Applies::Inside),
    ("prefixItems", Holds::Many, Applies::Inside),
    ("additionalItems", Holds::One, Applies::Inside),
    ("unevaluatedItems", Holds::One, Applies::Inside),
    ("contains", Holds::One, Applies::Inside),
    ("contentSchema", Holds::One, Applies::Nowhere),
    ("$defs", Holds::Named, Applies::Nowhere),
    ("definitions", Holds::Named, Applies::Nowhere),
    ("$ref", Holds::One, Applies::Here),
    ("$dynamicRef", Holds::One, Applies::Here),
    ("$recursiveRef", Holds::One, Applies::Here),
];

/// Returns true if the value of this keyword is an object of schemas by name.
pub fn holds_named_schemas(keyword: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|(known, holds, _)| *known == keyword && matches!(holds, Holds::Named))
}

/// Schema document with an index of its anchors.
#[derive(Debug)]
pub struct Document<'s> {
    root: &'s Value,
    draft: Draft,
    /// `$id` of the root. A schema with references has no other.
    id: Option<&'s str>,
    /// Subschemas by anchor.
    anchors: HashMap<&'s str, &'s Value>,
}

impl<'s> Document<'s> {
    pub fn new(root: &'s Value, draft: Draft) -> Self {
        let id = root
            .get("$id")
            .and_then(Value::as_str)
            .map(|id| id.trim_end_matches('#'));
        let mut document = Self {
            root,
            draft,
            id,
            anchors: HashMap::new(),
        };
        let mut todo = vec![root];
        while let Some(schema) = todo.pop() {
            document
                .anchors
                .extend(document.names(schema).map(|name| (name, schema)));
            todo.extend(document.parts(schema).into_iter().map(|(_, part)| part));
        }
        document
    }

    /// Returns the root schema.
    pub const fn root(&self) -> &'s Value {
        self.root
    }

    /// Returns the draft.
    pub const fn draft(&self) -> Draft {
        self.draft
    }

    /// Returns the anchors that a subschema defines, by the rules of the draft.
    pub fn names(&self, schema: &'s Value) -> impl Iterator<Item = &'s str> + use<'s> {
        let text = |keyword| schema.get(keyword).and_then(Value::as_str);
        let names = match self.draft {
            Draft::Draft7 => [text("$id").and_then(|id| id.strip_prefix('#')), None],
            _ => [text("$anchor"), text("$dynamicAnchor")],
        };
        names.into_iter().flatten()
    }

    /// Returns the direct subschemas including definitions, without following references.
    pub fn parts(&self, schema: &'s Value) -> Vec<(Applies<'s>, &'s Value)> {
        let Some(object) = schema.as_object() else {
            return Vec::new();
        };
        if self.is_bare_reference(object) {
            return Vec::new();
        }
        let mut parts = Vec::new();
        for (keyword, holds, applies) in KEYWORDS {
            let Some(value) = object.get(keyword) else {
                continue;
            };
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
                (Holds::One | Holds::Many, _) => parts.push((applies, value)),
                (Holds::Named, _) => {}
            }
        }
        parts.retain(|(_, part)| part.is_object() || part.is_boolean());
        parts
    }

    /// Follows references, up to 8, and returns their target; the schema itself if it has none.
    pub fn target(&self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..8 {
            let Some((.., Some(target))) = self.references(schema).into_iter().next() else {
                break;
            };
            schema = target;
        }
        schema
    }

    /// Returns the references of a subschema: keyword, text and target. `None`: the reference does not resolve.
    pub fn references(&self, schema: &'s Value) -> Vec<(&'static str, &'s str, Option<&'s Value>)> {
        let mut references = Vec::new();
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(text) = schema.get(keyword).and_then(Value::as_str) {
                references.push((keyword, text, self.resolve(text)));
            }
        }
        references
    }

    /// Returns the subschemas that apply to a value or its parts, including the targets of references.
    pub fn applied(&self, schema: &'s Value) -> Vec<(Applies<'s>, &'s Value)> {
        let mut applied = self.parts(schema);
        applied.retain(|(applies, _)| *applies != Applies::Nowhere);
        applied.extend(
            self.references(schema)
                .into_iter()
                .filter_map(|(.., target)| Some((Applies::Here, target?))),
        );
        applied
    }

    /// Returns the JSON Pointer of a subschema of this document.
    pub fn locate(&self, part: &Value) -> String {
        fn search(value: &Value, part: &Value, at: &str) -> Option<String> {
            if std::ptr::eq(value, part) {
                return Some(at.to_owned());
            }
            match value {
                Value::Object(members) => members
                    .iter()
                    .find_map(|(name, member)| search(member, part, &pointer(at, name))),
                Value::Array(items) => items
                    .iter()
                    .enumerate()
                    .find_map(|(index, item)| search(item, part, &pointer(at, &index.to_string()))),
                _ => None,
            }
        }
        search(self.root, part, "").unwrap_or_default()
    }

    fn resolve(&self, reference: &str) -> Option<&'s Value> {
        let (resource, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !resource.is_empty() && self.id != Some(resource) {
            return None;
        }
        if fragment.is_empty() {
            return Some(self.root);
        }
        let fragment = percent_encoding::percent_decode_str(fragment)
            .decode_utf8()
            .ok()?;
        match fragment.strip_prefix('/') {
            Some(_) => self.root.pointer(&fragment),
            None => self.anchors.get(fragment.as_ref()).copied(),
        }
    }

    /// Returns true for a draft 7 schema with `$ref`, whose other keywords are ignored.
    fn is_bare_reference(&self, object: &Map<String, Value>) -> bool {
        self.draft == Draft::Draft7 && object.contains_key("$ref")
    }
}
