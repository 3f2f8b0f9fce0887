//! Dialects: the restricted JSON Schema of a provider's mode.

use crate::tree::Keyword;

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
    pub keywords: &'static [Keyword],
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
    pub fn supports_keyword(&self, keyword: Keyword) -> bool {
        self.keywords.contains(&keyword)
    }
}
