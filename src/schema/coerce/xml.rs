//! Parsing of an answer in XML: an element for each property, list element or entry of a map. Attributes are not supported.

use schema_dialect::{JsonType, Named, NodeRef};
use serde_json::{Map, Value};

use super::written_value::{parse_scalar, property};

/// Maximum nesting of elements.
const MAX_DEPTH: usize = 64;
/// Maximum length of a name, in bytes.
const MAX_NAME: usize = 64;

/// Element that contains either text or other elements.
struct Element<'t> {
    name: &'t str,
    text: &'t str,
    children: Vec<Element<'t>>,
}

/// Parses the XML elements in `text` as a value of the schema `root`. Text outside the outermost
/// elements is ignored.
pub fn parse(root: NodeRef<'_>, text: &str) -> Option<Value> {
    let elements = elements(text)?;
    let named = root.properties();
    match elements.as_slice() {
        [] => None,
        [only] if named.is_none_or(|properties| properties.get(only.name).is_none()) => {
            (!only.children.is_empty()).then(|| container(root, &only.children))?
        }
        several => container(root, several),
    }
}

/// Parses the outermost elements of a text. `None`: one is not closed, or a bracket is no tag.
fn elements(text: &str) -> Option<Vec<Element<'_>>> {
    let mut open: Vec<(Element<'_>, usize)> = Vec::new();
    let mut outermost = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..)?.find('<').map(|start| at + start) {
        let inside = text.get(start + 1..)?;
        let end = inside
            .bytes()
            .take(MAX_NAME + 2)
            .position(|byte| byte == b'>')?;
        let tag = inside.get(..end)?;
        let behind = start + end + 2;
        let (name, is_closing, is_closed) = match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
            (Some(name), _) => (name, true, true),
            (None, Some(name)) => (name.trim_end(), false, true),
            (None, None) => (tag, false, false),
        };
        let is_name = name.starts_with(char::is_alphabetic)
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
            && open.len() < MAX_DEPTH;
        let before = text.get(at..start)?;
        // Mixed content: text beside elements.
        let is_mixed = open
            .last()
            .is_some_and(|(around, _)| !around.children.is_empty() || !is_closing)
            && !before.trim().is_empty();
        if !is_name || is_mixed {
            return None;
        }
        if !is_closing {
            open.push((
                Element {
                    name,
                    text: "",
                    children: Vec::new(),
                },
                behind,
            ));
        }
        if is_closed {
            let (mut element, from) = open.pop()?;
            if element.name != name {
                return None;
            }
            element.text = text.get(from..start).unwrap_or_default().trim();
            open.last_mut()
                .map_or(&mut outermost, |(around, _)| &mut around.children)
                .push(element);
        }
        at = behind;
    }
    open.is_empty().then_some(outermost)
}

/// Reads one element as a value of a schema.
fn value(schema: NodeRef<'_>, element: &Element<'_>) -> Option<Value> {
    let schema = schema.target();
    if element.children.is_empty() {
        let is_container = element
            .text
            .is_empty()
            .then(|| schema.types().first())
            .flatten();
        return Some(match is_container {
            Some(JsonType::Array) => Value::Array(Vec::new()),
            Some(JsonType::Object) => Value::Object(Map::new()),
            _ => number(schema, element.text)
                .unwrap_or_else(|| parse_scalar(&unescaped(element.text))),
        });
    }
    match schema.alternatives() {
        Some(branches) => branches
            .iter()
            .find_map(|branch| container(branch.target(), &element.children)),
        None => container(schema, &element.children),
    }
}

/// Parses a number, if the alternatives of the schema include numbers and no strings.
fn number(schema: NodeRef<'_>, text: &str) -> Option<Value> {
    let branches = schema.alternatives()?;
    let kinds: Vec<_> = branches
        .iter()
        .map(|branch| branch.types().first())
        .collect();
    let is_closed = kinds
        .iter()
        .all(|kind| kind.is_some_and(|kind| *kind != JsonType::String));
    let is_number = |kind: &JsonType| matches!(kind, JsonType::Integer | JsonType::Number);
    (is_closed && kinds.into_iter().flatten().any(is_number))
        .then(|| serde_json::from_str(text).ok())?
        .map(Value::Number)
}

/// Reads elements as an object or a list of a schema.
fn container(schema: NodeRef<'_>, children: &[Element<'_>]) -> Option<Value> {
    if let Some(properties) = schema.properties() {
        return members(properties, children).map(Value::Object);
    }
    let is_uniform = children
        .iter()
        .zip(children.iter().skip(1))
        .all(|(one, next)| one.name == next.name);
    if let Some(items) = schema.items().filter(|_| is_uniform) {
        return children
            .iter()
            .map(|child| value(items, child))
            .collect::<Option<_>>()
            .map(Value::Array);
    }
    let entries = schema
        .additional_properties()
        .filter(|entries| entries.is_object())?;
    let mut map = Map::new();
    for child in children {
        let (name, element) = match child.children.as_slice() {
            [key, value] if key.name == "key" && value.name == "value" => (key.text, value),
            _ => (child.name, child),
        };
        if map
            .insert(unescaped(name), value(entries, element)?)
            .is_some()
        {
            return None;
        }
    }
    Some(Value::Object(map))
}

/// Reads each element as a property. Several of one name are the elements of a list.
fn members(properties: Named<'_>, children: &[Element<'_>]) -> Option<Map<String, Value>> {
    let mut members = Map::new();
    for child in children {
        let name = property(properties, child.name)?;
        let schema = properties.get(name)?.target();
        let items = schema.items().filter(|_| {
            children
                .iter()
                .filter(|other| other.name == child.name)
                .nth(1)
                .is_some()
        });
        match (items, members.get_mut(name)) {
            (Some(items), Some(Value::Array(list))) => list.push(value(items, child)?),
            (Some(items), None) => {
                let first = value(items, child)?;
                members.insert(name.to_owned(), Value::Array(vec![first]));
            }
            (None, None) => {
                members.insert(name.to_owned(), value(schema, child)?);
            }
            _ => return None,
        }
    }
    Some(members)
}

/// Replaces the predefined entities of XML.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
