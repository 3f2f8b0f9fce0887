//! Trait [`Provider`], which the extraction layer calls.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::capability_cache::ActiveAdaptation;
use super::chat::ChatRequest;
use super::failure::{Failure, FailureKind};
use super::genai_names::GenAiNames;
use super::request::Request;
use crate::types::{Dialect, FieldError, Mode, member_pointer};

/// Request to a provider, as it would be sent. Secrets are masked.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct RequestPreview {
    /// Output mode of the call.
    pub mode: Mode,
    /// Method and address, for example `POST https://api.openai.com/v1/chat/completions`; `local` for the built-in model.
    pub target: String,
    /// Body of the request.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub body: Value,
}

/// Source of model answers: a remote API or the built-in model.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Makes one call, without retries.
    ///
    /// # Errors
    /// If the call fails; see [`FailureKind`](super::FailureKind).
    ///
    /// # Cancel safety
    /// Dropping the future aborts the call.
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Passes a chat completion through, without retries.
    ///
    /// # Errors
    /// As [`Provider::call`]; also if the provider has no Chat Completions API.
    ///
    /// # Cancel safety
    /// As [`Provider::call`].
    fn chat<'a>(&'a self, _: &'a ChatRequest<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        let detail = "the built-in model only extracts";
        Box::pin(async move { Err(Failure::new(FailureKind::Unusable, detail)) })
    }

    /// Returns true if [`Provider::chat`] can succeed.
    fn has_chat(&self) -> bool {
        false
    }

    /// Returns true if [`Provider::call`] calls OpenAI's Chat Completions API.
    fn is_chat_completions(&self) -> bool {
        false
    }

    /// Returns the request that [`Provider::call`] would send now, without sending it and without secrets.
    ///
    /// # Errors
    /// If no request can be made, for example from the model's name.
    fn preview(&self, request: &Request<'_>) -> Result<RequestPreview, Failure>;

    /// Returns the supported output modes, best first.
    fn modes(&self) -> &'static [Mode];

    /// Returns the JSON Schema dialect of a mode.
    fn dialect(&self, mode: Mode) -> &'static Dialect;

    /// Returns what calls to a model omit, because the server does not support it.
    fn adaptations(&self, _model: &str) -> Vec<ActiveAdaptation> {
        Vec::new()
    }

    /// Returns scheme, host and port of the server, for messages; `None`: the provider is in this process.
    fn address(&self) -> Option<String> {
        None
    }

    /// Returns the names of the provider in traces.
    fn genai_names(&self) -> GenAiNames;

    /// Checks that these fields can be added to a request.
    ///
    /// # Errors
    /// If the service sets one of them itself, or the provider takes no further fields. The pointer is relative to the fields.
    fn check_extra_body(&self, fields: &Map<String, Value>) -> Result<(), FieldError> {
        let name = fields.keys().next().map_or("", String::as_str);
        let message = "the built-in model takes no further fields";
        Err(FieldError::new(member_pointer("", name), message))
    }

    /// Returns true if prompts have the schema's skeleton of placeholders when the caller gives no examples.
    fn needs_skeleton(&self) -> bool {
        false
    }

    /// Returns a remark for users, shown in the list of models; `None`: no remark.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Returns why the provider cannot be called yet, for the readiness check; `None`: it is ready.
    fn not_ready_reason(&self) -> Option<String> {
        None
    }
}
