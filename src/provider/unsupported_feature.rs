//! Detects from an error which feature of a request a server does not support, so that the next call omits it.
//!
//! The parameter and the codes that the error names are looked at first, then words: whole words, in the server's own sentence.
//! A detection is a hypothesis: it is kept only after the call without the feature succeeded.

use super::error_body::UpstreamErrorBody;
use super::error_table::ErrorClass;
use super::phrase::contains_phrase;
use super::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

/// Detected feature, and the evidence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    pub feature: Unsupported,
    /// True if the error says that the model does not support the feature at all; false if it may be about this request only.
    pub is_proven_for_model: bool,
}

/// Names of the parameters of each feature, in the wire formats that have it.
///
/// Sources, read 2026-11: the API references of OpenAI, Azure, Anthropic, Gemini and Ollama, and the sources of vLLM, llama.cpp
/// and SGLang. A name matches whole components of a path: `body.response_format.type` contains `response_format`.
const JSON_FIELDS: [&str; 16] = [
    "response_format",
    "response format",
    "text.format",
    "json_schema",
    "json_object",
    "json mode",
    "structured output",
    "structured outputs",
    "guided_json",
    "guided decoding",
    "output_config",
    "output_format",
    "output format",
    "response_mime_type",
    "responsemimetype",
    "format",
];
const TOOL_FIELDS: [&str; 13] = [
    "tool",
    "tools",
    "tool_choice",
    "tool-choice",
    "tool choice",
    "tool call",
    "tool calling",
    "tool use",
    "function",
    "functions",
    "function calling",
    "function_call",
    "functiondeclarations",
];
const SCHEMA_WORDS: [&str; 13] = [
    "schema",
    "schemas",
    "input_schema",
    "grammar",
    "grammars",
    "samplers",
    "too complex",
    "required for format",
    "invalid format",
    "too many states",
    "nesting depth",
    "response_schema",
    "responsejsonschema",
];
const LIMIT_FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
const STREAM_USAGE_FIELDS: [&str; 2] = ["stream_options", "include_usage"];
const STREAM_FIELDS: [&str; 3] = ["stream", "streaming", "streamed"];

/// Words with which templates and servers reject the system role: Gemma's and Mistral's chat templates, vLLM, TGI, llama.cpp and
/// Gemini's API for Gemma (issue threads, 2026-11).
const SYSTEM_ROLE_WORDS: [&str; 12] = [
    "system role",
    "system message",
    "system messages",
    "system prompt",
    "system instruction",
    "developer instruction",
    "role 'system'",
    "role \"system\"",
    "role: system",
    "role `system`",
    "roles must alternate",
    "only user and assistant roles",
];

/// Words that reject what a sentence names.
const REJECTIONS: [&str; 34] = [
    "not supported",
    "unsupported",
    "not support",
    "doesn't support",
    "don't support",
    "unknown",
    "unrecognized",
    "unexpected",
    "unavailable",
    "not available",
    "not enabled",
    "not be enabled",
    "not allowed",
    "not permitted",
    "not implemented",
    "not valid",
    "invalid",
    "extra inputs",
    "extra fields",
    "extra_forbidden",
    "deprecated",
    "instead",
    "maximum allowed",
    "supports at most",
    "only supports",
    "must be",
    "should be",
    "must not",
    "cannot",
    "can't",
    "required",
    "requires",
    "no endpoints found",
    "must alternate",
];
/// Rejections that say that the model lacks the feature, not that a value of it is wrong.
const PROOFS: [&str; 18] = [
    "not supported",
    "unsupported",
    "not support",
    "doesn't support",
    "don't support",
    "unknown",
    "unrecognized",
    "unavailable",
    "not available",
    "not enabled",
    "not be enabled",
    "not allowed",
    "not permitted",
    "not implemented",
    "extra inputs",
    "deprecated",
    // Of the system role, which no caller chooses.
    "must alternate",
    "only user and assistant roles",
];
/// Words about a value: another value may be supported.
const VALUE_WORDS: [&str; 20] = [
    "value",
    "values",
    "range",
    "between",
    "maximum",
    "minimum",
    "max",
    "min",
    "at most",
    "at least",
    "less than",
    "greater than",
    "above",
    "below",
    "exceeds",
    "too large",
    "too high",
    "must be",
    "should be",
    "only supports",
];
/// Words that a 500 or a 501 must contain: any other is a failure of the server and says nothing about features. From
/// llama-cpp-python, older llama.cpp servers, Ollama and chat templates.
const REQUIRED_FOR_500: [&str; 11] = [
    "response_format",
    "json_schema",
    "json schema",
    "tools param",
    "param: tools",
    "grammar",
    "invalid format",
    "system role",
    "roles must alternate",
    "role 'system'",
    "not implemented",
];
/// OpenRouter's words when no provider of a model supports what the request asks for.
const NO_ENDPOINTS: [&str; 2] = [
    "no endpoints found that support",
    "no endpoints found that can handle",
];

/// Returns the feature that an error response rejects, or `None` if the error is about something else or names no known feature.
/// `own_words` is the message in lower case, without what it repeats of the input.
pub fn detect_unsupported(
    status: u16,
    class: ErrorClass,
    error: &UpstreamErrorBody,
    own_words: &str,
    shape: RequestShape,
) -> Option<Detected> {
    if class != ErrorClass::Status {
        return None;
    }
    let has = |phrases: &[&str]| {
        phrases
            .iter()
            .any(|phrase| contains_phrase(own_words, phrase))
    };
    match status {
        400 | 422 => {}
        404 if has(&NO_ENDPOINTS) => return no_endpoints(own_words, shape),
        500 | 501 if has(&REQUIRED_FOR_500) => {}
        _ => return None,
    }
    let is_proof = has(&PROOFS) || has_unsupported_code(error);
    let detected = |feature| {
        let is_schema = feature == Unsupported::Schema;
        Some(Detected {
            feature,
            is_proven_for_model: !is_schema && is_proof,
        })
    };
    let param = error.param.as_deref().unwrap_or_default().to_lowercase();
    if let Some(feature) = feature_of_param(&param, own_words, shape) {
        return detected(feature);
    }
    let is_new = |feature| !shape.unsupported.has(feature);
    if is_new(Unsupported::SystemRole)
        && (has(&SYSTEM_ROLE_WORDS) || contains_phrase(&param, "role"))
    {
        return detected(Unsupported::SystemRole);
    }
    // The error names another parameter.
    if !param.is_empty() {
        return None;
    }
    if !has(&REJECTIONS) && !has(&STREAM_FIELDS) && !has(&SCHEMA_WORDS) {
        return None;
    }
    feature_of_words(own_words, shape).and_then(detected)
}

/// Returns the mode. OpenRouter's other sentence does not say which of the parameters it is.
fn no_endpoints(own_words: &str, shape: RequestShape) -> Option<Detected> {
    (shape.mode != Mode::Text).then(|| Detected {
        feature: Unsupported::Mode,
        is_proven_for_model: contains_phrase(own_words, NO_ENDPOINTS[0]),
    })
}

/// Returns true if an error may be about the value of a feature. `own_words` is as for [`detect_unsupported`].
pub fn is_about_value(error: &UpstreamErrorBody, own_words: &str) -> bool {
    error.codes.iter().any(|code| code == "unsupported_value")
        || VALUE_WORDS
            .iter()
            .any(|words| contains_phrase(own_words, words))
}

fn has_unsupported_code(error: &UpstreamErrorBody) -> bool {
    error.codes.iter().any(|code| {
        matches!(
            &**code,
            "unsupported_parameter" | "unsupported_value" | "unknown_parameter" | "extra_forbidden"
        )
    })
}

/// Returns the feature of the parameter that an error names.
fn feature_of_param(param: &str, own_words: &str, shape: RequestShape) -> Option<Unsupported> {
    if param.is_empty() {
        return None;
    }
    let names = |fields: &[&str]| fields.iter().any(|field| contains_phrase(param, field));
    let has_schema = || {
        let says = |word: &&str| contains_phrase(own_words, word) || contains_phrase(param, word);
        SCHEMA_WORDS.iter().any(says)
    };
    if takes_schema(shape.mode) && names(mode_fields(shape.mode)) {
        Some(if has_schema() {
            Unsupported::Schema
        } else {
            Unsupported::Mode
        })
    } else if shape.mode == Mode::JsonObject && names(&JSON_FIELDS) {
        Some(Unsupported::Mode)
    } else {
        feature_of_field(names, shape)
    }
}

/// Returns the feature that the words of an error name.
fn feature_of_words(own_words: &str, shape: RequestShape) -> Option<Unsupported> {
    let has = |phrases: &[&str]| {
        phrases
            .iter()
            .any(|phrase| contains_phrase(own_words, phrase))
    };
    if shape.stream && has(&STREAM_USAGE_FIELDS) {
        Some(Unsupported::StreamUsage)
    } else if shape.stream && has(&STREAM_FIELDS) {
        Some(Unsupported::Stream)
    } else if takes_schema(shape.mode) && has(&SCHEMA_WORDS) {
        Some(Unsupported::Schema)
    } else if shape.mode != Mode::Text && has(mode_fields(shape.mode)) {
        Some(Unsupported::Mode)
    } else {
        feature_of_field(has, shape)
    }
}

/// Returns the feature of a field that has nothing to do with the mode.
fn feature_of_field(names: impl Fn(&[&str]) -> bool, shape: RequestShape) -> Option<Unsupported> {
    if shape.stream && names(&STREAM_USAGE_FIELDS) {
        Some(Unsupported::StreamUsage)
    } else if shape.stream && names(&STREAM_FIELDS) {
        Some(Unsupported::Stream)
    } else if names(&LIMIT_FIELDS) {
        Some(Unsupported::OutputLimit)
    } else if names(&["temperature"]) {
        Some(Unsupported::Temperature)
    } else if names(&["seed"]) {
        Some(Unsupported::Seed)
    } else {
        None
    }
}

const fn takes_schema(mode: Mode) -> bool {
    matches!(mode, Mode::JsonSchema | Mode::Tools)
}

/// Returns the names of the fields that a mode uses.
const fn mode_fields(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::JsonSchema | Mode::JsonObject => &JSON_FIELDS,
        Mode::Tools => &TOOL_FIELDS,
        Mode::Auto | Mode::Text => &[],
    }
}

/// Returns the output token limit that is left beside the input, from the numbers of an error: "input length and `max_tokens`
/// exceed context limit: 150959 + 64000 > 200000".
pub fn remaining_output_limit(own_words: &str) -> Option<u32> {
    let (_, numbers) = own_words.split_once("exceed context limit:")?;
    let mut numbers = numbers
        .split(|c: char| !c.is_ascii_digit() && c != ',')
        .map(|number| number.replace(',', ""))
        .filter_map(|number| number.parse::<u32>().ok());
    let (input, _, context) = (numbers.next()?, numbers.next()?, numbers.next()?);
    context
        .checked_sub(input)
        .filter(|left| *left >= MIN_OUTPUT_LIMIT)
}

/// Smallest output token limit that is worth a call.
const MIN_OUTPUT_LIMIT: u32 = 256;

#[cfg(test)]
mod tests;
