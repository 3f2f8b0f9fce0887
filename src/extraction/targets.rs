//! Targets of a request: each model of its route with the schema lowered to the dialect of each of the provider's modes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::copied_values::ExampleValues;
use super::examples::{CheckedExamples, QUICK_EXAMPLE_BYTES};
use super::models::{ModelEndpoint, ModelRoute};
use crate::long_work::{LONG_TEXT_BYTES, Piece, spawn_long};
use crate::provider::RequestTemplate;
use crate::schema::{DialectChoice, Lowered, Schema};
use crate::types::{Code, Error, Example, ExtraBody, LoweredByMode, Mode};
use throttle::MemoryReservation;

/// Model, provider and settings to call.
#[derive(Debug)]
pub struct Target {
    pub endpoint: ModelEndpoint,
    /// Name in results: `provider/model`.
    pub label: Arc<str>,
    pub mode: Mode,
    /// Fields that are added to each request.
    pub extra_body: ExtraBody,
    /// True if some of these fields are the caller's, not the model's: what they provoke is not the model's either.
    pub has_callers_fields: bool,
    pub template: RequestTemplate,
    /// Lowered schema per mode, to lift answers with.
    pub lowered: BTreeMap<Mode, Arc<Lowered>>,
    /// Lowered schema per mode, to send.
    pub forms: LoweredByMode,
    /// Few-shot examples of the prompt: the request's, or a skeleton of placeholders if it has none and the provider needs one.
    pub examples: Arc<[Example]>,
    /// Values of `examples` that must not be taken for a text's.
    pub example_values: Arc<ExampleValues>,
}

impl Target {
    fn new(
        endpoint: ModelEndpoint,
        mode: Mode,
        schema: &Schema,
        given: &GivenExamples,
        memory: &mut MemoryReservation,
    ) -> Result<Self, Error> {
        let (examples, example_values) = if given.0.is_empty() && endpoint.provider.needs_skeleton()
        {
            let skeleton = Arc::from([schema.skeleton().clone()]);
            let values = Arc::new(ExampleValues::new(&skeleton));
            (skeleton, values)
        } else {
            given.clone()
        };
        let (mut lowered, mut forms) = (BTreeMap::new(), LoweredByMode::default());
        for (mode, (dialect, looser)) in dialects(&endpoint, mode) {
            let mut form = schema.lowered_within(dialect, memory)?;
            if let (None, Some(looser)) = (&form, looser) {
                form = schema.lowered_within(looser, memory)?;
            }
            if let Some(form) = form {
                forms.set(mode, Arc::clone(&form.asked));
                lowered.insert(mode, Arc::new(form));
            }
        }
        Ok(Self {
            label: endpoint.label().into(),
            mode: mode.or(endpoint.mode),
            extra_body: endpoint.extra_body.clone(),
            has_callers_fields: false,
            endpoint,
            template: RequestTemplate::default(),
            lowered,
            forms,
            example_values,
            examples,
        })
    }
}

/// Returns the modes of an endpoint with their dialects. A mode that was named is used with a looser dialect if necessary.
fn dialects(endpoint: &ModelEndpoint, mode: Mode) -> impl Iterator<Item = (Mode, DialectChoice)> {
    let preferred = mode.or(endpoint.mode);
    endpoint.provider.modes().iter().map(move |mode| {
        let dialect = endpoint.provider.dialect(*mode);
        let looser = dialect.otherwise.filter(|_| *mode == preferred);
        (*mode, (dialect, looser))
    })
}

/// Examples of a request, with their values.
type GivenExamples = (Arc<[Example]>, Arc<ExampleValues>);

/// Returns the first target of a route and its fallbacks. A large schema is lowered, and large examples are searched, as long work on
/// behalf of the caller of `memory`, from which the schema takes what its lowered forms need.
///
/// # Errors
/// As [`Schema::lowered_within`].
pub async fn prepare_targets(
    mut memory: MemoryReservation,
    route: ModelRoute,
    mode: Mode,
    schema: &Arc<Schema>,
    examples: &CheckedExamples,
) -> Result<(Target, Vec<Target>), Error> {
    let endpoints = std::iter::once(&route.first).chain(&route.fallback);
    let choices = endpoints.flat_map(|endpoint| dialects(endpoint, mode));
    let is_slow = schema.is_slow_to_lower(choices.map(|(_, choice)| choice))
        || examples.bytes > QUICK_EXAMPLE_BYTES;
    let piece = Piece {
        caller: memory.caller(),
        bytes: examples.bytes.max(LONG_TEXT_BYTES),
    };
    let (schema, examples) = (Arc::clone(schema), Arc::clone(&examples.list));
    let prepare = move || {
        let values = Arc::new(ExampleValues::new(&examples));
        let given = (examples, values);
        let mut target = |endpoint| Target::new(endpoint, mode, &schema, &given, &mut memory);
        let first = target(route.first)?;
        let fallback = route.fallback.into_iter().map(target);
        Ok((first, fallback.collect::<Result<_, _>>()?))
    };
    if !is_slow {
        return prepare();
    }
    spawn_long(piece, prepare).await.unwrap_or_else(|_| {
        let detail = "a bug in the server: the schema could not be converted for the provider";
        Err(Error::new(Code::Internal, detail))
    })
}
