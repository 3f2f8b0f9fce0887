//! Skeleton of an answer: a text and its answer in placeholders such as `‹name›`, for a model too small to read a schema.
//!
//! No placeholder can be mistaken for data. One that comes back in an answer is a validation error. A schema may be hostile, so
//! depth and number of values are limited.

use schema_dialect::Tree;
use serde_json::Value;

use super::implied_type::implied_type;
use crate::types::Skeleton;

/// Maximum number of values in a skeleton; the rest of a large schema is omitted.
const MAX_VALUES: usize = 24;
/// Maximum levels of nesting and references.
const MAX_DEPTH: usize = 8;
/// Maximum length of a placeholder's label, in characters.
const MAX_LABEL_CHARS: usize = 40;

/// Returns the skeleton of a schema.
pub fn skeleton(tree: &Tree) -> Skeleton {
    let name = tree.root().get("title").and_then(Value::as_str);
    let mut writer = Writer {
        tree,
        values: 0,
        input: Vec::new(),
        output: String::new(),
    };
    writer.value(tree.root(), &label(name.unwrap_or("value")), 0);
    Skeleton {
        input: writer.input.join(", "),
        output: writer.output,
    }
}

/// Returns the first placeholder in a text: a label between `‹` and `›`.
pub fn placeholder(text: &str) -> Option<&str> {
    let start = text.find('‹')?;
    let length = text.get(start..)?.find('›')?;
    let placeholder = text.get(start..start + length + '›'.len_utf8())?;
    (placeholder.chars().count() <= MAX_LABEL_CHARS + 2).then_some(placeholder)
}

struct Writer<'t> {
    tree: &'t Tree,
    values: usize,
    /// Placeholders in the order of the answer.
    input: Vec<String>,
    output: String,
}

impl Writer<'_> {
    fn value(&mut self, schema: &Value, name: &str, depth: usize) {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            self.output.push_str("null");
            return;
        }
        if let Some(constant) = schema
            .get("const")
            .filter(|value| !value.is_object() && !value.is_array())
        {
            self.output.push_str(&constant.to_string());
            return;
        }
        if let Some(inner) = meant(self.tree, schema) {
            return self.value(inner, name, depth + 1);
        }
        match kind(schema) {
            "object" => self.object(schema, name, depth),
            "array" => self.array(schema, name, depth),
            "null" => self.output.push_str("null"),
            "string" => {
                let placeholder = self.placeholder(name);
                self.output.push_str(&Value::from(placeholder).to_string());
            }
            _ => {
                let placeholder = self.placeholder(name);
                self.output.push_str(&placeholder);
            }
        }
    }

    fn placeholder(&mut self, name: &str) -> String {
        let placeholder = format!("‹{name}›");
        self.input.push(placeholder.clone());
        placeholder
    }

    fn object(&mut self, schema: &Value, name: &str, depth: usize) {
        self.output.push('{');
        let properties = schema.get("properties").and_then(Value::as_object);
        // The elements of a list are numbered.
        let number = name
            .rsplit_once(' ')
            .filter(|(_, last)| last.parse::<u8>().is_ok());
        for (index, (property, inner)) in properties.into_iter().flatten().enumerate() {
            if self.values >= MAX_VALUES {
                break;
            }
            if index > 0 {
                self.output.push(',');
            }
            self.output
                .push_str(&Value::from(property.as_str()).to_string());
            self.output.push(':');
            let name = match number {
                Some((_, number)) => format!("{} {number}", label(property)),
                None => label(property),
            };
            self.value(inner, &name, depth + 1);
        }
        self.output.push('}');
    }

    /// Writes two elements, so that the list is not taken for one of a single element.
    fn array(&mut self, schema: &Value, name: &str, depth: usize) {
        self.output.push('[');
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            self.value(items, &format!("{name} 1"), depth + 1);
            self.output.push(',');
            self.value(items, &format!("{name} 2"), depth + 1);
        }
        self.output.push(']');
    }
}

/// Returns the target of a reference, or the first alternative that is not null.
fn meant<'s>(tree: &'s Tree, schema: &'s Value) -> Option<&'s Value> {
    if let Some(target) = tree.reference(schema) {
        return Some(target);
    }
    if schema.get("properties").is_some() || schema.get("type").is_some() {
        return None;
    }
    let choices = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|keyword| schema.get(keyword)?.as_array());
    choices?.iter().find(|choice| kind(choice) != "null")
}

/// Returns the first type that is not null. Without `type`, the implied type; without that, `string`.
fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    };
    named.or_else(|| implied_type(schema)).unwrap_or("string")
}

/// Converts `fullName` and `full_name` to "full name".
fn label(name: &str) -> String {
    let mut label = String::new();
    for character in name.chars().take(MAX_LABEL_CHARS - 4) {
        if character.is_uppercase() && label.chars().last().is_some_and(char::is_lowercase) {
            label.push(' ');
        }
        if matches!(character, '_' | '-' | '‹' | '›') {
            label.push(' ');
        } else {
            label.extend(character.to_lowercase());
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use schema_dialect::SchemaDocument;
    use serde_json::json;

    use super::*;

    fn written(schema: Value) -> (String, String) {
        let tree = SchemaDocument::parse(schema).and_then(Tree::build).unwrap();
        let Skeleton { input, output } = skeleton(&tree);
        (input, output)
    }

    #[test]
    fn every_value_is_a_placeholder() {
        let schema = json!({"type": "object", "properties": {
            "fullName": {"type": "string", "examples": ["Ada"]}, "born": {"type": "string", "format": "date"},
            "kind": {"enum": ["a", "b"]}, "paid": {"type": "boolean"}, "none": {"type": "null"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}
        }, "$defs": {"line": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"unit_price": {"type": "number"}}}]}}});
        let (input, output) = written(schema);
        assert_eq!(
            input,
            "‹full name›, ‹born›, ‹kind›, ‹paid›, ‹unit price 1›, ‹unit price 2›"
        );
        assert_eq!(
            output,
            r#"{"fullName":"‹full name›","born":"‹born›","kind":"‹kind›","paid":‹paid›,"none":null,"lines":[{"unit_price":‹unit price 1›},{"unit_price":‹unit price 2›}]}"#
        );
    }

    #[test]
    fn a_recursive_schema_has_an_end() {
        let schema =
            json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(written(schema).1.len() < 1000);
    }

    #[test]
    fn a_placeholder_is_found() {
        assert_eq!(
            placeholder("born ‹date of birth› in"),
            Some("‹date of birth›")
        );
        assert_eq!(placeholder("5 › 4"), None);
        assert_eq!(placeholder(&format!("‹{}›", "quoted ".repeat(10))), None);
    }
}
