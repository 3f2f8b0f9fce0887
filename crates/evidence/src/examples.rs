//! Few-shot examples, from which a model sometimes copies.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tokens::Tokens;

/// Texts and values of few-shot examples.
#[derive(Debug, Default)]
pub struct Examples {
    text: String,
    tokens: Tokens,
}

impl Examples {
    /// Collects the texts of examples and the values that were extracted from them.
    #[must_use]
    pub fn new<'e>(examples: impl IntoIterator<Item = (&'e str, &'e Value)>) -> Self {
        let mut collected = String::new();
        for (text, value) in examples {
            collected.push_str(text);
            collected.push_str("\n\u{0}\n");
            push_leaves(value, 0, &mut collected);
        }
        Self {
            tokens: Tokens::new(&collected),
            text: collected,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the texts and values, separated by lines that hold a null character.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the words of the text.
    pub(crate) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

fn push_leaves(value: &Value, level: usize, collected: &mut String) {
    match value {
        Value::Object(members) if level < 512 => members
            .values()
            .for_each(|member| push_leaves(member, level + 1, collected)),
        Value::Array(items) if level < 512 => items
            .iter()
            .for_each(|item| push_leaves(item, level + 1, collected)),
        Value::String(text) => {
            let _ = writeln!(collected, "{text}\n\u{0}");
        }
        Value::Number(number) => {
            let _ = writeln!(collected, "{number}\n\u{0}");
        }
        _ => {}
    }
}
