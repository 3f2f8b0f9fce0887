//! References of a document: gives each target of a reference a name under `$defs`, and lists the targets still to be read.

use std::collections::HashMap;

use jsonschema::Draft;
use percent_encoding::percent_decode_str;
use referencing::Resolver;
use serde_json::Value;

use crate::pointer::{Location, push};
use crate::tree::{Node, NodeId, Origin};
use crate::{SchemaError, Warning};

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

/// Function that lets a tree have this many JSON values in all, or refuses it.
pub type Grow<'g> = &'g mut dyn FnMut(usize) -> bool;

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
    /// Places of the document's parts, collected when the first one is looked up.
    places: Option<Places<'r>>,
    /// True if the document has references whose target depends on the path that leads to them.
    is_dynamic: bool,
    /// Nodes of the targets of references, including the root.
    targets: HashMap<Target, NodeId>,
    taken: HashMap<String, usize>,
    pub pending: Vec<Pending<'r>>,
    pub nodes: Vec<Node>,
    /// Number of JSON values in the tree.
    pub values: usize,
    /// Number of JSON values that the tree may have before it asks again.
    granted: usize,
    grow: Grow<'r>,
    pub warnings: Vec<Warning>,
}

impl<'r> Builder<'r> {
    /// Creates a builder for a document with these warnings. A tree with more values than the document asks `grow`.
    pub fn new(root: &'r Value, is_dynamic: bool, warnings: Vec<Warning>, grow: Grow<'r>) -> Self {
        Self {
            root,
            places: None,
            is_dynamic,
            targets: HashMap::from([((std::ptr::from_ref(root), String::new()), NodeId::ROOT)]),
            taken: HashMap::new(),
            pending: Vec::new(),
            nodes: vec![Node::new(Origin::Pointer("".into()))],
            values: 0,
            granted: size(root),
            grow,
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
        if self.values > self.granted {
            self.granted = (2 * self.values).min(MAX_NODES);
            if !(self.grow)(self.granted) {
                return Err(SchemaError::new("", "there is no room for its parts"));
            }
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
    fn find(&mut self, part: &Value) -> Option<String> {
        let places = self.places.get_or_insert_with(|| {
            let mut places = Places::new();
            collect_places(self.root, None, &mut places);
            places
        });
        pointer_to(part, places)
    }
}

/// Returns the number of JSON values in a value.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// Objects, arrays and booleans of a document, by their address: what is around each, and its token there.
type Places<'r> = HashMap<*const Value, Option<(&'r Value, Token<'r>)>>;

/// Name or index of a value in what is around it.
#[derive(Clone, Copy)]
enum Token<'r> {
    Name(&'r str),
    Index(usize),
}

/// Collects the places of everything that a reference may lead to. Recursion is as deep as the document, which the caller limits.
fn collect_places<'r>(
    value: &'r Value,
    around: Option<(&'r Value, Token<'r>)>,
    places: &mut Places<'r>,
) {
    if matches!(value, Value::String(_) | Value::Number(_) | Value::Null) {
        return;
    }
    places.insert(value, around);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect_places(member, Some((value, Token::Name(name))), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_places(item, Some((value, Token::Index(index))), places);
            }
        }
        _ => {}
    }
}

/// Returns the JSON Pointer of a part whose place was collected.
fn pointer_to(part: &Value, places: &Places<'_>) -> Option<String> {
    let mut tokens = Vec::new();
    let mut place = places.get(&std::ptr::from_ref(part))?;
    while let Some((around, token)) = place {
        tokens.push(*token);
        place = places.get(&std::ptr::from_ref(*around))?;
    }
    let mut pointer = String::new();
    for token in tokens.into_iter().rev() {
        match token {
            Token::Name(name) => push(&mut pointer, name),
            Token::Index(index) => push(&mut pointer, &index.to_string()),
        }
    }
    Some(pointer)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_places_of_a_document_are_collected_once() {
        let document = json!({"a/b": [{"type": "null"}, true], "c": {"d": {}}});
        let mut grow = |_| true;
        let mut builder = Builder::new(&document, false, Vec::new(), &mut grow);
        for pointer in ["", "/a~1b", "/a~1b/0", "/a~1b/1", "/c/d"] {
            let part = document.pointer(pointer).unwrap();
            assert_eq!(builder.find(part).as_deref(), Some(pointer));
            // The text is nothing that a reference may lead to.
            assert_eq!(builder.places.as_ref().map(HashMap::len), Some(6));
        }
        assert_eq!(builder.find(&json!({})), None);
    }
}
