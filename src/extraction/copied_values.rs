//! Values that a model copied from its prompt instead of the text: from few-shot examples, or placeholders of a skeleton.
//!
//! A value of an example that stands in the example's text, but not in the text at hand, was not extracted. Values that a schema
//! lists and booleans are judgements and may repeat.

use serde_json::Value;

use crate::schema::Schema;
use crate::types::{Example, FieldError, pointer};

/// Maximum number of errors reported.
const MAX_ERRORS: usize = 20;
/// Shortest value of an example that is searched for, in characters: shorter ones recur by chance.
const MIN_CHARS: usize = 2;

/// Values of few-shot examples that stand in the texts of their examples, computed once for a request.
#[derive(Debug, Default)]
pub struct ExampleValues(Vec<String>);

impl ExampleValues {
    /// Collects the values of examples.
    pub fn new(examples: &[Example]) -> Self {
        let values = examples.iter().flat_map(|example| {
            let input = normalised(&example.input.0);
            let mut values = leaves(&example.output);
            values.retain(|value| value.chars().count() >= MIN_CHARS && occurs(&input, value));
            values
        });
        Self(values.collect())
    }

    /// Returns true if no value can have been copied.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error for each value of `data` that comes from an example and not from `text`, at most 20.
    pub fn copied(&self, schema: &Schema, data: &Value, text: &str) -> Vec<FieldError> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut search = Search {
            schema,
            text: normalised(text),
            known: &self.0,
            errors: Vec::new(),
        };
        search.value(data, "");
        search.errors
    }
}

struct Search<'a> {
    schema: &'a Schema,
    text: String,
    known: &'a [String],
    errors: Vec<FieldError>,
}

impl Search<'_> {
    fn value(&mut self, value: &Value, at: &str) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.value(member, &pointer(at, name));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &format!("{at}/{index}"));
                }
            }
            leaf => {
                if let Some(message) = self.leaf(leaf, at) {
                    self.errors.push(FieldError {
                        pointer: at.to_owned(),
                        message,
                    });
                }
            }
        }
    }

    fn leaf(&self, leaf: &Value, at: &str) -> Option<String> {
        let written = written(leaf)?;
        let is_known = |known: &String| {
            *known == written || is_placeholder(known) && written.contains(known.as_str())
        };
        let is_copied = self.known.iter().any(is_known)
            && !occurs(&self.text, &written)
            && !self.schema.lists_values_at(at);
        is_copied.then(|| {
            format!(
                "{} comes from the prompt, not from this text; give the value that this text states",
                crate::types::truncate_for_display(&leaf.to_string())
            )
        })
    }
}

/// Returns true for a placeholder such as `<name>`, which is no value within another text either.
fn is_placeholder(known: &str) -> bool {
    known.starts_with('<') && known.ends_with('>')
}

/// Returns the strings and numbers in a value, normalised.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members.values().flat_map(leaves).collect(),
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        leaf => written(leaf).into_iter().collect(),
    }
}

/// Returns a string or number as it is compared. `None`: another value.
fn written(leaf: &Value) -> Option<String> {
    match leaf {
        Value::String(text) => Some(normalised(text)),
        Value::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").unwrap_or(&text).to_owned())
        }
        _ => None,
    }
}

/// Returns a text in lower case, with single spaces.
fn normalised(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Returns true if a value stands in a text, both normalised: as it is, or by its groups of digits, as a date or a number may be
/// written in another form.
fn occurs(text: &str, value: &str) -> bool {
    if contains_word(text, value) {
        return true;
    }
    let is_number_like = value.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && value
            .chars()
            .all(|c| c.is_ascii_digit() || "-.:tz+/ ".contains(c));
    if !is_number_like {
        return false;
    }
    // 1234.5 may be written 1,234.50; 2026-07-05 may be July 5, 2026.
    let joined: String = text
        .chars()
        .filter(|c| !matches!(c, ',' | '\'' | '\u{a0}'))
        .collect();
    if contains_word(&joined, value) {
        return true;
    }
    let groups: Vec<&str> = value
        .split(|c: char| !c.is_ascii_digit())
        .map(|group| group.trim_start_matches('0'))
        .filter(|group| !group.is_empty())
        .collect();
    let is_date = groups.len() >= 3;
    is_date
        && [groups.first(), groups.get(2)]
            .into_iter()
            .flatten()
            .all(|group| has_number(text, group))
}

fn has_number(text: &str, number: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .any(|group| group.trim_start_matches('0') == number)
}

/// Returns true if a value stands in a text as whole words.
fn contains_word(text: &str, value: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let has_ends = |at: usize| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text
            .get(at + value.len()..)
            .and_then(|text| text.chars().next());
        let starts_word = is_part(value.chars().next());
        let ends_word = is_part(value.chars().next_back());
        let is_inside = starts_word && is_part(before) || ends_word && is_part(after);
        !is_inside
    };
    !value.is_empty() && text.match_indices(value).any(|(at, _)| has_ends(at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Content;

    fn errors(text: &str, data: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "age": {"type": ["integer", "null"]}, "due": {"type": "string"},
            "mood": {"enum": ["happy", "sad"]}, "tone": {"type": "string"}}});
        let schema = Schema::compile(&schema.to_string()).unwrap();
        let examples = [Example {
            input: Content("Ada, 36, was happy until 2026-07-21".to_owned()),
            output: json!({"name": "Ada", "age": 36, "due": "2026-07-21", "mood": "happy", "tone": "formal"}),
        }];
        let errors = ExampleValues::new(&examples).copied(&schema, data, text);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn a_placeholder_is_no_value() {
        let schema = Schema::compile(
            r#"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}"#,
        )
        .unwrap();
        let values = ExampleValues::new(std::slice::from_ref(schema.skeleton()));
        let pointers = |text: &str, data: &Value| -> Vec<String> {
            let errors = values.copied(&schema, data, text);
            errors.into_iter().map(|error| error.pointer).collect()
        };
        for name in ["<name>", "<Name>", "Dr <name>", "<age>"] {
            assert_eq!(
                pointers("Ada, 36", &json!({"name": name, "age": 36})),
                ["/name"]
            );
        }
        assert_eq!(
            pointers("Ada, 36", &json!({"name": "Ada", "age": 36})),
            [""; 0]
        );
        assert_eq!(
            pointers("Write <name> here", &json!({"name": "<name>"})),
            [""; 0]
        );
    }

    #[test]
    fn a_value_of_an_example_is_no_value_of_another_text() {
        let data = json!({"name": "Ada", "age": 36, "due": "2026-07-21", "mood": "happy", "tone": "formal"});
        assert_eq!(errors("Grace is here", &data), ["/name", "/age", "/due"]);
        assert_eq!(
            errors("ADA turned 36; it is due on July 21, 2026.", &data),
            [""; 0]
        );
        assert_eq!(
            errors("Adaline, 136", &json!({"name": "Ada", "age": 36})),
            ["/name", "/age"]
        );
    }
}
