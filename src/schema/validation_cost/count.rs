//! Exact cost of an instance, over all pairs of subschema and value.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::growth::{self, Growth};
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
    /// Steps that finding equal elements takes in the instance's arrays.
    unique: HashMap<*const Value, u64>,
    seen: HashMap<Place<'s>, Cost>,
}

/// Cost parameters of a subschema.
struct Part<'s> {
    /// Subschemas of the same value, and true for one of several alternatives.
    here: Vec<(NodeRef<'s>, bool)>,
    /// Subschemas of every member or element.
    inside: Vec<NodeRef<'s>>,
    properties: Option<Named<'s>>,
    evaluations: u64,
    growth: Growth,
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
    growth: Growth,
    faults: Faults,
    for_a_byte: u64,
}

impl OfText {
    fn add(&mut self, other: Self) {
        self.evaluations = self.evaluations.saturating_add(other.evaluations);
        self.growth = self.growth.and(other.growth);
        self.faults = self.faults.and(other.faults);
        self.for_a_byte = self.for_a_byte.saturating_add(other.for_a_byte);
    }
}

impl<'s> Count<'s> {
    /// Creates a counter. `pointer_bytes` is the length of an error's pointers.
    pub fn new(patterns: &'s Patterns, pointer_bytes: u64) -> Self {
        Self {
            patterns,
            pointer_bytes,
            parts: HashMap::new(),
            names: HashMap::new(),
            sizes: HashMap::new(),
            unique: HashMap::new(),
            seen: HashMap::new(),
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
        let mut add = |inner: NodeRef<'s>, value: &Value, is_choice: bool| {
            let of_inner = self.cost_of(inner, value, depth + 1)?;
            cost.add(of_inner, is_choice);
            Some(())
        };
        for (inner, is_choice) in &part.here {
            add(*inner, instance, *is_choice)?;
        }
        match instance {
            Value::Array(items) => {
                for (item, inner) in pairs(items.iter(), &part.inside) {
                    add(inner, item, false)?;
                }
            }
            Value::Object(members) => {
                for (member, inner) in pairs(members.values(), &part.inside) {
                    add(inner, member, false)?;
                }
                for (member, inner) in part.properties_of(members) {
                    add(inner, member, false)?;
                }
            }
            _ => {}
        }
        self.seen.insert(place, cost);
        Some(cost)
    }

    /// Returns the cost of a subschema without its own subschemas.
    fn alone(&mut self, part: &Part<'_>, instance: &Value) -> Cost {
        let (mut evaluations, mut faults) = (part.evaluations, part.faults);
        let mut add = |more: u64| evaluations = evaluations.saturating_add(more);
        match instance {
            Value::String(text) => {
                let bytes = text.len() as u64;
                add(part.pattern.saturating_mul(bytes));
                add(part.growth.of_text(bytes));
            }
            Value::Number(number) => add(part.growth.of_digits(number.as_str().len() as u64)),
            Value::Array(items) if part.growth.is_unique() => {
                let place = std::ptr::from_ref(instance);
                let steps = self.unique.entry(place);
                let steps = steps.or_insert_with(|| growth::steps_of_unique(items));
                add(part.growth.of_unique(*steps));
            }
            Value::Object(members) => {
                let (count, bytes): (u64, u64) = (
                    members.len() as u64,
                    members.keys().map(|name| name.len() as u64).sum(),
                );
                add(growth::of_names(bytes));
                add(part.growth.of_members(count));
                add(part.names.evaluations.saturating_mul(count));
                add(part.names.for_a_byte.saturating_mul(bytes));
                let grown = members.keys().map(|name| name.len() as u64);
                add(grown
                    .map(|bytes| part.names.growth.of_text(bytes))
                    .fold(0, u64::saturating_add));
                let Faults {
                    count: each,
                    bytes: taken,
                } = part.names.faults;
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
        let (mut here, mut inside) = (Vec::new(), Vec::new());
        for (applies, inner) in schema.applied() {
            match applies {
                Applies::Here => here.push((inner, false)),
                Applies::Either => here.push((inner, true)),
                Applies::Inside => inside.push(inner),
                Applies::Member(_) | Applies::Nowhere => {}
            }
        }
        let growth = Growth::of_schema(schema);
        let part = Rc::new(Part {
            here,
            inside,
            properties: schema.properties(),
            evaluations: 1 + of_enum(schema) + growth.of_any(),
            growth,
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
                growth: Growth::default(),
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
        let growth = Growth::of_schema(schema);
        let mut cost = OfText {
            evaluations: 1 + of_enum(schema) + growth.of_any(),
            growth,
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

impl<'s> Part<'s> {
    /// Returns the members that are properties, each with its schema. Goes through the fewer of both: a schema of many properties may
    /// apply to many small objects.
    fn properties_of<'v>(&self, members: &'v Map<String, Value>) -> Vec<(&'v Value, NodeRef<'s>)> {
        let Some(properties) = self.properties else {
            return Vec::new();
        };
        if properties.len() < members.len() {
            let named = properties.iter();
            named
                .filter_map(|(name, inner)| Some((members.get(name)?, inner)))
                .collect()
        } else {
            let named = members.iter();
            named
                .filter_map(|(name, member)| Some((member, properties.get(name)?)))
                .collect()
        }
    }
}

/// Returns each value with each schema; ends at once if there are no values.
fn pairs<'v, 's>(
    values: impl Iterator<Item = &'v Value>,
    schemas: &[NodeRef<'s>],
) -> impl Iterator<Item = (&'v Value, NodeRef<'s>)> {
    values.flat_map(move |value| schemas.iter().map(move |schema| (value, *schema)))
}
