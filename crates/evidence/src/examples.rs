//! Few-shot examples, from which a model sometimes copies.

use std::fmt::Write as _;

use serde_json::Value;

/// Texts and values of few-shot examples.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    text: String,
}

impl Examples {
    /// Collects the texts of examples and the values that were extracted from them.
    #[must_use]
    pub fn new<'e>(examples: impl IntoIterator<Item = (&'e str, &'e Value)>) -> Self {
        let mut collected = Self::default();
        for (text, value) in examples {
            collected.text.push_str(text);
            collected.text.push_str("\n\u{0}\n");
            collected.push_leaves(value, 0);
        }
        collected
    }

    fn push_leaves(&mut self, value: &Value, level: usize) {
        match value {
            Value::Object(members) if level < 512 => members
                .values()
                .for_each(|member| self.push_leaves(member, level + 1)),
            Value::Array(items) if level < 512 => items
                .iter()
                .for_each(|item| self.push_leaves(item, level + 1)),
            Value::String(text) => {
                let _ = writeln!(self.text, "{text}\n\u{0}");
            }
            Value::Number(number) => {
                let _ = writeln!(self.text, "{number}\n\u{0}");
            }
            _ => {}
        }
    }

    /// Returns the texts and values, separated by lines that hold a null character.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
