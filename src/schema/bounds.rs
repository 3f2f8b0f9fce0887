//! Keeps a schema from costing more than it should: its size and depth, its references, and the work of validating.
//!
//! Eighteen levels of `{"anyOf": [{"$ref": next}, {"$ref": next}]}` fit on a page and take a validator a second, 25 a
//! minute: each level doubles the work. What can be seen in the schema alone is refused when it comes in; where the work
//! depends on the instance (a schema that refers to itself), each instance is measured before it is validated.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::Value;

use super::invalid;
use super::walk::{Applies, Document};
use crate::model::{Error, pointer};

/// Levels of JSON in a schema. jsonschema itself overflows a 2 MB stack at 2,000; serde_json stops at 128.
const MAX_DEPTH: usize = 64;
/// JSON values in a schema, each entry of an `enum` too.
const MAX_NODES: usize = 50_000;
/// Regular expressions in a schema, which share a few megabytes.
const MAX_PATTERNS: usize = 200;
/// Subschemas that may look at one and the same value.
const MAX_FAN_OUT: u64 = 10_000;
/// References, `allOf` and their like one within the other, before any part of the value is looked at. Validating recurses as
/// deep as this times the depth of the instance, which serde_json keeps to 128.
const MAX_CHAIN: u32 = 32;
/// Evaluations of a subschema for one instance: seconds of work at the most.
const MAX_EVALUATIONS: u64 = 5_000_000;
/// Pairs of subschema and value that are counted to find out.
const MAX_PAIRS: usize = 500_000;
/// Entries of an `enum` that cost as much as one subschema.
const ENUM_ENTRIES: usize = 16;

/// What validating against a schema can cost.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// The most subschemas that look at one value.
    pub fan_out: u64,
    /// The schema refers to itself, or its parts multiply on the way down: each instance has to be measured.
    pub is_open: bool,
    /// Regular expressions.
    pub patterns: usize,
}

/// Checks a schema as it comes in, and weighs it.
pub fn check(schema: &Value, draft: Draft) -> Result<Weight, Error> {
    if !schema.is_object() {
        return Err(invalid("", "a JSON Schema is an object"));
    }
    let mut size = Size::default();
    size.measure(schema, 0)?;
    let document = Document::new(schema, draft);
    check_references(&document, schema, "")?;
    let mut fan_out = FanOut { document: &document, seen: HashMap::new() };
    let most = fan_out.check_all(schema)?;
    Ok(Weight { fan_out: most, is_open: fan_out.has_open_cost(schema), patterns: size.patterns })
}

#[derive(Default)]
struct Size {
    nodes: usize,
    patterns: usize,
}

impl Size {
    fn measure(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(invalid("", &format!("is nested more than {MAX_DEPTH} levels deep")));
        }
        if self.nodes > MAX_NODES {
            return Err(invalid("", &format!("has more than {MAX_NODES} parts; a long `enum` is better checked afterwards")));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.measure(item, depth + 1)),
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                match name.as_str() {
                    "pattern" => self.patterns += 1,
                    "patternProperties" => self.patterns += member.as_object().map_or(0, serde_json::Map::len),
                    _ => {}
                }
                if self.patterns > MAX_PATTERNS {
                    return Err(invalid("", &format!("has more than {MAX_PATTERNS} regular expressions")));
                }
                self.measure(member, depth + 1)
            }),
            _ => Ok(()),
        }
    }
}

/// Every reference leads to a schema within the document.
fn check_references(document: &Document<'_>, schema: &Value, at: &str) -> Result<(), Error> {
    match schema {
        Value::Object(members) => {
            for (keyword, text) in ["$ref", "$dynamicRef"].into_iter().filter_map(|k| Some((k, members.get(k)?.as_str()?))) {
                let resolved = document.references(schema).into_iter().any(|(k, _, target)| k == keyword && target.is_some());
                if !resolved {
                    return Err(invalid(
                        &pointer(at, keyword),
                        &format!(
                            "\"{text}\" leads nowhere within this schema, and nothing is fetched; put what it refers to under `$defs`"
                        ),
                    ));
                }
            }
            members
                .iter()
                .filter(|(name, _)| !holds_data(name))
                .try_for_each(|(name, member)| check_references(document, member, &pointer(at, name)))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_references(document, item, &pointer(at, &index.to_string()))),
        _ => Ok(()),
    }
}

/// Keywords whose value is an instance, in which a `$ref` is nothing but a name.
fn holds_data(keyword: &str) -> bool {
    matches!(keyword, "const" | "enum" | "default" | "examples")
}

/// Counts the subschemas that look at one value.
struct FanOut<'d, 's> {
    document: &'d Document<'s>,
    /// `None` while it is being counted: to meet it then is a ring, and only a reference can lead there.
    seen: HashMap<*const Value, Option<Counted>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    subschemas: u64,
    /// The longest chain among them.
    chain: u32,
}

impl<'s> FanOut<'_, 's> {
    fn check_all(&mut self, root: &'s Value) -> Result<u64, Error> {
        let (mut todo, mut most) = (vec![root], 0);
        while let Some(schema) = todo.pop() {
            let counted = self.count(schema, 0)?;
            most = most.max(counted.subschemas);
            if counted.subschemas > MAX_FAN_OUT {
                return Err(invalid(
                    &self.document.locate(schema),
                    &format!(
                        "checks one value in more than {MAX_FAN_OUT} ways: nested `anyOf`, `oneOf`, `allOf` or `$ref` multiply"
                    ),
                ));
            }
            todo.extend(self.document.parts(schema).into_iter().map(|(_, part)| part));
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
        let mut counted = Counted { subschemas: 1 + enum_cost(schema), chain: 1 };
        for (_, part) in self.document.applied(schema).into_iter().filter(|(applies, _)| *applies == Applies::Here) {
            if self.seen.get(&std::ptr::from_ref(part)) == Some(&None) {
                let message = "this `$ref` comes back to itself without looking at any part of the value";
                return Err(invalid(&pointer(&self.document.locate(schema), "$ref"), message));
            }
            let of_part = self.count(part, depth + 1)?;
            counted.subschemas = counted.subschemas.saturating_add(of_part.subschemas);
            counted.chain = counted.chain.max(of_part.chain + 1);
        }
        if counted.chain > MAX_CHAIN {
            return Err(self.too_long_a_chain(schema));
        }
        self.seen.insert(std::ptr::from_ref(schema), Some(counted));
        Ok(counted)
    }

    fn too_long_a_chain(&self, schema: &Value) -> Error {
        let message = format!("leads through more than {MAX_CHAIN} references, `allOf` or their like, one within the other");
        invalid(&self.document.locate(schema), &message)
    }

    /// Whether some instance could take long: the schema refers to itself, or its parts multiply on the way down.
    fn has_open_cost(&self, root: &'s Value) -> bool {
        let mut paths = HashMap::new();
        self.paths(root, &mut paths, 0).is_none_or(|paths| paths > MAX_FAN_OUT)
    }

    /// How many ways lead from `schema` down to any part; `None`: endlessly many, or too far down to be counted.
    fn paths(&self, schema: &'s Value, seen: &mut HashMap<*const Value, Option<u64>>, depth: u32) -> Option<u64> {
        const MAX_LEVELS: u32 = 1000;
        if let Some(known) = seen.get(&std::ptr::from_ref(schema)) {
            return *known;
        }
        if depth > MAX_LEVELS {
            return None;
        }
        seen.insert(std::ptr::from_ref(schema), None);
        let mut paths = 1_u64;
        for (_, part) in self.document.applied(schema) {
            paths = paths.saturating_add(self.paths(part, seen, depth + 1)?);
        }
        seen.insert(std::ptr::from_ref(schema), Some(paths));
        Some(paths)
    }
}

fn enum_cost(schema: &Value) -> u64 {
    schema.get("enum").and_then(Value::as_array).map_or(0, |entries| (entries.len() / ENUM_ENTRIES) as u64)
}

/// How many values there are in `instance`, itself included.
fn values(instance: &Value) -> u64 {
    match instance {
        Value::Array(items) => 1 + items.iter().map(values).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(values).sum::<u64>(),
        _ => 1,
    }
}

/// Whether validating `instance` stays within [`MAX_EVALUATIONS`].
pub fn is_affordable(weight: Weight, schema: &Value, draft: Draft, instance: &Value) -> bool {
    if !weight.is_open {
        return weight.fan_out.saturating_mul(values(instance)) <= MAX_EVALUATIONS;
    }
    let document = Document::new(schema, draft);
    let mut cost = Cost { document: &document, applied: HashMap::new(), seen: HashMap::new() };
    cost.of(schema, instance).is_some_and(|evaluations| evaluations <= MAX_EVALUATIONS)
}

type Place = (*const Value, *const Value);

/// Counts evaluations, each pair of schema and value once, so that counting is quick where validating would not be.
struct Cost<'d, 's> {
    document: &'d Document<'s>,
    applied: HashMap<*const Value, std::rc::Rc<Vec<(Applies<'s>, &'s Value)>>>,
    seen: HashMap<Place, u64>,
}

impl<'s> Cost<'_, 's> {
    /// `None`: more pairs than evaluations are allowed.
    fn of(&mut self, schema: &'s Value, instance: &Value) -> Option<u64> {
        let place = (std::ptr::from_ref(schema), std::ptr::from_ref(instance));
        if let Some(known) = self.seen.get(&place) {
            return Some(*known);
        }
        if self.seen.len() > MAX_PAIRS {
            return None;
        }
        let applied = self
            .applied
            .entry(std::ptr::from_ref(schema))
            .or_insert_with(|| std::rc::Rc::new(self.document.applied(schema)))
            .clone();
        let mut cost = 1 + enum_cost(schema);
        for (applies, part) in applied.iter() {
            for value in targets(*applies, instance) {
                cost = cost.saturating_add(self.of(part, value)?);
            }
        }
        self.seen.insert(place, cost);
        Some(cost)
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
