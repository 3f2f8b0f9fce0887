//! Encodes requests of OpenAI's Responses API (`POST /responses`).

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::prompt::Message;
use crate::provider::request::Request;
use crate::provider::request_parts::{
    RequestParts, TOOL_DESCRIPTION, TOOL_NAME, schema_name, to_json,
};
use crate::provider::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

#[derive(Serialize)]
struct ResponsesRequest<'a> {
    model: &'a str,
    input: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    /// False: the server keeps nothing for a next turn.
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema {
        name: String,
        strict: bool,
        schema: &'a RawValue,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'static str,
        description: &'static str,
        strict: bool,
        parameters: &'a RawValue,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolChoice {
    Function { name: &'static str },
}

/// Encodes a request as the JSON body. `shows_schema`: the server shows the schema to the model.
pub fn encode(request: &Request<'_>, shape: RequestShape, shows_schema: bool) -> Vec<u8> {
    let shows = |mode| shows_schema && matches!(mode, Mode::JsonSchema | Mode::Tools);
    let RequestParts {
        root,
        strict,
        messages,
    } = RequestParts::new(request, shape, shows);
    let format = match shape.mode {
        Mode::JsonSchema => Some(Format::JsonSchema {
            name: schema_name(request),
            strict,
            schema: root,
        }),
        Mode::JsonObject => Some(Format::JsonObject),
        Mode::Auto | Mode::Tools | Mode::Text => None,
    };
    let is_tool = shape.mode == Mode::Tools;
    to_json(&ResponsesRequest {
        model: request.model,
        input: messages,
        temperature: (!shape.unsupported.has(Unsupported::Temperature))
            .then_some(request.temperature),
        max_output_tokens: request.max_output_tokens.or(shape.output_limit),
        text: format.map(|format| Text { format }),
        tools: is_tool.then_some([Tool::Function {
            name: TOOL_NAME,
            description: TOOL_DESCRIPTION,
            strict,
            parameters: root,
        }]),
        tool_choice: is_tool.then_some(ToolChoice::Function { name: TOOL_NAME }),
        parallel_tool_calls: is_tool.then_some(false),
        store: false,
        stream: shape.stream,
    })
}
