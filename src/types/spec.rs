//! The spec: how to extract. The same for one, for many and for jobs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::bounded::Bounded;
use super::input::Content;

/// Strings to strings, echoed to the caller and never sent to a model.
pub type Metadata = BTreeMap<String, String>;

/// Where the schema comes from.
#[derive(Debug, Clone)]
pub enum SchemaSource {
    /// The schema itself, as its bytes came.
    Inline(Box<RawValue>),
    /// The name of a registered one.
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

/// How the structure is asked of the model.
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
    /// What the provider is best at; another one if it refuses that.
    #[default]
    Auto,
    /// The schema constrains the answer, where the provider can do that.
    JsonSchema,
    /// The answer is the arguments of a tool call.
    Tools,
    /// The provider promises JSON; the schema stands in the prompt.
    JsonObject,
    /// The schema stands in the prompt, and the answer is whatever the model writes.
    Text,
}

impl Mode {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// This, or the other where it is `auto`.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match self {
            Self::Auto => other,
            mode => mode,
        }
    }

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

/// A worked example: a text, and what is to be extracted from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub input: Content,
    /// Must be valid against the schema.
    pub output: Value,
}

/// A worked example that nobody sent: made up for a schema.
#[derive(Debug, Clone)]
pub struct SyntheticExample {
    pub example: Example,
    /// Whether its output is valid; a value that could not be guessed may make it wrong.
    pub is_valid: bool,
}

/// Whether an equal item's result may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// A kept result, or that of an equal item which is being called right now.
    #[default]
    Use,
    /// The model is asked anew, and its result kept in place of the old one.
    Refresh,
    /// The model is asked anew for this item alone, and nothing is kept.
    Off,
}

/// A condition that an object has to meet beyond its schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// In the Common Expression Language (CEL), over `data`, the object, and `input`, the text; true where the rule is met.
    #[schema(max_length = 4096, example = "data.end >= data.start")]
    pub expression: String,
    /// What a broken rule means, for the model and for the caller.
    #[schema(
        min_length = 1,
        max_length = 500,
        example = "the end must not be before the start"
    )]
    pub message: String,
}

/// What becomes of an item whose attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It fails, with `extraction_failed`.
    #[default]
    Error,
    /// It ends as `invalid`, with the nearest object as `candidate`; it still fails where no answer had an object.
    Best,
}

/// A sampling temperature from 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Temperature(f64);

impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if (0.0..=2.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(de::Error::custom(format!(
                "invalid value: {value}, expected a number from 0 to 2"
            )))
        }
    }
}

/// How to extract. [`Spec::default`] has the contract's defaults and no schema.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Required; `None` only while a request is being read.
    pub schema: Option<SchemaSource>,
    pub instructions: Option<String>,
    pub examples: Vec<Example>,
    /// The name of a configured model, or `provider/model`; `None`: the default model.
    pub model: Option<String>,
    pub mode: Mode,
    max_attempts: Option<Bounded<1, 10>>,
    timeout_ms: Option<Bounded<1, 3_600_000>>,
    temperature: Option<Temperature>,
    max_output_tokens: Option<Bounded<1, { u32::MAX as u64 }>>,
    /// Passed on to the provider.
    pub seed: Option<i64>,
    /// Whether an equal item's result may answer.
    pub cache: CacheUse,
    coerce: Option<bool>,
    /// What holds beyond the schema.
    pub rules: Vec<Rule>,
    pub on_failure: OnFailure,
    /// Echoed on the reply's top level.
    pub metadata: Option<Metadata>,
}

impl Spec {
    /// How often the model may be asked for one item: 1 to 10, 3 if nothing was said.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
            .map_or(3, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
    }

    /// One item's time in calls and backoff: 1 ms to an hour, two minutes if nothing was said.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.map_or(120_000, Bounded::get))
    }

    /// From 0 to 2, 0 if nothing was said.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or_default().0
    }

    /// The most tokens that an answer may have; `None`: the provider's own limit.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u32> {
        self.max_output_tokens
            .and_then(|n| u32::try_from(n.get()).ok())
    }

    /// Whether an answer may be mended toward the schema: yes, if nothing was said.
    #[must_use]
    pub fn coerce(&self) -> bool {
        self.coerce.unwrap_or(true)
    }

    /// Reads the value of `field` if it is one of the spec's.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match field {
            "schema" => self.schema = Some(map.next_value()?),
            "instructions" => self.instructions = map.next_value()?,
            "examples" => self.examples = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "model" => self.model = map.next_value()?,
            "mode" => self.mode = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "max_attempts" => self.max_attempts = map.next_value()?,
            "timeout_ms" => self.timeout_ms = map.next_value()?,
            "temperature" => self.temperature = map.next_value()?,
            "max_output_tokens" => self.max_output_tokens = map.next_value()?,
            "seed" => self.seed = map.next_value()?,
            "cache" => self.cache = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "coerce" => self.coerce = map.next_value()?,
            "rules" => self.rules = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "on_failure" => self.on_failure = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "metadata" => self.metadata = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The names of the spec's fields, for the message about an unknown one.
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
        "metadata",
    ];
}

/// Whether a query parameter of this name is plain text rather than JSON (a `schema` is either).
#[must_use]
pub fn field_is_text(field: &str) -> bool {
    matches!(
        field,
        "instructions" | "model" | "mode" | "cache" | "on_error" | "on_failure"
    )
}

/// A value that fails to be read with a message of its own: how an unknown field is refused at its own place.
pub(super) struct Refuse<'a>(pub &'a str);

impl<'de> de::DeserializeSeed<'de> for Refuse<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(de::Error::custom(self.0))
    }
}

/// A key of an object, without a copy where the text allows.
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
