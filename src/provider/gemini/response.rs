//! Decodes Gemini's responses: whole (`generateContent`), and Gemini's stream
//! (`streamGenerateContent`), whose chunks look the same.

use crate::provider::answer::Finish;
use crate::provider::content::{push_parsed_arguments, push_part};
use crate::provider::error_body::{decode_error_node, has_error_words};
use crate::provider::finish_reason::apply_finish_reason;
use crate::provider::lenient_json::{JsonText, Members, Node, not_read};
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Decodes a whole response.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let mut partial = PartialAnswer::default();
    decode_event(body, &mut partial)?;
    match partial.state {
        StreamState::Incomplete => {
            let reason = "it has no finished candidate";
            Err(DecodeError::Malformed(not_read(
                "a Gemini response",
                reason,
                body,
            )))
        }
        StreamState::AnswerComplete | StreamState::Ended => Ok(partial),
    }
}

/// Decodes one server-sent event of a streamed response.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    if message.trim_ascii() == b"[DONE]" {
        return Ok(());
    }
    let text = JsonText::parse(message)
        .map_err(|error| DecodeError::Malformed(not_read("a Gemini response", error, message)))?;
    // Without `alt=sse`, a stream is a list of chunks.
    for chunk in text.root().items() {
        apply_chunk(chunk, partial)?;
    }
    Ok(())
}

fn apply_chunk(node: Node<'_>, partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    let chunk = node.members();
    let candidates = chunk.get("candidates").items();
    let is_error =
        chunk.get("error").is_meaningful() || candidates.is_empty() && has_error_words(&chunk);
    if is_error {
        return Err(DecodeError::ErrorBody(Box::new(decode_error_node(node))));
    }
    apply_usage(chunk.get("usageMetadata"), partial);
    apply_feedback(&chunk.get("promptFeedback").members(), partial);
    match candidates.first() {
        Some(candidate) => apply_candidate(&candidate.members(), partial),
        None => Ok(()),
    }
}

fn apply_usage(usage: Node<'_>, partial: &mut PartialAnswer) {
    let tokens = usage.members();
    let count = |name: &str| tokens.get(name).count();
    let (prompt, answer) = (count("promptTokenCount"), count("candidatesTokenCount"));
    let thoughts = count("thoughtsTokenCount");
    if prompt.is_none() && answer.is_none() && thoughts.is_none() {
        return;
    }
    let sum = |one: Option<u64>, two: Option<u64>| {
        one.unwrap_or_default()
            .saturating_add(two.unwrap_or_default())
    };
    let input = sum(prompt, count("toolUsePromptTokenCount"));
    partial.usage = Some(
        Usage::new(input, sum(answer, thoughts))
            .with_details(count("cachedContentTokenCount"), thoughts),
    );
}

/// Takes the reason for which the input was blocked.
fn apply_feedback(feedback: &Members<'_>, partial: &mut PartialAnswer) {
    let reason = feedback.get("blockReason").string().unwrap_or_default();
    if reason.is_empty() || reason == "BLOCK_REASON_UNSPECIFIED" {
        return;
    }
    let message = feedback.get("blockReasonMessage").string();
    let suffix = message
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    partial.finish = Some(Finish::Refusal(format!(
        "the provider blocked the input ({reason}){suffix}"
    )));
    partial.state = StreamState::AnswerComplete;
}

fn apply_candidate(
    candidate: &Members<'_>,
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    for part in candidate.get("content").get("parts").items() {
        let part = part.members();
        push_part(&part, partial);
        let call = part.get("functionCall");
        if call.is_object() && !part.get("thought").is_true() {
            push_parsed_arguments(call.get("args"), partial);
        }
    }
    let reason = candidate.get("finishReason");
    if reason.is_meaningful() {
        let explanation = candidate.get("finishMessage").string();
        let reason = reason.string().unwrap_or_default();
        apply_finish_reason(&reason, explanation.as_deref(), partial)?;
    }
    Ok(())
}
