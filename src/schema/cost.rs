//! What it costs to hold one instance against a schema: evaluations, faults that could be found, and depth of recursion.

use std::collections::HashMap;
use std::rc::Rc;

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::patterns::Patterns;
use super::walk::{Applies, Document};

/// Evaluations of a subschema for one instance: seconds of work at the most.
const MAX_EVALUATIONS: u64 = 5_000_000;
/// Pairs of subschema and value that are counted to find out.
const MAX_PAIRS: usize = 500_000;
/// Subschemas one within the other while an instance is validated. jsonschema recurses, and takes up to 830 bytes of the stack
/// for each in a build for development; a thread of the runtime has 2 MiB.
pub const MAX_LINKS: u32 = 1000;
/// What all the faults of an instance may take while they are collected, in bytes.
const MAX_FAULTS_BYTES: u64 = 64 << 20;
/// What jsonschema takes for a fault, beside its pointers into schema and instance.
const FAULT_BYTES: u64 = 512;
/// Entries of an `enum` that cost as much as one subschema.
const ENUM_ENTRIES: usize = 16;

/// What validating against a schema can cost.
#[derive(Debug)]
pub struct Weight {
    /// The most subschemas that look at one value.
    pub fan_out: u64,
    /// The most that can be wrong with one value.
    pub faults: u64,
    /// The schema refers to itself, or its parts multiply on the way down: each instance has to be measured.
    pub is_open: bool,
    /// There are `anyOf` or `oneOf`, of which a fault tells all branches.
    pub has_choices: bool,
    /// The longest JSON Pointer to a part.
    pub pointer_bytes: usize,
    pub patterns: Patterns,
    /// Regular expressions.
    pub pattern_count: usize,
}

impl Weight {
    /// Evaluations for an instance of this many bytes, if the schema is not open.
    pub const fn of_bytes(&self, bytes: usize) -> u64 {
        self.fan_out.saturating_mul((bytes as u64).saturating_mul(1 + self.patterns.all))
    }
}

/// What an instance costs, at the most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    evaluations: u64,
    faults: u64,
    links: u32,
}

/// An instance held against a schema.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'t> {
    pub weight: &'t Weight,
    pub schema: &'t Value,
    pub draft: Draft,
    pub instance: &'t Value,
}

impl Trial<'_> {
    /// Whether validating stays within what is allowed.
    pub fn is_affordable(&self) -> bool {
        if !self.weight.is_open && self.at_most().evaluations <= MAX_EVALUATIONS {
            return true;
        }
        self.counted().is_some_and(|cost| cost.evaluations <= MAX_EVALUATIONS)
    }

    /// Whether all that is wrong can be collected, which jsonschema does before it tells the first.
    pub fn is_explicable(&self) -> bool {
        let pointers = (self.weight.pointer_bytes + longest_pointer(self.instance)) as u64;
        let fits = |cost: Cost| cost.faults.saturating_mul(FAULT_BYTES + pointers) <= MAX_FAULTS_BYTES;
        !self.weight.is_open && fits(self.at_most()) || self.counted().is_some_and(fits)
    }

    /// Quickly, and far too much for most.
    fn at_most(&self) -> Cost {
        let size = Size::of(self.instance);
        let evaluations = size.values.saturating_add(self.weight.patterns.all.saturating_mul(size.text_bytes + size.values));
        Cost {
            evaluations: self.weight.fan_out.saturating_mul(evaluations),
            // A name may be wrong as the value may.
            faults: self.weight.faults.saturating_mul(2 * size.values),
            // A schema that is not open has no more.
            links: MAX_LINKS,
        }
    }

    /// Each pair of subschema and value. `None`: there are too many to be counted, or they are nested too deeply.
    fn counted(&self) -> Option<Cost> {
        let document = Document::new(self.schema, self.draft);
        let patterns = &self.weight.patterns;
        let mut count =
            Count { document: &document, patterns, parts: HashMap::new(), names: HashMap::new(), seen: HashMap::new() };
        count.of(self.schema, self.instance, 0).filter(|cost| cost.links <= MAX_LINKS)
    }
}

#[derive(Default)]
struct Size {
    values: u64,
    /// Of strings and of names.
    text_bytes: u64,
}

impl Size {
    fn of(instance: &Value) -> Self {
        let mut size = Self::default();
        size.add(instance);
        size
    }

    fn add(&mut self, value: &Value) {
        self.values += 1;
        match value {
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.text_bytes += name.len() as u64;
                    self.add(member);
                }
            }
            _ => {}
        }
    }
}

fn longest_pointer(instance: &Value) -> usize {
    match instance {
        Value::Array(items) => items.iter().map(longest_pointer).max().map_or(0, |longest| longest + 8),
        Value::Object(members) => {
            members.iter().map(|(name, member)| 1 + name.len() + longest_pointer(member)).max().unwrap_or_default()
        }
        _ => 0,
    }
}

/// What the entries of an `enum` cost.
pub fn of_enum(schema: &Value) -> u64 {
    schema.get("enum").and_then(Value::as_array).map_or(0, |entries| (entries.len() / ENUM_ENTRIES) as u64)
}

/// What `schema` itself can find wrong with one value: something for each keyword, and each name that is required.
pub fn faults(schema: &Value) -> u64 {
    let Some(keywords) = schema.as_object() else { return 1 };
    let listed = |list: &Value| list.as_array().map_or(0, Vec::len);
    let required = keywords.get("required").map_or(0, listed);
    let dependent = ["dependentRequired", "dependencies"].into_iter().filter_map(|keyword| keywords.get(keyword)?.as_object());
    let dependent: usize = dependent.flat_map(Map::values).map(listed).sum();
    (keywords.len() + required + dependent) as u64
}

type Place = (*const Value, *const Value);

/// Counts each pair of schema and value once, so that counting is quick where validating would not be.
struct Count<'d, 's> {
    document: &'d Document<'s>,
    patterns: &'d Patterns,
    parts: HashMap<*const Value, Rc<Part<'s>>>,
    names: HashMap<*const Value, OfText>,
    seen: HashMap<Place, Cost>,
}

/// A subschema, as far as it matters here.
struct Part<'s> {
    applied: Vec<(Applies<'s>, &'s Value)>,
    evaluations: u64,
    faults: u64,
    /// For each byte of a string.
    pattern: u64,
    /// For each name of a member, and each byte of it.
    names: OfText,
}

/// What a text costs: as a whole, and for each byte.
#[derive(Debug, Clone, Copy, Default)]
struct OfText {
    evaluations: u64,
    faults: u64,
    for_a_byte: u64,
}

impl OfText {
    fn add(&mut self, other: Self) {
        self.evaluations = self.evaluations.saturating_add(other.evaluations);
        self.faults = self.faults.saturating_add(other.faults);
        self.for_a_byte = self.for_a_byte.saturating_add(other.for_a_byte);
    }
}

impl<'s> Count<'_, 's> {
    fn of(&mut self, schema: &'s Value, instance: &Value, depth: u32) -> Option<Cost> {
        let place = (std::ptr::from_ref(schema), std::ptr::from_ref(instance));
        if let Some(known) = self.seen.get(&place) {
            return Some(*known);
        }
        if self.seen.len() > MAX_PAIRS || depth > MAX_LINKS {
            return None;
        }
        let part = self.part(schema);
        let mut cost = part.alone(instance);
        for (applies, inner) in &part.applied {
            for value in targets(*applies, instance) {
                let of_inner = self.of(inner, value, depth + 1)?;
                cost.evaluations = cost.evaluations.saturating_add(of_inner.evaluations);
                cost.faults = cost.faults.saturating_add(of_inner.faults);
                cost.links = cost.links.max(of_inner.links + 1);
            }
        }
        self.seen.insert(place, cost);
        Some(cost)
    }

    fn part(&mut self, schema: &'s Value) -> Rc<Part<'s>> {
        if let Some(part) = self.parts.get(&std::ptr::from_ref(schema)) {
            return Rc::clone(part);
        }
        let part = Rc::new(Part {
            applied: self.document.applied(schema),
            evaluations: 1 + of_enum(schema),
            faults: faults(schema),
            pattern: self.pattern(schema),
            names: self.of_names(schema),
        });
        self.parts.insert(std::ptr::from_ref(schema), Rc::clone(&part));
        part
    }

    fn pattern(&self, schema: &Value) -> u64 {
        schema.get("pattern").and_then(Value::as_str).map_or(0, |pattern| self.patterns.cost(pattern))
    }

    /// What `schema` asks of each name of an object.
    fn of_names(&mut self, schema: &'s Value) -> OfText {
        let mut cost = OfText::default();
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        for pattern in patterns {
            // Once more by `additionalProperties` or its like.
            cost.add(OfText { evaluations: 2, faults: 0, for_a_byte: 2 * self.patterns.cost(pattern) });
        }
        if let Some(names) = schema.get("propertyNames") {
            cost.add(self.of_text(names));
        }
        cost
    }

    /// What `schema` asks of a text. Recurses through what applies to the very same value, which is no ring and not deep.
    fn of_text(&mut self, schema: &'s Value) -> OfText {
        if let Some(known) = self.names.get(&std::ptr::from_ref(schema)) {
            return *known;
        }
        let mut cost = OfText { evaluations: 1 + of_enum(schema), faults: faults(schema), for_a_byte: self.pattern(schema) };
        for (_, part) in self.document.applied(schema).into_iter().filter(|(applies, _)| *applies == Applies::Here) {
            cost.add(self.of_text(part));
        }
        self.names.insert(std::ptr::from_ref(schema), cost);
        cost
    }
}

impl Part<'_> {
    /// What this subschema costs without those that it holds.
    fn alone(&self, instance: &Value) -> Cost {
        let mut cost = Cost { evaluations: self.evaluations, faults: self.faults, links: 1 };
        match instance {
            Value::String(text) => {
                cost.evaluations = cost.evaluations.saturating_add(self.pattern.saturating_mul(text.len() as u64));
            }
            Value::Object(members) => {
                let (count, bytes) = (members.len() as u64, members.keys().map(|name| name.len() as u64).sum());
                let names = self.names.evaluations.saturating_mul(count);
                let text = self.names.for_a_byte.saturating_mul(bytes);
                cost.evaluations = cost.evaluations.saturating_add(names).saturating_add(text);
                cost.faults = cost.faults.saturating_add(self.names.faults.saturating_mul(count));
            }
            _ => {}
        }
        cost
    }
}

fn targets<'v>(applies: Applies<'_>, instance: &'v Value) -> Vec<&'v Value> {
    match (applies, instance) {
        (Applies::Here, value) => vec![value],
        (Applies::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Applies::Inside, Value::Object(members)) => members.values().collect(),
        (Applies::Inside, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    }
}
