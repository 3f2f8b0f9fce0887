//! A spec made ready: its schema compiled, its model found, its examples checked. Made once for a request.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::partial_stream::{PartialPublisher, PartialStream};
use super::single_flight::Key;
use super::straggler_detector::StragglerDetector;
use super::{Extractor, RequestClass};
use crate::limits::{self, Limits, ModelLimits, PoolId, WaitBudget, guess_tokens};
use crate::provider::{Provider, RequestTemplate};
use crate::schema::{Lowered, Rules, Schema};
use crate::types::{
    CacheUse, Code, Error, Example, FieldError, LoweredByMode, Mode, OnFailure, Price,
    SchemaSource, Spec,
};

/// A provider as it was configured.
#[derive(Debug, Clone)]
pub struct ProviderEntry {
    pub provider: Arc<dyn Provider>,
    pub pool: PoolId,
    /// The longest that one call may take; `None`: decided by the item's own time.
    pub call_timeout: Option<Duration>,
}

/// The way to a model.
#[derive(Debug, Clone)]
pub struct ModelEndpoint {
    /// The name of its provider in the configuration.
    pub provider_name: String,
    pub provider: Arc<dyn Provider>,
    /// The provider's own name of the model.
    pub model: String,
    /// Used where the spec says `auto`.
    pub mode: Mode,
    /// The model as the limits know it.
    pub limits: Arc<limits::Model>,
    /// What its tokens cost; `None`: not known.
    pub price: Option<Price>,
    pub call_timeout: Option<Duration>,
}

impl ModelEndpoint {
    /// As a result names it: `provider/model`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider_name, self.model)
    }
}

/// A model, and whom to ask instead when it cannot answer.
#[derive(Debug, Clone)]
pub struct ModelRoute {
    pub first: ModelEndpoint,
    /// In the order in which they are tried.
    pub fallback: Vec<ModelEndpoint>,
}

/// The models that can be asked.
#[derive(Debug)]
pub struct Models {
    /// What a request gets that names none.
    pub default: ModelRoute,
    /// The configured ones, by the name that a caller uses.
    pub named: BTreeMap<String, ModelRoute>,
    pub providers: BTreeMap<String, ProviderEntry>,
}

impl Models {
    /// The model of this name, or of `provider/model`.
    ///
    /// # Errors
    /// `invalid_request` at `/model`, with what is known.
    pub fn find(&self, name: Option<&str>, limits: &Limits) -> Result<ModelRoute, Error> {
        let Some(name) = name else {
            return Ok(self.default.clone());
        };
        if name.len() > MAX_NAME_BYTES {
            return Err(Error::invalid(
                "/model",
                format!("a model's name has at most {MAX_NAME_BYTES} bytes"),
            ));
        }
        if let Some(choice) = self.named.get(name) {
            return Ok(choice.clone());
        }
        if name == self.default.first.label() {
            return Ok(self.default.clone());
        }
        let (provider_name, model) = name.split_once('/').unwrap_or((name, ""));
        match self.providers.get(provider_name) {
            Some(provided) if !model.is_empty() && provider_name != LOCAL => {
                let first = provided.route(
                    provider_name,
                    model,
                    Mode::Auto,
                    ModelLimits::default(),
                    limits,
                );
                Ok(ModelRoute {
                    first,
                    fallback: Vec::new(),
                })
            }
            _ => Err(Error::invalid(
                "/model",
                format!(
                    "the model \"{name}\" is not known; known are {}",
                    self.known()
                ),
            )),
        }
    }

    fn known(&self) -> String {
        let mut known: Vec<_> = self
            .named
            .keys()
            .map(|name| format!("\"{name}\""))
            .collect();
        known.push(format!("\"{}\" (the default)", self.default.first.label()));
        known.extend(
            self.providers
                .keys()
                .filter(|name| *name != LOCAL)
                .map(|name| format!("\"{name}/…\"")),
        );
        known.join(", ")
    }
}

impl ProviderEntry {
    /// The way to one of the provider's models. The terms of who names it first hold for all.
    #[must_use]
    pub fn route(
        &self,
        provider_name: &str,
        model: &str,
        mode: Mode,
        terms: ModelLimits,
        limits: &Limits,
    ) -> ModelEndpoint {
        let known = limits.model(self.pool, model, terms);
        ModelEndpoint {
            provider_name: provider_name.to_owned(),
            provider: Arc::clone(&self.provider),
            model: model.to_owned(),
            mode,
            price: known.price(),
            limits: known,
            call_timeout: self.call_timeout,
        }
    }
}

/// The longest name of a model, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The provider that has but one model, which is built in.
const LOCAL: &str = "local";

/// A model that an item may ask, made ready.
#[derive(Debug)]
pub struct Target {
    pub route: ModelEndpoint,
    pub label: Arc<str>,
    pub mode: Mode,
    pub template: RequestTemplate,
    /// The schema in the form of each mode.
    pub lowered: BTreeMap<Mode, Arc<Lowered>>,
    pub forms: LoweredByMode,
}

impl Target {
    fn new(route: ModelEndpoint, mode: Mode, schema: &Schema) -> Self {
        let wanted = mode.or(route.mode);
        let (mut lowered, mut forms) = (BTreeMap::new(), LoweredByMode::default());
        for mode in route.provider.modes() {
            let subset = route.provider.subset(*mode);
            // Who names a mode gets it, in a looser form if need be.
            let otherwise = || schema.lowered(subset.otherwise.filter(|_| *mode == wanted)?);
            if let Some(form) = schema.lowered(subset).or_else(otherwise) {
                forms.set(*mode, Arc::clone(&form.asked));
                lowered.insert(*mode, Arc::new(form));
            }
        }
        Self {
            label: route.label().into(),
            mode: wanted,
            route,
            template: RequestTemplate::default(),
            lowered,
            forms,
        }
    }
}

/// A spec made ready to be used for every item of a request.
#[derive(Debug)]
pub struct PreparedRequest {
    pub(super) kind: RequestClass,
    pub(super) first: Target,
    pub(super) fallback: Vec<Target>,
    pub(super) schema: Arc<Schema>,
    pub(super) rules: Arc<Rules>,
    pub(super) on_failure: OnFailure,
    pub(super) instructions: Option<String>,
    pub(super) examples: Vec<Example>,
    pub(super) max_attempts: u32,
    pub(super) timeout: Duration,
    pub(super) temperature: f64,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) cache: CacheUse,
    pub(super) coerce: bool,
    pub(super) patience: WaitBudget,
    pub(super) max_tries: u32,
    pub(super) traceparent: Option<String>,
    pub(super) pace: StragglerDetector,
    /// Where its one item's answer is told while it is written.
    pub(super) preview: Option<Arc<PartialPublisher>>,
    /// What goes out with every text, in guessed tokens.
    frame_tokens: OnceLock<u64>,
    /// What makes items equal but their text; `None`: no two are.
    identity: Option<Sha256>,
}

/// Guessed tokens of what every prompt says.
const WORDS_TOKENS: u64 = 80;

impl PreparedRequest {
    /// The schema's text, as it came.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        self.schema.raw().get()
    }

    /// The model that is asked first.
    #[must_use]
    pub const fn route(&self) -> &ModelEndpoint {
        &self.first.route
    }

    /// Tells of the answer while it is written. For one item alone.
    pub async fn stream_partials(&mut self) -> PartialStream {
        let schema = Arc::clone(&self.schema);
        let coerce = self.coerce;
        let preview =
            tokio::task::spawn_blocking(move || PartialPublisher::new(&schema, coerce)).await;
        let preview = Arc::new(preview.unwrap_or_default());
        self.preview = Some(Arc::clone(&preview));
        PartialStream::new(preview)
    }

    /// The first is 0, then come the fallbacks.
    pub(super) fn target(&self, at: usize) -> &Target {
        at.checked_sub(1)
            .and_then(|at| self.fallback.get(at))
            .unwrap_or(&self.first)
    }

    /// Whether it is known what each of its calls costs: what is built in costs nothing.
    pub(super) fn has_price(&self) -> bool {
        let mut ways = std::iter::once(&self.first).chain(&self.fallback);
        ways.all(|way| way.route.price.is_some() || way.route.provider_name == LOCAL)
    }

    /// A guess at the tokens of the prompt for a text.
    pub(super) fn estimated_tokens(&self, text: &str) -> u64 {
        let frame = self.frame_tokens.get_or_init(|| {
            let examples = self.examples.iter().map(|example| {
                guess_tokens(&example.input.0) + guess_tokens(&example.output.to_string())
            });
            let instructions = self.instructions.as_deref().map_or(0, guess_tokens);
            WORDS_TOKENS
                + guess_tokens(self.schema.raw().get())
                + instructions
                + examples.sum::<u64>()
        });
        frame + guess_tokens(text)
    }

    /// What makes an item with this text equal to others; `None`: nothing does.
    pub(super) fn cache_key(&self, text: &str) -> Option<Key> {
        let mut digest = self.identity.clone()?;
        digest.update(text);
        Some(digest.finalize().into())
    }

    /// Only what a model answers the same way every time can be shared: at temperature 0, or with a seed.
    fn with_identity(mut self) -> Self {
        if self.cache == CacheUse::Off || (self.temperature > 0.0 && self.seed.is_none()) {
            return self;
        }
        let mut digest = Sha256::new();
        // Each part with its length, so that no two lists of parts are one text.
        let mut add = |part: &str| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        add(self.schema.raw().get());
        add(self.instructions.as_deref().unwrap_or_default());
        for example in &self.examples {
            add(&example.input.0);
            add(&example.output.to_string());
        }
        for rule in self.rules.sources() {
            add(&rule.expression);
            add(&rule.message);
        }
        for way in std::iter::once(&self.first).chain(&self.fallback) {
            add(&way.label);
            add(way.mode.as_str());
        }
        // Not `on_failure`: it only says what is made of the same end.
        let lengths = (self.examples.len(), self.rules.sources().count());
        let numbers = (
            lengths,
            self.max_attempts,
            self.timeout,
            self.temperature.to_bits(),
            self.max_output_tokens,
            self.seed,
        );
        add(&format!(
            "{} {} {numbers:?}",
            self.instructions.is_some(),
            self.coerce
        ));
        self.identity = Some(digest);
        self
    }
}

impl Extractor {
    /// Makes a spec ready.
    ///
    /// # Errors
    /// `invalid_schema` or `invalid_request`, with pointers into the spec.
    pub async fn prepare(
        &self,
        mut spec: Spec,
        kind: RequestClass,
        traceparent: Option<String>,
    ) -> Result<PreparedRequest, Error> {
        let schema = match &spec.schema {
            Some(SchemaSource::Inline(raw)) => self
                .schemas
                .get(raw.get())
                .await
                .map_err(|error| error.with_pointer_prefix("/schema"))?,
            Some(SchemaSource::Named(name)) => match self.registry.get(name) {
                Some(entry) => entry.schema,
                None => {
                    return Err(Error::invalid(
                        "/schema",
                        format!("no schema is registered under the name \"{name}\""),
                    ));
                }
            },
            None => {
                return Err(Error::invalid(
                    "/schema",
                    "this field is required: a JSON Schema, or the name of a registered one",
                ));
            }
        };
        let choice = self.models.find(spec.model.as_deref(), &self.limits)?;
        check_sizes(&spec)?;
        let examples = check_examples(std::mem::take(&mut spec.examples), &schema).await?;
        let rules = Rules::compile_async(std::mem::take(&mut spec.rules)).await?;
        let (first, fallback) = targets(choice, spec.mode, &schema).await?;
        let plan = PreparedRequest {
            kind,
            first,
            fallback,
            schema,
            rules,
            on_failure: spec.on_failure,
            max_attempts: spec.max_attempts(),
            timeout: spec.timeout(),
            temperature: spec.temperature(),
            max_output_tokens: spec.max_output_tokens(),
            seed: spec.seed,
            cache: spec.cache,
            coerce: spec.coerce(),
            instructions: spec.instructions,
            examples,
            patience: match kind {
                RequestClass::Single => WaitBudget::new(self.config.max_wait, MAX_OUTAGE),
                RequestClass::Batch => {
                    WaitBudget::new(self.config.max_batch_wait, MAX_BATCH_OUTAGE)
                }
                RequestClass::Job => WaitBudget::new(Duration::MAX, Duration::MAX),
            },
            max_tries: if kind == RequestClass::Job {
                self.config.max_job_tries
            } else {
                self.config.max_tries
            },
            traceparent,
            pace: StragglerDetector::default(),
            preview: None,
            frame_tokens: OnceLock::new(),
            identity: None,
        };
        Ok(plan.with_identity())
    }
}

/// The ways to the models; the forms of a large schema are made beside the runtime's workers.
async fn targets(
    choice: ModelRoute,
    mode: Mode,
    schema: &Arc<Schema>,
) -> Result<(Target, Vec<Target>), Error> {
    let is_slow = schema.is_slow_to_lower();
    let schema = Arc::clone(schema);
    let ways = move || {
        let fallback = choice
            .fallback
            .into_iter()
            .map(|route| Target::new(route, mode, &schema))
            .collect();
        (Target::new(choice.first, mode, &schema), fallback)
    };
    if !is_slow {
        return Ok(ways());
    }
    tokio::task::spawn_blocking(ways)
        .await
        .map_err(|_| Error::new(Code::Internal, "the schema could not be lowered"))
}

/// How long a single waits for a provider that fails all the time: once for its breaker to let a call through.
const MAX_OUTAGE: Duration = Duration::from_secs(8);
/// How long an item of a batch does.
const MAX_BATCH_OUTAGE: Duration = Duration::from_secs(30);

/// The most that instructions and examples may take, in bytes: they go out with every item.
const MAX_WORDS_BYTES: usize = 1 << 20;

fn check_sizes(spec: &Spec) -> Result<(), Error> {
    let too_long = |at: &str| {
        Err(Error::invalid(
            at,
            format!("takes more than {MAX_WORDS_BYTES} bytes, which go out with every item"),
        ))
    };
    if spec
        .instructions
        .as_ref()
        .is_some_and(|instructions| instructions.len() > MAX_WORDS_BYTES)
    {
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
async fn check_examples(
    examples: Vec<Example>,
    schema: &Arc<Schema>,
) -> Result<Vec<Example>, Error> {
    if examples.is_empty() {
        return Ok(examples);
    }
    let schema = Arc::clone(schema);
    let checked = tokio::task::spawn_blocking(move || {
        let faults = example_errors(&examples, &schema);
        (examples, faults)
    });
    let Ok((examples, faults)) = checked.await else {
        return Err(Error::new(
            Code::Internal,
            "the examples could not be checked",
        ));
    };
    let Some(first) = faults.first() else {
        return Ok(examples);
    };
    let detail = format!(
        "{}: an example's output must be valid against the schema: {}",
        first.pointer, first.message
    );
    Err(Error::new(Code::InvalidRequest, detail).with_errors(faults))
}

fn example_errors(examples: &[Example], schema: &Schema) -> Vec<FieldError> {
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
