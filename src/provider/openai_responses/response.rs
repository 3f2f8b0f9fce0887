//! Decodes OpenAI's response objects: whole, and streamed as `response.*` events
//! (`response.output_text.delta`, `response.completed`).

use serde::Deserialize;
use serde_json::Value;

use crate::provider::answer::Finish;
use crate::provider::openai::{decode_error, decode_error_object};
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
    output: Option<Vec<Item>>,
    incomplete_details: Option<Incomplete>,
    error: Option<Value>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    Message {
        content: Vec<Part>,
    },
    FunctionCall {
        arguments: String,
    },
    /// Reasoning items, and types that are not known.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    input_tokens_details: Option<InputTokens>,
    output_tokens_details: Option<OutputTokens>,
}

#[derive(Deserialize)]
struct InputTokens {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputTokens {
    reasoning_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.output_text.delta")]
    Text { delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { delta: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { delta: String },
    #[serde(
        rename = "response.completed",
        alias = "response.incomplete",
        alias = "response.failed"
    )]
    Final { response: Response },
    #[serde(rename = "error")]
    Error,
    #[serde(other)]
    Other,
}

impl Tokens {
    fn usage(self) -> Usage {
        let cached = self
            .input_tokens_details
            .and_then(|details| details.cached_tokens);
        let reasoning = self
            .output_tokens_details
            .and_then(|details| details.reasoning_tokens);
        Usage::new(self.input_tokens, self.output_tokens).with_details(cached, reasoning)
    }
}

/// Decodes a whole response.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let response: Response =
        serde_json::from_slice(body).map_err(|error| not_a_response(&error))?;
    response.into_partial(body)
}

/// Decodes one server-sent event of a streamed response.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    match serde_json::from_slice(message).map_err(|error| not_a_response(&error))? {
        Event::Text { delta } => partial.content.push_str(&delta),
        Event::Refusal { delta } => partial.refusal.push_str(&delta),
        Event::Arguments { delta } => partial.arguments.push_str(&delta),
        Event::Final { response } => {
            let complete = response.into_partial(message)?;
            // The final event repeats the text of the deltas, which were emitted already.
            let streamed = std::mem::replace(partial, complete);
            if !streamed.content.is_empty() {
                partial.content = streamed.content;
            }
            if !streamed.arguments.is_empty() {
                partial.arguments = streamed.arguments;
            }
        }
        Event::Error => return Err(DecodeError::ErrorBody(decode_error(message))),
        Event::Other => {}
    }
    Ok(())
}

impl Response {
    /// Returns the answer of a response object. `body` contains the object.
    fn into_partial(self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        if let Some(error) = self.error.filter(|error| !error.is_null()) {
            return Err(DecodeError::ErrorBody(decode_error_object(&error, body)));
        }
        let reason = self.incomplete_details.and_then(|details| details.reason);
        let mut partial = PartialAnswer {
            usage: self.usage.map(Tokens::usage),
            finish: Some(finish(self.status.as_deref(), reason.as_deref())?),
            state: StreamState::Ended,
            ..PartialAnswer::default()
        };
        let output = self
            .output
            .ok_or_else(|| DecodeError::Malformed("the response has no `output`".to_owned()))?;
        for item in output {
            item.add_to(&mut partial);
        }
        Ok(partial)
    }
}

impl Item {
    fn add_to(self, partial: &mut PartialAnswer) {
        match self {
            Self::Message { content } => content.into_iter().for_each(|part| match part {
                Part::OutputText { text } => partial.content.push_str(&text),
                Part::Refusal { refusal } => partial.refusal.push_str(&refusal),
                Part::Other => {}
            }),
            Self::FunctionCall { arguments } if partial.arguments.is_empty() => {
                partial.arguments = arguments;
            }
            Self::FunctionCall { .. } | Self::Other => {}
        }
    }
}

/// Returns the finish for a response's `status` and the `reason` of its `incomplete_details`.
fn finish(status: Option<&str>, reason: Option<&str>) -> Result<Finish, DecodeError> {
    match (status, reason) {
        (Some("completed"), _) => Ok(Finish::Stop),
        (None, _) => Ok(Finish::Unknown),
        (Some("incomplete"), Some("content_filter")) => Ok(Finish::content_filtered()),
        (Some("incomplete"), _) => Ok(Finish::Length),
        (Some(status), _) => Err(DecodeError::Malformed(format!(
            "the response's status is `{status}` instead of `completed`"
        ))),
    }
}

fn not_a_response(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("the body is not a response object: {error}"))
}
