//! Table of finish reasons of all wire formats: which ones say that an answer is whole.
//!
//! A reason that is not in the table is a failed call: gateways report a provider that broke off this way, with the beginning of
//! an answer, which may be valid.

use super::answer::Finish;
use super::error_body::UpstreamErrorBody;
use super::partial_answer::{DecodeError, PartialAnswer, StreamState};

/// Finish reasons by meaning, in lower case.
///
/// Sources, read 2026-11: OpenAI's and Anthropic's API references, <https://ai.google.dev/api/generate-content#FinishReason>,
/// Bedrock's `StopReason`, Cohere's and Zhipu's API references, and the sources of vLLM, TGI, Ollama and LiteLLM.
const STOP: [&str; 12] = [
    "stop",
    "stop_sequence",
    "end_turn",
    "eos",
    "eos_token",
    "end",
    "end_of_turn",
    "complete",
    "completed",
    "done",
    "finished",
    "success",
];
/// Reasons of a tool call. Some servers report one for a call that was truncated at the output limit, so they prove less than a
/// stop.
const TOOL_CALL: [&str; 4] = ["tool_calls", "tool_call", "tool_use", "function_call"];
const LENGTH: [&str; 9] = [
    "length",
    "model_length",
    "max_length",
    "max_tokens",
    "max_output_tokens",
    "max_tokens_reached",
    "model_context_window_exceeded",
    "context_length_exceeded",
    "token_limit",
];
const REFUSAL: [&str; 19] = [
    "content_filter",
    "content_filtered",
    "content_policy",
    "refusal",
    "safety",
    "recitation",
    "language",
    "blocklist",
    "prohibited_content",
    "spii",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
    "model_armor",
    "guardrail_intervened",
    "error_toxic",
    "sensitive",
    "flagged",
    "blocked",
];
/// Reasons of a tool call or an answer that the provider itself could not parse.
const INVALID: [&str; 8] = [
    "malformed_function_call",
    "malformed_response",
    "malformed_model_output",
    "malformed_tool_use",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "invalid_tool_call",
    "json_validate_failed",
];

/// Meaning of a finish reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FinishClass {
    Stop,
    /// No reason, or that of a tool call.
    Unknown,
    Length,
    Refusal,
    /// The provider says that the answer is not valid.
    Invalid,
    /// The answer is not whole.
    Failed,
}

/// Returns the meaning of a finish reason; upper and lower case are the same.
fn classify(reason: &str) -> FinishClass {
    let lower = reason.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    let name = lower.strip_prefix("finish_reason_").unwrap_or(&lower);
    let is_one_of = |names: &[&str]| names.contains(&name);
    if matches!(name, "" | "null" | "none" | "unspecified") || is_one_of(&TOOL_CALL) {
        FinishClass::Unknown
    } else if is_one_of(&STOP) {
        FinishClass::Stop
    } else if is_one_of(&LENGTH) {
        FinishClass::Length
    } else if is_one_of(&REFUSAL) {
        FinishClass::Refusal
    } else if is_one_of(&INVALID) {
        FinishClass::Invalid
    } else {
        FinishClass::Failed
    }
}

/// Marks the answer as complete, with the finish for a reason and the provider's explanation of it. A reason that is not a word,
/// such as a number, says nothing.
///
/// # Errors
/// If the reason is not known: the answer is not whole.
pub fn apply_finish_reason(
    reason: &str,
    explanation: Option<&str>,
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    if reason.trim().eq_ignore_ascii_case("null") {
        return Ok(());
    }
    partial.state = partial.state.max(StreamState::AnswerComplete);
    let finish = finish(reason, explanation).ok_or_else(|| {
        let explanation = explanation
            .map(|text| format!(": {text}"))
            .unwrap_or_default();
        DecodeError::ErrorBody(Box::new(UpstreamErrorBody {
            message: format!(
                "the provider ended the answer with the finish reason `{reason}`{explanation}"
            ),
            ..UpstreamErrorBody::default()
        }))
    })?;
    // A provider's explanation of a refusal is not replaced by a later event without one.
    if !matches!(partial.finish, Some(Finish::Refusal(_))) {
        partial.finish = Some(finish);
    }
    Ok(())
}

/// Returns the finish for a reason and the provider's explanation of it; `None`: the call failed.
fn finish(reason: &str, explanation: Option<&str>) -> Option<Finish> {
    let suffix = explanation
        .filter(|text| !text.trim().is_empty())
        .map(|text| format!(": {text}"))
        .unwrap_or_default();
    Some(match classify(reason) {
        FinishClass::Stop => Finish::Stop,
        FinishClass::Unknown => Finish::Unknown,
        FinishClass::Length => Finish::Length,
        FinishClass::Refusal if reason == "content_filter" && suffix.is_empty() => {
            Finish::content_filtered()
        }
        FinishClass::Refusal => Finish::Refusal(format!(
            "the provider stopped the answer ({reason}){suffix}"
        )),
        FinishClass::Invalid => Finish::Invalid(format!(
            "the provider could not read the answer ({reason}){suffix}"
        )),
        FinishClass::Failed => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_reasons_say_that_an_answer_is_whole() {
        for (reason, expected) in [
            ("stop", FinishClass::Stop),
            ("STOP", FinishClass::Stop),
            ("FINISH_REASON_STOP", FinishClass::Stop),
            ("end_turn", FinishClass::Stop),
            ("tool_calls", FinishClass::Unknown),
            ("FINISH_REASON_UNSPECIFIED", FinishClass::Unknown),
            ("MAX_TOKENS", FinishClass::Length),
            ("content-filter", FinishClass::Refusal),
            ("SAFETY", FinishClass::Refusal),
            ("MALFORMED_FUNCTION_CALL", FinishClass::Invalid),
            ("error", FinishClass::Failed),
            ("abort", FinishClass::Failed),
            ("cancelled", FinishClass::Failed),
            ("error_finish", FinishClass::Failed),
            ("OTHER", FinishClass::Failed),
            ("load", FinishClass::Failed),
        ] {
            assert_eq!(classify(reason), expected, "{reason}");
        }
        assert_eq!(finish("error", Some("down")), None);
        assert_eq!(
            finish("SAFETY", Some("Blocked.")),
            Some(Finish::Refusal(
                "the provider stopped the answer (SAFETY): Blocked.".to_owned()
            ))
        );
    }
}
