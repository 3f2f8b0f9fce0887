//! What of JSON Schema a provider's mode takes, and a schema in that form.

mod value_mapping;

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

pub use value_mapping::{Extra, Member, NullPolicy, TypeSet, ValueMapping, ValueMappings};

use super::Mode;

/// What one mode of a provider takes of JSON Schema. A table, with its source where it stands.
///
/// What is asked in the terms of a subset never has `allOf`, `oneOf` or `not`, whatever a provider says of them: they are merged,
/// made `anyOf`, or told in words.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the columns of a table, each a yes or a no"
)]
pub struct Dialect {
    /// For logs.
    pub name: &'static str,
    /// All of JSON Schema: the schema is sent as it is.
    pub whole: bool,
    pub strict: Strictness,
    /// The root has to be an object and no `anyOf`: any other value is asked for as the one member `value` of one.
    pub object_root: bool,
    /// Keywords that limit a value, beyond those for which there is a field here. Others are told in the description.
    pub keywords: &'static [&'static str],
    /// What `format` may say.
    pub formats: &'static [&'static str],
    /// A `pattern` has to begin with `^` and end with `$`.
    pub anchored_patterns: bool,
    /// Limits of a number are taken for integers only.
    pub integer_limits_only: bool,
    /// The most that `minItems` may say.
    pub max_min_items: u64,
    /// Every property has to be required: an optional one becomes nullable.
    pub all_required: bool,
    pub extra: ExtraRule,
    /// An object may have no properties at all.
    pub empty_objects: bool,
    /// A part may say nothing of its value's type.
    pub any: bool,
    pub null: NullRule,
    /// `type` may be a list.
    pub type_lists: bool,
    pub enums: EnumRule,
    pub references: ReferenceRule,
    /// Names of properties have to be 1 to 64 of ASCII letters, digits, `_`, `.` and `-`.
    pub plain_names: bool,
    pub limits: Limits,
    /// What an explicit wish for the mode gets where the schema has no form in this subset.
    pub otherwise: Option<&'static Self>,
}

/// Whether the provider may be told to hold the answer to the schema strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    Never,
    Always,
    /// If all properties are required and there are no others, as those want it who know strictness from OpenAI.
    IfClosed,
}

/// What of `additionalProperties` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraRule {
    /// Every object has to say `false`.
    False,
    /// The keyword is not known.
    Unknown,
    /// `false`, `true` or a schema.
    Any,
}

/// How null is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullRule {
    /// As a type.
    Type,
    /// By `nullable: true` beside another type (OpenAPI 3.0).
    Flag,
}

/// What an `enum` may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumRule {
    Any,
    Scalars,
    StringsAndNumbers,
    Strings,
}

/// What of `$ref` is taken. It always stands alone, and leads to `#/$defs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceRule {
    None,
    Acyclic,
    Recursive,
}

/// How much a schema may hold in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects within objects.
    pub levels: usize,
    pub properties: usize,
    pub enum_values: usize,
    /// Values of one `enum` of strings above which it may have no more than so many characters in all.
    pub long_enum: (usize, usize),
    /// Characters of all names and of all values of `enum`.
    pub characters: usize,
    /// Properties that are not required.
    pub optional: usize,
    /// Parts of more than one type.
    pub unions: usize,
}

impl Limits {
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
    /// All of JSON Schema: it stands in the prompt, and nothing reads it but the model.
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
    /// The same, where the answer is always an object.
    pub const OBJECT: Self = Self {
        name: "object",
        object_root: true,
        ..Self::WHOLE
    };

    #[must_use]
    pub fn takes(&self, keyword: &str) -> bool {
        self.keywords.contains(&keyword)
    }
}

/// A schema in the form in which a mode takes it, and what its values are in the caller's form.
#[derive(Debug)]
pub struct LoweredSchema {
    /// Compact JSON.
    pub raw: Box<RawValue>,
    /// Whether the provider may be told to hold the answer to it strictly.
    pub strict: bool,
    /// The value is asked for as the one member `value` of an object.
    pub wrapped: bool,
    /// How values in this form differ from values in the caller's; `None`: not at all, but for being wrapped.
    pub shapes: Option<ValueMappings>,
}

impl LoweredSchema {
    /// A value of the caller's form in this one: what an answer should look like.
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

    /// What a value in this form says, in the caller's. What is not in this form stays as it is.
    #[must_use]
    pub fn raised(&self, mut value: Value, null: NullPolicy) -> Value {
        // What is asked for wrapped and comes without is in the caller's form: an empty list is no map there.
        if self.wrapped {
            match value
                .as_object_mut()
                .filter(|members| members.len() == 1)
                .and_then(|members| members.remove("value"))
            {
                Some(within) => value = within,
                None => return value,
            }
        }
        match &self.shapes {
            Some(shapes) => shapes.raised(value, null),
            None => value,
        }
    }

    /// Whether [`Asked::raised`] changes nothing.
    #[must_use]
    pub const fn is_as_it_was(&self) -> bool {
        !self.wrapped && self.shapes.is_none()
    }
}

/// A schema in the form of each mode of a provider.
#[derive(Debug, Clone, Default)]
pub struct LoweredByMode([Option<Arc<LoweredSchema>>; Mode::COUNT]);

impl LoweredByMode {
    /// `None`: this mode takes no form of the schema.
    #[must_use]
    pub fn of(&self, mode: Mode) -> Option<&Arc<LoweredSchema>> {
        self.0.get(mode as usize)?.as_ref()
    }

    pub fn set(&mut self, mode: Mode, asked: Arc<LoweredSchema>) {
        if let Some(form) = self.0.get_mut(mode as usize) {
            *form = Some(asked);
        }
    }
}
