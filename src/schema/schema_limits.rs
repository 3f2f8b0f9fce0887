//! Limits of a schema: size, depth, references, and the work of validation.
//!
//! Eighteen levels of `{"anyOf": [{"$ref": next}, {"$ref": next}]}` fit on a page and take a validator a second, 25 a
//! minute: each level doubles the work. Schemas whose own structure is too expensive are rejected. If the work depends on the
//! instance (recursive schemas), each instance is measured before validation: see `validation_cost`.

use std::collections::{HashMap, HashSet};

use schema_dialect::Tree;
use serde_json::Value;

use super::error_messages::invalid;
use super::patterns::Patterns;
use super::validation_cost::weight::{Faults, MAX_LINKS, Weight, of_enum};
use crate::types::{Error, pointer};

/// Maximum JSON nesting of a schema. jsonschema itself overflows a 2 MB stack at 2,000; serde_json stops at 128.
const MAX_DEPTH: usize = 64;
/// Maximum number of JSON values in a schema, including entries of `enum`.
const MAX_NODES: usize = 50_000;
/// Maximum length of the JSON Pointers of all parts together, in bytes: jsonschema keeps each, and a long name is in the pointer of
/// everything below it.
const MAX_POINTER_BYTES: usize = 16 << 20;
/// Maximum number of subschemas that apply to one value.
pub const MAX_FAN_OUT: u64 = 10_000;
/// Maximum nesting of references, `allOf` and the like that apply to the same value.
const MAX_CHAIN: u32 = 32;

/// Checks the size of a document, before anything else looks at it.
pub fn check_size(document: &Value) -> Result<(), Error> {
    Size::default().measure(document, 0, 0)
}

/// Checks a schema against the limits and measures its cost, but for that of its patterns.
pub fn check(tree: &Tree) -> Result<Weight, Error> {
    let mut size = Size::default();
    size.measure(tree.document(), 0, 0)?;
    let mut fan_out = FanOut {
        tree,
        seen: HashMap::new(),
    };
    let most = fan_out.check_all(tree.root())?;
    Ok(Weight {
        fan_out: most.subschemas,
        faults: most.faults,
        names: most.names,
        is_open: fan_out.has_open_cost(tree.root()),
        has_choices: size.has_choices,
        pointer_bytes: size.longest_pointer_bytes,
        patterns: Patterns::default(),
    })
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
    has_choices: bool,
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
                self.has_choices |= matches!(name.as_str(), "anyOf" | "oneOf");
                self.measure(member, depth + 1, pointer_bytes + 1 + name.len())
            }),
            _ => Ok(()),
        }
    }
}

/// Counter of the subschemas that apply to one value.
struct FanOut<'s> {
    tree: &'s Tree,
    /// Counts by subschema. `None`: being counted; meeting it again means a reference cycle.
    seen: HashMap<*const Value, Option<Counted>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    subschemas: u64,
    /// Errors that they can report for one value.
    faults: Faults,
    /// Length of the longest chain among them.
    chain: u32,
    /// Maximum number of subschemas that apply to a member name.
    names: u64,
}

impl<'s> FanOut<'s> {
    /// Returns the maximum over all subschemas.
    fn check_all(&mut self, root: &'s Value) -> Result<Counted, Error> {
        let (mut todo, mut seen, mut most) = (vec![root], HashSet::new(), Counted::default());
        while let Some(schema) = todo.pop() {
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            let counted = self.count(schema, 0)?;
            most.subschemas = most.subschemas.max(counted.subschemas);
            most.faults = most.faults.max(counted.faults);
            if let Some(names) = schema.get("propertyNames") {
                most.names = most.names.max(self.count(names, 0)?.subschemas);
            }
            if counted.subschemas > MAX_FAN_OUT {
                return Err(invalid(
                    &self.tree.locate(schema),
                    &format!(
                        "checks one value in more than {MAX_FAN_OUT} ways: nested `anyOf`, `oneOf`, `allOf` or `$ref` multiply"
                    ),
                ));
            }
            let parts = self.tree.parts(schema).into_iter();
            todo.extend(parts.map(|(_, part)| part));
            todo.extend(self.tree.reference(schema));
        }
        Ok(most)
    }

    fn count(&mut self, schema: &'s Value, depth: u32) -> Result<Counted, Error> {
        if let Some(Some(counted)) = self.seen.get(&std::ptr::from_ref(schema)) {
            return Ok(*counted);
        }
        if depth > MAX_CHAIN {
            return Err(self.too_long_a_chain(schema));
        }
        self.seen.insert(std::ptr::from_ref(schema), None);
        let mut counted = Counted {
            subschemas: 1 + of_enum(schema),
            faults: Faults::of_schema(schema),
            chain: 1,
            names: 0,
        };
        for (_, part) in self
            .tree
            .applied(schema)
            .into_iter()
            .filter(|(applies, _)| applies.is_here())
        {
            if self.seen.get(&std::ptr::from_ref(part)) == Some(&None) {
                return Err(self.ring(schema, part));
            }
            let of_part = self.count(part, depth + 1)?;
            counted.subschemas = counted.subschemas.saturating_add(of_part.subschemas);
            counted.faults = counted.faults.and(of_part.faults);
            counted.chain = counted.chain.max(of_part.chain + 1);
        }
        if counted.chain > MAX_CHAIN {
            return Err(self.too_long_a_chain(schema));
        }
        self.seen.insert(std::ptr::from_ref(schema), Some(counted));
        Ok(counted)
    }

    /// Creates the error about a reference cycle from `schema` to `part`.
    fn ring(&self, schema: &'s Value, part: &'s Value) -> Error {
        let is_reference = self
            .tree
            .reference(schema)
            .is_some_and(|target| std::ptr::eq(target, part));
        let at = self.tree.locate(schema);
        let keywords = ["$ref", "$dynamicRef", "$recursiveRef"].into_iter();
        let source = self.tree.document().pointer(&at);
        let keyword = keywords
            .filter(|_| is_reference)
            .find(|keyword| source.is_some_and(|source| source.get(keyword).is_some()));
        let at = keyword.map_or(at.clone(), |keyword| pointer(&at, keyword));
        invalid(
            &at,
            "this reference comes back to itself without looking at any part of the value",
        )
    }

    fn too_long_a_chain(&self, schema: &Value) -> Error {
        let message = format!(
            "leads through more than {MAX_CHAIN} references, `allOf` or their like, one within the other"
        );
        invalid(&self.tree.locate(schema), &message)
    }

    /// Returns true if the work depends on the instance: the schema is recursive, or its parts multiply with depth.
    fn has_open_cost(&self, root: &'s Value) -> bool {
        let mut paths = HashMap::new();
        self.paths(root, &mut paths, 0)
            .is_none_or(|paths| paths > MAX_FAN_OUT)
    }

    /// Returns the number of paths from `schema` to all parts below it. `None`: infinite, or too deep to count.
    fn paths(
        &self,
        schema: &'s Value,
        seen: &mut HashMap<*const Value, Option<u64>>,
        depth: u32,
    ) -> Option<u64> {
        if let Some(known) = seen.get(&std::ptr::from_ref(schema)) {
            return *known;
        }
        if depth > MAX_LINKS {
            return None;
        }
        seen.insert(std::ptr::from_ref(schema), None);
        let mut paths = 1_u64;
        for (_, part) in self.tree.applied(schema) {
            paths = paths.saturating_add(self.paths(part, seen, depth + 1)?);
        }
        seen.insert(std::ptr::from_ref(schema), Some(paths));
        Some(paths)
    }
}
