//! Generator of two few-shot examples for any JSON Schema: synthetic values, and texts that state them.
//!
//! For the built-in model only, which is too small to read a schema or a skeleton of placeholders. A value of theirs that is not in
//! the text is a validation error.
//!
//! The values follow from the properties' names and types. A schema may be hostile, so the depth and the number of values
//! are limited. A value may violate keywords such as `pattern`, since it only shows the shape.

use serde_json::{Map, Number, Value};

use super::implied_type::implied_type;
use crate::types::{Content, Example};

/// Maximum number of values in an example; the rest of a large schema is omitted.
const MAX_VALUES: usize = 24;

/// Maximum levels of nesting and references.
const MAX_DEPTH: usize = 8;

/// Maximum length of a word or phrase from a schema, in characters.
const MAX_TEXT_CHARS: usize = 60;

/// Sample values by property name; the last word of the name decides.
const WORDS: [(&str, [&str; 2]); 27] = [
    ("name", ["Maria Lopez", "Ken Tanaka"]),
    ("person", ["Maria Lopez", "Ken Tanaka"]),
    ("author", ["Maria Lopez", "Ken Tanaka"]),
    ("customer", ["Maria Lopez", "Ken Tanaka"]),
    ("email", ["maria@mail.com", "ken@post.org"]),
    ("phone", ["+1 555 0100", "030 998877"]),
    ("company", ["Nordwind", "Blue Sky Ltd"]),
    ("city", ["Madrid", "Osaka"]),
    ("country", ["Spain", "Japan"]),
    ("address", ["Hill Street 5, Madrid", "Park Road 12, Osaka"]),
    ("occupation", ["history teacher", "taxi driver"]),
    ("job", ["history teacher", "taxi driver"]),
    ("role", ["history teacher", "taxi driver"]),
    ("profession", ["history teacher", "taxi driver"]),
    ("title", ["broken garden door", "two new windows"]),
    ("summary", ["broken garden door", "two new windows"]),
    ("description", ["a broken garden door", "two new windows"]),
    ("subject", ["broken garden door", "two new windows"]),
    ("event", ["Summer Party", "Book Fair"]),
    ("date", ["2023-05-17", "2021-11-02"]),
    ("product", ["garden tables", "lamps"]),
    ("item", ["garden tables", "lamps"]),
    ("dish", ["tomato soup", "apple pie"]),
    ("color", ["red", "blue"]),
    ("language", ["Spanish", "Japanese"]),
    ("ingredient", ["tomatoes", "onions"]),
    ("tag", ["garden", "travel"]),
];

/// Generates two examples.
pub fn example_pair(schema: &Value) -> [Example; 2] {
    let mut first = Inventor {
        root: schema,
        values: 0,
        variant: 0,
    };
    let name = schema
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or("value");
    let one = first.invent(schema, name, 0);
    let two = Inventor {
        root: schema,
        values: 0,
        variant: 1,
    }
    .invent(schema, name, 0);
    [(values_of(&one), one), (sentence_of(&two), two)].map(|(text, output)| Example {
        input: Content(text),
        output,
    })
}

struct Inventor<'schema> {
    root: &'schema Value,
    values: usize,
    variant: usize,
}

impl Inventor<'_> {
    fn invent(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Value::Null;
        }
        if let Some(given) = self.listed_value(schema) {
            return given;
        }
        if let Some(other) = self.delegate(schema) {
            return self.invent(&other, name, depth + 1);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => Value::Number(self.number(schema, name).into()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a made-up number may be rounded"
            )]
            "number" => Number::from_f64(self.number(schema, name) as f64 + 0.5)
                .map_or(Value::Null, Value::Number),
            "boolean" => Value::Bool(self.variant == 0),
            "null" => Value::Null,
            _ => Value::String(self.words(schema, name)),
        }
    }

    /// Returns a value of `const`, `enum` or `examples`, if it is a short scalar.
    fn listed_value(&self, schema: &Value) -> Option<Value> {
        let choice = |values: &Vec<Value>, index: usize| {
            values.get(index.checked_rem(values.len())?).cloned()
        };
        let enumerated = schema.get("enum").and_then(Value::as_array);
        let examples = schema.get("examples").and_then(Value::as_array);
        // From the end: a model guesses the first entry anyway.
        let from_end = |values: &Vec<Value>| {
            choice(values, (2 * values.len()).saturating_sub(1 + self.variant))
        };
        let given = schema
            .get("const")
            .cloned()
            .or_else(|| enumerated.and_then(from_end));
        let given = given.or_else(|| examples.and_then(|values| choice(values, self.variant)));
        given.filter(|value| {
            !value.is_array()
                && !value.is_object()
                && value.to_string().chars().count() <= MAX_TEXT_CHARS
        })
    }

    /// Returns the target of `$ref`, or the first alternative that is not null.
    fn delegate(&self, schema: &Value) -> Option<Value> {
        if let Some(pointer) = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| target.strip_prefix('#'))
        {
            return self.root.pointer(pointer).cloned();
        }
        if schema.get("properties").is_some() || schema.get("type").is_some() {
            return None;
        }
        let choices = ["anyOf", "oneOf", "allOf"]
            .iter()
            .find_map(|keyword| schema.get(keyword)?.as_array());
        choices?
            .iter()
            .find(|choice| kind(choice) != "null")
            .cloned()
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut members = Map::new();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if self.values >= MAX_VALUES {
                break;
            }
            members.insert(name.clone(), self.invent(property, name, depth + 1));
        }
        Value::Object(members)
    }

    /// Generates two different items; a single one for objects in the second example.
    fn array(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let variant = self.variant;
        let variants: &[usize] = if kind(items) == "object" && variant == 1 {
            &[1]
        } else {
            &[0, 1]
        };
        let mut values = Vec::new();
        for variant in variants {
            self.variant = *variant;
            values.push(self.invent(items, name, depth + 1));
        }
        self.variant = variant;
        values.dedup();
        Value::Array(values)
    }

    fn number(&self, schema: &Value, name: &str) -> i64 {
        let usual = match last_word(name).as_str() {
            "age" | "old" => [34, 47],
            "year" => [2019, 1987],
            "quantity" | "count" | "number" => [4, 9],
            _ => [12, 7],
        };
        let number = usual.get(self.variant).copied().unwrap_or(1);
        let bound = |keyword| schema.get(keyword).and_then(Value::as_i64);
        let number = bound("minimum").map_or(number, |least| number.max(least));
        bound("maximum").map_or(number, |most| number.min(most))
    }

    fn words(&self, schema: &Value, name: &str) -> String {
        let format = schema.get("format").and_then(Value::as_str);
        let by_format = match format {
            Some("date") => Some(["2023-05-17", "2021-11-02"]),
            Some("date-time") => Some(["2023-05-17T09:30:00Z", "2021-11-02T18:00:00Z"]),
            Some("time") => Some(["09:30:00Z", "18:00:00Z"]),
            Some("email") => Some(["maria@mail.com", "ken@post.org"]),
            Some("uri") => Some(["https://mail.com/a", "https://post.org/b"]),
            _ => None,
        };
        let word = last_word(name);
        let by_name = || {
            WORDS
                .iter()
                .find(|(known, _)| word == *known || word.strip_suffix('s') == Some(known))
        };
        let known = by_format.or_else(|| by_name().map(|(_, values)| *values));
        match known.and_then(|values| values.get(self.variant).copied()) {
            Some(value) => value.to_owned(),
            None => format!(
                "{} {}",
                if self.variant == 0 { "first" } else { "second" },
                label(name)
            ),
        }
    }
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

fn last_word(name: &str) -> String {
    label(name)
        .split(' ')
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

/// Formats the values alone: "Maria Lopez, 34, history teacher".
fn values_of(value: &Value) -> String {
    match value {
        Value::Object(members) => join(members.values().map(values_of), ", "),
        Value::Array(items) => join(items.iter().map(values_of), " and "),
        scalar => plain(scalar),
    }
}

/// Formats a sentence: "The name is Ken Tanaka, the age is 47 and the occupation is taxi driver."
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
