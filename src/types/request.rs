//! Request bodies of the extraction and job endpoints: the spec with fields of the endpoint beside it.
//!
//! Deserialized by hand: `#[serde(flatten)]` buffers the body and loses the location of an error.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::bounded::Bounded;
use super::input::{Content, Item};
use super::spec::{Key, RejectField, Spec, optional_choice};
use super::unknown_field::unknown_field_message;
use super::webhook::Webhook;

/// Body of `POST /v1/extract`.
#[derive(Debug, Clone, Default)]
pub struct Single {
    /// Extraction spec.
    pub spec: Spec,
    /// Text to extract from. Required: `None` is rejected later.
    pub input: Option<Content>,
    /// Streaming of the response. Default: none.
    pub stream: SingleStream,
    /// True if the provider's request is returned instead of being sent. Default: false.
    pub dry_run: bool,
}

/// Streaming of a single extraction's response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SingleStream {
    /// One JSON object, unless `Accept` asks for events.
    #[default]
    Off,
    /// Events, with versions of the object while the model writes it.
    Partials,
    /// Events, with the finished elements of the list only.
    Items,
}

impl<'de> Deserialize<'de> for SingleStream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = SingleStream;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or `\"items\"`")
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<SingleStream, A::Error> {
                // A number is presented as a map, too.
                let found = serde::de::Unexpected::Other("a number or an object");
                Err(A::Error::invalid_type(found, &self))
            }

            fn visit_bool<E: serde::de::Error>(self, stream: bool) -> Result<SingleStream, E> {
                Ok(if stream {
                    SingleStream::Partials
                } else {
                    SingleStream::Off
                })
            }

            fn visit_str<E: serde::de::Error>(self, stream: &str) -> Result<SingleStream, E> {
                match stream {
                    "items" => Ok(SingleStream::Items),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(stream), &self)),
                }
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

/// Behaviour of a batch when an item fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The other items continue.
    #[default]
    Continue,
    /// The first failed item ends the batch; unfinished items are cancelled.
    Stop,
}

/// Body of `POST /v1/extract/batch`. With NDJSON inputs it comes from the query and has no `inputs`.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Extraction spec.
    pub spec: Spec,
    /// Inputs. `None`: the body is NDJSON.
    pub inputs: Option<Vec<Item>>,
    concurrency: Option<Bounded<1, { u64::MAX }>>,
    /// Behaviour when an item fails.
    pub on_error: OnError,
    /// True if the response is streamed. Default: false.
    pub stream: bool,
}

impl Batch {
    /// Returns the memory of the inputs and values that are kept while it runs, beside their text, in bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let inputs = self.inputs.as_ref().map_or(0, Vec::capacity);
        self.spec.kept_bytes() + inputs * size_of::<Item>()
    }

    /// Returns the maximum number of items of this batch in flight. `None`: the global limit.
    #[must_use]
    pub fn concurrency(&self) -> Option<usize> {
        self.concurrency
            .map(|n| usize::try_from(n.get()).unwrap_or(usize::MAX))
    }
}

/// Body of `POST /v1/jobs`. With NDJSON inputs it comes from the query and has no `inputs`.
#[derive(Debug, Clone, Default)]
pub struct JobRequest {
    /// Fields shared with a batch. A job has no `stream`, which stays false.
    pub batch: Batch,
    /// Webhook to call when the job ends.
    pub webhook: Option<Webhook>,
}

/// Inputs of a JSON body.
#[derive(Debug)]
struct Items(Vec<Item>);

/// Maximum number of inputs in a JSON body, which are all in memory at once. NDJSON has no such limit.
const MAX_ITEMS: usize = 1_000_000;

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of inputs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MAX_ITEMS {
                        let message = format!(
                            "has more than {MAX_ITEMS} inputs; send them as NDJSON, which has no limit"
                        );
                        return Err(A::Error::custom(message));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// Request body with the spec's fields and fields of its own.
trait Body: Default {
    /// Names of the body's own fields.
    const FIELDS: &[&str];

    /// Returns the spec within the body.
    fn spec(&mut self) -> &mut Spec;

    /// Returns the message for a field that another path has.
    fn elsewhere(field: &str) -> Option<&'static str>;

    /// Deserializes the value of an own field. Returns false if the body has no such field.
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error>;
}

impl Body for Single {
    const FIELDS: &[&str] = &["input", "stream", "dry_run"];

    fn elsewhere(field: &str) -> Option<&'static str> {
        match field {
            "inputs" | "texts" => Some(
                "this path takes one text, as `input`; send several as `inputs` to /v1/extract/batch",
            ),
            "concurrency" | "on_error" => {
                Some("this path takes one text; the field is one of /v1/extract/batch")
            }
            "webhook" => Some("only a job has a webhook; create one at /v1/jobs"),
            "messages" => Some(MESSAGES),
            _ => None,
        }
    }

    fn spec(&mut self) -> &mut Spec {
        &mut self.spec
    }

    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match field {
            "input" => self.input = Some(map.next_value()?),
            "stream" => self.stream = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "dry_run" => self.dry_run = map.next_value::<Option<_>>()?.unwrap_or_default(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Body for Batch {
    const FIELDS: &[&str] = &["inputs", "concurrency", "on_error", "stream"];

    fn elsewhere(field: &str) -> Option<&'static str> {
        match field {
            "input" | "text" => Some(
                "this path takes several texts, as `inputs`; send one as `input` to /v1/extract",
            ),
            "dry_run" => Some("a dry run is made of one text; send it to /v1/extract"),
            "webhook" => Some("only a job has a webhook; create one at /v1/jobs"),
            "messages" => Some(MESSAGES),
            _ => None,
        }
    }

    fn spec(&mut self) -> &mut Spec {
        &mut self.spec
    }

    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match field {
            "inputs" => self.inputs = Some(map.next_value::<Items>()?.0),
            "concurrency" => self.concurrency = map.next_value()?,
            "on_error" => self.on_error = optional_choice(map)?,
            "stream" => self.stream = map.next_value::<Option<_>>()?.unwrap_or_default(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Body for JobRequest {
    const FIELDS: &[&str] = &["inputs", "concurrency", "on_error", "webhook"];

    fn elsewhere(field: &str) -> Option<&'static str> {
        match field {
            "input" | "text" => {
                Some("a job takes several texts, as `inputs`; send one as `input` to /v1/extract")
            }
            "stream" => {
                Some("unknown field; a job is not streamed: GET /v1/jobs/{id}/events follows it")
            }
            _ => Batch::elsewhere(field).filter(|_| field != "webhook"),
        }
    }

    fn spec(&mut self) -> &mut Spec {
        &mut self.batch.spec
    }

    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        field: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match field {
            "webhook" => self.webhook = map.next_value()?,
            "stream" => return Ok(false),
            _ => return self.batch.read_field(field, map),
        }
        Ok(true)
    }
}

/// Returns the message for a field that a body does not have.
fn unknown_field<B: Body>(name: &str) -> String {
    match B::elsewhere(name) {
        Some(elsewhere) => elsewhere.to_owned(),
        None => unknown_field_message(name, &[Spec::FIELDS, B::FIELDS].concat()),
    }
}

const MESSAGES: &str =
    "unknown field; send chat messages to /v1/chat/completions, or the text as `input`";

struct BodyVisitor<B>(PhantomData<B>);

impl<'de, B: Body> Visitor<'de> for BodyVisitor<B> {
    type Value = B;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<B, A::Error> {
        let mut body = B::default();
        let mut seen: Vec<Key<'de>> = Vec::new();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if seen.iter().any(|earlier| earlier.0 == key.0) {
                map.next_value_seed(RejectField("this field is given twice"))?;
            }
            if !body.spec().read_field(&key.0, &mut map)? && !body.read_field(&key.0, &mut map)? {
                map.next_value_seed(RejectField(&unknown_field::<B>(&key.0)))?;
            }
            seen.push(key);
        }
        Ok(body)
    }
}

impl<'de> Deserialize<'de> for Single {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for JobRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor(PhantomData))
    }
}

/// Returns the field names of each extraction endpoint's body, to compare with the OpenAPI document.
#[cfg(test)]
#[must_use]
pub fn request_fields() -> [(&'static str, Vec<&'static str>); 2] {
    [
        ("/v1/extract", [Spec::FIELDS, Single::FIELDS].concat()),
        ("/v1/extract/batch", [Spec::FIELDS, Batch::FIELDS].concat()),
    ]
}

// Messages of rejected bodies. The location of an error is tested in `http::json_body`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_have_the_documented_defaults() {
        let single: Single = serde_json::from_str(r#"{"input": "a", "schema": {}}"#).unwrap();
        assert_eq!(single.spec.max_attempts(), 3);
        assert_eq!(single.spec.timeout().as_millis(), 120_000);
        assert!(single.spec.temperature().abs() < f64::EPSILON);
        assert_eq!(single.stream, SingleStream::Off);
        let batch: Batch =
            serde_json::from_str(r#"{"inputs": [], "schema": "person", "concurrency": null}"#)
                .unwrap();
        assert_eq!(
            (batch.concurrency(), batch.on_error),
            (None, OnError::Continue)
        );
    }

    #[test]
    fn a_job_has_the_fields_of_a_batch_plus_webhook_minus_stream() {
        let secret = "whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCEh";
        let webhook = format!(r#"{{"url": "https://hooks.example/a", "secret": "{secret}"}}"#);
        let body = format!(
            r#"{{"schema": "person", "inputs": ["a"], "concurrency": 2, "on_error": "stop", "seed": 1, "webhook": {webhook}}}"#
        );
        let job: JobRequest = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (
                job.batch.concurrency(),
                job.batch.on_error,
                job.batch.spec.seed
            ),
            (Some(2), OnError::Stop, Some(1))
        );
        assert_eq!(job.batch.inputs.map(|inputs| inputs.len()), Some(1));
        assert_eq!(
            job.webhook.unwrap().url().as_str(),
            "https://hooks.example/a"
        );
        let without: JobRequest =
            serde_json::from_str(r#"{"schema": {}, "inputs": [], "webhook": null}"#).unwrap();
        assert!(without.webhook.is_none());
        let common = |fields: &[&'static str], other: &str| {
            fields
                .iter()
                .copied()
                .filter(|f| *f != other)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            common(JobRequest::FIELDS, "webhook"),
            common(Batch::FIELDS, "stream")
        );

        let error = serde_json::from_str::<JobRequest>(r#"{"stream": false}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a job is not streamed: GET /v1/jobs/{id}/events"),
            "{error}"
        );
        assert!(serde_json::from_str::<Batch>(&format!(r#"{{"webhook": {webhook}}}"#)).is_err());
        let twice = format!(r#"{{"webhook": {webhook}, "webhook": {webhook}}}"#);
        assert!(
            serde_json::from_str::<JobRequest>(&twice)
                .unwrap_err()
                .to_string()
                .contains("given twice")
        );
    }

    #[test]
    fn an_invalid_field_is_rejected_with_the_expected_form() {
        for (json, message) in [
            (
                r#"{"inptu": "a"}"#,
                "unknown field; did you mean `input`? the fields here are `schema`",
            ),
            (r#"{"text": "a"}"#, "did you mean `input`?"),
            (r#"{"maxAttempts": 3}"#, "did you mean `max_attempts`?"),
            (r#"{"inputs": ["a"]}"#, "to /v1/extract/batch"),
            (r#"{"messages": []}"#, "/v1/chat/completions"),
            (r#"{"seed": 1, "seed": 2}"#, "given twice"),
            (r#"{"max_attempts": 11}"#, "a whole number from 1 to 10"),
            (r#"{"temperature": 2.1}"#, "a number from 0 to 2"),
            (
                r#"{"mode": "jsn"}"#,
                "`jsn` is not allowed here; expected `auto`, ",
            ),
            (r#"{"mode": 3}"#, "expected `auto`, `json_schema`, "),
            (r#"{"schema": 3}"#, "expected a JSON Schema"),
            (r#"{"stream": "item"}"#, "`false` or `\"items\"`"),
            (r#"{"stream": 1}"#, "`false` or `\"items\"`"),
            ("[]", "expected a JSON object"),
        ] {
            let error = serde_json::from_str::<Single>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
