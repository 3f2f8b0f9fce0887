//! Targets of a request: each model of its route with the schema lowered to the dialect of each of the provider's modes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::copied_values::ExampleValues;
use super::models::{ModelEndpoint, ModelRoute};
use crate::provider::RequestTemplate;
use crate::schema::{Lowered, Schema};
use crate::types::{Code, Error, Example, ExtraBody, LoweredByMode, Mode};

/// Model, provider and settings to call.
#[derive(Debug)]
pub struct Target {
    pub endpoint: ModelEndpoint,
    /// Name in results: `provider/model`.
    pub label: Arc<str>,
    pub mode: Mode,
    /// Fields that are added to each request.
    pub extra_body: ExtraBody,
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
    fn new(endpoint: ModelEndpoint, mode: Mode, schema: &Schema, given: &Arc<[Example]>) -> Self {
        let examples = if given.is_empty() && endpoint.provider.needs_skeleton() {
            Arc::from([schema.skeleton().clone()])
        } else {
            Arc::clone(given)
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
            endpoint,
            template: RequestTemplate::default(),
            lowered,
            forms,
            example_values: Arc::new(ExampleValues::new(&examples)),
            examples,
        }
    }
}

/// Returns the first target of a route and its fallbacks. A large schema is lowered on the blocking pool.
pub async fn prepare_targets(
    route: ModelRoute,
    mode: Mode,
    schema: &Arc<Schema>,
    examples: &Arc<[Example]>,
) -> Result<(Target, Vec<Target>), Error> {
    let is_slow = schema.is_slow_to_lower();
    let (schema, examples) = (Arc::clone(schema), Arc::clone(examples));
    let prepare = move || {
        let fallback = route
            .fallback
            .into_iter()
            .map(|endpoint| Target::new(endpoint, mode, &schema, &examples))
            .collect();
        (Target::new(route.first, mode, &schema, &examples), fallback)
    };
    if !is_slow {
        return Ok(prepare());
    }
    tokio::task::spawn_blocking(prepare).await.map_err(|_| {
        let detail = "a bug in the server: the schema could not be converted for the provider";
        Error::new(Code::Internal, detail)
    })
}
