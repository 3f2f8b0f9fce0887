//! Extraction spec: schema, instructions, model and options. The same for a single input, a batch and a job.

use std::fmt;
use std::time::Duration;

use llm_json::StrictJson;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bounded::Bounded;
use super::choice::Choice;
use super::evidence::{Grounding, OffsetUnit};
use super::extra_body::ExtraBody;
use super::fallback::FallbackOn;
use super::input::Content;
use super::json_size::size_beside_text;
use super::metadata::SentMetadata;

/// Source of the schema.
#[derive(Debug, Clone)]
pub enum SchemaSource {
    /// Schema within the request, as its exact bytes.
    Inline(Box<RawValue>),
    /// Name of a registered schema.
    Named(String),
}

impl<'de> Deserialize<'de> for SchemaSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'{') => Ok(Self::Inline(raw)),
            Some(b'"') => serde_json::from_str(raw.get())
                .map(Self::Named)
                .map_err(de::Error::custom),
            _ => Err(de::Error::custom(
                "expected a JSON Schema (an object), or the name of a registered one (a string)",
            )),
        }
    }
}

/// Method of asking the model for structured output.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Deserialize,
    serde::Serialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The provider's best mode; the next one if the provider rejects it.
    #[default]
    Auto,
    /// Structured output: the schema constrains the answer, if the provider supports that.
    JsonSchema,
    /// Tool call: the answer is the arguments.
    Tools,
    /// JSON mode: the provider guarantees JSON; the schema is part of the prompt.
    JsonObject,
    /// Free text: the schema is part of the prompt; the provider guarantees nothing.
    Text,
}

impl Mode {
    /// Number of modes.
    pub const COUNT: usize = 5;

    /// Returns this mode, or `other` if this is `auto`.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match self {
            Self::Auto => other,
            mode => mode,
        }
    }

    /// Returns the mode as written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::JsonSchema => "json_schema",
            Self::Tools => "tools",
            Self::JsonObject => "json_object",
            Self::Text => "text",
        }
    }
}

/// Few-shot example: a text and the value to extract from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `input` and `output`")]
pub struct Example {
    /// Text of the example.
    pub input: Content,
    /// Value to extract; must be valid against the schema.
    #[serde(deserialize_with = "literal")]
    pub output: Value,
}

/// Deserializes a value in which every member is taken literally.
fn literal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    StrictJson::deserialize(deserializer).map(|StrictJson(value)| value)
}

/// Use of the result cache and of single flight for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// Takes a cached result, or that of an equal item in flight.
    #[default]
    Use,
    /// Calls the model and replaces the cached result.
    Refresh,
    /// Calls the model for this item alone and caches nothing.
    Off,
}

/// Validation rule: a condition on the extracted data beyond the schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with `expression` and `message`"
)]
pub struct Rule {
    /// Expression in the Common Expression Language (CEL) over `data`, the extracted value, and `input`, the text. True if the
    /// data meets the rule.
    #[schema(max_length = 4096, example = "data.end >= data.start")]
    pub expression: String,
    /// Message of a violation, for the model and for the caller.
    #[schema(
        min_length = 1,
        max_length = 500,
        example = "the end must not be before the start"
    )]
    pub message: String,
}

/// Result of an item that has no valid answer after its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The item fails with `extraction_failed`.
    #[default]
    Error,
    /// The item ends as `invalid`, with the answer with the fewest errors as `candidate`. Without any JSON answer it fails.
    Best,
}

/// Sampling temperature from 0 to 2, default 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Temperature(f64);

impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range;

        impl Visitor<'_> for Range {
            type Value = Temperature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 2")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Temperature, E> {
                if (0.0..=2.0).contains(&value) {
                    Ok(Temperature(value))
                } else {
                    let found = format!("`{value}`");
                    Err(E::invalid_value(de::Unexpected::Other(&found), &self))
                }
            }

            #[expect(clippy::cast_precision_loss, reason = "only 0 to 2 is accepted")]
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Temperature, E> {
                self.visit_f64(value as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "only 0 to 2 is accepted")]
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Temperature, E> {
                self.visit_f64(value as f64)
            }
        }

        deserializer.deserialize_f64(Range)
    }
}

/// Extraction spec. [`Spec::default`] has the documented defaults and no schema.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Schema of the data. Required: `None` only during deserialization.
    pub schema: Option<SchemaSource>,
    /// Instructions for the model, added to the prompt.
    pub instructions: Option<String>,
    /// Few-shot examples.
    pub examples: Vec<Example>,
    /// Name of a configured model, or `provider/model`. `None`: the default model.
    pub model: Option<String>,
    /// Method of asking for structured output.
    pub mode: Mode,
    max_attempts: Option<Bounded<1, 10>>,
    timeout_ms: Option<Bounded<1, 3_600_000>>,
    temperature: Option<Temperature>,
    max_output_tokens: Option<Bounded<1, { u32::MAX as u64 }>>,
    /// Sampling seed, passed to the provider.
    pub seed: Option<i64>,
    /// Use of the result cache.
    pub cache: CacheUse,
    coerce: Option<bool>,
    /// Validation rules beyond the schema.
    pub rules: Vec<Rule>,
    /// Result of an item without a valid answer.
    pub on_failure: OnFailure,
    /// Conditions under which the model's fallback is called. `None`: those of the model.
    pub fallback_on: Option<FallbackOn>,
    /// Further fields of the request to the provider.
    pub extra_body: ExtraBody,
    trace: Option<bool>,
    /// Handling of values that the text does not state.
    pub grounding: Grounding,
    /// Unit of the offsets in evidence. No field of a body sets it.
    pub offset_unit: OffsetUnit,
    /// Strings returned at the top level of the response.
    pub metadata: Option<SentMetadata>,
    /// True if the text is a conversation, whose user says what the answer is to be. No field of a body sets it.
    pub is_conversation: bool,
}

impl Spec {
    /// Returns the maximum number of attempts for an item: 1 to 10, default 3.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
            .map_or(3, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
    }

    /// Returns the time limit of an item for calls and backoff: 1 ms to 1 h, default 2 min.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.map_or(120_000, Bounded::get))
    }

    /// Returns the sampling temperature: 0 to 2, default 0.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or_default().0
    }

    /// Returns the maximum number of tokens of an answer. `None`: the provider's own limit.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u32> {
        self.max_output_tokens
            .and_then(|n| u32::try_from(n.get()).ok())
    }

    /// Returns true if an answer may be coerced to the schema. Default: true.
    #[must_use]
    pub fn coerce(&self) -> bool {
        self.coerce.unwrap_or(true)
    }

    /// Returns true if results have a trace of their waits, calls and validations. Default: false.
    #[must_use]
    pub fn trace(&self) -> bool {
        self.trace.unwrap_or(false)
    }

    /// Returns the memory of the values that are kept with the request, beside their text, in bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let outputs = self.examples.iter().map(|example| &example.output);
        let fields = self.extra_body.fields().into_iter().flat_map(Map::values);
        outputs.chain(fields).map(size_beside_text).sum()
    }

    /// Deserializes the value of `field`. Returns false if the spec has no such field.
    pub(super) fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match field {
            "schema" => self.schema = Some(map.next_value()?),
            "instructions" => self.instructions = map.next_value()?,
            "examples" => self.examples = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "model" => self.model = map.next_value()?,
            "mode" => self.mode = optional_choice(map)?,
            "max_attempts" => self.max_attempts = map.next_value()?,
            "timeout_ms" => self.timeout_ms = map.next_value()?,
            "temperature" => self.temperature = map.next_value()?,
            "max_output_tokens" => self.max_output_tokens = map.next_value()?,
            "seed" => self.seed = map.next_value()?,
            "cache" => self.cache = optional_choice(map)?,
            "coerce" => self.coerce = map.next_value()?,
            "rules" => self.rules = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "on_failure" => self.on_failure = optional_choice(map)?,
            "fallback_on" => self.fallback_on = map.next_value()?,
            "extra_body" => self.extra_body = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "trace" => self.trace = map.next_value()?,
            "grounding" => self.grounding = optional_choice(map)?,
            "metadata" => self.metadata = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Names of the spec's fields, for the error about an unknown field.
    pub(super) const FIELDS: &[&str] = &[
        "schema",
        "instructions",
        "examples",
        "model",
        "mode",
        "max_attempts",
        "timeout_ms",
        "temperature",
        "max_output_tokens",
        "seed",
        "cache",
        "coerce",
        "rules",
        "on_failure",
        "fallback_on",
        "extra_body",
        "trace",
        "grounding",
        "metadata",
    ];
}

/// Deserializes a name of a fixed set; `null` is the default.
pub(super) fn optional_choice<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<T, A::Error> {
    let choice = map.next_value::<Option<Choice<T>>>()?;
    Ok(choice.map_or_else(T::default, |Choice(value)| value))
}

/// Returns true if a query parameter of this name is plain text, not JSON. (`schema` may be either.)
#[must_use]
pub fn field_is_text(field: &str) -> bool {
    matches!(
        field,
        "instructions" | "model" | "mode" | "cache" | "on_error" | "on_failure" | "grounding"
    )
}

/// Seed that fails to deserialize with this message, so that the error points to the field it is about.
pub(super) struct RejectField<'a>(pub &'a str);

impl<'de> de::DeserializeSeed<'de> for RejectField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(de::Error::custom(self.0))
    }
}

/// Key of an object, borrowed if possible.
pub(super) struct Key<'de>(pub std::borrow::Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(name.into()))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(name.to_owned().into()))
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}
