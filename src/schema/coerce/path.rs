//! Locations of repairs, and the words that describe them.

use serde_json::Value;

use crate::types::pointer;

/// A place in the value, as the way down to it.
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
    pub const ROOT: Self = Path {
        parent: None,
        step: Step::Root,
    };
}

impl<'a> Path<'a> {
    pub const fn member(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Member(name),
        }
    }

    pub const fn element(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Element(index),
        }
    }

    /// The name of the member that this is, or is an element of.
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

    /// Says what was done here.
    pub fn note(&self, what: &str) -> String {
        match self.pointer() {
            root if root.is_empty() => format!("the whole value: {what}"),
            at => format!("{at}: {what}"),
        }
    }
}

/// A place further down is told by one above it.
const MAX_POINTER_BYTES: usize = 200;
/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 40;
/// Mends that are told one by one.
const MAX_TOLD: usize = 100;

/// A value in a note.
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

/// The notes, of very many the first and how many more there are.
pub fn told(notes: &[String]) -> Vec<String> {
    let mut told: Vec<_> = notes.iter().take(MAX_TOLD).cloned().collect();
    if notes.len() > MAX_TOLD {
        told.push(format!("and {} more of the kind", notes.len() - MAX_TOLD));
    }
    told
}
