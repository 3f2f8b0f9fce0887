//! Reading of a document into a tree: its root, then each target of a reference.

use jsonschema::Draft;
use referencing::{Retrieve, SPECIFICATIONS, Uri, uri};
use serde_json::Value;

use crate::builder::{Builder, Grow, Part, leads_nowhere};
use crate::pointer::Location;
use crate::tree::{Node, NodeId};
use crate::{SchemaDocument, SchemaError, Tree, Warning, pointer};

/// Retriever that fetches nothing.
struct Nothing;

impl Retrieve for Nothing {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not fetched").into())
    }
}

impl Tree {
    /// Reads a document into a tree.
    ///
    /// # Errors
    /// If a reference leads outside the document or nowhere, or the tree has more than 200,000 values.
    pub fn build(document: SchemaDocument) -> Result<Self, SchemaError> {
        Self::build_within(document, &mut |_| true)
    }

    /// Reads a document into a tree as [`Self::build`] does. Parts that references overlap in are written once for each target: before the
    /// tree has more JSON values than the document, `grow` is called with the number that it may have then.
    ///
    /// # Errors
    /// As [`Self::build`]; if `grow` returns false.
    pub fn build_within(
        mut document: SchemaDocument,
        grow: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Self, SchemaError> {
        let warnings = std::mem::take(&mut document.warnings);
        let built = read(&document.value, document.draft, warnings, grow)?;
        document.warnings = built.warnings;
        Ok(Self::new(
            built.nodes,
            built.values,
            built.definitions,
            document,
        ))
    }
}

/// Nodes of a document.
struct Built {
    nodes: Vec<Node>,
    /// Number of JSON values in them.
    values: usize,
    definitions: Vec<(Box<str>, NodeId)>,
    warnings: Vec<Warning>,
}

fn read(
    value: &Value,
    draft: Draft,
    warnings: Vec<Warning>,
    grow: Grow<'_>,
) -> Result<Built, SchemaError> {
    let resource = draft.create_resource_ref(value);
    let base = resource
        .id()
        .map(|id| id.trim_end_matches('#'))
        .unwrap_or_default();
    let base = uri::from_str(base).map_err(|error| {
        SchemaError::new(
            pointer("", draft.id_keyword()),
            format!("is not a URI: {error}"),
        )
    })?;
    let registry = SPECIFICATIONS
        .add(base.as_str(), resource)
        .map(|builder| {
            builder
                .draft(draft)
                .retrieve_known_draft_meta_schemas(false)
        })
        .and_then(|builder| builder.retriever(Nothing).prepare())
        .map_err(|error| unresolved(value, &error))?;
    let resolver = registry.resolver(base.clone());
    let is_dynamic = has_key(value, &["$dynamicRef", "$recursiveRef"]);
    let mut builder = Builder::new(value, is_dynamic, warnings, grow);
    let root = Part {
        schema: value,
        resolver,
        draft,
    };
    builder.normalise(NodeId::ROOT, &root, &Location::new(""))?;
    let mut definitions = Vec::new();
    while let Some(pending) = builder.pending.pop() {
        builder.normalise(pending.id, &pending.part, &Location::new(&pending.source))?;
        definitions.push((pending.name, pending.id));
    }
    Ok(Built {
        nodes: builder.nodes,
        values: builder.values,
        definitions,
        warnings: builder.warnings,
    })
}

fn has_key(value: &Value, keys: &[&str]) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, member)| keys.contains(&name.as_str()) || has_key(member, keys)),
        Value::Array(items) => items.iter().any(|item| has_key(item, keys)),
        _ => false,
    }
}

/// Converts an error of collecting the resources of a document.
fn unresolved(document: &Value, error: &referencing::Error) -> SchemaError {
    let referencing::Error::Unretrievable { uri, .. } = error else {
        return SchemaError::new("", error.to_string());
    };
    match reference_to(document, uri, &Location::new("")) {
        Some((at, text)) => leads_nowhere(&at, &text),
        None => leads_nowhere("", uri),
    }
}

/// Returns the first reference whose target is the resource `uri`.
fn reference_to(value: &Value, uri: &str, at: &Location<'_>) -> Option<(String, String)> {
    match value {
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| {
                let at = at.name(name);
                let text = member.as_str().filter(|_| name == "$ref")?.to_owned();
                let resource = text.split('#').next().unwrap_or_default();
                let is_it =
                    !resource.is_empty() && uri.ends_with(resource.trim_start_matches("./"));
                is_it.then(|| (at.render(), text))
            })
            .or_else(|| {
                members
                    .iter()
                    .find_map(|(name, member)| reference_to(member, uri, &at.name(name)))
            }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| reference_to(item, uri, &at.index(index))),
        _ => None,
    }
}
