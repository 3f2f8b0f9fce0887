//! A spec made ready: its schema compiled, its model found, its examples checked. Made once for a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Extractor, Kind};
use crate::limits::{Patience, PoolId};
use crate::model::{Code, Error, Example, Fault, Mode, SchemaSource, Spec};
use crate::provider::{Provider, Template};
use crate::schema::Schema;

/// A provider as it was configured.
#[derive(Debug, Clone)]
pub struct Provided {
    pub provider: Arc<dyn Provider>,
    pub pool: PoolId,
}

/// The way to a model.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name of its provider in the configuration.
    pub provider_name: String,
    pub provider: Arc<dyn Provider>,
    pub pool: PoolId,
    /// The provider's own name of the model.
    pub model: String,
    /// Used where the spec says `auto`.
    pub mode: Mode,
}

impl Route {
    /// As a result names it: `provider/model`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider_name, self.model)
    }
}

/// The models that can be asked.
#[derive(Debug)]
pub struct Models {
    /// What a request gets that names none.
    pub default: Route,
    /// The configured ones, by the name that a caller uses.
    pub named: BTreeMap<String, Route>,
    pub providers: BTreeMap<String, Provided>,
}

impl Models {
    /// The model of this name, or of `provider/model`.
    ///
    /// # Errors
    /// `invalid_request` at `/model`, with what is known.
    pub fn find(&self, name: Option<&str>) -> Result<Route, Error> {
        let Some(name) = name else { return Ok(self.default.clone()) };
        if let Some(route) = self.named.get(name) {
            return Ok(route.clone());
        }
        if name == self.default.label() {
            return Ok(self.default.clone());
        }
        let (provider_name, model) = name.split_once('/').unwrap_or((name, ""));
        match self.providers.get(provider_name) {
            Some(provided) if !model.is_empty() && provider_name != LOCAL => Ok(Route {
                provider_name: provider_name.to_owned(),
                provider: Arc::clone(&provided.provider),
                pool: provided.pool,
                model: model.to_owned(),
                mode: Mode::Auto,
            }),
            _ => Err(Error::invalid("/model", format!("the model \"{name}\" is not known; known are {}", self.known()))),
        }
    }

    fn known(&self) -> String {
        let mut known: Vec<_> = self.named.keys().map(|name| format!("\"{name}\"")).collect();
        known.push(format!("\"{}\" (the default)", self.default.label()));
        known.extend(self.providers.keys().filter(|name| *name != LOCAL).map(|name| format!("\"{name}/…\"")));
        known.join(", ")
    }
}

/// The provider that has but one model, which is built in.
const LOCAL: &str = "local";

/// A spec made ready to be used for every item of a request.
#[derive(Debug)]
pub struct Plan {
    route: Route,
    pub(super) label: String,
    pub(super) mode: Mode,
    pub(super) schema: Arc<Schema>,
    pub(super) instructions: Option<String>,
    pub(super) examples: Vec<Example>,
    pub(super) max_attempts: u32,
    pub(super) timeout: Duration,
    pub(super) temperature: f64,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) patience: Patience,
    pub(super) traceparent: Option<String>,
    pub(super) template: Template,
}

impl Plan {
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.route
    }
}

impl Extractor {
    /// Makes a spec ready.
    ///
    /// # Errors
    /// `invalid_schema` or `invalid_request`, with pointers into the spec.
    pub async fn plan(&self, mut spec: Spec, kind: Kind, traceparent: Option<String>) -> Result<Plan, Error> {
        let schema = match &spec.schema {
            Some(SchemaSource::Inline(raw)) => self.schemas.get(raw.get()).await.map_err(|error| error.below("/schema"))?,
            Some(SchemaSource::Named(name)) => match self.registry.get(name) {
                Some(entry) => entry.schema,
                None => return Err(Error::invalid("/schema", format!("no schema is registered under the name \"{name}\""))),
            },
            None => {
                return Err(Error::invalid("/schema", "this field is required: a JSON Schema, or the name of a registered one"));
            }
        };
        let route = self.models.find(spec.model.as_deref())?;
        check_sizes(&spec)?;
        let examples = check_examples(std::mem::take(&mut spec.examples), &schema).await?;
        Ok(Plan {
            label: route.label(),
            mode: if spec.mode == Mode::Auto { route.mode } else { spec.mode },
            route,
            schema,
            max_attempts: spec.max_attempts(),
            timeout: spec.timeout(),
            temperature: spec.temperature(),
            max_output_tokens: spec.max_output_tokens(),
            seed: spec.seed,
            instructions: spec.instructions,
            examples,
            patience: Patience::new(match kind {
                Kind::Single => self.config.max_wait,
                Kind::Batch => self.config.max_batch_wait,
            }),
            traceparent,
            template: Template::default(),
        })
    }
}

/// The most that instructions and examples may take, in bytes: they go out with every item.
const MAX_WORDS_BYTES: usize = 1 << 20;

fn check_sizes(spec: &Spec) -> Result<(), Error> {
    let too_long =
        |at: &str| Err(Error::invalid(at, format!("takes more than {MAX_WORDS_BYTES} bytes, which go out with every item")));
    if spec.instructions.as_ref().is_some_and(|instructions| instructions.len() > MAX_WORDS_BYTES) {
        return too_long("/instructions");
    }
    let mut bytes = 0;
    for (index, example) in spec.examples.iter().enumerate() {
        bytes += example.input.0.len() + example.output.to_string().len();
        if bytes > MAX_WORDS_BYTES {
            return too_long(&format!("/examples/{index}"));
        }
    }
    Ok(())
}

/// Checks the outputs beside the runtime's workers: they may be large, and the schema costly.
async fn check_examples(examples: Vec<Example>, schema: &Arc<Schema>) -> Result<Vec<Example>, Error> {
    if examples.is_empty() {
        return Ok(examples);
    }
    let schema = Arc::clone(schema);
    let checked = tokio::task::spawn_blocking(move || {
        let faults = faults(&examples, &schema);
        (examples, faults)
    });
    let Ok((examples, faults)) = checked.await else {
        return Err(Error::new(Code::Internal, "the examples could not be checked"));
    };
    let Some(first) = faults.first() else { return Ok(examples) };
    let detail = format!("{}: an example's output must be valid against the schema: {}", first.pointer, first.message);
    Err(Error::new(Code::InvalidRequest, detail).with_errors(faults))
}

fn faults(examples: &[Example], schema: &Schema) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let at = format!("/examples/{index}/output");
        faults.extend(schema.faults(&example.output).into_iter().map(|mut fault| {
            fault.pointer.insert_str(0, &at);
            fault
        }));
    }
    faults
}
