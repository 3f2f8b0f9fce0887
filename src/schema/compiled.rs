//! Compiled schema: parsed, checked for its cost, and ready to validate instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use schema_dialect::{
    Dialect, JsonType, Keyword, LoweredSchema, SchemaDocument, SchemaError, Tree,
};
use serde_json::Value;
use serde_json::value::RawValue;
use throttle::{MemoryReservation, NoMemory, RETRY_SOON};

use super::coerce::choices::Choices;
use super::error_messages::{self, MAX_FAULTS, invalid};
use super::patterns::{self, Patterns, Reserve};
use super::validation_cost::weight::Weight;
use super::validation_cost::{Evaluations, Trial};
use super::{formats, locations, schema_limits, skeleton};
use crate::long_work::SlowDrop;
use crate::types::{
    Code, Error, Example, FieldError, StrictJson, Unrepresentable, count_values, parsed_size,
    pointer_to,
};

/// Compiled schema, shared by all items of a request.
#[derive(Debug)]
pub struct Schema {
    parts: SlowDrop<Parts>,
    /// Caller's document as compact JSON, for a provider's request.
    pub(super) raw: Box<RawValue>,
    skeleton: Example,
    /// Description of the formats that models often get wrong, for prompts.
    format_notes: String,
    /// True if the schema may give a value another kind of evidence than the default.
    pub(super) has_evidence_hints: bool,
    weight: Weight,
    /// Forms of the enumerated values, computed by the first coercion.
    pub(super) choices: OnceLock<Arc<Choices>>,
    /// Lowered forms by dialect, filled on demand.
    pub(super) lowered: Mutex<Vec<KeptForm>>,
    /// List whose elements are streamed, compiled for the first stream. `None`: there is no such list.
    pub(super) list: OnceLock<Option<StreamedList>>,
    /// Lock of the thread that compiles the list.
    pub(super) list_lock: Mutex<()>,
    /// Hash of its text, if that is of a registered schema.
    pub(super) registered_hash: OnceLock<String>,
    /// Memory of the schema, and of what was made of it since it was compiled, in bytes, at most.
    bytes: AtomicUsize,
    /// Memory held for as long as the schema lives.
    memory: Option<MemoryReservation>,
}

/// Parts of a compiled schema that are many small pieces.
#[derive(Debug)]
struct Parts {
    /// Normalised form, which every pass over the schema reads.
    tree: Arc<Tree>,
    validator: Validator,
    /// Memory of the compiled schema, in bytes, at most.
    bytes: usize,
}

impl Parts {
    /// Returns true if dropping them may take longer than about a millisecond.
    const fn is_slow_to_drop(&self) -> bool {
        self.bytes >= SLOW_DROP_BYTES
    }
}

/// Schema that was lowered to a dialect.
#[derive(Debug, Clone)]
pub struct Lowered {
    pub asked: Arc<LoweredSchema>,
}

/// Lowered form that a schema keeps.
#[derive(Debug)]
pub struct KeptForm {
    pub dialect: &'static Dialect,
    /// Form; `None`: the schema cannot be lowered to the dialect.
    pub lowered: Option<Lowered>,
    /// Memory of the form, held for as long as the schema lives.
    pub(super) _memory: Option<MemoryReservation>,
}

/// List of a schema whose elements are streamed one by one.
#[derive(Debug, Clone)]
pub struct StreamedList {
    /// Names of the members that lead to it from the root; empty if it is the root itself.
    pub path: Vec<String>,
    pub element: Arc<Schema>,
}

/// Memory of a compiled schema for each value of its text, without patterns, in bytes. Measured: 230 to 415, by
/// `tests/memory_estimates.rs`.
const BYTES_PER_VALUE: usize = 512;
/// Memory for each value of a schema's text while it is compiled, in bytes: the document twice, its tree, and what is kept. Measured by
/// `tests/memory_estimates.rs`.
const COMPILING_BYTES_PER_VALUE: usize = 1024;
/// Copies of the JSON Pointers of all parts.
const POINTER_COPIES: usize = 1;
/// Copies of a schema's text while it is compiled: the text itself, its values twice, as nodes, and as it is kept.
const COMPILING_COPIES: usize = 5;
/// Copies of a schema's text that wait until it is compiled.
const WAITING_COPIES: usize = 2;
/// Memory of schemas that are dropped off the worker, in bytes: they are many small pieces.
pub const SLOW_DROP_BYTES: usize = 256 * 1024;
/// Maximum length of a schema's text, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

impl Schema {
    /// Compiles the text of a schema. May take milliseconds for a large one.
    ///
    /// # Errors
    /// `invalid_schema` with a pointer into the schema, if it is no JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12, has a
    /// reference that leads outside, is satisfied by nothing, or cannot be validated against in bounded time.
    pub fn compile(text: &str) -> Result<Self, Error> {
        Self::compile_reserving(text, &mut |_| Ok(()))
    }

    /// Compiles the text of a schema within a reservation, which is enlarged before memory is taken, and then reduced to what the
    /// schema holds until it is dropped.
    ///
    /// # Errors
    /// As [`Self::compile`]; `overloaded` if there is no memory for it now, `payload_too_large` if there never is.
    pub fn compile_within(text: &str, mut memory: MemoryReservation) -> Result<Self, Error> {
        let mut schema = Self::compile_reserving(text, &mut |bytes| {
            memory.resize(bytes).map_err(|refused| no_memory(&refused))
        })?;
        memory
            .resize(schema.memory_bytes())
            .map_err(|refused| no_memory(&refused))?;
        schema.memory = Some(memory);
        Ok(schema)
    }

    /// Reserves the memory of a text of this length that is to be read and compiled: of itself, and of the copy that waits for its turn.
    ///
    /// # Errors
    /// `overloaded` if there is no memory for it now, `payload_too_large` if there never is.
    pub fn reserve_text(memory: &mut MemoryReservation, bytes: usize) -> Result<(), Error> {
        memory
            .resize(WAITING_COPIES.saturating_mul(bytes))
            .map_err(|refused| no_memory(&refused))
    }

    /// Returns the memory that compiling a text takes at most, in bytes, without its patterns, its pointers and what references repeat.
    #[must_use]
    pub fn compiling_bytes(text: &str) -> usize {
        let values = count_values(text.as_bytes());
        // A document of more is refused once it is parsed.
        let compiled = values.min(2 * schema_limits::MAX_NODES) * COMPILING_BYTES_PER_VALUE;
        COMPILING_COPIES * text.len() + compiled.max(parsed_size(text.as_bytes()))
    }

    /// Checks the length of a schema's text, in bytes, before any work on it.
    ///
    /// # Errors
    /// `invalid_schema` if it is longer than 1 MiB.
    pub fn check_length(bytes: usize) -> Result<(), Error> {
        if bytes > MAX_TEXT_BYTES {
            let message = format!("is longer than {MAX_TEXT_BYTES} bytes");
            return Err(invalid("", &message));
        }
        Ok(())
    }

    fn compile_reserving(text: &str, reserve: Reserve<'_>) -> Result<Self, Error> {
        Self::check_length(text.len())?;
        let needed = Self::compiling_bytes(text);
        reserve(needed)?;
        let given = parse(text)?;
        let needed = needed + POINTER_COPIES * schema_limits::check_size(&given)?;
        reserve(needed)?;
        patterns::check(&given)?;
        let raw = serde_json::value::to_raw_value(&given)
            .map_err(|error| invalid("", &error.to_string()))?;
        let mut grown = 0;
        let tree = normalised(given, &mut |values| {
            grown = values * BYTES_PER_VALUE;
            reserve(needed + grown)
        })?;
        let needed = needed + grown;
        let mut reserve_more = |bytes| reserve(needed.saturating_add(bytes));
        let patterns = Patterns::weigh(tree.document(), tree.draft(), &mut reserve_more)?;
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
        let bytes = compiled_bytes(raw.get(), &tree, &weight);
        Ok(Self {
            has_evidence_hints: Self::has_evidence_hints(&tree),
            parts: SlowDrop::new(
                Parts {
                    tree: Arc::new(tree),
                    validator,
                    bytes,
                },
                Parts::is_slow_to_drop,
            ),
            raw,
            skeleton,
            format_notes,
            weight,
            choices: OnceLock::new(),
            lowered: Mutex::default(),
            list: OnceLock::new(),
            list_lock: Mutex::default(),
            registered_hash: OnceLock::new(),
            bytes: bytes.into(),
            memory: None,
        })
    }

    /// Returns the memory that the compiled schema takes, with what was made of it since, in bytes, at most.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds the memory of what was made of the schema, which is reserved elsewhere.
    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the normalised schema.
    #[must_use]
    pub fn tree(&self) -> &Arc<Tree> {
        &self.parts.tree
    }

    /// Returns true if the schema lists the values that may stand at a JSON Pointer of an instance, in any of its alternatives.
    #[must_use]
    pub fn lists_values_at(&self, location: &str) -> bool {
        locations::schemas_at(self.tree(), location)
            .iter()
            .any(|schema| schema.has(Keyword::Enum) || schema.has(Keyword::Const))
    }

    /// Returns the likely mistakes in the schema, at most twenty.
    #[must_use]
    pub fn warnings(&self) -> Vec<FieldError> {
        let warnings = self.tree().warnings().iter();
        warnings
            .map(|warning| FieldError::new(&*warning.pointer, &*warning.message))
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
        let root = self.tree().root();
        match root.types() {
            [] => root.implied_type() != Some(JsonType::Object),
            types => types.contains(&JsonType::Array),
        }
    }

    /// Returns true if the instance is valid and can be validated in bounded time.
    #[must_use]
    pub fn is_valid(&self, instance: &Value) -> bool {
        self.is_valid_within(instance, &Evaluations::of_answer())
    }

    /// Returns true if the instance is valid and can be validated with the evaluations that are left.
    #[must_use]
    pub fn is_valid_within(&self, instance: &Value, evaluations: &Evaluations) -> bool {
        self.trial(instance).spend(evaluations) && self.parts.validator.is_valid(instance)
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
        if self.parts.validator.is_valid(instance) {
            return Vec::new();
        }
        if trial.is_explicable() {
            let errors = self.parts.validator.iter_errors(instance).take(MAX_FAULTS);
            return error_messages::field_errors(errors, MAX_FAULTS);
        }
        let first = if self.weight.has_choices {
            None
        } else {
            self.parts.validator.validate(instance).err()
        };
        let generic =
            || root_error("is not valid against the schema, and too large to list its errors");
        vec![first.map_or_else(generic, |error| error_messages::field_error(&error))]
    }

    /// Returns the number of subschema evaluations that validating an instance takes.
    #[must_use]
    pub fn evaluations(&self, instance: &Value) -> u64 {
        self.trial(instance).evaluations()
    }

    /// Returns true if validating an instance of so many bytes may take longer than about a millisecond.
    #[must_use]
    pub const fn is_slow_for(&self, bytes: usize) -> bool {
        const QUICK_BYTES: usize = 32 * 1024;
        const QUICK_WORK: u64 = 256 * 1024;
        bytes > QUICK_BYTES || self.weight.is_open || self.weight.of_bytes(bytes) > QUICK_WORK
    }

    fn trial<'t>(&'t self, instance: &'t Value) -> Trial<'t> {
        Trial {
            weight: &self.weight,
            tree: self.tree(),
            instance,
        }
    }
}

/// Returns the memory that a compiled schema takes, in bytes, at most.
fn compiled_bytes(text: &str, tree: &Tree, weight: &Weight) -> usize {
    let values = count_values(text.as_bytes()).max(tree.values());
    // The text once as it is, and once in the forms of the enumerated values.
    2 * text.len()
        + values * BYTES_PER_VALUE
        + POINTER_COPIES * weight.all_pointer_bytes
        + weight.patterns.memory_bytes()
}

/// Returns the error of a schema for which there is no memory. It may be retried unless the schema can never fit.
pub(super) fn no_memory(refused: &NoMemory) -> Error {
    let problem = |code, advice| {
        let detail = format!(
            "there is no memory for the compiled schema: {refused} (`limits.max_memory_bytes`); {advice}"
        );
        Error::new(code, detail)
    };
    match refused {
        NoMemory::TooLarge { .. } => problem(
            Code::PayloadTooLarge,
            "use a smaller schema or simpler patterns",
        ),
        NoMemory::Full | NoMemory::ShareUsedUp => problem(
            Code::Overloaded,
            "retry later, or use a smaller schema or simpler patterns",
        )
        .retry_after(RETRY_SOON),
    }
}

fn root_error(message: &str) -> FieldError {
    FieldError::new("", message)
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

/// Reads a document into its normalised form. A form with more values than the document is reserved first.
fn normalised(given: Value, reserve: Reserve<'_>) -> Result<Tree, Error> {
    let mut no_room = None;
    let mut grow = |values| {
        reserve(values)
            .map_err(|error| no_room = Some(error))
            .is_ok()
    };
    let built = SchemaDocument::parse(given).and_then(|read| Tree::build_within(read, &mut grow));
    let refused = |error: SchemaError| invalid(&error.pointer, &error.message);
    let mut tree = built.map_err(|error| no_room.unwrap_or_else(|| refused(error)))?;
    let emptiness = schema_dialect::check_emptiness(&tree);
    if let Some(reason) = emptiness.whole {
        return Err(invalid(&reason.pointer, &reason.message));
    }
    for part in emptiness.parts {
        tree.warn(part);
    }
    Ok(tree)
}
