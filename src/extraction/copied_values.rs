//! Values that a model copied from its prompt instead of the text: from few-shot examples, or placeholders of a skeleton.
//!
//! A value of an example that stands in the example's text, but not in the text at hand, was not extracted. Values that a schema
//! lists and booleans are judgements and may repeat.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;

use evidence::Place;
use serde_json::Value;

use crate::schema::Schema;
use crate::types::{Example, FieldError};

/// Maximum number of errors reported.
const MAX_ERRORS: usize = 20;
/// Shortest value of an example that is searched for, in characters: shorter ones recur by chance.
const MIN_CHARS: usize = 2;

/// Maximum number of bytes of a text that are searched for values, the text counted once for each value: 16 MiB, some tens of
/// milliseconds. Values beyond it are not looked for.
const MAX_SEARCHED_BYTES: usize = 16 << 20;
/// Size of a text and number of leaves of an answer, multiplied, from which the search may keep a thread busy.
const SLOW_SEARCH_BYTES: usize = 1 << 20;
/// Fewest bytes of an answer that a leaf takes, with its comma.
const LEAF_BYTES: usize = 2;

/// Values of few-shot examples that stand in the texts of their examples, computed once for a request.
#[derive(Debug, Default)]
pub struct ExampleValues {
    values: HashSet<String>,
    /// Those of `values` that are placeholders.
    placeholders: Vec<String>,
}

impl ExampleValues {
    /// Collects the values of examples.
    pub fn new(examples: &[Example]) -> Self {
        let mut values = HashSet::new();
        for example in examples {
            let text = Text::new(&example.input.0);
            for value in leaves(&example.output) {
                if value.chars().nth(MIN_CHARS - 1).is_some()
                    && !values.contains(&value)
                    && text.states(&value) == Some(true)
                {
                    values.insert(value);
                }
            }
        }
        let placeholders = values.iter().filter(|value| is_placeholder(value));
        Self {
            placeholders: placeholders.cloned().collect(),
            values,
        }
    }

    /// Returns true if no value can have been copied.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns true if looking for copied values may keep a thread busy, with an answer and a text of these sizes in bytes.
    pub fn is_slow_for(&self, answer_bytes: usize, text_bytes: usize) -> bool {
        let searched = text_bytes.saturating_add(self.placeholders.len());
        !self.is_empty() && (answer_bytes / LEAF_BYTES).saturating_mul(searched) > SLOW_SEARCH_BYTES
    }

    /// Returns an error for each value of `data` that comes from an example and not from `text`, at most 20.
    pub fn copied(&self, schema: &Schema, data: &Value, text: &str) -> Vec<FieldError> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut search = Search {
            schema,
            text: Text::new(text),
            known: self,
            errors: Vec::new(),
        };
        search.value(data, &mut Place::root(data));
        search.errors
    }
}

struct Search<'a> {
    schema: &'a Schema,
    text: Text,
    known: &'a ExampleValues,
    errors: Vec<FieldError>,
}

impl Search<'_> {
    fn value(&mut self, value: &Value, at: &mut Place) {
        if self.errors.len() >= MAX_ERRORS || !at.visit() {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let back = at.enter_member(name);
                    self.value(member, at);
                    at.leave(back);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let back = at.enter_element(index);
                    self.value(item, at);
                    at.leave(back);
                }
            }
            leaf => {
                if let Some(message) = self.leaf(leaf, at.pointer()) {
                    self.errors.push(FieldError::new(at.pointer(), message));
                }
            }
        }
    }

    fn leaf(&self, leaf: &Value, at: &str) -> Option<String> {
        let written = written(leaf)?;
        let has_placeholder = || {
            let mut placeholders = self.known.placeholders.iter();
            placeholders
                .any(|known| self.text.take(written.len()) && written.contains(known.as_str()))
        };
        let is_copied = (self.known.values.contains(&written) || has_placeholder())
            && self.text.states(&written) == Some(false)
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

/// Text that values are searched in, normalised.
struct Text {
    normal: String,
    /// The text without the signs that group digits, if it was needed.
    joined: OnceCell<String>,
    /// Its groups of digits without leading zeros, if they were needed.
    numbers: OnceCell<HashSet<String>>,
    /// Number of bytes that are still searched.
    left: Cell<usize>,
}

impl Text {
    fn new(text: &str) -> Self {
        Self {
            normal: normalised(text),
            joined: OnceCell::new(),
            numbers: OnceCell::new(),
            left: Cell::new(MAX_SEARCHED_BYTES),
        }
    }

    /// Takes a search of this many bytes. Returns false if too many were searched before.
    fn take(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Returns true if a normalised value stands in the text: as it is, or by its groups of digits, as a date or a number may be written
    /// in another form. `None` if too much was searched before.
    fn states(&self, value: &str) -> Option<bool> {
        let take = || self.take(self.normal.len() + value.len()).then_some(());
        take()?;
        if contains_word(&self.normal, value) {
            return Some(true);
        }
        let is_number_like = value.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && value
                .chars()
                .all(|c| c.is_ascii_digit() || "-.:tz+/ ".contains(c));
        if !is_number_like {
            return Some(false);
        }
        take()?;
        // 1234.5 may be written 1,234.50; 2026-07-05 may be July 5, 2026.
        let joined = self.joined.get_or_init(|| {
            let is_sign = |c: &char| matches!(c, ',' | '\'' | '\u{a0}');
            self.normal.chars().filter(|c| !is_sign(c)).collect()
        });
        if contains_word(joined, value) {
            return Some(true);
        }
        let groups: Vec<&str> = numbers(value).collect();
        let is_date = groups.len() >= 3;
        let known = || {
            self.numbers
                .get_or_init(|| numbers(&self.normal).map(str::to_owned).collect())
        };
        let ends = [groups.first(), groups.get(2)];
        Some(
            is_date
                && ends
                    .into_iter()
                    .flatten()
                    .all(|group| known().contains(*group)),
        )
    }
}

/// Returns the groups of digits in a text that are no zeros, without leading zeros.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit())
        .map(|group| group.trim_start_matches('0'))
        .filter(|group| !group.is_empty())
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
        errors
            .into_iter()
            .map(|error| error.pointer.into())
            .collect()
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
            errors
                .into_iter()
                .map(|error| error.pointer.into())
                .collect()
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
    fn the_search_is_bounded_and_beyond_it_nothing_is_an_error() {
        let input = "1".repeat(1 << 19);
        let numbers: Vec<u32> = (10..100_000).collect();
        let examples = [Example {
            input: Content(format!("{input} 10")),
            output: json!(numbers),
        }];
        let values = ExampleValues::new(&examples);
        assert!(values.values.contains("10"));
        let text = Text::new(&input);
        let searched = numbers
            .iter()
            .map(|number| text.states(&number.to_string()));
        let searched = searched.take_while(Option::is_some).count();
        assert!((8..=32).contains(&searched), "{searched}");
        let schema = Schema::compile("{}").unwrap();
        let (copied, other) = (json!(["10"]), json!(vec!["11"; 100_000]));
        assert_eq!(values.copied(&schema, &copied, &input).len(), 1);
        assert_eq!(
            values
                .copied(&schema, &json!([other, copied]), &input)
                .len(),
            1
        );
        let known = ExampleValues {
            values: numbers.iter().map(u32::to_string).collect(),
            placeholders: Vec::new(),
        };
        let stated = json!(vec!["1111"; 40]);
        let text = "1111 ".repeat(1 << 17);
        assert_eq!(known.copied(&schema, &json!([stated, copied]), &text), []);
        assert!(known.is_slow_for(4_000, 60_000) && !known.is_slow_for(100, 2_000));
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
