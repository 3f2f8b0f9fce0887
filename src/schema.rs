//! JSON Schema: compilation with size limits, cache, registry, validation of answers, coercion and lowering to dialects.
//!
//! A schema is compiled once, cached by its text and never fetched from a network. Must not know providers and rate limits.

mod cache;
mod coerce;
mod document;
mod error_messages;
mod example_generator;
mod implied_type;
mod lower;
mod parse_answer;
mod patterns;
mod references;
mod registry;
mod rules;
mod schema_limits;
mod streamed_list;
mod validation_cost;

use std::sync::{Arc, Mutex};

use jsonschema::{Draft, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

pub use cache::Cache;
pub use coerce::{Coerced, Whole};
pub use lower::Lowered;
pub use parse_answer::ParsedAnswer;
pub use registry::{Entry, Registry, RegistryError, Source};
pub use rules::Rules;
pub use streamed_list::StreamedList;

use crate::types::{
    Dialect, Error, FieldError, StrictJson, SyntheticExample, Unrepresentable, pointer_to,
};
use error_messages::invalid;
use implied_type::implied_type;
use patterns::Patterns;
use validation_cost::Trial;

/// Compiled schema, shared by all items of a request.
#[derive(Debug)]
pub struct Schema {
    value: Arc<Value>,
    /// Schema as compact JSON, for a provider's request.
    raw: Box<RawValue>,
    draft: Draft,
    validator: Validator,
    examples: Vec<SyntheticExample>,
    weight: validation_cost::Weight,
    /// Lowered forms by dialect, filled on demand. `None`: the schema cannot be lowered to the dialect.
    lowered: Mutex<Vec<(&'static Dialect, Option<Lowered>)>>,
}

/// Maximum number of errors reported for an answer, which keeps the validation retry small.
const MAX_FAULTS: usize = 20;
/// Maximum size of all compiled regular expressions of a schema, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;
/// Maximum length of a schema's text, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;

impl Schema {
    /// Compiles the text of a schema. May take milliseconds for a large one.
    ///
    /// # Errors
    /// `invalid_schema` with pointers into the schema, if it is not JSON Schema 2020-12 or draft 7, has a reference that leads
    /// outside, or cannot be validated against in bounded time.
    pub fn compile(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(invalid(
                "",
                &format!("is longer than {MAX_TEXT_BYTES} bytes"),
            ));
        }
        let value = parse(text)?;
        let draft = draft(&value)?;
        let mut weight = schema_limits::check(&value, draft)?;
        let raw = serde_json::value::to_raw_value(&value)
            .map_err(|error| invalid("", &error.to_string()))?;
        let regex_bytes = MAX_REGEX_BYTES / weight.pattern_count.max(1);
        let validator = jsonschema::options()
            .with_draft(draft)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(patterns::options(regex_bytes))
            .offline()
            .build(&value)
            .map_err(|error| error_messages::schema_error(&error))?;
        weight.patterns = Patterns::weigh(&value, draft, regex_bytes);
        let examples = example_generator::example_pair(&value);
        let mut schema = Self {
            value: Arc::new(value),
            raw,
            draft,
            validator,
            examples: Vec::new(),
            weight,
            lowered: Mutex::default(),
        };
        let examples = examples.map(|example| SyntheticExample {
            is_valid: schema.is_valid(&example.output),
            example,
        });
        schema.examples = examples.into();
        Ok(schema)
    }

    /// Returns the schema as JSON.
    #[must_use]
    pub const fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// Returns the schema as compact JSON text.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// Returns two few-shot examples, generated from the names and types of the properties.
    #[must_use]
    pub fn examples(&self) -> &[SyntheticExample] {
        &self.examples
    }

    /// Returns true if a valid value may be an array.
    #[must_use]
    pub fn may_be_list(&self) -> bool {
        match self.value.get("type") {
            None => implied_type(&self.value) != Some("object"),
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
            Some(kind) => kind == "array",
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
            return self
                .validator
                .iter_errors(instance)
                .take(MAX_FAULTS)
                .map(|error| error_messages::field_error(&error))
                .collect();
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

    fn trial<'t>(&'t self, instance: &'t Value) -> Trial<'t> {
        Trial {
            weight: &self.weight,
            schema: &self.value,
            draft: self.draft,
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
        .map_err(|error| match Unrepresentable::of(&error) {
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

/// Returns the draft that `$schema` names, by default 2020-12.
fn draft(schema: &Value) -> Result<Draft, Error> {
    let Some(uri) = schema.get("$schema") else {
        return Ok(Draft::Draft202012);
    };
    match uri.as_str().map(|uri| uri.trim_end_matches('#')) {
        Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some(
            "http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema",
        ) => Ok(Draft::Draft7),
        _ => Err(invalid(
            "/$schema",
            &format!(
                "{uri} is not supported; leave `$schema` out for 2020-12, or say \
                 \"https://json-schema.org/draft/2020-12/schema\" or \"http://json-schema.org/draft-07/schema#\""
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
