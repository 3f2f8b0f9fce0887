//! Dialects: the restricted JSON Schema of a provider's mode, and schemas lowered to it.

mod shape_match;
mod value_conversion;
mod value_mapping;

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

pub use value_conversion::NullPolicy;
pub use value_mapping::{Extra, Member, TypeSet, ValueMapping, ValueMappings};

use super::spec::Mode;

/// Restricted JSON Schema that one mode of a provider accepts. Each table cites its source.
///
/// A lowered schema never has `allOf`, `oneOf` or `not`, even if the provider accepts them. They are merged, converted to
/// `anyOf`, or described in words.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent columns of a table"
)]
pub struct Dialect {
    /// Name for logs.
    pub name: &'static str,
    /// True if all of JSON Schema is accepted: the schema is sent unchanged.
    pub whole: bool,
    /// Use of the provider's strict flag.
    pub strict: Strictness,
    /// True if the root must be an object and not `anyOf`. Any other root is wrapped in an object with the one member `value`.
    pub object_root: bool,
    /// Accepted validation keywords, beyond those with a field of their own. Other keywords are moved to the description.
    pub keywords: &'static [&'static str],
    /// Accepted values of `format`.
    pub formats: &'static [&'static str],
    /// True if a `pattern` must begin with `^` and end with `$`.
    pub anchored_patterns: bool,
    /// True if limits of a number are accepted for integers only.
    pub integer_limits_only: bool,
    /// Maximum value of `minItems`.
    pub max_min_items: u64,
    /// True if every property must be required: an optional one becomes nullable.
    pub all_required: bool,
    /// Accepted forms of `additionalProperties`.
    pub extra: ExtraRule,
    /// True if an object without properties is accepted.
    pub empty_objects: bool,
    /// True if a subschema without a type is accepted.
    pub any: bool,
    /// Accepted form of null.
    pub null: NullRule,
    /// True if `type` may be a list.
    pub type_lists: bool,
    /// Accepted values of `enum`.
    pub enums: EnumRule,
    /// Accepted uses of `$ref`.
    pub references: ReferenceRule,
    /// True if property names must be 1 to 64 ASCII letters, digits, `_`, `.` and `-`.
    pub plain_names: bool,
    /// Maximum size of a schema.
    pub limits: Limits,
    /// Dialect for an explicitly requested mode if the schema cannot be lowered to this dialect. `None`: the mode is rejected.
    pub otherwise: Option<&'static Self>,
}

/// Use of the provider's strict flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Not set.
    Never,
    /// Always set.
    Always,
    /// Set if all properties are required and no others are allowed, as OpenAI's strict mode requires.
    IfClosed,
}

/// Accepted forms of `additionalProperties`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraRule {
    /// Every object must have `false`.
    False,
    /// The keyword is not accepted.
    Unknown,
    /// `false`, `true` or a schema are accepted.
    Any,
}

/// Accepted form of null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullRule {
    /// The type `null`.
    Type,
    /// `nullable: true` beside another type (OpenAPI 3.0).
    Flag,
}

/// Accepted values of `enum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumRule {
    Any,
    Scalars,
    StringsAndNumbers,
    Strings,
}

/// Accepted uses of `$ref`. In a lowered schema it has no siblings and points into `#/$defs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceRule {
    None,
    Acyclic,
    Recursive,
}

/// Maximum size of a whole schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of nested objects.
    pub levels: usize,
    /// Properties of all objects.
    pub properties: usize,
    /// Values of all enums.
    pub enum_values: usize,
    /// Number of strings in one `enum` above which the second number limits their characters in total.
    pub long_enum: (usize, usize),
    /// Characters of all property names and enum values.
    pub characters: usize,
    /// Optional properties.
    pub optional: usize,
    /// Subschemas with more than one type.
    pub unions: usize,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        levels: usize::MAX,
        properties: usize::MAX,
        enum_values: usize::MAX,
        long_enum: (usize::MAX, usize::MAX),
        characters: usize::MAX,
        optional: usize::MAX,
        unions: usize::MAX,
    };
}

impl Dialect {
    /// All of JSON Schema, for schemas that are only part of the prompt.
    pub const WHOLE: Self = Self {
        name: "whole",
        whole: true,
        strict: Strictness::Never,
        object_root: false,
        keywords: &[],
        formats: &[],
        anchored_patterns: false,
        integer_limits_only: false,
        max_min_items: u64::MAX,
        all_required: false,
        extra: ExtraRule::Any,
        empty_objects: true,
        any: true,
        null: NullRule::Type,
        type_lists: true,
        enums: EnumRule::Any,
        references: ReferenceRule::Recursive,
        plain_names: false,
        limits: Limits::NONE,
        otherwise: None,
    };
    /// All of JSON Schema, for modes whose answer is always an object.
    pub const OBJECT: Self = Self {
        name: "object",
        object_root: true,
        ..Self::WHOLE
    };

    /// Returns true if a validation keyword is accepted.
    #[must_use]
    pub fn supports_keyword(&self, keyword: &str) -> bool {
        self.keywords.contains(&keyword)
    }
}

/// Schema lowered to a dialect, with the mapping of values between the caller's form and the lowered form.
#[derive(Debug)]
pub struct LoweredSchema {
    /// Lowered schema as compact JSON.
    pub raw: Box<RawValue>,
    /// True if the provider's strict flag is set.
    pub strict: bool,
    /// True if the value is wrapped in an object with the one member `value`.
    pub wrapped: bool,
    /// Mapping of values. `None`: the forms differ only by wrapping.
    pub shapes: Option<ValueMappings>,
}

impl LoweredSchema {
    /// Lowers a value: converts the caller's form to the form of the answer.
    #[must_use]
    pub fn lowered(&self, value: &Value) -> Value {
        let value = self
            .shapes
            .as_ref()
            .map_or_else(|| value.clone(), |shapes| shapes.lowered(value));
        if self.wrapped {
            serde_json::json!({"value": value})
        } else {
            value
        }
    }

    /// Lifts a value: converts the form of the answer to the caller's. A part that is not in the lowered form stays unchanged.
    #[must_use]
    pub fn raised(&self, mut value: Value, null: NullPolicy) -> Value {
        // An answer without the wrapper is in the caller's form, where an empty list is no map.
        if self.wrapped {
            match value
                .as_object_mut()
                .filter(|members| members.len() == 1)
                .and_then(|members| members.remove("value"))
            {
                Some(unwrapped) => value = unwrapped,
                None => return value,
            }
        }
        match &self.shapes {
            Some(shapes) => shapes.raised(value, null),
            None => value,
        }
    }

    /// Returns true if [`LoweredSchema::raised`] changes nothing.
    #[must_use]
    pub const fn is_as_it_was(&self) -> bool {
        !self.wrapped && self.shapes.is_none()
    }
}

/// Schema lowered for each mode of a provider.
#[derive(Debug, Clone, Default)]
pub struct LoweredByMode([Option<Arc<LoweredSchema>>; Mode::COUNT]);

impl LoweredByMode {
    /// Returns the lowered schema of a mode. `None`: the schema cannot be lowered for it.
    #[must_use]
    pub fn for_mode(&self, mode: Mode) -> Option<&Arc<LoweredSchema>> {
        self.0.get(mode as usize)?.as_ref()
    }

    /// Sets the lowered schema of a mode.
    pub fn set(&mut self, mode: Mode, lowered: Arc<LoweredSchema>) {
        if let Some(entry) = self.0.get_mut(mode as usize) {
            *entry = Some(lowered);
        }
    }
}
