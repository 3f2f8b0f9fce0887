//! Skeleton of a JSON Schema for a model that is too small to read one: a text of placeholders such as `<name>`, and the object
//! that copies them.
//!
//! For the built-in model only. A placeholder cannot be mistaken for data, and one that comes back is a validation error. Values
//! that the schema itself lists (`enum`, `const`) and booleans stand as they are.
//!
//! A schema may be hostile, so the depth and the number of values are limited. A placeholder may violate keywords such as
//! `type` and `pattern`, since it only shows the shape.

use schema_dialect::{JsonType, NodeRef, Tree};
use serde_json::{Map, Number, Value};

use crate::types::{Content, Example};

/// Maximum number of values in a skeleton; the rest of a large schema is omitted.
const MAX_VALUES: usize = 24;

/// Maximum levels of nesting and references.
const MAX_DEPTH: usize = 8;

/// Maximum length of a word or phrase from a schema, in characters.
const MAX_TEXT_CHARS: usize = 60;

/// Returns the skeleton of a schema. Its text names the properties in a sentence.
pub fn skeleton(tree: &Tree) -> Example {
    let root = tree.root();
    let output = Builder { values: 0 }.value(root, root.title().unwrap_or("value"), 0);
    Example {
        input: Content(sentence_of(&output)),
        output,
    }
}

/// Builder of a skeleton's values.
struct Builder {
    /// Number of values so far.
    values: usize,
}

impl Builder {
    fn value(&mut self, schema: NodeRef<'_>, name: &str, depth: usize) -> Value {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Value::Null;
        }
        if let Some(listed) = listed_value(schema) {
            return listed;
        }
        if let Some(other) = delegate(schema) {
            return self.value(other, name, depth + 1);
        }
        match kind(schema) {
            JsonType::Object => self.object(schema, depth),
            JsonType::Array => self.array(schema, name, depth),
            JsonType::Boolean => Value::Bool(false),
            JsonType::Null => Value::Null,
            // Stands without quotes in the prompt, as a number does. With quotes, fewer answers were right.
            JsonType::Integer | JsonType::Number => {
                Value::Number(Number::from_string_unchecked(placeholder(name)))
            }
            JsonType::String => Value::String(placeholder(name)),
        }
    }

    fn object(&mut self, schema: NodeRef<'_>, depth: usize) -> Value {
        let mut members = Map::new();
        let properties = schema.properties().into_iter();
        for (name, property) in properties.flat_map(schema_dialect::Named::iter) {
            if self.values >= MAX_VALUES {
                break;
            }
            members.insert(name.to_owned(), self.value(property, name, depth + 1));
        }
        Value::Object(members)
    }

    /// Returns two items; those of scalars have names of their own.
    fn array(&mut self, schema: NodeRef<'_>, name: &str, depth: usize) -> Value {
        let item = |letter| match schema.items() {
            Some(items) if kind(items.target()) == JsonType::Object => {
                self.value(items, name, depth + 1)
            }
            Some(items) => self.value(items, &format!("{name} {letter}"), depth + 1),
            None => Value::String(placeholder(&format!("{name} {letter}"))),
        };
        let mut values: Vec<_> = ["A", "B"].map(item).into();
        if values.iter().all(|value| !value.is_object()) {
            values.dedup();
        }
        Value::Array(values)
    }
}

/// Returns a value of `const` or `enum`, if it is a short scalar: the last but one, since a model guesses the first one anyway.
fn listed_value(schema: NodeRef<'_>) -> Option<Value> {
    let values = schema.listed_values()?;
    let listed = values.iter().nth_back(1).or_else(|| values.last())?;
    let is_short = listed.to_string().chars().count() <= MAX_TEXT_CHARS;
    (is_short && !listed.is_array() && !listed.is_object()).then(|| listed.clone())
}

/// Returns the target of the reference, or the first alternative that is not null.
fn delegate(schema: NodeRef<'_>) -> Option<NodeRef<'_>> {
    if let Some(target) = schema.reference() {
        return Some(target);
    }
    if schema.properties().is_some() || !schema.types().is_empty() {
        return None;
    }
    let choices = schema.alternatives().or_else(|| schema.all_of())?;
    choices
        .iter()
        .find(|choice| kind(*choice) != JsonType::Null)
}

/// Returns the first type that is not null. Without `type`, the implied type; without that, a string.
fn kind(schema: NodeRef<'_>) -> JsonType {
    let named = schema.types().iter().copied();
    let is_only_null = schema.types() == [JsonType::Null];
    named
        .clone()
        .find(|kind| *kind != JsonType::Null)
        .or_else(|| is_only_null.then_some(JsonType::Null))
        .or_else(|| schema.implied_type())
        .unwrap_or(JsonType::String)
}

fn placeholder(name: &str) -> String {
    format!("<{}>", label(name))
}

/// Converts `fullName` and `full_name` to "full name".
fn label(name: &str) -> String {
    let mut label = String::new();
    for character in name.chars().take(MAX_TEXT_CHARS) {
        if character.is_uppercase() && label.chars().last().is_some_and(char::is_lowercase) {
            label.push(' ');
        }
        if matches!(character, '_' | '-') {
            label.push(' ');
        } else {
            label.extend(character.to_lowercase());
        }
    }
    label
}

/// Formats the values alone: "<name>, <age>, <occupation>".
fn values_of(value: &Value) -> String {
    match value {
        Value::Object(members) => join(members.values().map(values_of), ", "),
        Value::Array(items) => join(items.iter().map(values_of), " and "),
        scalar => plain(scalar),
    }
}

/// Formats a sentence: "The name is <name>, the age is <age> and the occupation is <occupation>."
fn sentence_of(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<_> = members
                .iter()
                .map(|(name, value)| part(name, value))
                .collect();
            let last = parts.pop().unwrap_or_default();
            let sentence = if parts.is_empty() {
                last
            } else {
                format!("{} and {last}", parts.join(", "))
            };
            format!("T{}.", sentence.strip_prefix('t').unwrap_or(&sentence))
        }
        Value::Array(items) => join(items.iter().map(sentence_of), " "),
        scalar => format!("It is {}.", plain(scalar)),
    }
}

fn part(name: &str, value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let inner = members
                .iter()
                .map(|(name, value)| format!("the {} {}", label(name), values_of(value)));
            format!("the {} has {}", label(name), join(inner, ", "))
        }
        other => format!("the {} is {}", label(name), values_of(other)),
    }
}

fn plain(scalar: &Value) -> String {
    match scalar {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn skeleton_of(schema: &Value) -> Example {
        let compiled = crate::schema::Schema::compile(&schema.to_string()).unwrap();
        compiled.skeleton().clone()
    }

    #[test]
    fn every_value_is_a_placeholder_or_the_schemas_own() {
        let schema = json!({"type": "object", "properties": {
            "fullName": {"type": "string", "examples": ["Ada"]}, "age": {"type": ["integer", "null"], "minimum": 18},
            "born": {"type": "string", "format": "date", "default": "1815-12-10"}, "mood": {"enum": ["happy", "sad"]},
            "kind": {"const": "person"}, "tags": {"type": "array", "items": {"type": "string"}},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}, "paid": {"type": "boolean"}},
            "$defs": {"line": {"type": "object", "properties": {"price": {"type": "number"}}}}});
        let skeleton = skeleton_of(&schema);
        assert_eq!(
            skeleton.output.to_string(),
            r#"{"fullName":"<full name>","age":<age>,"born":"<born>","mood":"happy","kind":"person","#
                .to_owned()
                + r#""tags":["<tags a>","<tags b>"],"lines":[{"price":<price>},{"price":<price>}],"paid":false}"#
        );
        assert_eq!(
            skeleton.input.0,
            "The full name is <full name>, the age is <age>, the born is <born>, the mood is happy, the kind is person, the tags is \
             <tags a> and <tags b>, the lines is <price> and <price> and the paid is no."
        );
    }

    #[test]
    fn a_recursive_or_wide_schema_gives_a_bounded_skeleton() {
        let recursive = json!({"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}}});
        let wide: Map<String, Value> = (0..1000)
            .map(|index| (format!("p{index}"), json!({"type": "string"})))
            .collect();
        for schema in [recursive, json!({"type": "object", "properties": wide})] {
            let skeleton = skeleton_of(&schema);
            assert!(skeleton.output.to_string().len() < 1000, "{skeleton:?}");
        }
    }
}
