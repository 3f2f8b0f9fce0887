//! Cost parameters of a schema, and the size of an instance, from which the cost of validation is estimated.

use schema_dialect::{Keyword, NodeRef};
use serde_json::Value;

use super::growth::{self, Growth};
use crate::schema::patterns::Patterns;

/// Maximum recursion depth of validation, in subschemas. jsonschema recurses, and takes up to 830 bytes of the stack
/// for each in a build for development; a thread of the runtime has 2 MiB.
pub const MAX_LINKS: u32 = 1000;
/// Memory of a jsonschema error without its pointers, in bytes.
const FAULT_BYTES: u64 = 512;
/// Memory of a JSON value without its text, in bytes.
pub const VALUE_BYTES: u64 = 128;
/// Number of `enum` entries that cost as much as one subschema.
const ENUM_ENTRIES: usize = 16;

/// Cost parameters of a schema.
#[derive(Debug)]
pub struct Weight {
    /// Maximum number of subschemas that apply to one value.
    pub fan_out: u64,
    /// Maximum work on one value that grows with it.
    pub growth: Growth,
    /// Maximum errors of one value.
    pub faults: Faults,
    /// Maximum number of subschemas that apply to a member name.
    pub names: u64,
    /// True if the work depends on the instance, so that each instance has to be measured.
    pub is_open: bool,
    /// True if there are `anyOf` or `oneOf`, whose errors contain those of all branches.
    pub has_choices: bool,
    /// Length of the longest JSON Pointer to a part, in bytes.
    pub pointer_bytes: usize,
    /// Length of the JSON Pointers to all parts together, in bytes. jsonschema keeps each.
    pub all_pointer_bytes: usize,
    /// Costs of the regular expressions.
    pub patterns: Patterns,
}

impl Weight {
    /// Returns the maximum number of evaluations for an instance of so many bytes, if the schema is not open.
    pub const fn of_bytes(&self, bytes: usize) -> u64 {
        let bytes = bytes as u64;
        self.at_most(bytes, bytes, growth::unique_steps_of_bytes(bytes))
    }

    /// Returns the maximum number of evaluations for so many values and bytes of text.
    pub const fn evaluations(&self, values: u64, text_bytes: u64) -> u64 {
        self.at_most(values, text_bytes, growth::unique_steps(values, text_bytes))
    }

    const fn at_most(&self, values: u64, text_bytes: u64, unique_steps: u64) -> u64 {
        // `additionalProperties` and the like match each name once more.
        let matched = (2 * self.patterns.all).saturating_mul(values.saturating_add(text_bytes));
        let each = values
            .saturating_add(matched)
            .saturating_add(growth::of_names(text_bytes));
        let grown = self.growth.at_most(values, text_bytes, unique_steps);
        // Each subschema of an object may apply others to its names.
        let names = self.fan_out.saturating_mul(self.names);
        self.fan_out
            .saturating_mul(each)
            .saturating_mul(1 + self.names)
            .saturating_add(grown.saturating_mul(names.saturating_add(1)))
    }
}

/// Number of possible errors and their memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub count: u64,
    pub bytes: u64,
}

impl Faults {
    /// Returns the errors that a subschema itself can report for one value: one for each keyword and each required name.
    pub fn of_schema(schema: NodeRef<'_>) -> Self {
        if !schema.is_object() {
            return Self {
                count: 1,
                bytes: FAULT_BYTES,
            };
        }
        let dependent = schema.dependent_required().iter();
        let dependent: usize = dependent.map(|(_, names)| names.len()).sum();
        let count = (schema.keyword_count() + schema.required().len() + dependent) as u64;
        // Keywords whose value is copied into an error.
        let repeated = [
            Keyword::Not,
            Keyword::Pattern,
            Keyword::Format,
            Keyword::Required,
            Keyword::ContentEncoding,
            Keyword::ContentMediaType,
            Keyword::DependentRequired,
        ];
        let repeated: u64 = repeated
            .into_iter()
            .filter_map(|keyword| schema.get(keyword))
            .map(|value| Size::measure(&value.to_json()).memory())
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

/// Maximum cost of an instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub evaluations: u64,
    /// Memory of all errors, in bytes.
    pub faults_bytes: u64,
    /// Memory of all errors within `anyOf` or `oneOf`, where each error has a copy of its value, in bytes.
    pub copied_bytes: u64,
    pub links: u32,
}

impl Cost {
    /// Adds the cost of a subschema, which may be one of several alternatives.
    pub fn add(&mut self, inner: Self, is_choice: bool) {
        let reported = if is_choice {
            inner.copied_bytes
        } else {
            inner.faults_bytes
        };
        self.evaluations = self.evaluations.saturating_add(inner.evaluations);
        self.faults_bytes = self.faults_bytes.saturating_add(reported);
        self.copied_bytes = self.copied_bytes.saturating_add(inner.copied_bytes);
        self.links = self.links.max(inner.links + 1);
    }
}

/// Size of an instance.
#[derive(Default)]
pub struct Size {
    /// Number of JSON values.
    pub values: u64,
    /// Length of all strings, names and numbers.
    pub text_bytes: u64,
}

impl Size {
    /// Measures an instance.
    pub fn measure(instance: &Value) -> Self {
        let mut size = Self::default();
        size.add(instance);
        size
    }

    /// Returns the memory of the value, in bytes.
    const fn memory(&self) -> u64 {
        self.values
            .saturating_mul(VALUE_BYTES)
            .saturating_add(self.text_bytes)
    }

    fn add(&mut self, value: &Value) {
        self.values += 1;
        match value {
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Number(number) => self.text_bytes += number.as_str().len() as u64,
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

/// Returns the cost of a schema's `enum`, in evaluations.
pub fn of_enum(schema: NodeRef<'_>) -> u64 {
    schema
        .values(Keyword::Enum)
        .map_or(0, |entries| (entries.len() / ENUM_ENTRIES) as u64)
}
