//! Encodes requests of Gemini's API (`generateContent` and `streamGenerateContent`).

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::prompt::{Message, Role};
use crate::provider::request::Request;
use crate::provider::request_parts::{
    RequestParts, TOOL_DESCRIPTION, TOOL_NAME, split_system, to_json,
};
use crate::provider::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerateContentRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content>,
    contents: Vec<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: [TextPart; 1],
}

#[derive(Serialize)]
struct TextPart {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: [Function<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    name: &'static str,
    description: &'static str,
    parameters_json_schema: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    function_calling_config: FunctionCallingConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCallingConfig {
    mode: &'static str,
    allowed_function_names: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
}

/// Number of seeds that Gemini accepts: 31 bits.
const SEED_RANGE: i64 = 1 << 31;

impl From<Message> for Content {
    fn from(message: Message) -> Self {
        let role = match message.role {
            Role::System => None,
            Role::User => Some("user"),
            Role::Assistant => Some("model"),
        };
        Self {
            role,
            parts: [TextPart {
                text: message.content,
            }],
        }
    }
}

/// Encodes a request as the JSON body. Streaming is selected by the URL path.
pub fn encode(request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
    let shows = |mode| matches!(mode, Mode::JsonSchema | Mode::Tools);
    let RequestParts { root, messages, .. } = RequestParts::new(request, shape, shows);
    let (system, messages) = split_system(messages);
    let is_tool = shape.mode == Mode::Tools;
    to_json(&GenerateContentRequest {
        system_instruction: system.map(|text| Content {
            role: None,
            parts: [TextPart { text }],
        }),
        contents: messages.into_iter().map(Content::from).collect(),
        tools: is_tool.then(|| [tools(root)]),
        tool_config: is_tool.then_some(TOOL_CONFIG),
        generation_config: generation_config(request, shape, root),
    })
}

fn tools(schema: &RawValue) -> Tools<'_> {
    Tools {
        function_declarations: [Function {
            name: TOOL_NAME,
            description: TOOL_DESCRIPTION,
            parameters_json_schema: schema,
        }],
    }
}

/// Configuration that forces the model to call the tool.
const TOOL_CONFIG: ToolConfig = ToolConfig {
    function_calling_config: FunctionCallingConfig {
        mode: "ANY",
        allowed_function_names: [TOOL_NAME],
    },
};

fn generation_config<'a>(
    request: &Request<'_>,
    shape: RequestShape,
    schema: &'a RawValue,
) -> GenerationConfig<'a> {
    let unsupported = shape.unsupported;
    GenerationConfig {
        temperature: (!unsupported.has(Unsupported::Temperature)).then_some(request.temperature),
        seed: request
            .seed
            .filter(|_| !unsupported.has(Unsupported::Seed))
            .map(|seed| seed.rem_euclid(SEED_RANGE)),
        max_output_tokens: request.max_output_tokens.or(shape.output_limit),
        response_mime_type: matches!(shape.mode, Mode::JsonSchema | Mode::JsonObject)
            .then_some("application/json"),
        response_json_schema: (shape.mode == Mode::JsonSchema).then_some(schema),
    }
}
