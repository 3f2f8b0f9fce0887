//! Prepared request: a spec with its schema compiled, its targets resolved and its examples checked. Made once per request and
//! used for every item.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::cache_key::{CacheKey, RequestIdentity};
use super::chat::Chat;
use super::grounding::{Grounder, GroundingSettings};
use super::models::ModelEndpoint;
use super::partial_publisher::PartialPublisher;
use super::partial_stream::PartialStream;
use super::request_class::RequestClass;
use super::straggler_detector::StragglerDetector;
use super::targets::Target;
use crate::provider::{self, Request, RequestPreview, Trial, ValidationFeedback};
use crate::schema::{Rules, Schema};
use crate::types::{
    CacheUse, Code, Error, Example, FallbackCondition, FallbackOn, FieldError, Grounding,
    OnFailure, TraceContext,
};
use throttle::{MemoryReservation, Price, TokenUsage, WaitBudget, estimate_tokens};

/// Estimated tokens of the fixed text of every prompt.
const PROMPT_TEXT_TOKENS: u64 = 80;

/// Estimated tokens of an answer, where no example shows one.
const ANSWER_TOKENS: u64 = 256;

/// Estimate of a call, made without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallEstimate {
    /// Tokens of the prompt and of the answer.
    pub tokens: TokenUsage,
    /// Price of the model's tokens; `None`: not known.
    pub price: Option<Price>,
}

/// Spec that is ready to be used for every item of a request.
#[derive(Debug)]
pub struct PreparedRequest {
    pub(super) class: RequestClass,
    pub(super) first: Target,
    pub(super) fallback: Vec<Target>,
    pub(super) fallback_on: FallbackOn,
    pub(super) schema: Arc<Schema>,
    pub(super) rules: Arc<Rules>,
    pub(super) on_failure: OnFailure,
    pub(super) instructions: Option<String>,
    /// True if the text is a conversation, whose user says what the answer is to be.
    pub(super) is_conversation: bool,
    /// Chat completion that is passed through, in place of an extraction.
    pub(super) chat: Option<Arc<Chat>>,
    pub(super) examples: Arc<[Example]>,
    pub(super) max_attempts: u32,
    /// Time of one item for its calls and their backoff.
    pub(super) timeout: Duration,
    pub(super) temperature: f64,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) cache: CacheUse,
    /// True if answers may be coerced toward the schema.
    pub(super) coerce: bool,
    /// True if results have a trace.
    pub(super) trace: bool,
    pub(super) grounding: Arc<GroundingSettings>,
    pub(super) wait_budget: WaitBudget,
    /// Maximum number of calls to one target, including retries.
    pub(super) max_calls: u32,
    /// Trace context of the request: the parent of the items' spans. Providers receive it where no call has a span of its own.
    pub(super) trace_context: Option<TraceContext>,
    /// ID of the job that the items belong to; `None`: no job.
    pub(super) job: Option<Arc<str>>,
    /// Number of copies of a result's text that its response takes while it is made.
    pub(super) text_copies: usize,
    pub(super) stragglers: StragglerDetector,
    /// Publisher of partial results; set only for a request of one item.
    pub(super) partials: OnceLock<Arc<PartialPublisher>>,
    /// Estimated tokens of every prompt without its text.
    pub(super) frame_tokens: OnceLock<u64>,
    /// Digest of everything but the text; `None`: results are not shared.
    pub(super) identity: Option<RequestIdentity>,
}

impl PreparedRequest {
    /// Returns the schema's JSON text as the client sent it.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        self.schema.raw().get()
    }

    /// Marks the items as those of a job.
    #[must_use]
    pub fn of_job(self, id: &str) -> Self {
        Self {
            job: Some(id.into()),
            ..self
        }
    }

    /// Sets the number of copies of a result's text that its response takes while it is made; one, if this is not called.
    #[must_use]
    pub fn with_text_copies(self, text_copies: usize) -> Self {
        Self {
            text_copies,
            ..self
        }
    }

    /// Returns the parts of a provider's request that need no permit.
    pub(super) fn provider_request<'r>(
        &'r self,
        target: &'r Target,
        text: &'r str,
        feedback: Option<&'r ValidationFeedback>,
        trial: &'r Trial,
        max_output_tokens: Option<u32>,
    ) -> Request<'r> {
        Request {
            model: &target.endpoint.model,
            is_configured_model: target.endpoint.limits.is_configured(),
            mode: target.mode,
            schema: provider::Schema {
                tree: self.schema.tree(),
                raw: self.schema.raw(),
                forms: &target.forms,
                format_notes: self.schema.format_notes(),
            },
            instructions: self.instructions.as_deref(),
            is_conversation: self.is_conversation,
            examples: &target.examples,
            input: text,
            feedback,
            temperature: self.temperature,
            max_output_tokens,
            seed: self.seed,
            extra_body: target.extra_body.fields(),
            has_callers_fields: target.has_callers_fields,
            template: &target.template,
            trial,
            trace_context: self.trace_context.as_ref(),
            key: 0,
            on_text: None,
            memory: None,
        }
    }

    /// Returns the likely mistakes in the schema, at most twenty.
    #[must_use]
    pub fn warnings(&self) -> Arc<[FieldError]> {
        self.schema.warnings().into()
    }

    /// Returns true if a client may have received a part of the answer of a chat completion.
    pub(super) fn has_sent_messages(&self) -> bool {
        self.chat
            .as_ref()
            .is_some_and(|chat| chat.messages().has_begun())
    }

    /// Returns the name of the first model in results: `provider/model`.
    #[must_use]
    pub fn model_label(&self) -> &str {
        &self.first.label
    }

    /// Returns the request that the first call for a text would send, without sending it and without secrets.
    ///
    /// # Errors
    /// `upstream_error` if no request can be made, for example from the model's name.
    pub fn preview(&self, text: &str) -> Result<RequestPreview, Error> {
        let trial = Trial::default();
        let request =
            self.provider_request(&self.first, text, None, &trial, self.max_output_tokens);
        let preview = self.first.endpoint.provider.preview(&request);
        preview.map_err(|failure| Error::new(Code::UpstreamError, failure.to_string()))
    }

    /// Returns an estimate of the first call for a text.
    #[must_use]
    pub fn estimate(&self, text: &str) -> CallEstimate {
        let examples = &self.first.examples;
        let answers = examples
            .iter()
            .map(|example| estimate_tokens(&example.output.to_string()));
        let answer = match examples.len() as u64 {
            0 => ANSWER_TOKENS,
            count => answers.sum::<u64>().div_ceil(count),
        };
        let max_output = self.max_output_tokens.map_or(u64::MAX, u64::from);
        CallEstimate {
            tokens: TokenUsage {
                input: self.estimated_tokens(text),
                output: answer.min(max_output),
            },
            price: self.first.endpoint.known_price(),
        }
    }

    /// Returns the endpoint of the first target.
    pub(super) const fn endpoint(&self) -> &ModelEndpoint {
        &self.first.endpoint
    }

    /// Returns the partial results of the request's only item. The first stream of a schema compiles that of its list's elements, within
    /// `memory`.
    ///
    /// # Errors
    /// As [`Schema::streamed_list`].
    pub(super) async fn stream_partials(
        &self,
        memory: MemoryReservation,
    ) -> Result<PartialStream, Error> {
        // The publisher finds the list that is kept from here on.
        self.schema.streamed_list(memory).await?;
        let publisher = self.partials.get_or_init(|| {
            let publisher = PartialPublisher::new(&self.schema, self.coerce, &self.grounding);
            Arc::new(publisher)
        });
        Ok(PartialStream::new(Arc::clone(publisher)))
    }

    /// Returns the versions of the object of the request's only item.
    pub(super) fn stream_versions(&self) -> PartialStream {
        let publisher = self
            .partials
            .get_or_init(|| Arc::new(PartialPublisher::of_versions(&self.schema)));
        PartialStream::new(Arc::clone(publisher))
    }

    /// Returns the target at an index: 0 is the first, then come the fallbacks.
    pub(super) fn target(&self, index: usize) -> &Target {
        index
            .checked_sub(1)
            .and_then(|index| self.fallback.get(index))
            .unwrap_or(&self.first)
    }

    /// Returns the first target and its fallbacks.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.first).chain(&self.fallback)
    }

    /// Returns true if an item goes to a fallback under this condition.
    pub(super) fn falls_back_on(&self, condition: FallbackCondition) -> bool {
        !self.fallback.is_empty() && self.fallback_on.has(condition)
    }

    /// Returns true if the cost of each call to each target is known.
    pub(super) fn has_price(&self) -> bool {
        self.targets()
            .all(|target| target.endpoint.has_known_cost())
    }

    /// Returns the estimated number of tokens of the prompt for a text.
    pub(super) fn estimated_tokens(&self, text: &str) -> u64 {
        self.estimate_frame_once() + estimate_tokens(text)
    }

    /// Returns the estimated tokens of every prompt without its text, which are estimated once: examples may be large.
    pub(super) fn estimate_frame_once(&self) -> u64 {
        *self.frame_tokens.get_or_init(|| self.estimate_frame())
    }

    fn estimate_frame(&self) -> u64 {
        let examples = self.first.examples.iter().map(|example| {
            estimate_tokens(&example.input.0) + estimate_tokens(&example.output.to_string())
        });
        PROMPT_TEXT_TOKENS
            + estimate_tokens(self.schema.raw().get())
            + self.instructions.as_deref().map_or(0, estimate_tokens)
            + examples.sum::<u64>()
    }

    /// Returns the key of a text's result in cache and single flight; `None` if results are not shared.
    pub(super) fn cache_key(&self, text: &str) -> Option<CacheKey> {
        self.identity.as_ref().map(|identity| identity.key(text))
    }

    /// Returns the handling of values that the text does not state.
    #[must_use]
    pub fn grounding(&self) -> Grounding {
        self.grounding.mode
    }

    /// Returns true if a value that stands in a few-shot example and not in the text is no error by itself: the caller's own
    /// examples are known to evidence, and `require` rejects every absent value.
    pub(super) fn allows_copied_values(&self) -> bool {
        match self.grounding.mode {
            Grounding::Off => false,
            Grounding::Report | Grounding::Drop => !self.examples.is_empty(),
            Grounding::Require => true,
        }
    }

    /// Returns the settings of the request's grounding.
    pub(super) const fn grounding_settings(&self) -> &Arc<GroundingSettings> {
        &self.grounding
    }

    /// Returns what grounds an item's result in its text; `None` if results have no evidence.
    pub(super) fn grounder<'a>(&'a self, text: &'a str) -> Option<Grounder<'a>> {
        let is_grounded = self.grounding.mode.is_on() && self.chat.is_none();
        is_grounded.then(|| Grounder {
            schema: &self.schema,
            rules: &self.rules,
            settings: &self.grounding,
            text,
        })
    }
}
