//! Decodes OpenAI's chat completions: whole (`chat.completion`) and streamed
//! (`chat.completion.chunk`, ended by `[DONE]`).

use crate::provider::content::{push_arguments, push_content, push_refusal};
use crate::provider::error_body::{decode_error_node, has_error_words};
use crate::provider::finish_reason::apply_finish_reason;
use crate::provider::lenient_json::{JsonText, Members, Node, not_read};
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Fields in which servers put reasoning.
const REASONING_FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];

/// Decodes a whole completion.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let text = parse(body)?;
    let completion = text.members();
    check_error(&completion, text.root())?;
    let choices = completion.get("choices").items();
    let Some(choice) = choices.first() else {
        return Err(no_choices(&completion, text.root()));
    };
    let mut partial = PartialAnswer::default();
    apply_usage(completion.get("usage"), &mut partial);
    apply_choice(*choice, false, &mut partial)?;
    Ok(partial)
}

/// Decodes one server-sent event of a streamed completion.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    if message.trim_ascii() == b"[DONE]" {
        partial.state = StreamState::Ended;
        return Ok(());
    }
    let text = parse(message)?;
    let chunk = text.members();
    check_error(&chunk, text.root())?;
    if !chunk.has("choices") && has_error_words(&chunk) {
        return Err(no_choices(&chunk, text.root()));
    }
    apply_usage(chunk.get("usage"), partial);
    match chunk.get("choices").items().first() {
        Some(choice) => apply_choice(*choice, true, partial),
        None => Ok(()),
    }
}

fn parse(body: &[u8]) -> Result<JsonText<'_>, DecodeError> {
    JsonText::parse(body)
        .map_err(|error| DecodeError::Malformed(not_read("a chat completion", error, body)))
}

/// Returns an error if `error` says something.
fn check_error(completion: &Members<'_>, whole: Node<'_>) -> Result<(), DecodeError> {
    if completion.get("error").is_meaningful() {
        Err(DecodeError::ErrorBody(Box::new(decode_error_node(whole))))
    } else {
        Ok(())
    }
}

/// Returns the error for a body without `choices`: its own words, or its beginning.
fn no_choices(completion: &Members<'_>, whole: Node<'_>) -> DecodeError {
    if has_error_words(completion) {
        return DecodeError::ErrorBody(Box::new(decode_error_node(whole)));
    }
    let body = whole.json().as_bytes();
    DecodeError::Malformed(not_read("a chat completion", "it has no `choices`", body))
}

fn apply_usage(usage: Node<'_>, partial: &mut PartialAnswer) {
    let tokens = usage.members();
    let (input, output) = (
        tokens.get("prompt_tokens").count(),
        tokens.get("completion_tokens").count(),
    );
    if input.is_none() && output.is_none() {
        return;
    }
    let detail = |object: &str, name: &str| tokens.get(object).get(name).count();
    partial.usage = Some(
        Usage::new(input.unwrap_or_default(), output.unwrap_or_default()).with_details(
            detail("prompt_tokens_details", "cached_tokens"),
            detail("completion_tokens_details", "reasoning_tokens"),
        ),
    );
}

/// Adds a choice of a completion or of a stream to the answer.
fn apply_choice(
    choice: Node<'_>,
    is_stream: bool,
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    let choice = choice.members();
    let error = choice.get("error");
    if error.is_meaningful() {
        return Err(DecodeError::ErrorBody(Box::new(decode_error_node(error))));
    }
    let reason = choice.get("finish_reason");
    if reason.is_meaningful() {
        apply_finish_reason(reason.string().unwrap_or_default().as_ref(), None, partial)?;
    }
    let (message, delta) = (choice.get("message"), choice.get("delta"));
    // Perplexity sends the text so far as `message` beside each `delta`.
    let takes_delta = if is_stream {
        choice.has("delta")
    } else {
        !message.is_object()
    };
    apply_message(
        &if takes_delta { delta } else { message }.members(),
        partial,
    );
    // The text completions of old servers.
    push_content(choice.get("text"), partial);
    Ok(())
}

fn apply_message(message: &Members<'_>, partial: &mut PartialAnswer) {
    push_content(message.get("content"), partial);
    push_refusal(message.get("refusal"), partial);
    for name in REASONING_FIELDS {
        if let Some(text) = message.get(name).string() {
            partial.push_reasoning(&text);
            break;
        }
    }
    for (position, call) in (0..).zip(message.get("tool_calls").items()) {
        apply_tool_call(position, &call.members(), partial);
    }
    if message.get("tool_calls").items().is_empty() {
        push_arguments(message.get("function_call").get("arguments"), partial);
    }
}

/// Adds the arguments of the first tool call. `position` is the call's place in its list, for a call without an index.
fn apply_tool_call(position: u64, call: &Members<'_>, partial: &mut PartialAnswer) {
    let function = call.get("function").members();
    let index = call.get("index").count();
    let index = index.or_else(|| Some(position).filter(|position| *position > 0));
    let id = call.get("id").string().unwrap_or_default();
    let is_new = function.get("name").is_meaningful();
    if partial.tool_call.moves_to(index, &id, is_new) {
        push_arguments(function.get("arguments"), partial);
    }
}
