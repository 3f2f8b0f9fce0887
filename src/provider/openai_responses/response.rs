//! Decodes OpenAI's response objects: whole, and streamed as `response.*` events
//! (`response.output_text.delta`, `response.completed`).

use crate::provider::answer::Finish;
use crate::provider::content::{push_arguments, push_content, push_parsed_arguments, push_refusal};
use crate::provider::error_body::{decode_error_node, has_error_words};
use crate::provider::finish_reason::apply_finish_reason;
use crate::provider::lenient_json::{JsonText, Node, not_read};
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Decodes a whole response.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let text = parse(body)?;
    decode_response(text.root())
}

/// Decodes one server-sent event of a streamed response.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    if message.trim_ascii() == b"[DONE]" {
        return Ok(());
    }
    let text = parse(message)?;
    let event = text.members();
    let delta = event.get("delta");
    match event.get("type").string().unwrap_or_default().as_ref() {
        "response.output_text.delta" => push_content(delta, partial),
        "response.refusal.delta" => push_refusal(delta, partial),
        "response.function_call_arguments.delta" => {
            let index = event.get("output_index").count();
            let id = event.get("item_id").string().unwrap_or_default();
            if partial.tool_call.moves_to(index, &id, true) {
                push_arguments(delta, partial);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            finish_stream(event.get("response"), partial)?;
        }
        "error" => {
            return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
                text.root(),
            ))));
        }
        "" if event.get("error").is_meaningful() => {
            return Err(DecodeError::ErrorBody(Box::new(decode_error_node(
                text.root(),
            ))));
        }
        // A whole response where a stream was asked for.
        "" if event.has("output") && partial.size() == 0 => {
            *partial = decode_response(text.root())?;
        }
        _ => {}
    }
    Ok(())
}

fn parse(body: &[u8]) -> Result<JsonText<'_>, DecodeError> {
    JsonText::parse(body).map_err(|error| malformed(error, body))
}

fn malformed(reason: impl std::fmt::Display, body: &[u8]) -> DecodeError {
    DecodeError::Malformed(not_read("a response object", reason, body))
}

/// Takes the final event of a stream. It repeats the text of the deltas, which were emitted already.
fn finish_stream(response: Node<'_>, partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    let complete = decode_response(response)?;
    let streamed = std::mem::replace(partial, complete);
    if !streamed.content.is_empty() {
        partial.content = streamed.content;
    }
    if !streamed.arguments.is_empty() {
        partial.arguments = streamed.arguments;
    }
    if partial.refusal.is_empty() {
        partial.refusal = streamed.refusal;
    }
    Ok(())
}

/// Returns the answer of a response object.
fn decode_response(node: Node<'_>) -> Result<PartialAnswer, DecodeError> {
    let response = node.members();
    if response.get("error").is_meaningful() {
        return Err(DecodeError::ErrorBody(Box::new(decode_error_node(node))));
    }
    let output = response.get("output");
    let mut partial = PartialAnswer {
        usage: usage(response.get("usage")),
        ..PartialAnswer::default()
    };
    let status = response.get("status");
    let reason = response.get("incomplete_details").get("reason").string();
    if !output.is_array() && status.string().is_none_or(|status| status == "completed") {
        return Err(if has_error_words(&response) {
            DecodeError::ErrorBody(Box::new(decode_error_node(node)))
        } else {
            malformed("it has no `output`", node.json().as_bytes())
        });
    }
    apply_status(status, reason.as_deref(), node, &mut partial)?;
    partial.state = StreamState::Ended;
    for item in output.items() {
        apply_item(item, &mut partial);
    }
    Ok(partial)
}

fn usage(usage: Node<'_>) -> Option<Usage> {
    let tokens = usage.members();
    let (input, output) = (
        tokens.get("input_tokens").count(),
        tokens.get("output_tokens").count(),
    );
    let detail = |object: &str, name: &str| tokens.get(object).get(name).count();
    (input.is_some() || output.is_some()).then(|| {
        Usage::new(input.unwrap_or_default(), output.unwrap_or_default()).with_details(
            detail("input_tokens_details", "cached_tokens"),
            detail("output_tokens_details", "reasoning_tokens"),
        )
    })
}

fn apply_item(item: Node<'_>, partial: &mut PartialAnswer) {
    let members = item.members();
    match members.get("type").string().unwrap_or_default().as_ref() {
        "function_call" => push_parsed_arguments(members.get("arguments"), partial),
        "reasoning" => {
            for part in members.get("content").items() {
                partial.push_reasoning(&part.get("text").string().unwrap_or_default());
            }
        }
        "message" => push_content(members.get("content"), partial),
        // Gateways leave out the type of a message.
        "" if members.get("role").is_meaningful() => push_content(members.get("content"), partial),
        _ => {}
    }
}

/// Sets the finish for a response's `status` and the `reason` of its `incomplete_details`.
fn apply_status(
    status: Node<'_>,
    reason: Option<&str>,
    response: Node<'_>,
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    match (status.string().as_deref(), reason) {
        (Some("completed"), _) => partial.finish = Some(Finish::Stop),
        (None, _) => partial.finish = Some(Finish::Unknown),
        (Some("incomplete"), Some(reason)) => return apply_finish_reason(reason, None, partial),
        (Some("incomplete"), None) => partial.finish = Some(Finish::Length),
        (Some(status), _) => {
            let reason = format!("its status is `{status}` instead of `completed`");
            return Err(malformed(reason, response.json().as_bytes()));
        }
    }
    Ok(())
}
