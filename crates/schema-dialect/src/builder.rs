//! References of a document: gives each target of a reference a name under `$defs`, and lists the targets still to be read.

use std::collections::HashMap;

use jsonschema::Draft;
use percent_encoding::percent_decode_str;
use referencing::Resolver;
use serde_json::Value;

use crate::pointer::Location;
use crate::tree::{Node, NodeId, Origin};
use crate::{SchemaError, Warning, pointer};

/// Maximum number of JSON values in a tree. Parts that references overlap in are written once for each target.
const MAX_NODES: usize = 200_000;
/// Maximum length of a definition's name, in bytes.
const MAX_NAME_BYTES: usize = 50;

/// Schema of a document with what its references mean.
#[derive(Clone)]
pub struct Part<'r> {
    pub schema: &'r Value,
    pub resolver: Resolver<'r>,
    pub draft: Draft,
}

/// Identity of a reference's target: its place, and the dynamic scope if that can change its meaning.
type Target = (*const Value, String);

/// Target of a reference that has a name and waits for its turn.
pub struct Pending<'r> {
    pub name: Box<str>,
    /// Node that is reserved for the target.
    pub id: NodeId,
    pub part: Part<'r>,
    /// JSON Pointer of the target in the caller's document.
    pub source: String,
}

/// State of building a tree.
pub struct Builder<'r> {
    root: &'r Value,
    /// True if the document has references whose target depends on the path that leads to them.
    is_dynamic: bool,
    /// Nodes of the targets of references, including the root.
    targets: HashMap<Target, NodeId>,
    taken: HashMap<String, usize>,
    pub pending: Vec<Pending<'r>>,
    pub nodes: Vec<Node>,
    /// Number of JSON values in the tree.
    values: usize,
    pub warnings: Vec<Warning>,
}

impl<'r> Builder<'r> {
    /// Creates a builder for a document with these warnings.
    pub fn new(root: &'r Value, is_dynamic: bool, warnings: Vec<Warning>) -> Self {
        Self {
            root,
            is_dynamic,
            targets: HashMap::from([((std::ptr::from_ref(root), String::new()), NodeId::ROOT)]),
            taken: HashMap::new(),
            pending: Vec::new(),
            nodes: vec![Node::new(Origin::Pointer("".into()))],
            values: 0,
            warnings,
        }
    }

    /// Counts values of the tree.
    pub fn count(&mut self, values: usize) -> Result<(), SchemaError> {
        self.values += values;
        if self.values > MAX_NODES {
            return Err(SchemaError::new(
                "",
                format!(
                    "has more than {MAX_NODES} parts once its references are followed; refer to definitions of their own rather than into one another"
                ),
            ));
        }
        Ok(())
    }

    /// Adds a node without keywords.
    pub fn add(&mut self, origin: Origin) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        self.nodes.push(Node::new(origin));
        id
    }

    /// Returns a node that was added.
    #[expect(
        clippy::indexing_slicing,
        reason = "identities are given for nodes only, which are never removed"
    )]
    pub fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// Adds a warning, up to the maximum.
    pub fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < crate::MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }

    /// Returns the node of a reference's target.
    pub fn refer(
        &mut self,
        text: &str,
        at: &Location<'_>,
        target: Result<referencing::Resolved<'r>, referencing::Error>,
    ) -> Result<NodeId, SchemaError> {
        let found = target.map_err(|_| leads_nowhere(&at.render(), text))?;
        let (schema, resolver, draft) = found.into_inner();
        if !(schema.is_object() || schema.is_boolean()) {
            return Err(SchemaError::new(
                at.render(),
                format!("\"{text}\" leads to something that is no schema"),
            ));
        }
        let target = (std::ptr::from_ref(schema), self.scope(&resolver));
        if let Some(known) = self.targets.get(&target) {
            return Ok(*known);
        }
        let source = self.find(schema).unwrap_or_else(|| at.render());
        let id = self.add(Origin::Pointer(source.as_str().into()));
        self.targets.insert(target, id);
        let name = self.free_name(text).into();
        self.pending.push(Pending {
            name,
            id,
            source,
            part: Part {
                schema,
                resolver,
                draft,
            },
        });
        Ok(id)
    }

    /// Returns the dynamic scope as text, each resource once; empty if it cannot matter.
    fn scope(&self, resolver: &Resolver<'r>) -> String {
        if !self.is_dynamic {
            return String::new();
        }
        let mut seen: Vec<String> = Vec::new();
        let scope = resolver.dynamic_scope();
        for uri in scope.iter().map(jsonschema::Uri::as_str) {
            if !seen.iter().any(|known| known == uri) {
                seen.push(uri.to_owned());
            }
        }
        // The last resource is the outermost one, which every path has.
        seen.pop();
        seen.join(" ")
    }

    fn free_name(&mut self, reference: &str) -> String {
        let last = reference.rsplit(['/', '#']).find(|part| !part.is_empty());
        let decoded = percent_decode_str(last.unwrap_or_default()).decode_utf8_lossy();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let mut name: String = decoded
            .chars()
            .map(|c| if allowed(c) { c } else { '_' })
            .take(MAX_NAME_BYTES)
            .collect();
        if name.is_empty() {
            name.push_str("root");
        }
        let base = name.clone();
        let mut number = self.taken.get(&base).copied().unwrap_or_default();
        while self.taken.contains_key(&name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        self.taken.insert(base, number.max(1));
        self.taken.insert(name.clone(), 1);
        name
    }

    /// Returns the JSON Pointer of a part of the document. `None`: it is in a meta-schema.
    fn find(&self, part: &Value) -> Option<String> {
        find(self.root, part)
    }
}

/// Returns the JSON Pointer of `part` within `value`, by identity.
fn find(value: &Value, part: &Value) -> Option<String> {
    if std::ptr::eq(value, part) {
        return Some(String::new());
    }
    match value {
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| Some(pointer("", name) + &find(member, part)?)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| Some(format!("/{index}{}", find(item, part)?))),
        _ => None,
    }
}

/// Returns the error of a reference without a target.
pub fn leads_nowhere(at: &str, text: &str) -> SchemaError {
    SchemaError::new(
        at,
        format!(
            "\"{text}\" leads nowhere within this schema, and nothing is fetched; put what it refers to under `$defs`"
        ),
    )
}
