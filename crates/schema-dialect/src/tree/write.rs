//! Writing of nodes as JSON with the keywords of 2020-12.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::edit::{Edit, Unedited};
use super::keyword::Keyword;
use super::node::{KeywordValue, NodeId};
use super::node_ref::{HeldRef, NodeRef};
use super::nodes::Tree;

/// Reference to the whole schema.
const WHOLE: &str = "#";

/// Manner of writing: the text of references to the whole, and the changes.
#[derive(Clone, Copy)]
struct Style<'s> {
    root: &'s str,
    edit: &'s dyn Edit,
}

impl<'s> Style<'s> {
    /// Creates the manner without changes.
    const fn unedited(root: &'s str) -> Self {
        Self {
            root,
            edit: &Unedited,
        }
    }
}

/// Node to be written.
#[derive(Clone, Copy)]
struct Written<'t, 's> {
    node: NodeRef<'t>,
    style: Style<'s>,
    /// True if definitions are written with the node.
    is_whole: bool,
}

impl<'t, 's> Written<'t, 's> {
    /// Creates the writing of a node without definitions.
    const fn part(node: NodeRef<'t>, style: Style<'s>) -> Self {
        Self {
            node,
            style,
            is_whole: false,
        }
    }
}

impl Serialize for Written<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { node, style, .. } = *self;
        if let Some(boolean) = node.as_bool() {
            return serializer.serialize_bool(boolean);
        }
        let tree = node.tree();
        let is_closed = !node.has(Keyword::AdditionalProperties) && style.edit.closes(node);
        let has_definitions = self.is_whole && !tree.definitions.is_empty();
        let count = node.keyword_count() + usize::from(is_closed) + usize::from(has_definitions);
        let mut members = serializer.serialize_map(Some(count))?;
        for (keyword, held) in &node.node().keywords {
            let held = WrittenHeld {
                held: HeldRef::new(tree, held),
                style,
                properties_of: (*keyword == Keyword::Properties).then_some(node),
            };
            members.serialize_entry(keyword.name(), &held)?;
        }
        if is_closed {
            members.serialize_entry(Keyword::AdditionalProperties.name(), &false)?;
        }
        if has_definitions {
            members.serialize_entry("$defs", &Definitions { tree, style })?;
        }
        members.end()
    }
}

/// Targets of references to be written, by name.
struct Definitions<'t, 's> {
    tree: &'t Tree,
    style: Style<'s>,
}

impl Serialize for Definitions<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let definitions = self.tree.definitions();
        serializer
            .collect_map(definitions.map(|(name, node)| (name, Written::part(node, self.style))))
    }
}

/// Value of a keyword to be written.
struct WrittenHeld<'t, 's> {
    held: HeldRef<'t>,
    style: Style<'s>,
    /// Schema of which the value is `properties`.
    properties_of: Option<NodeRef<'t>>,
}

impl<'t, 's> WrittenHeld<'t, 's> {
    /// Creates the writing of a value by itself, without changes.
    const fn alone(held: HeldRef<'t>) -> WrittenHeld<'t, 's> {
        WrittenHeld {
            held,
            style: Style::unedited(WHOLE),
            properties_of: None,
        }
    }

    fn is_left_out(&self, name: &str) -> bool {
        self.properties_of
            .is_some_and(|schema| self.style.edit.leaves_out(schema, name))
    }
}

impl Serialize for WrittenHeld<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = |id: &NodeId| Written::part(NodeRef::new(self.held.tree, *id), self.style);
        match self.held.held {
            KeywordValue::Types(types) => match types.single() {
                Some(only) => serializer.serialize_str(only.name()),
                None => serializer.collect_seq(types.as_slice().iter().map(|kind| kind.name())),
            },
            KeywordValue::Reference(NodeId::ROOT) => serializer.serialize_str(self.style.root),
            KeywordValue::Reference(id) => {
                let name = node(id).node.definition_name();
                serializer.collect_str(&format_args!("#/$defs/{name}"))
            }
            KeywordValue::Node(id) => node(id).serialize(serializer),
            KeywordValue::Nodes(ids) => serializer.collect_seq(ids.iter().map(node)),
            KeywordValue::Named(named) => {
                let kept = named.iter().filter(|(name, _)| !self.is_left_out(name));
                serializer.collect_map(kept.map(|(name, id)| (name, node(id))))
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
        to_json(&WrittenHeld::alone(self))
    }
}

impl NodeRef<'_> {
    /// Returns the schema as JSON without definitions. References to the whole are written as `root`.
    #[must_use]
    pub fn to_json(self, root: &str) -> Value {
        to_json(&Written::part(self, Style::unedited(root)))
    }
}

impl Tree {
    /// Returns the whole schema as JSON, with the targets of its references under `$defs`. It is written once.
    #[must_use]
    pub fn json(&self) -> &Arc<Value> {
        self.json
            .get_or_init(|| Arc::new(to_json(&self.edited(&Unedited))))
    }

    /// Returns the whole schema to be serialised as by [`Self::json`], with the changes of `edit`. Serialising recurses: check
    /// [`Self::json_depth`] first if nothing else bounds it.
    pub fn edited<'w>(&'w self, edit: &'w dyn Edit) -> impl Serialize + use<'w> {
        Written {
            node: self.root(),
            style: Style { root: WHOLE, edit },
            is_whole: true,
        }
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
        write_json(&WrittenHeld::alone(*self), f)
    }
}

impl Display for NodeRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_json(&Written::part(*self, Style::unedited(WHOLE)), f)
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
