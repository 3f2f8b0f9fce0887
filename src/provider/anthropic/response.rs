//! Decodes Anthropic's messages: whole, and streamed as events (`content_block_delta`,
//! `message_delta`, `message_stop`).

use crate::provider::answer::Finish;
use crate::provider::content::{push_arguments, push_content, push_parsed_arguments};
use crate::provider::error_body::{decode_error_node, has_error_words};
use crate::provider::finish_reason::apply_finish_reason;
use crate::provider::lenient_json::{JsonText, Members, Node, not_read};
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Decodes a whole message.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let text = parse(body)?;
    let message = text.members();
    let has_content = message.has("content") && !message.get("content").is_null();
    if message.get("error").is_meaningful() || !has_content && has_error_words(&message) {
        return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
            text.root(),
        ))));
    }
    if !has_content {
        return Err(malformed("it has no `content`", body));
    }
    let mut partial = PartialAnswer::default();
    apply_usage(message.get("usage"), &mut partial);
    push_content(message.get("content"), &mut partial);
    apply_stop_reason(&message, &mut partial)?;
    Ok(partial)
}

/// Decodes one server-sent event of a streamed message.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    if message.trim_ascii() == b"[DONE]" {
        return Ok(());
    }
    let text = parse(message)?;
    let event = text.members();
    let delta = event.get("delta").members();
    match event.get("type").string().unwrap_or_default().as_ref() {
        "message_start" => apply_usage(event.get("message").get("usage"), partial),
        "content_block_start" => {
            // Anthropic's own blocks start empty; a gateway may send a whole one.
            let block = event.get("content_block").members();
            let input = block.get("input");
            match block.get("type").string().as_deref() {
                Some("tool_use") if !input.members().is_empty() => {
                    push_parsed_arguments(input, partial);
                }
                Some("text") => push_content(block.get("text"), partial),
                _ => {}
            }
        }
        "content_block_delta" => match delta.get("type").string().as_deref() {
            Some("text_delta") => push_content(delta.get("text"), partial),
            Some("input_json_delta")
                if partial
                    .tool_call
                    .moves_to(event.get("index").count(), "", false) =>
            {
                push_arguments(delta.get("partial_json"), partial);
            }
            _ => {}
        },
        "message_delta" => {
            apply_usage(event.get("usage"), partial);
            apply_stop_reason(&delta, partial)?;
        }
        "message_stop" => partial.state = StreamState::Ended,
        // A whole message where a stream was asked for.
        "message" if partial.size() == 0 => {
            *partial = decode(message)?;
            partial.state = StreamState::Ended;
        }
        "error" => {
            return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
                text.root(),
            ))));
        }
        _ if event.get("error").is_meaningful() => {
            return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
                text.root(),
            ))));
        }
        // Pings, ends of blocks, and types that are not known.
        _ => {}
    }
    Ok(())
}

fn parse(body: &[u8]) -> Result<JsonText<'_>, DecodeError> {
    JsonText::parse(body).map_err(|error| malformed(error, body))
}

fn malformed(reason: impl std::fmt::Display, body: &[u8]) -> DecodeError {
    DecodeError::Malformed(not_read("a message", reason, body))
}

/// Merges the usage into the answer: a stream reports input tokens at its start, and output tokens at its end.
fn apply_usage(usage: Node<'_>, partial: &mut PartialAnswer) {
    let tokens = usage.members();
    let count = |name: &str| tokens.get(name).count();
    let (input, output) = (count("input_tokens"), count("output_tokens"));
    if input.is_none() && output.is_none() {
        return;
    }
    let known = partial.usage.unwrap_or_default();
    let reported = input.map(|input| {
        let cached = count("cache_read_input_tokens").unwrap_or_default();
        let created = count("cache_creation_input_tokens").unwrap_or_default();
        (input.saturating_add(created).saturating_add(cached), cached)
    });
    let known_cached = known.cached_input_tokens.map_or(0, std::num::NonZero::get);
    let (input, cached) = reported.unwrap_or((known.input_tokens, known_cached));
    let output = output.unwrap_or(known.output_tokens);
    partial.usage = Some(Usage::new(input, output).with_details(Some(cached), None));
}

/// Sets the finish for a `stop_reason`; `null`: the message is not complete yet.
fn apply_stop_reason(
    message: &Members<'_>,
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    let reason = message.get("stop_reason");
    if !reason.is_meaningful() {
        return Ok(());
    }
    let reason = reason.string().unwrap_or_default();
    if reason == "refusal" {
        partial.state = StreamState::AnswerComplete;
        let explanation = message.get("stop_details").get("explanation").string();
        let explanation = explanation.map_or_else(
            || "the provider's classifiers stopped the answer".to_owned(),
            std::borrow::Cow::into_owned,
        );
        partial.finish = Some(Finish::Refusal(explanation));
        return Ok(());
    }
    apply_finish_reason(&reason, None, partial)?;
    if reason == "tool_use" {
        partial.finish = Some(Finish::Stop);
        if partial.arguments.is_empty() {
            partial.arguments.push_str("{}");
        }
    }
    Ok(())
}
