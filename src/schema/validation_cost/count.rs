//! Exact cost of an instance, over all pairs of subschema and value.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use super::weight::{Cost, Faults, MAX_LINKS, VALUE_BYTES, of_enum};
use crate::schema::patterns::Patterns;
use schema_dialect::{Applies, Keyword, Named, NodeRef};

/// Maximum number of counted pairs of subschema and value.
const MAX_PAIRS: usize = 500_000;

type Place<'s> = (NodeRef<'s>, *const Value);

/// Counter with memoization: each pair is counted once, so counting is fast where validation is not.
pub struct Count<'s> {
    patterns: &'s Patterns,
    pointer_bytes: u64,
    parts: HashMap<NodeRef<'s>, Rc<Part<'s>>>,
    names: HashMap<NodeRef<'s>, OfText>,
    /// Memory of the instance's arrays and objects, in bytes.
    sizes: HashMap<*const Value, u64>,
    seen: HashMap<Place<'s>, Cost>,
}

/// Cost parameters of a subschema.
struct Part<'s> {
    applied: Vec<(Applies<'s>, NodeRef<'s>)>,
    evaluations: u64,
    faults: Faults,
    /// Evaluations for each byte of a string.
    pattern: u64,
    /// Cost of each member name.
    names: OfText,
}

/// Cost of a text: fixed and for each byte.
#[derive(Debug, Clone, Copy, Default)]
struct OfText {
    evaluations: u64,
    faults: Faults,
    for_a_byte: u64,
}

impl OfText {
    fn add(&mut self, other: Self) {
        self.evaluations = self.evaluations.saturating_add(other.evaluations);
        self.faults = self.faults.and(other.faults);
        self.for_a_byte = self.for_a_byte.saturating_add(other.for_a_byte);
    }
}

impl<'s> Count<'s> {
    /// Creates a counter. `pointer_bytes` is the length of an error's pointers.
    pub fn new(patterns: &'s Patterns, pointer_bytes: u64) -> Self {
        let (parts, names, sizes, seen) = (
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
        );
        Self {
            patterns,
            pointer_bytes,
            parts,
            names,
            sizes,
            seen,
        }
    }

    /// Returns the cost of validating `instance`. `None`: too many pairs or too deeply nested.
    pub fn cost_of(&mut self, schema: NodeRef<'s>, instance: &Value, depth: u32) -> Option<Cost> {
        let place = (schema, std::ptr::from_ref(instance));
        if let Some(known) = self.seen.get(&place) {
            return Some(*known);
        }
        if self.seen.len() > MAX_PAIRS || depth > MAX_LINKS {
            return None;
        }
        let part = self.part(schema);
        let mut cost = self.alone(&part, instance);
        for (applies, inner) in &part.applied {
            for value in targets(*applies, instance) {
                let of_inner = self.cost_of(*inner, value, depth + 1)?;
                let reported = if *applies == Applies::Either {
                    of_inner.copied_bytes
                } else {
                    of_inner.faults_bytes
                };
                cost.evaluations = cost.evaluations.saturating_add(of_inner.evaluations);
                cost.faults_bytes = cost.faults_bytes.saturating_add(reported);
                cost.copied_bytes = cost.copied_bytes.saturating_add(of_inner.copied_bytes);
                cost.links = cost.links.max(of_inner.links + 1);
            }
        }
        self.seen.insert(place, cost);
        Some(cost)
    }

    /// Returns the cost of a subschema without its own subschemas.
    fn alone(&mut self, part: &Part<'_>, instance: &Value) -> Cost {
        let (mut evaluations, mut faults) = (part.evaluations, part.faults);
        match instance {
            Value::String(text) => {
                evaluations =
                    evaluations.saturating_add(part.pattern.saturating_mul(text.len() as u64));
            }
            Value::Object(members) => {
                let (count, bytes): (u64, u64) = (
                    members.len() as u64,
                    members.keys().map(|name| name.len() as u64).sum(),
                );
                let names = part.names.evaluations.saturating_mul(count);
                evaluations = evaluations
                    .saturating_add(names)
                    .saturating_add(part.names.for_a_byte.saturating_mul(bytes));
                let OfText {
                    faults:
                        Faults {
                            count: each,
                            bytes: taken,
                        },
                    ..
                } = part.names;
                // Each error about a name has a copy of the name.
                let taken = taken
                    .saturating_mul(count)
                    .saturating_add(each.saturating_mul(bytes));
                faults = faults.and(Faults {
                    count: each.saturating_mul(count),
                    bytes: taken,
                });
            }
            _ => {}
        }
        let faults_bytes = faults
            .bytes
            .saturating_add(faults.count.saturating_mul(self.pointer_bytes));
        let copied_bytes =
            faults_bytes.saturating_add(faults.count.saturating_mul(self.memory(instance)));
        Cost {
            evaluations,
            faults_bytes,
            copied_bytes,
            links: 1,
        }
    }

    /// Returns the memory of a value, memoized for arrays and objects. Recursion is as deep as the instance.
    fn memory(&mut self, value: &Value) -> u64 {
        match value {
            Value::Array(_) | Value::Object(_) => {}
            Value::String(text) => return VALUE_BYTES + text.len() as u64,
            _ => return VALUE_BYTES,
        }
        if let Some(known) = self.sizes.get(&std::ptr::from_ref(value)) {
            return *known;
        }
        let inner: u64 = match value {
            Value::Array(items) => items.iter().map(|item| self.memory(item)).sum(),
            Value::Object(members) => members
                .iter()
                .map(|(name, member)| name.len() as u64 + self.memory(member))
                .sum(),
            _ => 0,
        };
        self.sizes
            .insert(std::ptr::from_ref(value), VALUE_BYTES + inner);
        VALUE_BYTES + inner
    }

    fn part(&mut self, schema: NodeRef<'s>) -> Rc<Part<'s>> {
        if let Some(part) = self.parts.get(&schema) {
            return Rc::clone(part);
        }
        let part = Rc::new(Part {
            applied: schema.applied(),
            evaluations: 1 + of_enum(schema),
            faults: Faults::of_schema(schema),
            pattern: self.pattern(schema),
            names: self.of_names(schema),
        });
        self.parts.insert(schema, Rc::clone(&part));
        part
    }

    fn pattern(&self, schema: NodeRef<'_>) -> u64 {
        schema
            .pattern()
            .map_or(0, |pattern| self.patterns.cost(pattern))
    }

    /// Returns the cost of a schema for each member name.
    fn of_names(&mut self, schema: NodeRef<'s>) -> OfText {
        let mut cost = OfText::default();
        let patterns = schema.named(Keyword::PatternProperties).into_iter();
        for pattern in patterns.flat_map(Named::names) {
            // `additionalProperties` and the like match once more.
            cost.add(OfText {
                evaluations: 2,
                faults: Faults::default(),
                for_a_byte: 2 * self.patterns.cost(pattern),
            });
        }
        if let Some(names) = schema.child(Keyword::PropertyNames) {
            cost.add(self.of_text(names));
        }
        cost
    }

    /// Returns the cost of a schema for a text. Recurses through subschemas of the same value, which are acyclic and shallow.
    fn of_text(&mut self, schema: NodeRef<'s>) -> OfText {
        if let Some(known) = self.names.get(&schema) {
            return *known;
        }
        let mut cost = OfText {
            evaluations: 1 + of_enum(schema),
            faults: Faults::of_schema(schema),
            for_a_byte: self.pattern(schema),
        };
        for (_, part) in schema
            .applied()
            .into_iter()
            .filter(|(applies, _)| applies.is_here())
        {
            cost.add(self.of_text(part));
        }
        self.names.insert(schema, cost);
        cost
    }
}

fn targets<'v>(applies: Applies<'_>, instance: &'v Value) -> Vec<&'v Value> {
    match (applies, instance) {
        (Applies::Here | Applies::Either, value) => vec![value],
        (Applies::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Applies::Inside, Value::Object(members)) => members.values().collect(),
        (Applies::Inside, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    }
}
