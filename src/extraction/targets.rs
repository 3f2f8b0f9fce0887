//! Targets of a request: each model of its route with the schema lowered to the dialect of each of the provider's modes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::copied_values::ExampleValues;
use super::examples::{CheckedExamples, QUICK_EXAMPLE_BYTES};
use super::models::{ModelEndpoint, ModelRoute};
use crate::long_work::{LONG_TEXT_BYTES, Piece, spawn_long};
use crate::provider::RequestTemplate;
use crate::schema::{Lowered, Schema};
use crate::types::{Code, Error, Example, ExtraBody, LoweredByMode, Mode};
use throttle::CallerId;

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
    fn new(endpoint: ModelEndpoint, mode: Mode, schema: &Schema, given: &GivenExamples) -> Self {
        let (examples, example_values) = if given.0.is_empty() && endpoint.provider.needs_skeleton()
        {
            let skeleton = Arc::from([schema.skeleton().clone()]);
            let values = Arc::new(ExampleValues::new(&skeleton));
            (skeleton, values)
        } else {
            given.clone()
        };
        let preferred = mode.or(endpoint.mode);
        let (mut lowered, mut forms) = (BTreeMap::new(), LoweredByMode::default());
        for mode in endpoint.provider.modes() {
            let dialect = endpoint.provider.dialect(*mode);
            // A mode that was named is used, with a looser dialect if necessary.
            let looser = || schema.lowered(dialect.otherwise.filter(|_| *mode == preferred)?);
            if let Some(form) = schema.lowered(dialect).or_else(looser) {
                forms.set(*mode, Arc::clone(&form.asked));
                lowered.insert(*mode, Arc::new(form));
            }
        }
        Self {
            label: endpoint.label().into(),
            mode: preferred,
            extra_body: endpoint.extra_body.clone(),
            has_callers_fields: false,
            endpoint,
            template: RequestTemplate::default(),
            lowered,
            forms,
            example_values,
            examples,
        }
    }
}

/// Examples of a request, with their values.
type GivenExamples = (Arc<[Example]>, Arc<ExampleValues>);

/// Returns the first target of a route and its fallbacks. A large schema is lowered, and large examples are searched, as long work on
/// behalf of the caller.
pub async fn prepare_targets(
    caller: CallerId,
    route: ModelRoute,
    mode: Mode,
    schema: &Arc<Schema>,
    examples: &CheckedExamples,
) -> Result<(Target, Vec<Target>), Error> {
    let is_slow = schema.is_slow_to_lower() || examples.bytes > QUICK_EXAMPLE_BYTES;
    let piece = Piece {
        caller,
        bytes: examples.bytes.max(LONG_TEXT_BYTES),
    };
    let (schema, examples) = (Arc::clone(schema), Arc::clone(&examples.list));
    let prepare = move || {
        let values = Arc::new(ExampleValues::new(&examples));
        let given = (examples, values);
        let fallback = route
            .fallback
            .into_iter()
            .map(|endpoint| Target::new(endpoint, mode, &schema, &given))
            .collect();
        (Target::new(route.first, mode, &schema, &given), fallback)
    };
    if !is_slow {
        return Ok(prepare());
    }
    spawn_long(piece, prepare).await.map_err(|_| {
        let detail = "a bug in the server: the schema could not be converted for the provider";
        Error::new(Code::Internal, detail)
    })
}
