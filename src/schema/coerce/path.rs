//! Locations of repairs, and the words that describe them.

use serde_json::Value;

use crate::types::pointer;

/// Location of a value within the answer.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl Path<'static> {
    /// Location of the whole answer.
    pub const ROOT: Self = Path {
        parent: None,
        step: Step::Root,
    };
}

impl<'a> Path<'a> {
    /// Returns the location of a member.
    pub const fn member(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Member(name),
        }
    }

    /// Returns the location of an element.
    pub const fn element(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Element(index),
        }
    }

    /// Returns the name of the nearest member: of the value itself, or of the array around it.
    pub fn name(&self) -> &'a str {
        match (self.step, self.parent) {
            (Step::Member(name), _) => name,
            (Step::Element(_), Some(parent)) => parent.name(),
            _ => "",
        }
    }

    fn pointer(&self) -> String {
        let parent = self.parent.map(Path::pointer).unwrap_or_default();
        match self.step {
            _ if parent.len() > MAX_POINTER_BYTES => parent,
            Step::Root => parent,
            Step::Member(name) if name.len() > MAX_POINTER_BYTES => parent,
            Step::Member(name) => pointer(&parent, name),
            Step::Element(index) => format!("{parent}/{index}"),
        }
    }

    /// Describes a repair at this location.
    pub fn note(&self, what: &str) -> String {
        match self.pointer() {
            root if root.is_empty() => format!("the whole value: {what}"),
            at => format!("{at}: {what}"),
        }
    }
}

/// Maximum length of a pointer, in bytes. A longer one is replaced by that of a value above.
const MAX_POINTER_BYTES: usize = 200;
/// Maximum number of characters of a value in a description.
const SHOWN_CHARS: usize = 40;
/// Maximum number of repairs that are described one by one.
const MAX_DESCRIBED: usize = 100;

/// Returns a value as it appears in a description.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().nth(SHOWN_CHARS).is_some() => {
            let start: String = text.chars().take(SHOWN_CHARS).collect();
            Value::String(start + "…").to_string()
        }
        scalar => scalar.to_string(),
    }
}

/// Returns the descriptions; of very many the first ones, and the number of the others.
pub fn summarize(notes: &[String]) -> Vec<String> {
    let mut described: Vec<_> = notes.iter().take(MAX_DESCRIBED).cloned().collect();
    if notes.len() > MAX_DESCRIBED {
        described.push(format!(
            "and {} more of the kind",
            notes.len() - MAX_DESCRIBED
        ));
    }
    described
}
