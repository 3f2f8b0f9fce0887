//! The reference: the OpenAPI document, made from the code, and a page that shows it without the internet.

use axum::Router;
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, tag::TagBuilder,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::types::{CacheUse, Mode, OnError, OnFailure, Rule, Webhook};

/// The document before the routes are in it.
pub fn skeleton() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("extractd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Turns text into validated JSON with a language model: one text or a million, in order or as they finish.",
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
            tag("extraction", "Text to JSON"),
            tag("jobs", "Durable jobs"),
            tag("schemas", "Schemas by name"),
            tag("server", "The server itself"),
        ]))
        .build()
}

/// The whole document.
#[must_use]
pub fn document() -> OpenApi {
    super::routes().split_for_parts().1
}

/// `/openapi.json` and `/docs`.
pub fn reference<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let config = Config::default()
        .try_it_out_enabled(true)
        .validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document.clone())
        .config(config)
        .into()
}

/// A JSON Schema, or the name of a registered one.
#[derive(utoipa::ToSchema)]
#[schema(as = SchemaOrName)]
#[expect(dead_code, reason = "describes what `model::SchemaSource` reads")]
#[serde(untagged)]
pub enum SchemaOrName {
    /// JSON Schema 2020-12, or draft 7 by `$schema`.
    #[schema(value_type = Object)]
    Inline(serde_json::Value),
    /// The name of a registered schema.
    Named(String),
}

/// Text, or parts that are joined with a blank line.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `model::Content` reads")]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `model::Content` reads")]
#[serde(deny_unknown_fields)]
pub struct ContentPart {
    /// `text`
    #[serde(rename = "type")]
    #[schema(pattern = "^text$", example = "text")]
    kind: String,
    text: String,
}

/// A worked example for the model.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `model::Example` reads")]
#[serde(deny_unknown_fields)]
pub struct Example {
    input: Content,
    /// Must be valid against the schema.
    output: serde_json::Value,
}

/// One of many texts: bare, or with an id and metadata of its own, which are echoed.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `model::Item` reads")]
#[serde(untagged)]
pub enum BatchInput {
    Bare(Content),
    Named(NamedInput),
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `model::Item` reads")]
#[serde(deny_unknown_fields)]
pub struct NamedInput {
    #[schema(max_length = 255)]
    id: Option<String>,
    input: Content,
    metadata: Option<std::collections::HashMap<String, String>>,
}

macro_rules! request {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(utoipa::ToSchema)]
        $(#[$about])*
        #[expect(dead_code, reason = "describes what `model::request` reads")]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            #[schema(inline)]
            schema: SchemaOrName,
            /// What to extract and how, added to the prompt.
            instructions: Option<String>,
            /// Few-shot examples.
            examples: Option<Vec<Example>>,
            /// A configured model's name, or `provider/model`. Default: the default model.
            model: Option<String>,
            /// How the structure is asked of the model. Default `auto`: what the provider is best at.
            mode: Option<Mode>,
            /// How often the model is asked for one item until an answer is valid. Default 3.
            #[schema(minimum = 1, maximum = 10)]
            max_attempts: Option<u32>,
            /// One item's time in calls and backoff, in milliseconds; waiting for its turn does not count. Default 120000.
            #[schema(minimum = 1, maximum = 3_600_000)]
            timeout_ms: Option<u32>,
            /// Passed on. Default 0.
            #[schema(minimum = 0, maximum = 2)]
            temperature: Option<f64>,
            /// Passed on; an answer that runs into it is `output_truncated`. Default: the provider's own.
            #[schema(minimum = 1, maximum = 4_294_967_295_u32)]
            max_output_tokens: Option<u32>,
            /// Passed on.
            seed: Option<i64>,
            /// Whether an equal item's result may answer: a kept one, or that of one which is being called right now. Only at
            /// temperature 0 or with a seed. Default `use`.
            cache: Option<CacheUse>,
            /// Whether the parser may mend values toward the schema ("1,234" where a number is wanted). What it did is in `repairs`.
            /// Default true.
            coerce: Option<bool>,
            /// What holds beyond the schema, in CEL; a broken rule is asked again like a schema's error.
            #[schema(max_items = 100)]
            rules: Option<Vec<Rule>>,
            /// What becomes of an item whose attempts are used up. Default `error`.
            on_failure: Option<OnFailure>,
            /// Echoed on the reply's top level, never sent to the model.
            metadata: Option<std::collections::HashMap<String, String>>,
        }
    };
}

request! {
    /// One text, and how to extract from it.
    ExtractRequest {
        input: Content,
        /// Reply with Server-Sent Events. Default false.
        stream: Option<bool>,
    }
}

request! {
    /// Many texts, and how to extract from each.
    BatchRequest {
        inputs: Vec<BatchInput>,
        /// The most items of this batch in flight; 1: one after the other. Default: as many as the global limit allows.
        #[schema(minimum = 1)]
        concurrency: Option<u64>,
        /// What becomes of the batch when an item fails. Default `continue`.
        on_error: Option<OnError>,
        /// Reply with Server-Sent Events. Default false.
        stream: Option<bool>,
    }
}

request! {
    /// Many texts to be worked off whatever happens, and how to extract from each.
    JobRequest {
        inputs: Vec<BatchInput>,
        /// The most items of this job in flight; 1: one after the other. Default: as many as the global limit allows.
        #[schema(minimum = 1)]
        concurrency: Option<u64>,
        /// What becomes of the job when an item fails. Default `continue`.
        on_error: Option<OnError>,
        /// Where the job's end is told.
        webhook: Option<Webhook>,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The committed document is what the code says; `make openapi` writes it anew.
    #[test]
    fn the_committed_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed.trim() == document().to_pretty_json().unwrap(),
            "run `make openapi` and commit openapi/openapi.json"
        );
    }

    /// What the document says of a body is what the code reads.
    #[test]
    fn the_document_names_the_fields_that_are_read() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, fields) in crate::types::request_fields() {
            let content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
            let schema = match content["$ref"].as_str() {
                Some(reference) => document
                    .pointer(reference.trim_start_matches('#'))
                    .unwrap()
                    .clone(),
                None => content,
            };
            let documented: BTreeSet<_> = schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            assert_eq!(
                documented,
                fields.iter().map(|field| (*field).to_owned()).collect(),
                "{path}"
            );
        }
    }
}
