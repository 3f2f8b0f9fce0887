//! Leaves of a JSON value, with the objects that they belong to.

use serde_json::Value;

use crate::options::{LeafKind, Options};

/// Levels below which leaves are left out. No JSON reader goes that deep.
const MOST_LEVELS: usize = 512;

/// A value that is neither an object nor an array nor null.
#[derive(Debug)]
pub struct Leaf<'v> {
    pub pointer: String,
    pub value: &'v Value,
    pub kind: LeafKind,
    /// Number of the object around the leaf.
    pub group: u32,
}

/// Leaves of a value in document order.
#[derive(Debug, Default)]
pub struct Leaves<'v> {
    pub leaves: Vec<Leaf<'v>>,
    /// Number of the object around each object.
    pub parents: Vec<u32>,
}

impl<'v> Leaves<'v> {
    pub fn new(value: &'v Value, options: &Options) -> Self {
        let mut leaves = Self {
            leaves: Vec::new(),
            parents: vec![0],
        };
        leaves.walk(value, &mut String::new(), 0, 0, options);
        leaves
    }

    fn walk(
        &mut self,
        value: &'v Value,
        pointer: &mut String,
        group: u32,
        level: usize,
        options: &Options,
    ) {
        if value.is_null() || level > MOST_LEVELS {
            return;
        }
        let kind = options.kind(pointer);
        if kind == LeafKind::Off {
            return;
        }
        let length = pointer.len();
        match value {
            Value::Object(members) => {
                let group = if level == 0 { 0 } else { self.add_group(group) };
                for (name, member) in members {
                    pointer.push('/');
                    push_escaped(name, pointer);
                    self.walk(member, pointer, group, level + 1, options);
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                    self.walk(item, pointer, group, level + 1, options);
                    pointer.truncate(length);
                }
            }
            _ => self.leaves.push(Leaf {
                pointer: pointer.clone(),
                value,
                kind,
                group,
            }),
        }
    }

    fn add_group(&mut self, parent: u32) -> u32 {
        self.parents.push(parent);
        u32::try_from(self.parents.len() - 1).unwrap_or_default()
    }
}

fn push_escaped(name: &str, pointer: &mut String) {
    for c in name.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}
