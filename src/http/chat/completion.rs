//! Chat completions and their chunks, as OpenAI's API has them.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde_json::{Value, json};

use super::schema_choice::AnswerForm;
use crate::contract::{Evidence, Times, to_json};
use crate::types::{
    Code, Error, FieldError, ItemOutcome, LeafEvidence, Outcome, Trace, Usage, clock,
};

/// Identity of a completion, the same in all its chunks.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    /// Time of creation, in seconds since the Unix epoch.
    pub created: u64,
    /// Model that was asked for, as `provider/model`.
    pub model: String,
}

impl Identity {
    /// Creates an identity with this ID and the time of now.
    pub fn new(id: String, model: &str) -> Self {
        let created = clock::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        Self {
            id,
            created,
            model: model_name(model).to_owned(),
        }
    }
}

/// Returns the provider's own name of a model, which programs look up prices and features by.
fn model_name(label: &str) -> &str {
    label.split_once('/').map_or(label, |(_, model)| model)
}

/// Answer of an extraction, ready to be put into a completion.
#[derive(Debug)]
pub struct ReadyAnswer {
    /// JSON text of the answer; or the explanation of a refusal.
    pub text: String,
    pub is_refusal: bool,
    pub finish_reason: &'static str,
}

impl ReadyAnswer {
    /// Returns the answer of an outcome. A refusal and a truncated answer are answers in OpenAI's API.
    ///
    /// # Errors
    /// The error of an outcome without an answer.
    pub fn from_outcome(outcome: &Outcome, form: &AnswerForm) -> Result<Self, Error> {
        let finish_reason = match form {
            AnswerForm::Content | AnswerForm::Tool { is_named: true, .. } => "stop",
            AnswerForm::Tool { .. } => "tool_calls",
        };
        let complete = |data: &Value| Self {
            text: data.to_string(),
            is_refusal: false,
            finish_reason,
        };
        match &outcome.ending {
            ItemOutcome::Succeeded(success) => Ok(complete(&success.data)),
            ItemOutcome::Invalid(invalid) => Ok(complete(&invalid.candidate)),
            ItemOutcome::Failed(error) => Self::of_failure(error).ok_or_else(|| error.clone()),
            ItemOutcome::Cancelled => Err(crate::extraction::shutting_down()),
        }
    }

    /// Returns the error of an outcome without an answer.
    pub fn failure(outcome: &Outcome) -> Option<Error> {
        match &outcome.ending {
            ItemOutcome::Succeeded(_) | ItemOutcome::Invalid(_) => None,
            ItemOutcome::Failed(error) if Self::of_failure(error).is_some() => None,
            ItemOutcome::Failed(error) => Some(error.clone()),
            ItemOutcome::Cancelled => Some(crate::extraction::shutting_down()),
        }
    }

    fn of_failure(error: &Error) -> Option<Self> {
        match error.code {
            Code::ModelRefused => Some(Self {
                text: error.detail.clone().into(),
                is_refusal: true,
                finish_reason: "stop",
            }),
            Code::OutputTruncated => Some(Self {
                text: error.attempted.as_ref()?.raw.clone().unwrap_or_default(),
                is_refusal: false,
                finish_reason: "length",
            }),
            _ => None,
        }
    }
}

/// Fields of a completion beyond OpenAI's.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatDetails)]
pub struct Details<'a> {
    /// Model that answered, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// Number of attempts: the first call and its validation retries.
    attempts: u32,
    /// True if the result was shared with an equal item.
    cached: bool,
    /// Cost in US dollars; absent if the model has no configured price.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<Value>,
    timing: Times,
    /// Corrections made to the answer's text and values before it was valid.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    repairs: &'a [String],
    /// Place in the text of each value of the answer. The text is that of the user's messages, as the model gets it. Only for
    /// requests with `grounding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Evidence>>)]
    evidence: Option<&'a [LeafEvidence]>,
    /// Validation errors of the answer, with `on_failure: "best"`.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    /// Likely mistakes in the schema.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    warnings: &'a [FieldError],
    /// Waits, calls and validations, in order. Only for requests with `trace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a Trace>,
}

impl<'a> Details<'a> {
    /// Returns the details of an outcome.
    pub fn new(outcome: &'a Outcome, warnings: &'a [FieldError]) -> Self {
        let (model, cached, repairs, errors) = match &outcome.ending {
            ItemOutcome::Succeeded(success) => (
                Some(&*success.model),
                success.cached,
                success.repairs.as_slice(),
                [].as_slice(),
            ),
            ItemOutcome::Invalid(invalid) => (
                invalid.model.as_deref(),
                false,
                [].as_slice(),
                &*invalid.errors,
            ),
            ItemOutcome::Failed(_) | ItemOutcome::Cancelled => {
                (None, false, [].as_slice(), [].as_slice())
            }
        };
        Self {
            model,
            attempts: outcome.attempts,
            cached,
            cost_usd: outcome
                .usage
                .cost_usd
                .and_then(|cost| serde_json::to_value(cost).ok()),
            timing: outcome.timing.into(),
            repairs,
            evidence: outcome.evidence.as_deref(),
            errors,
            warnings,
            trace: outcome.trace.as_deref(),
        }
    }
}

/// Returns the usage of all attempts in OpenAI's form.
pub fn usage(usage: &Usage) -> Value {
    let count = |tokens: Option<std::num::NonZeroU64>| tokens.map_or(0, std::num::NonZeroU64::get);
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": count(usage.cached_input_tokens), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": count(usage.reasoning_tokens), "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// Completion of an extraction.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Value,
    system_fingerprint: (),
    extractd: Details<'a>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: AnswerMessage<'a>,
    logprobs: (),
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct AnswerMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: String,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Returns the completion of an extraction, as JSON text.
pub fn completion(
    identity: &Identity,
    form: &AnswerForm,
    answer: &ReadyAnswer,
    outcome: &Outcome,
    warnings: &[FieldError],
) -> Vec<u8> {
    let text = &*answer.text;
    let (content, refusal, tool) = match form {
        _ if answer.is_refusal => (None, Some(text), None),
        AnswerForm::Content => (Some(text), None, None),
        AnswerForm::Tool { name, .. } => (None, None, Some(name)),
    };
    let tool_calls = tool.map(|name| {
        [ToolCall {
            id: call_id(&identity.id),
            r#type: "function",
            function: Function {
                name,
                arguments: text,
            },
        }]
    });
    let message = AnswerMessage {
        role: "assistant",
        content,
        refusal,
        tool_calls,
    };
    to_json(&Completion {
        id: &identity.id,
        object: "chat.completion",
        created: identity.created,
        model: answering_model(identity, outcome),
        choices: [Choice {
            index: 0,
            message,
            logprobs: (),
            finish_reason: answer.finish_reason,
        }],
        usage: usage(&outcome.usage),
        system_fingerprint: (),
        extractd: Details::new(outcome, warnings),
    })
}

fn answering_model<'a>(identity: &'a Identity, outcome: &'a Outcome) -> &'a str {
    match &outcome.ending {
        ItemOutcome::Succeeded(success) => model_name(&success.model),
        _ => &identity.model,
    }
}

/// Returns the ID of the completion's only tool call.
fn call_id(id: &str) -> String {
    format!("call_{}", id.rsplit(['_', '-']).next().unwrap_or_default())
}

/// Chunk of an extraction.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: (),
    choices: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extractd: Option<Details<'a>>,
}

/// Writer of an extraction's chunks, as JSON texts.
#[derive(Debug, Clone)]
pub struct Chunks {
    identity: Identity,
    form: AnswerForm,
    include_usage: bool,
    has_begun: bool,
}

impl Chunks {
    pub const fn new(identity: Identity, form: AnswerForm, include_usage: bool) -> Self {
        Self {
            identity,
            form,
            include_usage,
            has_begun: false,
        }
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> String {
        self.last_chunk(delta, finish_reason, None)
    }

    fn last_chunk(
        &self,
        delta: &Value,
        finish_reason: Option<&str>,
        details: Option<Details<'_>>,
    ) -> String {
        let choices =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        let usage = self.include_usage.then_some(Value::Null);
        self.chunk_of(choices, usage, details)
    }

    fn chunk_of(
        &self,
        choices: Value,
        usage: Option<Value>,
        details: Option<Details<'_>>,
    ) -> String {
        let chunk = Chunk {
            id: &self.identity.id,
            object: "chat.completion.chunk",
            created: self.identity.created,
            model: &self.identity.model,
            system_fingerprint: (),
            choices,
            usage,
            extractd: details,
        };
        serde_json::to_string(&chunk).unwrap_or_default()
    }

    /// Returns the chunks of a piece of the answer's text.
    pub fn text(&mut self, text: &str) -> Vec<String> {
        let mut chunks = Vec::with_capacity(2);
        if !std::mem::replace(&mut self.has_begun, true) {
            chunks.push(self.chunk(&self.beginning(), None));
        }
        if !text.is_empty() {
            let delta = match &self.form {
                AnswerForm::Content => json!({"content": text}),
                AnswerForm::Tool { .. } => {
                    json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
                }
            };
            chunks.push(self.chunk(&delta, None));
        }
        chunks
    }

    fn beginning(&self) -> Value {
        match &self.form {
            AnswerForm::Content => json!({"role": "assistant", "content": "", "refusal": null}),
            AnswerForm::Tool { name, .. } => json!({
                "role": "assistant", "content": null,
                "tool_calls": [{
                    "index": 0, "id": call_id(&self.identity.id), "type": "function",
                    "function": {"name": name, "arguments": ""},
                }],
            }),
        }
    }

    /// Returns the chunk of a refusal.
    pub fn refusal(&mut self, text: &str) -> String {
        self.has_begun = true;
        self.chunk(&json!({"role": "assistant", "refusal": text}), None)
    }

    /// Returns the last chunks: the finish reason with the details, and the usage if it was asked for.
    pub fn end(
        &self,
        finish_reason: &str,
        outcome: &Outcome,
        warnings: &[FieldError],
    ) -> Vec<String> {
        let details = Details::new(outcome, warnings);
        let mut chunks = vec![self.last_chunk(&json!({}), Some(finish_reason), Some(details))];
        if self.include_usage {
            chunks.push(self.chunk_of(json!([]), Some(usage(&outcome.usage)), None));
        }
        chunks
    }
}
