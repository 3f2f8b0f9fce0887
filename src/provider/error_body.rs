//! Error bodies of LLM APIs and gateways: one reader for all of them, which finds messages, codes and the parameter at any depth.
//!
//! Gateways wrap the error of the provider behind them: OpenRouter in `metadata.raw`, LiteLLM and Bedrock in the message, others
//! in arrays. The reader unwraps them; `error_table` says what the error means.

use std::borrow::Cow;
use std::time::Duration;

use super::lenient_json::{JsonText, Members, Node};
use super::retry_hint::parse_wait;

/// Decoded error body of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamErrorBody {
    /// Messages of the provider, the outermost first, not yet redacted.
    pub message: String,
    /// Codes, types and reasons of the error and of those that it wraps.
    pub codes: Vec<String>,
    /// Codes of JSON that stands within a message: of an error that a gateway quotes, or of a text that the server repeats.
    pub quoted_codes: Vec<String>,
    /// Parameter of the request that the error names.
    pub param: Option<String>,
    /// HTTP status in the body; `None`: not given.
    pub status: Option<u16>,
    /// Wait that the body asks for; `None`: not given.
    pub retry_after: Option<Duration>,
    /// Answer of the model that the provider rejected as invalid.
    pub failed_generation: Option<String>,
}

/// Maximum number of bytes taken from an error body that is not JSON.
///
/// Far more than is passed on to callers, so that no secret is cut in two before redaction finds
/// it.
const MAX_RAW_ERROR_BYTES: usize = 64 * 1024;
/// Maximum depth of errors within errors.
const MAX_DEPTH: u8 = 8;
/// Maximum number of errors read from one list.
const MAX_LISTED: usize = 10;
/// Maximum number of codes that are kept.
const MAX_CODES: usize = 32;
/// Maximum length of a code or of a parameter's path, in bytes; longer ones are none.
const MAX_NAME_BYTES: usize = 500;

/// Fields with the name of an error, which `error_table` knows.
const CODE_FIELDS: [&str; 13] = [
    "code",
    "type",
    "status",
    "reason",
    "error_code",
    "errorCode",
    "error_type",
    "http_code",
    "status_code",
    "statusCode",
    "__type",
    "quotaId",
    "quota_id",
];
/// Fields with a message; each may also hold another error.
const MESSAGE_FIELDS: [&str; 10] = [
    "message",
    "msg",
    "Message",
    "error_message",
    "errorMessage",
    "error_description",
    "error_msg",
    "status_msg",
    "detail",
    "error",
];
/// Fields with errors that are wrapped.
const NESTED_FIELDS: [&str; 14] = [
    "errors",
    "details",
    "metadata",
    "raw",
    "base_resp",
    "innererror",
    "inner_error",
    "violations",
    "cause",
    "body",
    "response",
    "data",
    "fault",
    "last_error",
];
/// HTTP statuses that error codes and types stand for, for errors within a 200 response and a stream: OpenAI's
/// <https://platform.openai.com/docs/guides/error-codes> and Anthropic's <https://platform.claude.com/docs/en/api/errors>, read
/// 2026-11.
const STATUS_BY_CODE: [(&str, u16); 16] = [
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
    ("invalid_request_error", 400),
    ("BadRequestError", 400),
    ("server_error", 500),
    ("internal_error", 500),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
    ("UNAVAILABLE", 503),
];
const WAIT_FIELDS: [&str; 4] = [
    "retryDelay",
    "retry_after",
    "retryAfter",
    "retry_after_seconds",
];

/// Returns true for an object without `error` that is one: `{"object": "error", "message": …}`, or `{"base_resp": {…}}`.
pub fn has_error_words(members: &Members<'_>) -> bool {
    let is_error = |name: &str| {
        members
            .get(name)
            .string()
            .is_some_and(|text| text == "error")
    };
    let has_words = |name: &str| name != "error" && members.get(name).is_meaningful();
    is_error("object")
        || is_error("type")
        || members.get("base_resp").is_meaningful()
        || members.get("errors").is_meaningful()
        || MESSAGE_FIELDS.into_iter().any(has_words)
}

/// Decodes the body of an error response.
#[must_use]
pub fn decode_error(body: &[u8]) -> UpstreamErrorBody {
    match JsonText::parse(body) {
        Ok(text) => decode_error_node(text.root()),
        Err(_) => decode_error_text(&raw_text(body)),
    }
}

fn raw_text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..MAX_RAW_ERROR_BYTES).unwrap_or(body))
        .trim()
        .to_owned()
}

/// Decodes an error that is only a text.
#[must_use]
pub fn decode_error_text(text: &str) -> UpstreamErrorBody {
    let mut error = UpstreamErrorBody::default();
    error.read_text(text, 0);
    error.or_message("(no message)")
}

/// Decodes an error object, or what contains it.
#[must_use]
pub fn decode_error_node(node: Node<'_>) -> UpstreamErrorBody {
    let mut error = UpstreamErrorBody::default();
    error.collect(node, 0);
    error.or_message(&raw_text(node.json().as_bytes()))
}

impl UpstreamErrorBody {
    fn or_message(mut self, text: &str) -> Self {
        if self.message.is_empty() {
            text.clone_into(&mut self.message);
        }
        self
    }

    /// Reads a part of the body. Only what is kept is taken out of its text.
    fn collect(&mut self, node: Node<'_>, depth: u8) {
        if depth > MAX_DEPTH {
            return;
        }
        if let Some(text) = node.string() {
            self.read_text(&text, depth);
        } else if node.is_array() {
            for item in node.first_items(MAX_LISTED) {
                self.collect(item, depth + 1);
            }
        } else if node.is_object() {
            self.read_object(&node.members(), depth);
        }
    }

    /// Reads a message, which may be or contain the JSON of another error.
    fn read_text(&mut self, text: &str, depth: u8) {
        let start = text.find(['{', '[']).unwrap_or(text.len());
        let (before, json) = text.split_at_checked(start).unwrap_or((text, ""));
        let nested = Node::beginning(json).filter(|nested| nested.is_object() || nested.is_array());
        match nested {
            Some(nested) if before.trim().is_empty() => {
                let known = self.message.len();
                self.collect_quoted(nested, depth + 1);
                if self.message.len() == known {
                    self.add_message(text);
                }
            }
            Some(nested) => {
                self.add_message(text);
                self.collect_quoted(nested, depth + 1);
            }
            None => self.add_message(text),
        }
    }

    /// Reads JSON within a message. Its status and its wait are not taken: it may be a text that the server repeats.
    fn collect_quoted(&mut self, node: Node<'_>, depth: u8) {
        let mut quoted = Self {
            message: std::mem::take(&mut self.message),
            ..Self::default()
        };
        quoted.collect(node, depth);
        self.message = quoted.message;
        let codes = quoted.codes.into_iter().chain(quoted.quoted_codes);
        let room = MAX_CODES.saturating_sub(self.quoted_codes.len());
        self.quoted_codes.extend(codes.take(room));
        self.param = self.param.take().or(quoted.param);
        self.failed_generation = self.failed_generation.take().or(quoted.failed_generation);
    }

    fn read_object(&mut self, members: &Members<'_>, depth: u8) {
        self.read_codes(members);
        self.read_location(members);
        for name in WAIT_FIELDS {
            self.retry_after = self.retry_after.max(wait_of(members.get(name)));
        }
        if let Some(name) = members.get("provider_name").string() {
            self.add_message(&format!("provider {name}"));
        }
        for name in MESSAGE_FIELDS {
            self.collect(members.get(name), depth + 1);
        }
        for name in NESTED_FIELDS {
            let nested = members.get(name);
            if nested.string().is_none() || name == "raw" {
                self.collect(nested, depth + 1);
            }
        }
    }

    fn read_codes(&mut self, members: &Members<'_>) {
        for name in CODE_FIELDS {
            let code = members.get(name);
            if let Some(code) = code.string() {
                self.add_code(&code);
            } else if code.is_number() {
                self.add_code(code.json());
            }
        }
        // OpenRouter's moderation: the categories that the input was flagged for.
        if members.get("reasons").is_array() {
            self.add_code("moderation");
        }
        let generation = members.get("failed_generation");
        if let Some(text) = generation.string() {
            self.failed_generation = Some(text.into_owned());
        } else if generation.is_object() || generation.is_array() {
            self.failed_generation = Some(generation.json().to_owned());
        }
    }

    fn add_code(&mut self, code: &str) {
        if let Some(status) = code.parse().ok().filter(|code| (400..600).contains(code)) {
            self.status.get_or_insert(status);
            return;
        }
        if let Some((_, status)) = STATUS_BY_CODE.iter().find(|(name, _)| *name == code) {
            self.status.get_or_insert(*status);
        }
        let is_name = (1..=MAX_NAME_BYTES).contains(&code.len());
        if is_name && self.codes.len() < MAX_CODES && !self.codes.iter().any(|known| known == code)
        {
            self.codes.push(code.to_owned());
        }
    }

    /// Reads the parameter, or the `loc` of FastAPI's validation errors.
    fn read_location(&mut self, members: &Members<'_>) {
        let location = members.get("loc");
        let path = location.is_array().then(|| {
            let items = location.first_items(MAX_LISTED).into_iter();
            let parts = items.map(|part| part.string().unwrap_or_else(|| part.json().into()));
            parts.collect::<Vec<_>>().join(".")
        });
        if let Some(path) = &path {
            self.add_message(path);
        }
        let param = members.get("param").string().map(Cow::into_owned);
        let is_name = |param: &String| (1..=MAX_NAME_BYTES).contains(&param.len());
        if let Some(param) = param.or(path).filter(is_name) {
            self.param.get_or_insert(param);
        }
    }

    fn add_message(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty()
            || self.message.contains(text)
            || self.message.len() > MAX_RAW_ERROR_BYTES
        {
            return;
        }
        if !self.message.is_empty() {
            self.message.push_str(": ");
        }
        let end = text.floor_char_boundary(MAX_RAW_ERROR_BYTES);
        self.message.push_str(text.get(..end).unwrap_or(text));
    }
}

fn wait_of(wait: Node<'_>) -> Option<Duration> {
    match wait.string() {
        Some(text) => parse_wait(&text),
        None if wait.is_number() => parse_wait(wait.json()),
        None => None,
    }
}

#[cfg(test)]
mod tests;
