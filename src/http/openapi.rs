//! OpenAPI document: its general information, its request schemas, and the routes that serve it (`/openapi.json`, `/docs`).
//!
//! [`skeleton`] has what no route has, the routes add their operations, and [`complete`] adds what operations share.

mod chat_schemas;
mod complete;
mod examples;
pub mod request_schemas;
mod responses;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, tag::TagBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::chat::error::ErrorBody;
use super::handlers::jobs::view::JobProgress;
use crate::contract::{
    JobDone, ListItem, NdjsonSummary, PartialResult, Problem, Progress, SingleDone, SseDone,
};

pub use chat_schemas::{ChatCompletion, ChatCompletionRequest, JsonObject};
pub use complete::complete;
pub use request_schemas::{BatchRequest, ExtractRequest, JsonSchema};

/// Path of the document.
const DOCUMENT_PATH: &str = "/openapi.json";

/// Schemas that no JSON response refers to: the events of streams, the last line of NDJSON, and problems.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    ErrorBody<'_>,
    JobDone,
    JobProgress,
    ListItem,
    NdjsonSummary,
    PartialResult,
    Problem,
    Progress,
    SingleDone,
    SseDone
)))]
struct StreamSchemas;

/// Returns the document without its routes.
pub fn skeleton() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("extractd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Turns text into validated JSON with a language model: one text or a million, in input order or as results complete.",
        ))
        .license(Some(license))
        .contact(Some(ContactBuilder::new().name(Some("extractd")).url(Some("https://extractd.dev")).build()));
    let tag = |name: &str, description: &str| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    };
    let mut document = StreamSchemas::openapi();
    document.info = info.build();
    document.tags = Some(vec![
        tag("extraction", "Extraction of JSON from text"),
        tag(
            "jobs",
            "Durable jobs, which survive a restart of the server",
        ),
        tag("openai", "OpenAI's Chat Completions and Responses APIs"),
        tag("schemas", "Registry of JSON Schemas by name"),
        tag("server", "Models, limits, health and metrics of the server"),
    ]);
    document
}

/// Returns the routes `/openapi.json` and `/docs`; the page loads nothing from other servers.
pub fn docs_routes<S: Clone + Send + Sync + 'static>(document: &Value) -> Router<S> {
    let config = Config::new([DOCUMENT_PATH])
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .validator_url("none");
    // Written once: the page's own route for a document would copy and write it for each request, for a millisecond.
    let json = Bytes::from(document.to_string());
    let document = async move || ([(CONTENT_TYPE, "application/json")], json.clone());
    Router::from(SwaggerUi::new("/docs").config(config)).route(DOCUMENT_PATH, get(document))
}
