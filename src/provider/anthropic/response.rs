//! Decodes Anthropic's messages: whole, and streamed as events (`content_block_delta`,
//! `message_delta`, `message_stop`).

use serde::Deserialize;
use serde_json::Value;

use super::error::decode_error;
use crate::provider::answer::Finish;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

#[derive(Deserialize)]
struct MessageResponse {
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct StopDetails {
    explanation: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        input: Value,
    },
    /// Thinking blocks, and types that are not known.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: MessageStart,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: MessageDelta,
        usage: Option<Tokens>,
    },
    MessageStop,
    Error,
    /// Pings, starts and ends of blocks, and types that are not known.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageStart {
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
}

/// Decodes a whole message.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let message: MessageResponse = match serde_json::from_slice(body) {
        Ok(message) => message,
        Err(_) if is_error_body(body) => return Err(DecodeError::ErrorBody(decode_error(body))),
        Err(error) => return Err(not_a_message(&error)),
    };
    let mut partial = PartialAnswer::default();
    if let Some(tokens) = message.usage {
        tokens.apply_to(&mut partial);
    }
    for block in message.content {
        match block {
            Block::Text { text } => partial.content.push_str(&text),
            Block::ToolUse { input } if partial.arguments.is_empty() => {
                partial.arguments = input.to_string();
            }
            Block::ToolUse { .. } | Block::Other => {}
        }
    }
    apply_stop_reason(message.stop_reason, message.stop_details, &mut partial);
    Ok(partial)
}

/// Decodes one server-sent event of a streamed message.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    match serde_json::from_slice(message).map_err(|error| not_a_message(&error))? {
        Event::MessageStart { message } => {
            if let Some(tokens) = message.usage {
                tokens.apply_to(partial);
            }
        }
        Event::ContentBlockDelta {
            delta: Delta::Text { text },
        } => partial.content.push_str(&text),
        Event::ContentBlockDelta {
            delta: Delta::InputJson { partial_json },
        } => partial.arguments.push_str(&partial_json),
        Event::MessageDelta { delta, usage } => {
            if let Some(tokens) = usage {
                tokens.apply_to(partial);
            }
            apply_stop_reason(delta.stop_reason, delta.stop_details, partial);
        }
        Event::MessageStop => partial.state = StreamState::Ended,
        Event::Error => return Err(DecodeError::ErrorBody(decode_error(message))),
        Event::ContentBlockDelta {
            delta: Delta::Other,
        }
        | Event::Other => {}
    }
    Ok(())
}

impl Tokens {
    /// Merges the usage into the answer: a stream reports input tokens at its start, and output
    /// tokens at its end.
    fn apply_to(&self, partial: &mut PartialAnswer) {
        let known = partial.usage.unwrap_or_default();
        let reported = self.input_tokens.map(|input| {
            let cached = self.cache_read_input_tokens.unwrap_or_default();
            (
                input + self.cache_creation_input_tokens.unwrap_or_default() + cached,
                cached,
            )
        });
        let known_cached = known.cached_input_tokens.map_or(0, std::num::NonZero::get);
        let (input, cached) = reported.unwrap_or((known.input_tokens, known_cached));
        let output = self.output_tokens.unwrap_or(known.output_tokens);
        partial.usage = Some(Usage::new(input, output).with_details(Some(cached), None));
    }
}

/// Sets the finish for a `stop_reason`; `None`: the message is not complete yet.
fn apply_stop_reason(
    reason: Option<String>,
    details: Option<StopDetails>,
    partial: &mut PartialAnswer,
) {
    let Some(reason) = reason else { return };
    partial.state = StreamState::AnswerComplete;
    partial.finish = Some(match reason.as_str() {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => {
            let explanation = details.and_then(|details| details.explanation);
            Finish::Refusal(
                explanation
                    .unwrap_or_else(|| "the provider's classifiers stopped the answer".to_owned()),
            )
        }
        "end_turn" | "tool_use" | "stop_sequence" => Finish::Stop,
        // `pause_turn` belongs to tools that the server runs, and no such tool is offered.
        _ => Finish::Unknown,
    });
    if reason == "tool_use" && partial.arguments.is_empty() {
        partial.arguments.push_str("{}");
    }
}

fn not_a_message(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("the body is not a message: {error}"))
}

fn is_error_body(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("error").is_some())
}
