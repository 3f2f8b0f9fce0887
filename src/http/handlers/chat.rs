//! `POST /v1/chat/completions` and `POST /v1/responses`: OpenAI's APIs.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::value::to_raw_value;

use super::super::chat::body::Fields;
use super::super::chat::completion::{Details, Identity, ReadyAnswer, completion};
use super::super::chat::pass_through;
use super::super::chat::plan::{PLANNING_COPIES, Plan, PlanKind, plan, relocate};
use super::super::chat::responses::events::ResponseEvents;
use super::super::chat::responses::request::{self, to_chat};
use super::super::chat::responses::response::{Echo, of_completion};
use super::super::chat::schema_choice::AnswerForm;
use super::super::chat::stream::{self, Feed, Resources, StreamRequest};
use super::super::content_negotiation::{self, RequestFormat};
use super::super::ids::new_id;
use super::super::middleware::RequestId;
use super::super::problem::{ApiError, FailureUsage};
use super::super::query::offset_unit_only;
use super::super::request_body::{self, BodyMemory};
use super::super::request_memory::no_response_memory;
use super::super::response_memory::{ReservedMemory, StreamMemory};
use super::super::state::{AppState, State};
use super::super::trace_context::trace_context;
use crate::extraction::{
    ChatMessages, Models, PreparedRequest, RequestClass, Submission, shutting_down, writing_piece,
};
use crate::long_work::Piece;
use crate::types::{
    Code, Content, Error, Input, Item, ItemOutcome, OffsetUnit, OnError, Outcome, TraceContext,
};
use throttle::{CallerId, MemoryReservation, MemoryUse};

/// Number of copies of an answer's text: the answer's own, the completion, and the response.
const TEXT_COPIES: usize = 3;

/// Create a chat completion
///
/// OpenAI's Chat Completions API. A request with a schema (`response_format` with `json_schema` or `json_object`, or one forced
/// tool) is an extraction: queued, validated, retried and paid for like `POST /v1/extract`. Any other request is passed through to
/// the provider, under the same limits.
#[utoipa::path(
    post, path = "/v1/chat/completions", operation_id = "create_chat_completion", tag = "openai",
    request_body(content = super::super::openapi::ChatCompletionRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The completion; with `stream`, its chunks", content(
            (super::super::openapi::ChatCompletion = "application/json"), (String = "text/event-stream")))
    ),
)]
pub async fn completions(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = Received::receive(&state.0, caller, request, plan).await?;
    let mut plan = received.plan;
    plan.spec.offset_unit = received.offset_unit;
    let run = ChatRun::prepare(&state.0, caller, plan, received.trace_context, request_id).await?;
    run.respond(&state.0, caller, received.memory).await
}

/// Create a response
///
/// OpenAI's Responses API, without stored responses and OpenAI's own tools. A request is treated as the chat completion with the
/// same content.
#[utoipa::path(
    post, path = "/v1/responses", operation_id = "create_response", tag = "openai",
    request_body(content = super::super::openapi::JsonObject, content_type = "application/json"),
    responses(
        (status = 200, description = "The response; with `stream`, its events", content(
            (super::super::openapi::JsonObject = "application/json"), (String = "text/event-stream")))
    ),
)]
pub async fn responses(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = Received::receive(&state.0, caller, request, plan_response).await?;
    let (echo, mut plan) = received.plan;
    plan.spec.offset_unit = received.offset_unit;
    let run = ChatRun::prepare(&state.0, caller, plan, received.trace_context, request_id).await;
    let run = ChatRun {
        echo: Some(echo),
        ..run.map_err(request::relocate)?
    };
    run.respond(&state.0, caller, received.memory).await
}

/// Plans a request of the Responses API. Returns its settings with the plan.
///
/// # Errors
/// `invalid_request` at the field that cannot be used.
fn plan_response(fields: Fields, models: &Models) -> Result<(Echo, Plan), Error> {
    let echo = Echo::new(&fields);
    let plan = plan(to_chat(fields)?, models).map_err(request::relocate)?;
    let plan = Plan {
        include_usage: true,
        ..plan
    };
    Ok((echo, plan))
}

/// A request that was read and planned.
struct Received<T> {
    plan: T,
    trace_context: Option<TraceContext>,
    /// Unit of the offsets in evidence.
    offset_unit: OffsetUnit,
    memory: BodyMemory,
}

impl<T: Send + 'static> Received<T> {
    /// Reads and plans a request. Planning a large one takes long, as parsing it does.
    async fn receive(
        state: &Arc<AppState>,
        caller: CallerId,
        request: Request,
        plan: fn(Fields, &Models) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let (head, body) = request.into_parts();
        let format = content_negotiation::request_format(&head.headers);
        if !matches!(format, Ok(RequestFormat::Json)) {
            let detail = "the request must be sent with `Content-Type: application/json`";
            return Err(Error::new(Code::UnsupportedMediaType, detail));
        }
        let mut complete = request_body::read_body(state, caller, &head.headers, body).await?;
        let offset_unit = offset_unit_only(&head.uri)?;
        let shared = Arc::clone(state);
        let parse = move |bytes: &[u8]| plan(Fields::parse(bytes)?, shared.extractor.models());
        let plan = complete.parse_with(parse, PLANNING_COPIES, |_| usize::MAX);
        Ok(Self {
            plan: plan.await?,
            trace_context: trace_context(&head.headers),
            offset_unit,
            memory: complete.into_memory(),
        })
    }
}

/// A chat completion that is ready to be admitted.
struct ChatRun {
    prepared: Arc<PreparedRequest>,
    identity: Identity,
    request_id: Arc<str>,
    text: String,
    is_streamed: bool,
    include_usage: bool,
    form: AnswerForm,
    is_live: bool,
    /// Messages of the provider; `None`: an extraction.
    messages: Option<Arc<ChatMessages>>,
    /// Settings of a request of the Responses API; `None`: of Chat Completions.
    echo: Option<Echo>,
}

impl ChatRun {
    async fn prepare(
        state: &AppState,
        caller: CallerId,
        plan: Plan,
        trace_context: Option<TraceContext>,
        request_id: Arc<str>,
    ) -> Result<Self, Error> {
        let extractor = &state.extractor;
        let (prepared, form, is_live, messages) = match plan.kind {
            PlanKind::Extraction {
                form,
                is_live,
                schema,
            } => {
                let prepared = extractor
                    .prepare(caller, plan.spec, RequestClass::Single, trace_context)
                    .await;
                let prepared = prepared.map_err(|error| relocate(error, &schema))?;
                (prepared, form, is_live, None)
            }
            PlanKind::PassThrough(chat) => {
                let messages = Arc::clone(chat.messages());
                let prepared = extractor
                    .prepare_chat(caller, plan.spec, chat, trace_context)
                    .await;
                let prepared = prepared.map_err(|error| relocate(error, "/schema"))?;
                (prepared, AnswerForm::Content, true, Some(messages))
            }
        };
        Ok(Self {
            identity: Identity::new(new_id("chatcmpl"), prepared.model_label()),
            prepared: Arc::new(prepared.with_text_copies(TEXT_COPIES)),
            request_id,
            text: plan.text,
            is_streamed: plan.is_streamed,
            include_usage: plan.include_usage,
            form,
            is_live,
            messages,
            echo: None,
        })
    }

    async fn respond(
        mut self,
        state: &AppState,
        caller: CallerId,
        memory: BodyMemory,
    ) -> Result<Response, ApiError> {
        let work = state.lifecycle.work.token();
        let submission = Submission {
            caller,
            items: Some(1),
            concurrency: None,
            draining: &state.lifecycle.draining,
        };
        let stream_memory = self
            .is_streamed
            .then(|| StreamMemory::reserve(state, caller))
            .transpose()?;
        let response_memory = self.reserve_echo(state, caller)?;
        let admitted = state
            .extractor
            .submit(Arc::clone(&self.prepared), &submission)?;
        let text = std::mem::take(&mut self.text);
        let input = Input::new(0, Item::from(Content(text)));
        if let Some(stream_memory) = stream_memory {
            let feed = match self.messages {
                Some(messages) => Feed::Messages(messages),
                None if self.is_live => Feed::Versions(admitted.stream_versions()),
                None => Feed::Silent,
            };
            let ledger = state.extractor.limits().memory();
            let request = StreamRequest {
                prepared: self.prepared,
                identity: self.identity,
                request_id: self.request_id,
                include_usage: self.include_usage,
                feed,
                form: self.form,
                responses: self
                    .echo
                    .map(|echo| ResponseEvents::new(echo, response_memory)),
                resources: Resources {
                    memory,
                    answer_memory: ledger.empty(caller, MemoryUse::Responses),
                    work,
                    server_ends: state.lifecycle.ended.clone().cancelled_owned(),
                },
            };
            let inputs = futures_util::stream::iter([input]);
            let outcomes = admitted.run(OnError::Continue, inputs);
            let response = stream::respond(request, outcomes).await?;
            return Ok(stream_memory.hold(response));
        }
        let mut outcome = tokio::select! {
            outcome = admitted.run_single(input) => outcome,
            () = state.lifecycle.ended.cancelled() => return Err(shutting_down().into()),
        };
        let reserved = ReservedMemory::take(&mut outcome);
        let outcome = Arc::new(outcome);
        let body = if let Some(messages) = self.messages.take() {
            let (echo, memory) = (self.echo, response_memory);
            pass_through_body(self.identity, echo, &messages, &outcome, memory).await
        } else {
            let outcome = Arc::clone(&outcome);
            self.extracted_body(outcome, response_memory, reserved.is_some())
                .await
        };
        Ok(ReservedMemory::hold(
            reserved,
            whole_response(body, &outcome),
        ))
    }

    /// Reserves the memory in which a response repeats the settings of its request, before anything is paid for.
    ///
    /// # Errors
    /// `overloaded` if there is no memory for it.
    fn reserve_echo(&self, state: &AppState, caller: CallerId) -> Result<MemoryReservation, Error> {
        let bytes = self.echo.as_ref().map_or(0, Echo::reserved_bytes);
        let ledger = state.extractor.limits().memory();
        let memory = ledger.reserve(caller, MemoryUse::Responses, bytes);
        memory.map_err(|refused| no_response_memory(&refused))
    }

    /// Returns the completion of an extraction, or its response, as JSON text. `memory` is that of the echo; that of the texts may be
    /// reserved already.
    async fn extracted_body(
        self,
        outcome: Arc<Outcome>,
        mut memory: MemoryReservation,
        is_reserved: bool,
    ) -> Result<Vec<u8>, Error> {
        let piece = writing_piece(&outcome, memory.caller());
        if let Some(Piece { bytes, .. }) = piece.filter(|_| !is_reserved) {
            // It is paid for, and took as much while it was read.
            memory.record(memory.bytes() + bytes * TEXT_COPIES);
        }
        let write = move || {
            let _memory = memory;
            let answer = ReadyAnswer::from_outcome(&outcome, &self.form)?;
            let warnings = self.prepared.warnings();
            let completion = completion(&self.identity, &self.form, &answer, &outcome, &warnings);
            match &self.echo {
                Some(echo) => of_completion(echo, &completion),
                None => Ok(completion),
            }
        };
        request_body::do_work(piece, write).await?
    }
}

/// Returns the provider's completion, or its response, as JSON text. `memory` is that of the echo.
async fn pass_through_body(
    identity: Identity,
    echo: Option<Echo>,
    messages: &ChatMessages,
    outcome: &Outcome,
    mut memory: MemoryReservation,
) -> Result<Vec<u8>, Error> {
    if let ItemOutcome::Failed(error) = &outcome.ending {
        return Err(error.clone());
    }
    let message = messages.pop().ok_or_else(shutting_down)?;
    let details = to_raw_value(&Details::new(outcome, &[])).unwrap_or_default();
    let caller = memory.caller();
    let write = move |message: &[u8]| {
        // The completion, and the response that is made of it. The answer is paid for, and took as much while it was read.
        memory.record(memory.bytes() + message.len() * 2);
        let completion = pass_through::completion(&identity, message, details.get())?;
        match echo {
            Some(echo) => of_completion(&echo, &completion),
            None => Ok(completion),
        }
    };
    request_body::work_on(message, caller, write).await?
}

fn whole_response(body: Result<Vec<u8>, Error>, outcome: &Outcome) -> Response {
    let mut response = match body {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            let mut response = ApiError::from(error).into_response();
            if outcome.usage.total_tokens > 0 {
                let usage = FailureUsage(outcome.usage);
                response.extensions_mut().insert(usage);
            }
            response
        }
    };
    response.extensions_mut().insert(outcome.timing);
    response
}

#[cfg(test)]
mod tests;
