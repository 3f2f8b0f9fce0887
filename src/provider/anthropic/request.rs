//! Encodes requests of Anthropic's Messages API (`POST /v1/messages`).

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::prompt::Message;
use crate::provider::request::Request;
use crate::provider::request_parts::{
    RequestParts, TOOL_DESCRIPTION, TOOL_NAME, split_system, to_json,
};
use crate::provider::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

#[derive(Serialize)]
struct MessagesRequest<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice>,
    stream: bool,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonSchema { schema: &'a RawValue },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    description: &'static str,
    input_schema: &'a RawValue,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolChoice {
    Tool {
        name: &'static str,
        disable_parallel_tool_use: bool,
    },
}

/// Maximum output tokens by the prefix of a model's name. The request field is required; the last
/// entry matches any other model.
///
/// Source: <https://platform.claude.com/docs/en/about-claude/models/overview> and its page of
/// retired models, read 2026-11.
const MAX_TOKENS_BY_MODEL: [(&str, u32); 8] = [
    ("claude-3-5-", 8_192),
    ("claude-3-7-", 64_000),
    ("claude-3-", 4_096),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-2025", 32_000),
    ("claude-", 64_000),
    ("", 8_192),
];
/// Smallest maximum of output tokens of all models.
const MIN_MAX_TOKENS: u32 = 4_096;

/// Encodes a request as the JSON body.
pub fn encode(request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
    let shows = |mode| matches!(mode, Mode::JsonSchema | Mode::Tools);
    let RequestParts { root, messages, .. } = RequestParts::new(request, shape, shows);
    let (system, messages) = split_system(messages);
    let is_tool = shape.mode == Mode::Tools;
    to_json(&MessagesRequest {
        model: request.model,
        max_tokens: max_tokens(request, shape),
        // Anthropic's scale ends at 1.
        temperature: (!shape.unsupported.has(Unsupported::Temperature))
            .then_some(request.temperature.min(1.0)),
        system,
        messages,
        output_config: (shape.mode == Mode::JsonSchema).then_some(OutputConfig {
            format: Format::JsonSchema { schema: root },
        }),
        tools: is_tool.then_some([Tool {
            name: TOOL_NAME,
            description: TOOL_DESCRIPTION,
            input_schema: root,
        }]),
        tool_choice: is_tool.then_some(ToolChoice::Tool {
            name: TOOL_NAME,
            disable_parallel_tool_use: true,
        }),
        stream: shape.stream,
    })
}

/// Returns the `max_tokens` of a request: its own limit, what fits beside the input, or the model's maximum.
pub fn max_tokens(request: &Request<'_>, shape: RequestShape) -> u32 {
    if let Some(limit) = request.max_output_tokens.or(shape.output_limit) {
        return limit;
    }
    if shape.unsupported.has(Unsupported::OutputLimit) {
        return MIN_MAX_TOKENS;
    }
    MAX_TOKENS_BY_MODEL
        .iter()
        .find(|(prefix, _)| request.model.starts_with(prefix))
        .map_or(MIN_MAX_TOKENS, |(_, limit)| *limit)
}
