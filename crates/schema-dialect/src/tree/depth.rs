//! Nesting of a schema as JSON.

use serde_json::Value;

use super::node::{KeywordValue, NodeId};
use super::nodes::Tree;

/// Nesting of the members of `$defs`, within the schema and the map.
const DEFINITION_DEPTH: usize = 3;

impl Tree {
    /// Returns the number of levels of the schema as JSON, to be checked before it is written: writing recurses over them. `true`
    /// and `{}` have one level, `{"type": "string"}` has two. Does not recurse.
    #[must_use]
    pub fn json_depth(&self) -> usize {
        let definitions = self.definitions.iter().map(|id| (*id, DEFINITION_DEPTH));
        let mut open: Vec<_> = definitions.chain([(NodeId::ROOT, 1)]).collect();
        let mut deepest = 0;
        while let Some((id, depth)) = open.pop() {
            deepest = deepest.max(depth);
            for (_, held) in &self.node(id).keywords {
                match held {
                    KeywordValue::Node(part) => open.push((*part, depth + 1)),
                    KeywordValue::Nodes(parts) => {
                        deepest = deepest.max(depth + 1);
                        open.extend(parts.iter().map(|part| (*part, depth + 2)));
                    }
                    KeywordValue::Named(parts) => {
                        deepest = deepest.max(depth + 1);
                        open.extend(parts.values().map(|part| (*part, depth + 2)));
                    }
                    other => deepest = deepest.max(depth + levels(other)),
                }
            }
        }
        deepest
    }
}

/// Returns the number of levels of a value that is no schema.
fn levels(held: &KeywordValue) -> usize {
    match held {
        KeywordValue::Types(types) if types.single().is_none() => 2,
        KeywordValue::Names(names) => 1 + usize::from(!names.is_empty()),
        KeywordValue::Dependent(lists) if lists.is_empty() => 1,
        KeywordValue::Dependent(lists) => {
            2 + usize::from(lists.iter().any(|(_, names)| !names.is_empty()))
        }
        KeywordValue::Values(values) => 1 + deepest(values.iter()),
        KeywordValue::Value(value) => deepest([&**value].into_iter()),
        _ => 1,
    }
}

/// Returns the number of levels of the deepest of some values. Does not recurse.
fn deepest<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    let mut open: Vec<_> = values.map(|value| (value, 1)).collect();
    let mut deepest = 0;
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            _ => {}
        }
    }
    deepest
}
