//! `GET /v1/models`: the configured models, in the shape of OpenAI's list.

use std::time::UNIX_EPOCH;

use axum::extract::Path;
use axum::http::Uri;
use axum::{Extension, Json};
use serde::Serialize;

use super::super::super::problem::ApiError;
use super::super::super::query::no_query;
use super::super::super::state::{AppState, State};
use crate::extraction::ModelEndpoint;
use crate::provider::ActiveAdaptation;
use crate::types::{Code, Error, Mode};
use throttle::CallerId;

/// A configured model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Model {
    /// Value for a request's `model`.
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Start time of the server, in seconds since the Unix epoch.
    created: u64,
    owned_by: String,
    provider: String,
    /// True for the model of requests that name none.
    default: bool,
    /// Supported modes of structured output, best first.
    modes: Vec<Mode>,
    /// Features that requests to the model omit for now, because the provider rejected them. Each is tried again after an hour.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    adaptations: Vec<Adaptation>,
    /// Limitation to know before using the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// A feature that requests omit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Adaptation {
    /// `mode` or `schema`: the mode, for all schemas or for some; else `temperature`, `seed`, `output_limit`, `stream_usage`,
    /// `stream` or `system_role`.
    feature: &'static str,
    /// Mode that is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// Number of schemas that it holds for. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<usize>,
    /// Time until the feature is tried again, in seconds.
    expires_in_s: u64,
}

impl From<ActiveAdaptation> for Adaptation {
    fn from(active: ActiveAdaptation) -> Self {
        let mode = active.adaptation.mode;
        Self {
            feature: active.adaptation.feature.as_str(),
            mode: (mode != Mode::Auto).then_some(mode),
            schemas: active.schemas,
            expires_in_s: active.expires_in.as_secs(),
        }
    }
}

impl Model {
    fn new(id: String, endpoint: &ModelEndpoint, default: &str, created: u64) -> Self {
        Self {
            default: endpoint.label() == default,
            id,
            object: "model",
            created,
            owned_by: endpoint.provider_name.clone(),
            provider: endpoint.provider_name.clone(),
            modes: endpoint.provider.modes().to_vec(),
            adaptations: endpoint
                .provider
                .adaptations(&endpoint.model)
                .into_iter()
                .map(Adaptation::from)
                .collect(),
            note: endpoint.provider.note(),
        }
    }
}

/// Configured models, in the shape of OpenAI's list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// List models
///
/// Returns the configured models that the caller may use. Any other model of a configured provider can be requested as
/// `provider/model`, unless the caller's models are restricted.
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "server",
    responses((status = 200, description = "The configured models", body = ModelList)))]
pub async fn models(
    state: State,
    Extension(caller): Extension<CallerId>,
    uri: Uri,
) -> Result<Json<ModelList>, ApiError> {
    no_query(&uri)?;
    Ok(Json(ModelList {
        object: "list",
        data: all(&state, caller),
    }))
}

/// Get a model
///
/// Returns a configured model.
#[utoipa::path(get, path = "/v1/models/{model}", operation_id = "get_model", tag = "server",
    params(("model" = String, Path, description = "Name of the model, or `provider/model`", example = "gpt-4o-mini")),
    responses((status = 200, description = "The model", body = Model)))]
pub async fn model(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Model>, ApiError> {
    no_query(&uri)?;
    let known = state.extractor.models();
    let resolved = known.resolve(&name);
    let labelled = known
        .named
        .iter()
        .find(|(_, route)| route.first.label() == resolved);
    let id = labelled.map_or(&resolved, |(id, _)| id);
    let mut models = all(&state, caller);
    let found = models.iter().position(|model| model.id == *id);
    let Some(index) = found else {
        let detail =
            format!("the model \"{name}\" is not configured; GET /v1/models lists those that are");
        return Err(Error::new(Code::NotFound, detail).into());
    };
    Ok(Json(models.swap_remove(index)))
}

/// Returns a configured model whose name has a slash.
pub async fn model_of_provider(
    state: State,
    caller: Extension<CallerId>,
    Path((provider, model)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<Model>, ApiError> {
    self::model(state, caller, Path(format!("{provider}/{model}")), uri).await
}

/// Returns the configured models that a caller may use; the default one is among them if the caller may use it.
fn all(state: &AppState, caller: CallerId) -> Vec<Model> {
    let models = state.extractor.models();
    let created = state
        .started_at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let default = models.default.first.label();
    let mut data: Vec<_> = models
        .named
        .iter()
        .map(|(name, route)| Model::new(name.clone(), &route.first, &default, created))
        .collect();
    if !data.iter().any(|model| model.default) {
        let endpoint = &models.default.first;
        data.insert(0, Model::new(default.clone(), endpoint, &default, created));
    }
    let access = state.extractor.permissions().access_of(caller);
    data.retain(|model| models.is_allowed(Some(&model.id), &access));
    data
}
