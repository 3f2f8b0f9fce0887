//! Table of contents: every route, with the layers around them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderValue;
use serde_json::Value;
use tower_http::cors::{AllowHeaders, AllowMethods, Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::handlers::{batch, chat, extract, jobs, mcp, ops, schemas, ui};
use super::state::{AppState, Parts};
use super::{middleware, openapi};

/// Time for which a browser may cache a CORS preflight response.
const CORS_MAX_AGE: Duration = Duration::from_secs(3600);

fn routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::with_openapi(openapi::skeleton())
        .routes(routes!(extract::extract))
        .routes(routes!(batch::extract_batch))
        .routes(routes!(jobs::create_job, jobs::list_jobs))
        .routes(routes!(jobs::show_job, jobs::delete_job))
        .routes(routes!(jobs::results::job_results))
        .routes(routes!(jobs::events::job_events))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(jobs::retry_job))
        .routes(routes!(schemas::list))
        .routes(routes!(schemas::get, schemas::put, schemas::delete))
        .routes(routes!(schemas::versions))
        .routes(routes!(chat::completions))
        .routes(routes!(chat::responses))
        .routes(routes!(ops::models::models))
        .routes(routes!(ops::models::model))
        .routes(routes!(ops::limits::limits))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics::metrics))
        .routes(routes!(ops::version))
}

/// Returns the OpenAPI document of all routes.
#[must_use]
pub fn document() -> Value {
    openapi::complete(routes().split_for_parts().1)
}

/// Returns the whole service as one tower service.
pub fn router(parts: Parts) -> Router {
    let cors = cors_layer(&parts.server.cors_origins);
    let state = Arc::new(AppState::new(parts));
    let (router, document) = routes().split_for_parts();
    let router = router
        .merge(openapi::docs_routes(&openapi::complete(document)))
        .route("/", axum::routing::get(ui::page))
        .route("/ui/{file}", axum::routing::get(ui::file))
        // The slash of a model's name, as OpenAI's clients send it.
        .route(
            "/v1/models/{provider}/{*model}",
            axum::routing::get(ops::models::model_of_provider),
        )
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&state));
    let handle = axum::middleware::from_fn_with_state(Arc::clone(&state), middleware::handle);
    // The tools of /mcp call the other routes, with all that is around them.
    let mcp = mcp::route(router.clone().layer(handle.clone()), state);
    let router = router.merge(mcp).layer(handle);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// Returns the CORS layer for these origins; `*` allows any. `None` if there are none.
fn cors_layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        // A bare `*` would not cover `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(CORS_MAX_AGE);
    if origins.iter().any(|origin| origin == "*") {
        return Some(layer.allow_origin(Any));
    }
    let origins: Vec<_> = origins
        .iter()
        .filter_map(|origin| origin.parse::<HeaderValue>().ok())
        .collect();
    Some(layer.allow_origin(origins))
}

#[cfg(test)]
mod tests;
