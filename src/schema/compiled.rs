//! Compiled schema: parsed, checked for its cost, and ready to validate instances.

use std::sync::{Arc, Mutex};

use jsonschema::Validator;
use schema_dialect::{
    Dialect, JsonType, Keyword, LoweredSchema, SchemaDocument, SchemaError, Tree,
};
use serde_json::Value;
use serde_json::value::RawValue;
use throttle::{MemoryReservation, NoMemory};

use super::error_messages::{self, MAX_FAULTS, invalid};
use super::patterns::{self, Patterns};
use super::validation_cost::Trial;
use super::validation_cost::weight::Weight;
use super::{formats, locations, schema_limits, skeleton};
use crate::types::{
    Error, Example, FieldError, StrictJson, Unrepresentable, count_values, pointer_to,
    truncate_pointer,
};

/// Compiled schema, shared by all items of a request.
#[derive(Debug)]
pub struct Schema {
    /// Normalised form, which every pass over the schema reads.
    pub(super) tree: Arc<Tree>,
    /// Caller's document as compact JSON, for a provider's request.
    pub(super) raw: Box<RawValue>,
    validator: Validator,
    skeleton: Example,
    /// Description of the formats that models often get wrong, for prompts.
    format_notes: String,
    /// True if the schema may give a value another kind of evidence than the default.
    pub(super) has_evidence_hints: bool,
    weight: Weight,
    /// Lowered forms by dialect, filled on demand. `None`: the schema cannot be lowered to the dialect.
    pub(super) lowered: Mutex<Vec<(&'static Dialect, Option<Lowered>)>>,
    /// Memory held for as long as the schema lives.
    memory: Option<MemoryReservation>,
}

/// Schema that was lowered to a dialect.
#[derive(Debug, Clone)]
pub struct Lowered {
    pub asked: Arc<LoweredSchema>,
}

/// Memory of a compiled schema for each value of its text, without patterns, in bytes. Measured: 230 to 415, by
/// `tests/memory_estimates.rs`.
const BYTES_PER_VALUE: usize = 512;
/// Maximum length of a schema's text, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;

impl Schema {
    /// Compiles the text of a schema. May take milliseconds for a large one.
    ///
    /// # Errors
    /// `invalid_schema` with a pointer into the schema, if it is no JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12, has a
    /// reference that leads outside, is satisfied by nothing, or cannot be validated against in bounded time.
    pub fn compile(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(invalid(
                "",
                &format!("is longer than {MAX_TEXT_BYTES} bytes"),
            ));
        }
        let given = parse(text)?;
        schema_limits::check_size(&given)?;
        let raw = serde_json::value::to_raw_value(&given)
            .map_err(|error| invalid("", &error.to_string()))?;
        let tree = normalised(given)?;
        let patterns = Patterns::weigh(tree.document(), tree.draft())?;
        let mut weight = schema_limits::check(&tree)?;
        let options = formats::with_newer_formats(jsonschema::options(), tree.draft());
        let validator = options
            .with_draft(tree.draft())
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(patterns::options())
            .offline()
            .build(tree.document())
            .map_err(|error| error_messages::schema_error(&error))?;
        weight.patterns = patterns;
        let skeleton = skeleton::skeleton(&tree);
        let format_notes = formats::notes(&tree);
        Ok(Self {
            has_evidence_hints: Self::has_evidence_hints(&tree),
            tree: Arc::new(tree),
            raw,
            validator,
            skeleton,
            format_notes,
            weight,
            lowered: Mutex::default(),
            memory: None,
        })
    }

    /// Returns the memory that the compiled schema takes, in bytes, at most.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let text = self.raw.get();
        let values = count_values(text.as_bytes()) * BYTES_PER_VALUE;
        text.len() + values + self.weight.patterns.memory_bytes()
    }

    /// Holds the schema's memory until it is dropped.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room for it.
    pub fn hold(&mut self, mut memory: MemoryReservation) -> Result<(), NoMemory> {
        memory.resize(self.memory_bytes())?;
        self.memory = Some(memory);
        Ok(())
    }

    /// Returns the normalised schema.
    #[must_use]
    pub const fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Returns true if the schema lists the values that may stand at a JSON Pointer of an instance, in any of its alternatives.
    #[must_use]
    pub fn lists_values_at(&self, location: &str) -> bool {
        locations::schemas_at(&self.tree, location)
            .iter()
            .any(|schema| schema.has(Keyword::Enum) || schema.has(Keyword::Const))
    }

    /// Returns the likely mistakes in the schema, at most twenty.
    #[must_use]
    pub fn warnings(&self) -> Vec<FieldError> {
        let warnings = self.tree.warnings().iter();
        warnings
            .map(|warning| FieldError {
                pointer: truncate_pointer(&warning.pointer).to_owned(),
                message: warning.message.clone(),
            })
            .collect()
    }

    /// Returns the schema as compact JSON text.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// Returns what the schema's formats ask for, for those that models often get wrong; empty if it uses none.
    #[must_use]
    pub fn format_notes(&self) -> &str {
        &self.format_notes
    }

    /// Returns a text of placeholders and the object that copies them, made from the names and types of the properties.
    #[must_use]
    pub const fn skeleton(&self) -> &Example {
        &self.skeleton
    }

    /// Returns true if a valid value may be an array.
    #[must_use]
    pub fn may_be_list(&self) -> bool {
        let root = self.tree.root();
        match root.types() {
            [] => root.implied_type() != Some(JsonType::Object),
            types => types.contains(&JsonType::Array),
        }
    }

    /// Returns true if the instance is valid and can be validated in bounded time.
    #[must_use]
    pub fn is_valid(&self, instance: &Value) -> bool {
        self.trial(instance).is_affordable() && self.validator.is_valid(instance)
    }

    /// Returns the validation errors of `instance`, at most twenty; empty if it is valid. For an instance too costly to report on
    /// exhaustively, returns one error, or only the fact that there is one.
    #[must_use]
    pub fn faults(&self, instance: &Value) -> Vec<FieldError> {
        let trial = self.trial(instance);
        if !trial.is_affordable() {
            return vec![root_error(
                "cannot be checked against the schema in bounded time: it is too large or nested too deeply for it",
            )];
        }
        if self.validator.is_valid(instance) {
            return Vec::new();
        }
        if trial.is_explicable() {
            let errors = self.validator.iter_errors(instance).take(MAX_FAULTS);
            return error_messages::field_errors(errors, MAX_FAULTS);
        }
        let first = if self.weight.has_choices {
            None
        } else {
            self.validator.validate(instance).err()
        };
        let generic =
            || root_error("is not valid against the schema, and too large to list its errors");
        vec![first.map_or_else(generic, |error| error_messages::field_error(&error))]
    }

    /// Returns true if validating an instance of so many bytes may take longer than about a millisecond.
    #[must_use]
    pub const fn is_slow_for(&self, bytes: usize) -> bool {
        const QUICK_BYTES: usize = 32 * 1024;
        const QUICK_WORK: u64 = 256 * 1024;
        bytes > QUICK_BYTES || self.weight.is_open || self.weight.of_bytes(bytes) > QUICK_WORK
    }

    /// Returns the trial of validating an instance.
    pub(super) fn trial<'t>(&'t self, instance: &'t Value) -> Trial<'t> {
        Trial {
            weight: &self.weight,
            tree: &self.tree,
            instance,
        }
    }
}

fn root_error(message: &str) -> FieldError {
    FieldError {
        pointer: String::new(),
        message: message.to_owned(),
    }
}

/// Parses the text of a schema.
fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text)
        .map(|StrictJson(value)| value)
        .map_err(|error| match Unrepresentable::from_error(&error) {
            None => invalid("", &error.to_string()),
            Some(Unrepresentable::Depth) => schema_limits::too_deep(),
            Some(Unrepresentable::Number) => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let read = serde_path_to_error::deserialize::<_, StrictJson>(&mut deserializer);
                let location = read
                    .err()
                    .map(|error| pointer_to(error.path()))
                    .unwrap_or_default();
                invalid(&location, Unrepresentable::Number.message())
            }
        })
}

/// Reads a document into its normalised form.
fn normalised(given: Value) -> Result<Tree, Error> {
    let refused = |error: SchemaError| invalid(&error.pointer, &error.message);
    let mut tree = SchemaDocument::parse(given)
        .and_then(Tree::build)
        .map_err(refused)?;
    let emptiness = schema_dialect::check_emptiness(&tree);
    if let Some(reason) = emptiness.whole {
        return Err(invalid(&reason.pointer, &reason.message));
    }
    for part in emptiness.parts {
        tree.warn(part);
    }
    Ok(tree)
}
