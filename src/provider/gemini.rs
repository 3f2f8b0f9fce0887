//! The wire format of Gemini's `generateContent`.
//!
//! Source: <https://ai.google.dev/api/generate-content>, read 2026-11.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::dialects::{GEMINI_FUNCTION, GEMINI_JSON_SCHEMA};
use super::prompt::{Message, Role};
use super::request_parts::{RequestParts, TOOL, TOOL_DESCRIPTION, json};
use super::unsupported_feature::ErrorPatterns;
use super::wire_format::{after, segment};
use super::{
    DecodeError, ErrorClass, Finish, PartialAnswer, Request, RequestShape, StreamEnd, Unsupported,
    UpstreamErrorBody, WireFormat, error_body,
};
use crate::types::{Dialect, Mode, Usage};

/// `generateContent` and `streamGenerateContent`.
#[derive(Debug, Clone, Copy)]
pub struct Gemini {
    version: &'static str,
}

impl Gemini {
    /// The server at a base URL with this path.
    #[must_use]
    pub fn at(base_path: &str) -> Self {
        let has_version = ["v1beta/", "v1/"]
            .iter()
            .any(|version| after(base_path, version).is_empty());
        Self {
            version: if has_version { "" } else { "v1beta/" },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Content,
    contents: Vec<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
    generation_config: Config<'a>,
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
    function_calling_config: Calling,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling {
    mode: &'static str,
    allowed_function_names: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
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

/// A seed has 31 bits there.
const SEEDS: i64 = 1 << 31;

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

/// A whole answer, or a chunk of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Written>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    /// It is what the model thought, not what it answers.
    #[serde(default)]
    thought: bool,
    function_call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
    block_reason_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    #[serde(default)]
    prompt_token_count: u64,
    #[serde(default)]
    tool_use_prompt_token_count: u64,
    #[serde(default)]
    candidates_token_count: u64,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
}

impl Tokens {
    fn usage(&self) -> Usage {
        let input = self.prompt_token_count + self.tool_use_prompt_token_count;
        let output = self.candidates_token_count + self.thoughts_token_count.unwrap_or_default();
        Usage::new(input, output)
            .with_details(self.cached_content_token_count, self.thoughts_token_count)
    }
}

impl Candidate {
    fn add_to(self, draft: &mut PartialAnswer) {
        for part in self
            .content
            .and_then(|content| content.parts)
            .into_iter()
            .flatten()
            .filter(|part| !part.thought)
        {
            draft.content.push_str(&part.text.unwrap_or_default());
            if let Some(call) = part.function_call
                && draft.arguments.is_empty()
            {
                draft.arguments = call
                    .args
                    .map_or_else(|| "{}".to_owned(), |arguments| arguments.to_string());
            }
        }
        let Some(reason) = self.finish_reason else {
            return;
        };
        draft.end = StreamEnd::Whole;
        draft.finish = Some(match reason.as_str() {
            "MAX_TOKENS" => Finish::Length,
            reason if DECLINED.contains(&reason) => {
                let more = self
                    .finish_message
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                Finish::Refusal(format!("the provider stopped the answer ({reason}){more}"))
            }
            "STOP" => Finish::Stop,
            // An answer that it could not read itself, MALFORMED_FUNCTION_CALL and its kin, is a wrong answer.
            _ => Finish::Unknown,
        });
    }
}

/// Ends that are a refusal: <https://ai.google.dev/api/generate-content#FinishReason>, read 2026-11.
const DECLINED: [&str; 6] = [
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
];

impl WireFormat for Gemini {
    fn path(&self, model: &str, stream: bool) -> Option<Cow<'static, str>> {
        let (kind, name) = match model.split_once('/') {
            Some((kind @ ("models" | "tunedModels"), name)) => (kind, name),
            _ => ("models", model),
        };
        let method = if stream {
            "streamGenerateContent?alt=sse"
        } else {
            "generateContent"
        };
        Some(format!("{}{kind}/{}:{method}", self.version, segment(name)?).into())
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonSchema => &GEMINI_JSON_SCHEMA,
            Mode::Tools => &GEMINI_FUNCTION,
            Mode::JsonObject => &Dialect::OBJECT,
        }
    }

    fn encode(&self, request: &Request<'_>, form: RequestShape) -> Vec<u8> {
        let shows = |mode| matches!(mode, Mode::JsonSchema | Mode::Tools);
        let RequestParts { root, messages, .. } = RequestParts::new(request, form, shows);
        let mut contents = messages.into_iter().map(Content::from);
        let empty = || Content {
            role: None,
            parts: [TextPart {
                text: String::new(),
            }],
        };
        let system_instruction = contents.next().unwrap_or_else(empty);
        let function = Function {
            name: TOOL,
            description: TOOL_DESCRIPTION,
            parameters_json_schema: root,
        };
        let calling = Calling {
            mode: "ANY",
            allowed_function_names: [TOOL],
        };
        let is_tool = form.mode == Mode::Tools;
        json(&Body {
            system_instruction,
            contents: contents.collect(),
            tools: is_tool.then_some([Tools {
                function_declarations: [function],
            }]),
            tool_config: is_tool.then_some(ToolConfig {
                function_calling_config: calling,
            }),
            generation_config: Config {
                temperature: (!form.lessons.has(Unsupported::Temperature))
                    .then_some(request.temperature),
                seed: request
                    .seed
                    .filter(|_| !form.lessons.has(Unsupported::Seed))
                    .map(|seed| seed.rem_euclid(SEEDS)),
                max_output_tokens: request.max_output_tokens,
                response_mime_type: matches!(form.mode, Mode::JsonSchema | Mode::JsonObject)
                    .then_some("application/json"),
                response_json_schema: (form.mode == Mode::JsonSchema).then_some(root),
            },
        })
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        let mut draft = PartialAnswer::default();
        self.decode_event(body, &mut draft)?;
        match draft.end {
            StreamEnd::Open => Err(DecodeError::Format(
                "the answer has no finished candidate".to_owned(),
            )),
            StreamEnd::Whole | StreamEnd::Over => Ok(draft),
        }
    }

    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError> {
        let reply: Reply = serde_json::from_slice(message)
            .map_err(|error| DecodeError::Format(format!("the answer is not Gemini's: {error}")))?;
        if reply.error.is_some() {
            return Err(DecodeError::Error(self.decode_error(message)));
        }
        if let Some(tokens) = reply.usage_metadata {
            draft.usage = Some(tokens.usage());
        }
        if let Some(Feedback {
            block_reason: Some(reason),
            block_reason_message: words,
        }) = reply.prompt_feedback
        {
            let more = words.map(|words| format!(": {words}")).unwrap_or_default();
            draft.finish = Some(Finish::Refusal(format!(
                "the provider does not take the text ({reason}){more}"
            )));
            draft.end = StreamEnd::Whole;
        }
        if let Some(candidate) = reply.candidates.into_iter().flatten().next() {
            candidate.add_to(draft);
        }
        Ok(())
    }

    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = error_body::error_in(&value);
        let details = || {
            error
                .get("details")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let violations = || {
            details()
                .filter_map(|detail| detail.get("violations")?.as_array())
                .flatten()
        };
        let is_daily = |violation: &Value| {
            violation
                .get("quotaId")
                .and_then(Value::as_str)
                .is_some_and(|id| id.contains("PerDay"))
        };
        let meaning = if details().any(|detail| {
            detail
                .get("reason")
                .is_some_and(|reason| reason == "API_KEY_INVALID")
        }) {
            ErrorClass::BadKey
        } else if violations().any(is_daily) {
            ErrorClass::Exhausted
        } else {
            ErrorClass::Status
        };
        let delay = details().find_map(|detail| detail.get("retryDelay")?.as_str());
        let message = error_body::error_message(error, body);
        UpstreamErrorBody {
            message,
            meaning,
            status: error_body::http_status_of(error.get("code")),
            retry_after: delay.and_then(duration),
        }
    }

    fn vocabulary(&self) -> &'static ErrorPatterns {
        &VOCABULARY
    }
}

/// The most that is believed of a wait.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A duration as protocol buffers write it: `34.07s`.
fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|wait| wait.min(MAX_WAIT))
}

/// From issue threads, 2026-11.
const VOCABULARY: ErrorPatterns = ErrorPatterns {
    schema: &["schema"],
    json_schema: &[
        "json mode",
        "response_mime_type",
        "responsemimetype",
        "response mime type",
    ],
    tools: &["function", "tool"],
    json_object: &[
        "json mode",
        "response_mime_type",
        "responsemimetype",
        "response mime type",
    ],
    in_a_500: &[],
};

#[cfg(test)]
mod tests;
