//! Decodes Gemini's responses: whole (`generateContent`), and Gemini's stream
//! (`streamGenerateContent`), whose chunks look the same.

use serde::Deserialize;
use serde_json::Value;

use super::error::decode_error;
use crate::provider::answer::Finish;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Whole response, or a chunk of a streamed one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateContentResponse {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<CandidateContent>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct CandidateContent {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    /// True if the part is thinking and not part of the answer.
    #[serde(default)]
    thought: bool,
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
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

/// Decodes a whole response.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let mut partial = PartialAnswer::default();
    decode_event(body, &mut partial)?;
    match partial.state {
        StreamState::Incomplete => Err(DecodeError::Malformed(
            "the Gemini response has no finished candidate".to_owned(),
        )),
        StreamState::AnswerComplete | StreamState::Ended => Ok(partial),
    }
}

/// Decodes one server-sent event of a streamed response.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    let response: GenerateContentResponse = serde_json::from_slice(message).map_err(|error| {
        DecodeError::Malformed(format!("the body is not a Gemini response: {error}"))
    })?;
    if response.error.is_some() {
        return Err(DecodeError::ErrorBody(decode_error(message)));
    }
    if let Some(tokens) = response.usage_metadata {
        partial.usage = Some(tokens.usage());
    }
    if let Some(PromptFeedback {
        block_reason: Some(reason),
        block_reason_message: message,
    }) = response.prompt_feedback
    {
        let suffix = with_colon(message);
        partial.finish = Some(Finish::Refusal(format!(
            "the provider blocked the input ({reason}){suffix}"
        )));
        partial.state = StreamState::AnswerComplete;
    }
    if let Some(candidate) = response.candidates.into_iter().flatten().next() {
        candidate.apply_to(partial);
    }
    Ok(())
}

impl Candidate {
    fn apply_to(self, partial: &mut PartialAnswer) {
        let parts = self.content.and_then(|content| content.parts);
        for part in parts.into_iter().flatten().filter(|part| !part.thought) {
            partial.content.push_str(&part.text.unwrap_or_default());
            if let Some(call) = part.function_call
                && partial.arguments.is_empty()
            {
                partial.arguments = call
                    .args
                    .map_or_else(|| "{}".to_owned(), |arguments| arguments.to_string());
            }
        }
        if let Some(reason) = self.finish_reason {
            partial.state = StreamState::AnswerComplete;
            partial.finish = Some(finish(&reason, self.finish_message));
        }
    }
}

/// Returns the finish for a `finishReason`.
fn finish(reason: &str, message: Option<String>) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "STOP" => Finish::Stop,
        reason if REFUSAL_REASONS.contains(&reason) => {
            let suffix = with_colon(message);
            Finish::Refusal(format!(
                "the provider stopped the answer ({reason}){suffix}"
            ))
        }
        // MALFORMED_FUNCTION_CALL and similar reasons: an answer that is not valid, which leads to
        // a validation retry.
        _ => Finish::Unknown,
    }
}

fn with_colon(message: Option<String>) -> String {
    message
        .map(|message| format!(": {message}"))
        .unwrap_or_default()
}

/// Values of `finishReason` that are a refusal:
/// <https://ai.google.dev/api/generate-content#FinishReason>, read 2026-11.
pub const REFUSAL_REASONS: [&str; 6] = [
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
];
