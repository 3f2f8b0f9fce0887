//! OpenAPI document: its general information, its request schemas, and the routes that serve it (`/openapi.json`, `/docs`).

mod request_schemas;

use axum::Router;
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, tag::TagBuilder,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use request_schemas::{BatchRequest, ExtractRequest, JobRequest};

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
    OpenApiBuilder::new()
        .info(info.build())
        .tags(Some([
            tag("extraction", "Extraction of JSON from text"),
            tag(
                "jobs",
                "Durable jobs, which survive a restart of the server",
            ),
            tag("schemas", "Registry of JSON Schemas by name"),
            tag("server", "Models, limits, health and metrics of the server"),
        ]))
        .build()
}

/// Returns the routes `/openapi.json` and `/docs`; the page loads nothing from other servers.
pub fn docs_routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let config = Config::default()
        .try_it_out_enabled(true)
        .validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document.clone())
        .config(config)
        .into()
}
