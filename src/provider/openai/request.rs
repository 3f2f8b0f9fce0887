//! Encodes requests of OpenAI's Chat Completions API (`POST /chat/completions`).

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::provider::prompt::Message;
use crate::provider::request::Request;
use crate::provider::request_parts::{
    RequestParts, TOOL_DESCRIPTION, TOOL_NAME, schema_name, to_json,
};
use crate::provider::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

/// Differences between servers of the API.
#[derive(Debug, Clone, Copy)]
pub struct Quirks {
    /// True if the server shows the schema of `response_format` or of a tool to the model, as
    /// OpenAI's own does. Others only constrain the output by it.
    pub shows_schema: bool,
    /// True if the output limit is called `max_completion_tokens`: OpenAI's newer models reject
    /// `max_tokens`, most other servers know nothing else.
    pub completion_tokens: bool,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    /// Written even if false: some servers stream unless told not to.
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: String,
    strict: bool,
    schema: &'a RawValue,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'static str,
    description: &'static str,
    strict: bool,
    parameters: &'a RawValue,
}

/// Encodes a request as the JSON body of a chat completion.
pub fn encode(request: &Request<'_>, shape: RequestShape, quirks: Quirks) -> Vec<u8> {
    let shows = |mode| quirks.shows_schema && matches!(mode, Mode::JsonSchema | Mode::Tools);
    let parts = RequestParts::new(request, shape, shows);
    let unsupported = shape.unsupported;
    let limit = request.max_output_tokens.or(shape.output_limit);
    let completion_tokens = quirks.completion_tokens != unsupported.has(Unsupported::OutputLimit);
    let tools = (shape.mode == Mode::Tools).then(|| [tool(&parts)]);
    let include_usage = shape.stream && !unsupported.has(Unsupported::StreamUsage);
    let body = ChatRequest {
        model: request.model,
        temperature: (!unsupported.has(Unsupported::Temperature)).then_some(request.temperature),
        seed: request.seed.filter(|_| !unsupported.has(Unsupported::Seed)),
        max_tokens: limit.filter(|_| !completion_tokens),
        max_completion_tokens: limit.filter(|_| completion_tokens),
        response_format: response_format(request, shape.mode, &parts),
        tool_choice: tools
            .is_some()
            .then(|| json!({"type": "function", "function": {"name": TOOL_NAME}})),
        tools,
        stream: shape.stream,
        stream_options: include_usage.then_some(StreamOptions {
            include_usage: true,
        }),
        messages: parts.messages,
    };
    to_json(&body)
}

fn response_format<'a>(
    request: &Request<'a>,
    mode: Mode,
    parts: &RequestParts<'a>,
) -> Option<ResponseFormat<'a>> {
    match mode {
        Mode::JsonSchema => Some(ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name: schema_name(request),
                strict: parts.strict,
                schema: parts.root,
            },
        }),
        Mode::JsonObject => Some(ResponseFormat::JsonObject),
        Mode::Auto | Mode::Tools | Mode::Text => None,
    }
}

fn tool<'a>(parts: &RequestParts<'a>) -> Tool<'a> {
    Tool::Function {
        function: Function {
            name: TOOL_NAME,
            description: TOOL_DESCRIPTION,
            strict: parts.strict,
            parameters: parts.root,
        },
    }
}
