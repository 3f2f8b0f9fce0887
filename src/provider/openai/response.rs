//! Decodes OpenAI's chat completions: whole (`chat.completion`) and streamed
//! (`chat.completion.chunk`, ended by `[DONE]`).

use serde::Deserialize;
use serde_json::Value;

use super::error::decode_error_object;
use crate::provider::answer::Finish;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::types::Usage;

/// Whole completion, or a chunk of a streamed one.
#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: ChoiceMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct ChoiceMessage {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    index: u64,
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    arguments: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they are on the wire")]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptTokens>,
    completion_tokens_details: Option<CompletionTokens>,
}

#[derive(Deserialize)]
struct PromptTokens {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionTokens {
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    fn usage(self) -> Usage {
        let cached = self
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        let reasoning = self
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens);
        Usage::new(self.prompt_tokens, self.completion_tokens).with_details(cached, reasoning)
    }
}

/// Decodes a whole completion.
pub fn decode(body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let completion = Completion::parse(body)?;
    if completion.choices.as_ref().is_none_or(Vec::is_empty) {
        return Err(DecodeError::Malformed(
            "the chat completion has no `choices`".to_owned(),
        ));
    }
    let mut partial = PartialAnswer::default();
    completion.apply_to(&mut partial);
    Ok(partial)
}

/// Decodes one server-sent event of a streamed completion.
pub fn decode_event(message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
    match message.trim_ascii() {
        b"[DONE]" => partial.state = StreamState::Ended,
        chunk => Completion::parse(chunk)?.apply_to(partial),
    }
    Ok(())
}

impl Completion {
    fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let completion: Self = serde_json::from_slice(body).map_err(|error| {
            DecodeError::Malformed(format!("the response is not a chat completion: {error}"))
        })?;
        match completion.error {
            Some(error) if !error.is_null() => {
                Err(DecodeError::ErrorBody(decode_error_object(&error, body)))
            }
            _ => Ok(completion),
        }
    }

    /// Adds the first choice and the usage to the answer.
    fn apply_to(self, partial: &mut PartialAnswer) {
        if let Some(tokens) = self.usage {
            partial.usage = Some(tokens.usage());
        }
        let Some(choice) = self.choices.into_iter().flatten().next() else {
            return;
        };
        if let Some(reason) = choice.finish_reason {
            partial.state = StreamState::AnswerComplete;
            partial.finish = Some(finish(&reason));
        }
        choice.message.apply_to(partial);
    }
}

impl ChoiceMessage {
    fn apply_to(self, partial: &mut PartialAnswer) {
        partial.content.push_str(&self.content.unwrap_or_default());
        partial.refusal.push_str(&self.refusal.unwrap_or_default());
        let call = self
            .tool_calls
            .into_iter()
            .flatten()
            .next()
            .filter(|call| call.index == 0);
        let arguments = call.and_then(|call| call.function.arguments);
        partial.arguments.push_str(&arguments.unwrap_or_default());
    }
}

/// Returns the finish for a `finish_reason`.
fn finish(reason: &str) -> Finish {
    match reason {
        "content_filter" => Finish::content_filtered(),
        "length" | "model_length" => Finish::Length,
        "stop" | "eos" | "eos_token" => Finish::Stop,
        // `tool_calls` too: some servers report it for a call that was truncated at the output
        // limit.
        _ => Finish::Unknown,
    }
}
