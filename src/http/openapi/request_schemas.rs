//! Request schemas of the OpenAPI document. They describe the inputs of the parsers in [`types`](crate::types), which are
//! written by hand; a test compares the fields.

use std::collections::HashMap;

use crate::types::{
    CacheUse, FallbackCondition, Grounding, Mode, OnError, OnFailure, Rule, Webhook,
};

/// JSON Schema, or the name of a registered one.
#[derive(utoipa::ToSchema)]
#[schema(as = SchemaOrName)]
#[expect(dead_code, reason = "describes the input of `types::SchemaSource`")]
#[serde(untagged)]
pub enum SchemaOrName {
    /// JSON Schema 2020-12; or draft 7, selected by `$schema`.
    Inline(HashMap<String, serde_json::Value>),
    /// Name of a registered schema.
    Named(String),
}

/// JSON Schema: any object.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the body of `/v1/schemas/{name}`")]
pub struct JsonSchema(HashMap<String, serde_json::Value>);

/// Streaming of a single extraction: `true` for events with versions of the object, `"items"` for events with the finished
/// elements of the list only.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::SingleStream`")]
#[serde(untagged)]
pub enum SingleStream {
    Partials(bool),
    Items(ItemStream),
}

/// Streaming of finished elements only.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::SingleStream`")]
#[serde(rename_all = "snake_case")]
pub enum ItemStream {
    Items,
}

/// Text, or parts that are joined by blank lines.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Content`")]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// Type of a part.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Content`")]
#[serde(rename_all = "snake_case")]
pub enum ContentPartType {
    Text,
}

/// Part of a text.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Content`")]
#[serde(deny_unknown_fields)]
pub struct ContentPart {
    #[serde(rename = "type")]
    kind: ContentPartType,
    text: String,
}

/// Few-shot example: an input and its expected output.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Example`")]
#[serde(deny_unknown_fields)]
pub struct Example {
    input: Content,
    /// Expected output. Must be valid against the schema.
    output: serde_json::Value,
}

/// Input of a batch or job: a text, or an object with an ID and metadata that are returned with the result.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Item`")]
#[serde(untagged)]
pub enum BatchInput {
    Bare(Content),
    Named(NamedInput),
}

/// Input with an ID and metadata.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `types::Item`")]
#[serde(deny_unknown_fields)]
pub struct NamedInput {
    /// ID of the item, returned with its result.
    #[schema(max_length = 255)]
    id: Option<String>,
    input: Content,
    /// Metadata, returned unchanged with the result and never sent to the model. At most 64 KiB as JSON.
    metadata: Option<HashMap<String, String>>,
}

macro_rules! request {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(utoipa::ToSchema)]
        $(#[$about])*
        #[expect(dead_code, reason = "describes the input of `types::request`")]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            #[schema(inline)]
            schema: SchemaOrName,
            /// Instructions for the extraction, added to the prompt.
            instructions: Option<String>,
            /// Few-shot examples.
            examples: Option<Vec<Example>>,
            /// Name of a configured model, or `provider/model`. Default: the server's default model.
            model: Option<String>,
            /// Mode of structured output. Default `auto`: the best mode that the provider supports.
            mode: Option<Mode>,
            /// Maximum number of attempts per item: the first call and its validation retries. Default 3.
            #[schema(minimum = 1, maximum = 10)]
            max_attempts: Option<u32>,
            /// Timeout of one item in milliseconds, over all calls and backoff; time in the queue does not count. Default 120000.
            #[schema(minimum = 1, maximum = 3_600_000)]
            timeout_ms: Option<u32>,
            /// Sampling temperature, forwarded to the provider. Default 0.
            #[schema(minimum = 0, maximum = 2)]
            temperature: Option<f64>,
            /// Maximum number of output tokens, forwarded to the provider. An answer that reaches it fails as `output_truncated`. Default:
            /// the provider's own.
            #[schema(minimum = 1, maximum = 4_294_967_295_u32)]
            max_output_tokens: Option<u32>,
            /// Sampling seed, forwarded to the provider.
            seed: Option<i64>,
            /// Use of results shared with equal items: from the cache, or from a concurrent call. Applies only at temperature 0 or with
            /// a seed. Default `use`.
            cache: Option<CacheUse>,
            /// Coerce values to the types of the schema (such as "1,234" to a number). Changes are listed in `repairs`. Default true.
            coerce: Option<bool>,
            /// Rules that the result must meet in addition to the schema, in CEL. A violated rule triggers a validation retry.
            #[schema(max_items = 100)]
            rules: Option<Vec<Rule>>,
            /// Result of an item that has used all attempts. Default `error`.
            on_failure: Option<OnFailure>,
            /// Conditions under which the fallback of the model is called. Default: those of the model's configuration, else all but
            /// `refused`.
            fallback_on: Option<Vec<FallbackCondition>>,
            /// Fields that are added to the request to the provider, such as `reasoning_effort`. Objects are merged. A field that the
            /// server sets itself cannot be overridden. A fallback does not get them.
            extra_body: Option<HashMap<String, serde_json::Value>>,
            /// Add `trace` to each result: its waits with the limit that held it, its calls with prompt and answer, and its validations.
            /// Default false.
            trace: Option<bool>,
            /// Handling of values that the text does not state. Unless `off`, each result has `evidence`. Default `off`.
            grounding: Option<Grounding>,
            /// Metadata, returned unchanged at the top level of the response and never sent to the model. At most 64 KiB as JSON.
            metadata: Option<HashMap<String, String>>,
        }
    };
}

request! {
    /// Request to extract from one text.
    ExtractRequest {
        input: Content,
        /// Respond with Server-Sent Events: `true`, or `"items"` for the finished elements of the list only. Default false.
        stream: Option<SingleStream>,
        /// Return the provider's request, without secrets, instead of sending it. Default false.
        dry_run: Option<bool>,
    }
}

request! {
    /// Request to extract from many texts.
    BatchRequest {
        #[schema(max_items = 1_000_000)]
        inputs: Vec<BatchInput>,
        /// Maximum number of items of this batch in flight. Default: the server's global limit.
        #[schema(minimum = 1)]
        concurrency: Option<u64>,
        /// Action when an item fails: continue, or stop the batch. Default `continue`.
        on_error: Option<OnError>,
        /// Respond with Server-Sent Events. Default false.
        stream: Option<bool>,
    }
}

request! {
    /// Request to extract from many texts as a durable job.
    JobRequest {
        #[schema(max_items = 1_000_000)]
        inputs: Vec<BatchInput>,
        /// Maximum number of items of this job in flight. Default: the server's global limit.
        #[schema(minimum = 1)]
        concurrency: Option<u64>,
        /// Action when an item fails: continue, or stop the job. Default `continue`.
        on_error: Option<OnError>,
        /// Webhook that is called when the job has ended.
        webhook: Option<Webhook>,
    }
}
