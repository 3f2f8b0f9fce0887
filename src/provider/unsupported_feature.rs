//! Detects from an error message which feature of a request a server does not support, so that the
//! next call omits it.

use super::error_body::UpstreamErrorBody;
use super::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

/// Phrases, in lower case, with which an API's error messages reject each feature.
#[derive(Debug)]
pub struct ErrorPatterns {
    /// The mode is supported, but not with this schema.
    pub schema: &'static [&'static str],
    pub json_schema: &'static [&'static str],
    pub tools: &'static [&'static str],
    pub json_object: &'static [&'static str],
    /// Phrases of which a 500 must contain one: any other 500 is a server error and says nothing
    /// about features.
    pub required_for_500: &'static [&'static str],
}

/// Phrases for an unknown field, or an unsupported value of a field.
const UNKNOWN_FIELD_PHRASES: [&str; 9] = [
    "unsupported",
    "not supported",
    "unknown",
    "unrecognized",
    "instead",
    "extra inputs",
    "not permitted",
    "maximum allowed",
    "supports at most",
];

/// Returns the feature that an error response (400, 422, 500, 501) rejects, or `None` if it names
/// no known feature.
pub fn detect_unsupported(
    status: u16,
    error: &UpstreamErrorBody,
    shape: RequestShape,
    patterns: &ErrorPatterns,
) -> Option<Unsupported> {
    let message = error.message.to_ascii_lowercase();
    let has_any = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if status == 500 && !has_any(patterns.required_for_500) {
        return None;
    }
    let mode_phrases = match shape.mode {
        Mode::JsonSchema => patterns.json_schema,
        Mode::Tools => patterns.tools,
        Mode::JsonObject => patterns.json_object,
        Mode::Auto | Mode::Text => &[],
    };
    let takes_schema = matches!(shape.mode, Mode::JsonSchema | Mode::Tools);
    if shape.stream && has_any(&["stream_options", "include_usage"]) {
        Some(Unsupported::StreamUsage)
    } else if shape.stream && has_any(&["stream"]) {
        Some(Unsupported::Stream)
    } else if takes_schema && has_any(patterns.schema) {
        Some(Unsupported::Schema)
    } else if has_any(mode_phrases) {
        Some(Unsupported::Mode)
    } else if has_any(&["max_tokens", "max_completion_tokens"]) && has_any(&UNKNOWN_FIELD_PHRASES) {
        Some(Unsupported::OutputLimit)
    } else if has_any(&["temperature"]) {
        Some(Unsupported::Temperature)
    } else if has_any(&["seed"]) {
        Some(Unsupported::Seed)
    } else {
        None
    }
}
