//! What it costs to hold one instance against a schema: evaluations, faults that could be found, and depth of recursion.

mod count;

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::document::Document;
use super::patterns::Patterns;
use count::Count;

/// Evaluations of a subschema for one instance: seconds of work at the most.
const MAX_EVALUATIONS: u64 = 5_000_000;
/// Subschemas one within the other while an instance is validated. jsonschema recurses, and takes up to 830 bytes of the stack
/// for each in a build for development; a thread of the runtime has 2 MiB.
pub const MAX_LINKS: u32 = 1000;
/// What all the faults of an instance may take while they are collected, in bytes.
const MAX_FAULTS_BYTES: u64 = 64 << 20;
/// What jsonschema takes for a fault, beside its pointers into schema and instance.
const FAULT_BYTES: u64 = 512;
/// What a value takes, beside its text.
const VALUE_BYTES: u64 = 128;
/// Entries of an `enum` that cost as much as one subschema.
const ENUM_ENTRIES: usize = 16;

/// What validating against a schema can cost.
#[derive(Debug)]
pub struct Weight {
    /// The most subschemas that look at one value.
    pub fan_out: u64,
    /// The most that can be wrong with one value.
    pub faults: Faults,
    /// The most subschemas that look at the name of a member.
    pub names: u64,
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
        self.evaluations(bytes as u64, bytes as u64)
    }

    const fn evaluations(&self, values: u64, text_bytes: u64) -> u64 {
        // A name is matched once more for `additionalProperties` or its like.
        let matched = (2 * self.patterns.all).saturating_mul(values.saturating_add(text_bytes));
        self.fan_out
            .saturating_mul(values.saturating_add(matched))
            .saturating_mul(1 + self.names)
    }
}

/// What can be wrong, and what that takes while it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub count: u64,
    pub bytes: u64,
}

impl Faults {
    /// What `schema` itself can find wrong with one value: something for each keyword, and each name that is required.
    pub fn of(schema: &Value) -> Self {
        let Some(keywords) = schema.as_object() else {
            return Self {
                count: 1,
                bytes: FAULT_BYTES,
            };
        };
        let listed = |list: &Value| list.as_array().map_or(0, Vec::len);
        let required = keywords.get("required").map_or(0, listed);
        let dependent = ["dependentRequired", "dependencies"]
            .into_iter()
            .filter_map(|keyword| keywords.get(keyword)?.as_object());
        let dependent: usize = dependent.flat_map(Map::values).map(listed).sum();
        let count = (keywords.len() + required + dependent) as u64;
        // What a fault repeats of the schema.
        let repeated = [
            "not",
            "pattern",
            "format",
            "required",
            "contentEncoding",
            "contentMediaType",
            "dependentRequired",
            "dependencies",
        ];
        let repeated: u64 = repeated
            .iter()
            .filter_map(|keyword| keywords.get(*keyword))
            .map(|value| Size::of(value).memory())
            .sum();
        Self {
            count,
            bytes: count * FAULT_BYTES + repeated,
        }
    }

    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            bytes: self.bytes.max(other.bytes),
        }
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What an instance costs, at the most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    evaluations: u64,
    /// What all the faults take.
    faults_bytes: u64,
    /// The same within an `anyOf` or `oneOf`, where each fault has a copy of the value that it is about.
    copied_bytes: u64,
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
        if !self.weight.is_open && self.evaluations_at_most() <= MAX_EVALUATIONS {
            return true;
        }
        self.counted()
            .is_some_and(|cost| cost.evaluations <= MAX_EVALUATIONS)
    }

    /// Whether all that is wrong can be collected, which jsonschema does before it tells the first.
    pub fn is_explicable(&self) -> bool {
        !self.weight.is_open
            && !self.weight.has_choices
            && self.faults_bytes_at_most() <= MAX_FAULTS_BYTES
            || self
                .counted()
                .is_some_and(|cost| cost.faults_bytes <= MAX_FAULTS_BYTES)
    }

    /// Quickly, and far too much for most.
    fn evaluations_at_most(&self) -> u64 {
        let size = Size::of(self.instance);
        self.weight.evaluations(size.values, size.text_bytes)
    }

    fn faults_bytes_at_most(&self) -> u64 {
        let Faults { count, bytes } = self.weight.faults;
        let of_a_value = bytes.saturating_add(count.saturating_mul(self.pointer_bytes()));
        // What can be wrong with a value can be wrong with a name, by as many subschemas.
        of_a_value
            .saturating_mul(Size::of(self.instance).values)
            .saturating_mul(1 + self.weight.names)
    }

    /// The pointers of a fault.
    fn pointer_bytes(&self) -> u64 {
        (self.weight.pointer_bytes + longest_pointer(self.instance)) as u64
    }

    /// Each pair of subschema and value. `None`: there are too many to be counted, or they are nested too deeply.
    fn counted(&self) -> Option<Cost> {
        let document = Document::new(self.schema, self.draft);
        let mut count = Count::new(&document, &self.weight.patterns, self.pointer_bytes());
        count
            .of(self.schema, self.instance, 0)
            .filter(|cost| cost.links <= MAX_LINKS)
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

    /// What it takes as a value.
    const fn memory(&self) -> u64 {
        self.values
            .saturating_mul(VALUE_BYTES)
            .saturating_add(self.text_bytes)
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
        Value::Array(items) => items
            .iter()
            .map(longest_pointer)
            .max()
            .map_or(0, |longest| longest + 8),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| 1 + name.len() + longest_pointer(member))
            .max()
            .unwrap_or_default(),
        _ => 0,
    }
}

/// What the entries of an `enum` cost.
pub fn of_enum(schema: &Value) -> u64 {
    schema
        .get("enum")
        .and_then(Value::as_array)
        .map_or(0, |entries| (entries.len() / ENUM_ENTRIES) as u64)
}
