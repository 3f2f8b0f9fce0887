//! Limits of a schema: size, depth, references, and the work of validation.
//!
//! Eighteen levels of `{"anyOf": [{"$ref": next}, {"$ref": next}]}` fit on a page and take a validator a second, 25 a
//! minute: each level doubles the work. Schemas whose own structure is too expensive are rejected. If the work depends on the
//! instance (recursive schemas), each instance is measured before validation: see `validation_cost`.

use std::collections::{HashMap, HashSet};

use schema_dialect::{Keyword, NodeId, NodeRef, Tree};
use serde_json::Value;

use super::error_messages::invalid;
use super::patterns::Patterns;
use super::validation_cost::growth::Growth;
use super::validation_cost::weight::{Faults, MAX_LINKS, Weight, of_enum};
use crate::types::Error;

/// Maximum JSON nesting of a schema. jsonschema itself overflows a 2 MB stack at 2,000; serde_json stops at 128.
const MAX_DEPTH: usize = 64;
/// Maximum number of JSON values in a schema, including entries of `enum`.
pub const MAX_NODES: usize = 50_000;
/// Maximum length of the JSON Pointers of all parts together, in bytes: jsonschema keeps each, and a long name is in the pointer of
/// everything below it.
const MAX_POINTER_BYTES: usize = 16 << 20;
/// Maximum number of subschemas that apply to one value.
pub const MAX_FAN_OUT: u64 = 10_000;
/// Maximum nesting of references, `allOf` and the like that apply to the same value.
const MAX_CHAIN: u32 = 32;

/// Checks the size of a document, before anything else looks at it. Returns the length of the JSON Pointers of all parts, in bytes.
pub fn check_size(document: &Value) -> Result<usize, Error> {
    let mut size = Size::default();
    size.measure(document, 0, 0)?;
    Ok(size.pointer_bytes)
}

/// Checks a schema against the limits and measures its cost, but for that of its patterns.
pub fn check(tree: &Tree) -> Result<Weight, Error> {
    let mut size = Size::default();
    size.measure(tree.document(), 0, 0)?;
    let mut fan_out = FanOut {
        seen: HashMap::new(),
    };
    let most = fan_out.check_all(tree.root())?;
    Ok(Weight {
        fan_out: most.subschemas,
        growth: most.growth,
        faults: most.faults,
        names: most.names,
        is_open: has_open_cost(tree.root()),
        has_choices: tree.nodes().any(has_choices),
        pointer_bytes: size.longest_pointer_bytes,
        all_pointer_bytes: size.pointer_bytes,
        patterns: Patterns::default(),
    })
}

fn has_choices(schema: NodeRef<'_>) -> bool {
    schema.alternatives().is_some()
}

/// Creates the error about too deep nesting.
pub fn too_deep() -> Error {
    invalid("", &format!("is nested more than {MAX_DEPTH} levels deep"))
}

#[derive(Default)]
struct Size {
    nodes: usize,
    pointer_bytes: usize,
    longest_pointer_bytes: usize,
}

impl Size {
    fn measure(&mut self, value: &Value, depth: usize, pointer_bytes: usize) -> Result<(), Error> {
        self.nodes += 1;
        self.pointer_bytes += pointer_bytes;
        self.longest_pointer_bytes = self.longest_pointer_bytes.max(pointer_bytes);
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        if self.nodes > MAX_NODES {
            return Err(invalid(
                "",
                &format!(
                    "has more than {MAX_NODES} parts; a long `enum` is better checked afterwards"
                ),
            ));
        }
        if self.pointer_bytes > MAX_POINTER_BYTES {
            return Err(invalid(
                "",
                "has names that are too long for what is nested below them",
            ));
        }
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.measure(item, depth + 1, pointer_bytes + 6)),
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                self.measure(member, depth + 1, pointer_bytes + 1 + name.len())
            }),
            _ => Ok(()),
        }
    }
}

/// Counter of the subschemas that apply to one value.
struct FanOut<'s> {
    /// Counts by subschema. `None`: being counted; meeting it again means a reference cycle.
    seen: HashMap<NodeRef<'s>, Option<Counted>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    subschemas: u64,
    /// Their work that grows with the value.
    growth: Growth,
    /// Errors that they can report for one value.
    faults: Faults,
    /// Length of the longest chain among them.
    chain: u32,
    /// Maximum number of subschemas that apply to a member name.
    names: u64,
}

impl<'s> FanOut<'s> {
    /// Returns the maximum over all subschemas.
    fn check_all(&mut self, root: NodeRef<'s>) -> Result<Counted, Error> {
        let (mut todo, mut seen, mut most) = (vec![root], HashSet::new(), Counted::default());
        while let Some(schema) = todo.pop() {
            if !seen.insert(schema) {
                continue;
            }
            let counted = self.count(schema, 0)?;
            most.subschemas = most.subschemas.max(counted.subschemas);
            most.faults = most.faults.max(counted.faults);
            most.growth = most.growth.max(counted.growth);
            if let Some(names) = schema.child(Keyword::PropertyNames) {
                most.names = most.names.max(self.count(names, 0)?.subschemas);
            }
            if counted.subschemas > MAX_FAN_OUT {
                return Err(invalid(
                    &schema.locate(),
                    &format!(
                        "checks one value in more than {MAX_FAN_OUT} ways: nested `anyOf`, `oneOf`, `allOf` or `$ref` multiply"
                    ),
                ));
            }
            let parts = schema.parts().into_iter();
            todo.extend(parts.map(|(_, part)| part));
            todo.extend(schema.reference());
        }
        Ok(most)
    }

    fn count(&mut self, schema: NodeRef<'s>, depth: u32) -> Result<Counted, Error> {
        if let Some(Some(counted)) = self.seen.get(&schema) {
            return Ok(*counted);
        }
        if depth > MAX_CHAIN {
            return Err(too_long_a_chain(schema));
        }
        self.seen.insert(schema, None);
        let mut counted = Counted {
            subschemas: 1 + of_enum(schema),
            growth: Growth::of_schema(schema),
            faults: Faults::of_schema(schema),
            chain: 1,
            names: 0,
        };
        for (_, part) in schema
            .applied()
            .into_iter()
            .filter(|(applies, _)| applies.is_here())
        {
            if self.seen.get(&part) == Some(&None) {
                return Err(ring(schema, part));
            }
            let of_part = self.count(part, depth + 1)?;
            counted.subschemas = counted.subschemas.saturating_add(of_part.subschemas);
            counted.faults = counted.faults.and(of_part.faults);
            counted.growth = counted.growth.and(of_part.growth);
            counted.chain = counted.chain.max(of_part.chain + 1);
        }
        if counted.chain > MAX_CHAIN {
            return Err(too_long_a_chain(schema));
        }
        self.seen.insert(schema, Some(counted));
        Ok(counted)
    }
}

/// Creates the error about a reference cycle from `schema` to `part`.
fn ring(schema: NodeRef<'_>, part: NodeRef<'_>) -> Error {
    let at = if schema.reference() == Some(part) {
        schema.locate_reference()
    } else {
        schema.locate()
    };
    invalid(
        &at,
        "this reference comes back to itself without looking at any part of the value",
    )
}

fn too_long_a_chain(schema: NodeRef<'_>) -> Error {
    let message = format!(
        "leads through more than {MAX_CHAIN} references, `allOf` or their like, one within the other"
    );
    invalid(&schema.locate(), &message)
}

/// Returns true if the work depends on the instance: the schema is recursive, or its parts multiply with depth.
fn has_open_cost(root: NodeRef<'_>) -> bool {
    let mut paths = HashMap::new();
    count_paths(root, &mut paths, 0).is_none_or(|paths| paths > MAX_FAN_OUT)
}

/// Returns the number of paths from `schema` to all parts below it. `None`: infinite, or too deep to count.
fn count_paths(
    schema: NodeRef<'_>,
    seen: &mut HashMap<NodeId, Option<u64>>,
    depth: u32,
) -> Option<u64> {
    if let Some(known) = seen.get(&schema.id()) {
        return *known;
    }
    if depth > MAX_LINKS {
        return None;
    }
    seen.insert(schema.id(), None);
    let mut paths = 1_u64;
    for (_, part) in schema.applied() {
        paths = paths.saturating_add(count_paths(part, seen, depth + 1)?);
    }
    seen.insert(schema.id(), Some(paths));
    Some(paths)
}
