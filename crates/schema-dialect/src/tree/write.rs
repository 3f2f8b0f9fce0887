//! Writing of nodes as JSON with the keywords of 2020-12.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::node::{KeywordValue, NodeId};
use super::node_ref::{HeldRef, NodeRef};
use super::nodes::Tree;

/// Reference to the whole schema.
const WHOLE: &str = "#";

/// Node to be written, with the text of references to the whole.
#[derive(Clone, Copy)]
struct Written<'t, 'r> {
    node: NodeRef<'t>,
    root: &'r str,
}

impl Serialize for Written<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = self.node.node();
        if let Some(boolean) = node.boolean {
            return serializer.serialize_bool(boolean);
        }
        let mut members = serializer.serialize_map(Some(node.keywords.len()))?;
        for (keyword, held) in &node.keywords {
            let held = WrittenHeld {
                held: HeldRef::new(self.node.tree(), held),
                root: self.root,
            };
            members.serialize_entry(keyword.name(), &held)?;
        }
        members.end()
    }
}

/// Value of a keyword to be written, with the text of references to the whole.
struct WrittenHeld<'t, 'r> {
    held: HeldRef<'t>,
    root: &'r str,
}

impl Serialize for WrittenHeld<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = |id: &NodeId| Written {
            node: NodeRef::new(self.held.tree, *id),
            root: self.root,
        };
        match self.held.held {
            KeywordValue::Types(types) => match types.single() {
                Some(only) => serializer.serialize_str(only.name()),
                None => serializer.collect_seq(types.as_slice().iter().map(|kind| kind.name())),
            },
            KeywordValue::Reference(NodeId::ROOT) => serializer.serialize_str(self.root),
            KeywordValue::Reference(id) => {
                let name = node(id).node.definition_name();
                serializer.collect_str(&format_args!("#/$defs/{name}"))
            }
            KeywordValue::Node(id) => node(id).serialize(serializer),
            KeywordValue::Nodes(ids) => serializer.collect_seq(ids.iter().map(node)),
            KeywordValue::Named(named) => {
                serializer.collect_map(named.iter().map(|(name, id)| (name, node(id))))
            }
            KeywordValue::Names(names) => serializer.collect_seq(names),
            KeywordValue::Dependent(names) => {
                serializer.collect_map(names.iter().map(|(name, names)| (name, names)))
            }
            KeywordValue::Number(number) => number.serialize(serializer),
            KeywordValue::Text(text) => serializer.serialize_str(text),
            KeywordValue::Flag(flag) => serializer.serialize_bool(*flag),
            KeywordValue::Values(values) => values.serialize(serializer),
            KeywordValue::Value(value) => value.serialize(serializer),
        }
    }
}

impl HeldRef<'_> {
    /// Returns the value as JSON.
    #[must_use]
    pub fn to_json(self) -> Value {
        to_json(&WrittenHeld {
            held: self,
            root: WHOLE,
        })
    }
}

impl NodeRef<'_> {
    /// Returns the schema as JSON without definitions. References to the whole are written as `root`.
    #[must_use]
    pub fn to_json(self, root: &str) -> Value {
        to_json(&Written { node: self, root })
    }
}

impl Tree {
    /// Returns the whole schema as JSON, with the targets of its references under `$defs`. It is written once.
    #[must_use]
    pub fn json(&self) -> &Arc<Value> {
        self.json.get_or_init(|| Arc::new(self.to_json()))
    }

    fn to_json(&self) -> Value {
        let mut root = self.root().to_json(WHOLE);
        let definitions = self.definitions_json(WHOLE);
        if let Some(members) = root.as_object_mut().filter(|_| !definitions.is_empty()) {
            members.insert("$defs".to_owned(), definitions.into());
        }
        root
    }

    /// Returns the targets of references as JSON, by name. References to the whole are written as `root`.
    #[must_use]
    pub fn definitions_json(&self, root: &str) -> Map<String, Value> {
        self.definitions()
            .map(|(name, definition)| (name.to_owned(), definition.to_json(root)))
            .collect()
    }

    /// Returns true if a reference leads to the root.
    #[must_use]
    pub fn refers_to_root(&self) -> bool {
        self.nodes()
            .any(|node| node.reference() == Some(self.root()))
    }
}

/// Converts to JSON. Nodes hold nothing that JSON cannot express.
fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl Display for HeldRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (held, root) = (*self, WHOLE);
        write_json(&WrittenHeld { held, root }, f)
    }
}

impl Display for NodeRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (node, root) = (*self, WHOLE);
        write_json(&Written { node, root }, f)
    }
}

/// Writes compact JSON, and stops as soon as the formatter takes no more.
fn write_json(value: &impl Serialize, f: &mut Formatter<'_>) -> fmt::Result {
    serde_json::to_writer(Sink(f), value).map_err(|_| fmt::Error)
}

/// Writer into a formatter. serde_json writes whole characters only.
struct Sink<'f, 'b>(&'f mut Formatter<'b>);

impl io::Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
