//! A caller's JSON Schema, and what a model wrote judged by it.
//!
//! Compiled once for a request and kept by its text, never fetched from anywhere, and bounded when it comes in, so that
//! validating against it stays quick. Knows nothing of providers and limits.

pub mod answer;
mod bounds;
mod cache;
mod example;
mod registry;
mod strict;
mod walk;

use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

pub use cache::Cache;
pub use registry::{Entry, Registry, RegistryError, Source};

use crate::model::{Code, Error, Fault, MadeUp};

/// A compiled schema. Shared by all the items of a request.
#[derive(Debug)]
pub struct Schema {
    value: Arc<Value>,
    /// The schema's text, compact, as it goes into a provider's request.
    raw: Box<RawValue>,
    validator: Validator,
    strict: bool,
    examples: Vec<MadeUp>,
    weight: bounds::Weight,
}

/// Most faults reported for one answer: what is asked again stays small.
const MAX_FAULTS: usize = 20;
/// Longest message of a fault, in bytes; jsonschema quotes the whole wrong value.
const MAX_MESSAGE_BYTES: usize = 300;
/// What the compiled regular expressions of a schema may take together, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;
/// The longest text of a schema, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;

impl Schema {
    /// Compiles the text of a schema. May take milliseconds for a large one.
    ///
    /// # Errors
    /// `invalid_schema`, with pointers into the schema, when it is not JSON Schema 2020-12 or draft 7, refers to anything
    /// outside itself, or could not be checked in bounded time.
    pub fn compile(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(invalid("", &format!("is longer than {MAX_TEXT_BYTES} bytes")));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| invalid("", &error.to_string()))?;
        let draft = draft(&value)?;
        let weight = bounds::check(&value, draft)?;
        let raw = serde_json::value::to_raw_value(&value).map_err(|error| invalid("", &error.to_string()))?;
        let regex_bytes = MAX_REGEX_BYTES / weight.patterns.max(1);
        let validator = jsonschema::options()
            .with_draft(draft)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(regex_bytes).dfa_size_limit(regex_bytes))
            .offline()
            .build(&value)
            .map_err(|error| refusal(&error))?;
        let strict = strict::is_strict(&value);
        let made_up = example::pair(&value);
        let mut schema = Self { value: Arc::new(value), raw, validator, strict, examples: Vec::new(), weight };
        let judged = made_up.map(|example| MadeUp { is_valid: schema.is_valid(&example.output), example });
        schema.examples = judged.into();
        Ok(schema)
    }

    #[must_use]
    pub const fn value(&self) -> &Arc<Value> {
        &self.value
    }

    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// Whether it keeps within the subset that OpenAI's strict mode takes as it is.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.strict
    }

    /// Two worked examples, made up from the names and types of its properties.
    #[must_use]
    pub fn examples(&self) -> &[MadeUp] {
        &self.examples
    }

    #[must_use]
    pub fn is_valid(&self, instance: &Value) -> bool {
        self.check_cost(instance).is_ok() && self.validator.is_valid(instance)
    }

    /// What is wrong with `instance`, at most twenty; empty when it is valid.
    #[must_use]
    pub fn faults(&self, instance: &Value) -> Vec<Fault> {
        if let Err(fault) = self.check_cost(instance) {
            return vec![fault];
        }
        if self.validator.is_valid(instance) {
            return Vec::new();
        }
        let errors = self.validator.iter_errors(instance).take(MAX_FAULTS);
        errors.map(|error| Fault { pointer: error.instance_path().to_string(), message: brief(&error.to_string()) }).collect()
    }

    /// Whether judging an instance of this many bytes may keep a thread busy for longer than about a millisecond.
    #[must_use]
    pub const fn is_slow_for(&self, bytes: usize) -> bool {
        const QUICK_BYTES: usize = 32 * 1024;
        const QUICK_WORK: u64 = 256 * 1024;
        bytes > QUICK_BYTES || self.weight.is_open || self.weight.fan_out.saturating_mul(bytes as u64) > QUICK_WORK
    }

    fn check_cost(&self, instance: &Value) -> Result<(), Fault> {
        if bounds::is_affordable(self.weight, &self.value, self.validator.draft(), instance) {
            return Ok(());
        }
        let message =
            "cannot be checked against the schema in bounded time: it is too large or nested too deeply for it".to_owned();
        Err(Fault { pointer: String::new(), message })
    }
}

fn invalid(pointer: &str, message: &str) -> Error {
    Error::at(Code::InvalidSchema, pointer, message.to_owned())
}

/// What jsonschema has against a schema; it says little of a regular expression.
fn refusal(error: &jsonschema::ValidationError<'_>) -> Error {
    let at = error.instance_path().as_str();
    let is_regex = at.ends_with("/pattern") || at.contains("/patternProperties/");
    if is_regex && error.to_string().contains("regex") {
        let message = "not a regular expression that can be used here: it has to run in linear time, so without look-around and \
                       backreferences, and must not grow too large";
        return invalid(at, &format!("{} is {message}", brief(&error.instance().to_string())));
    }
    invalid(at, &brief(&error.to_string()))
}

fn brief(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let half = MAX_MESSAGE_BYTES / 2;
    let head = message.get(..message.floor_char_boundary(half)).unwrap_or_default();
    let tail = message.get(message.ceil_char_boundary(message.len() - half)..).unwrap_or_default();
    format!("{head} … {tail}")
}

/// 2020-12 unless `$schema` says draft 7.
fn draft(schema: &Value) -> Result<Draft, Error> {
    let Some(said) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    match said.as_str().map(|uri| uri.trim_end_matches('#')) {
        Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        _ => Err(invalid(
            "/$schema",
            &format!(
                "{said} is not supported; leave `$schema` out for 2020-12, or say \
                 \"https://json-schema.org/draft/2020-12/schema\" or \"http://json-schema.org/draft-07/schema#\""
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
