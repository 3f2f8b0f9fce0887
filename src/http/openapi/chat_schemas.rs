//! Schemas of the OpenAPI document for OpenAI's Chat Completions API. They describe what `http::chat` reads and writes by hand.

use std::collections::HashMap;

use crate::http::chat::completion::Details;
use crate::types::{CacheUse, Grounding, Mode, OnFailure, Rule};

/// Chat completion. Further fields are those of the provider, which receives them.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::plan`")]
pub struct ChatCompletionRequest {
    /// Name of a configured model, `provider/model`, or a name of the default model's provider. Default: the default model.
    #[schema(required = false, example = "gpt-4o-mini")]
    model: Option<String>,
    /// Messages. With a schema: those of the roles `system` and `developer` are the instructions, the others the text.
    #[schema(min_items = 1)]
    messages: Vec<ChatMessage>,
    /// Schema of the answer: makes the request an extraction.
    response_format: Option<ResponseFormat>,
    /// Tools. One that `tool_choice` forces makes the request an extraction, with its `parameters` as the schema.
    tools: Option<Vec<HashMap<String, serde_json::Value>>>,
    /// `none`, `auto`, `required`, or an object that names a tool.
    #[schema(value_type = Option<serde_json::Value>)]
    tool_choice: Option<serde_json::Value>,
    /// True for a stream of chunks.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// Maximum number of tokens of the answer.
    #[schema(minimum = 1)]
    max_completion_tokens: Option<u32>,
    /// Older name of `max_completion_tokens`.
    #[schema(minimum = 1)]
    max_tokens: Option<u32>,
    seed: Option<i64>,
    /// Number of answers. Only 1 is supported.
    #[schema(minimum = 1, maximum = 1)]
    n: Option<u32>,
    /// Options that OpenAI's API has no field for.
    extractd: Option<ChatOptions>,
}

/// Message of a chat.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::messages`")]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant`, `tool` or `function`.
    role: String,
    /// Text, or an array of parts such as `{"type": "text", "text": "…"}`.
    #[schema(value_type = Option<serde_json::Value>)]
    content: Option<serde_json::Value>,
}

/// Form of the answer.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::schema_choice`")]
#[schema(as = ChatResponseFormat)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    r#type: String,
    json_schema: Option<NamedSchema>,
}

/// JSON Schema with a name.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::schema_choice`")]
#[schema(as = ChatJsonSchema)]
pub struct NamedSchema {
    name: Option<String>,
    /// Description of the answer, for the model.
    description: Option<String>,
    /// JSON Schema of the answer, any root.
    schema: HashMap<String, serde_json::Value>,
    /// Without effect: every answer is validated.
    strict: Option<bool>,
}

/// Options of a stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::plan`")]
#[schema(as = ChatStreamOptions)]
pub struct StreamOptions {
    /// True if the last chunk has the usage.
    include_usage: Option<bool>,
}

/// Options of a chat completion. All have the meaning and default of `POST /v1/extract`; without a schema there are only
/// `timeout_ms`, `fallback_on` and `extra_body`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the input of `chat::options`")]
pub struct ChatOptions {
    #[schema(minimum = 1, maximum = 10)]
    max_attempts: Option<u32>,
    #[schema(minimum = 1, maximum = 3_600_000)]
    timeout_ms: Option<u64>,
    mode: Option<Mode>,
    cache: Option<CacheUse>,
    coerce: Option<bool>,
    #[schema(max_items = 100)]
    rules: Option<Vec<Rule>>,
    on_failure: Option<OnFailure>,
    #[schema(value_type = Option<serde_json::Value>)]
    fallback_on: Option<serde_json::Value>,
    examples: Option<Vec<HashMap<String, serde_json::Value>>>,
    extra_body: Option<HashMap<String, serde_json::Value>>,
    trace: Option<bool>,
    grounding: Option<Grounding>,
    /// True if a stream has the answer while it is written; false: once it is valid. Default: true without `rules` and without
    /// the `grounding` `drop` or `require`.
    live: Option<bool>,
}

/// Chat completion, as in OpenAI's API.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the output of `chat::completion`")]
pub struct ChatCompletion {
    #[schema(example = "chatcmpl_0190f6a5")]
    id: String,
    #[schema(example = "chat.completion")]
    object: String,
    /// Time of creation, in seconds since the Unix epoch.
    created: u64,
    /// Provider's name of the model that answered.
    model: String,
    /// Exactly one answer.
    choices: Vec<ChatChoice>,
    usage: Option<HashMap<String, serde_json::Value>>,
    extractd: Option<Details<'static>>,
}

/// Answer of a chat completion.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the output of `chat::completion`")]
pub struct ChatChoice {
    index: u32,
    /// Message of the assistant, with `content`, `refusal` or `tool_calls`.
    message: HashMap<String, serde_json::Value>,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    finish_reason: Option<String>,
}

/// JSON object in the form of OpenAI's Responses API.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the bodies of `/v1/responses`")]
pub struct JsonObject(HashMap<String, serde_json::Value>);
