//! `POST /v1/extract`: one text; response as JSON or Server-Sent Events.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::BytesMut;
use serde::Serialize;

use super::super::content_negotiation::{self, RequestFormat, ResponseFormat};
use super::super::ids::new_id;
use super::super::middleware::RequestId;
use super::super::openapi;
use super::super::problem::{ApiError, FailureUsage};
use super::super::query::offset_unit_only;
use super::super::request_body::{self, BodyMemory};
use super::super::response_memory::{ReservedMemory, StreamMemory};
use super::super::response_stream::{
    ResponseBody, ResponseContext, StreamResources, streaming_response,
};
use super::super::sse::SingleSse;
use super::super::state::{AppState, State};
use super::super::trace_context::trace_context;
use crate::contract::{ItemResult, append_json};
use crate::extraction::{
    BLANK, CallEstimate, PreparedRequest, RequestClass, Submission, is_blank, shutting_down,
    writing_piece,
};
use crate::long_work::{Piece, run_long};
use crate::provider::RequestPreview;
use crate::types::{
    Code, Content, Error, FieldError, Input, Item, ItemOutcome, OnError, Outcome, Single,
    SingleStream, Spec, TraceContext, Usd,
};
use throttle::CallerId;

/// Media type of a dry run. Its own, so that typed clients need not tell it from a result.
const DRY_RUN_TYPE: &str = "application/vnd.extractd.dry-run+json";

/// Maximum size of the request of a dry run, in bytes: 1 MiB. Its reply takes about six times as much while it is made.
const MAX_DRY_RUN_BYTES: usize = 1024 * 1024;

/// Extract from one text
///
/// Returns the extracted value, which is always valid against the schema. With `"stream": true` or
/// `Accept: text/event-stream`, sends events instead. While the model writes: `partial` (the known part of the object) and, if
/// the schema is a list or has exactly one list of objects, `item` (a finished, valid element). Then `result` or `error`, and
/// `done` last. With `"stream": "items"`, `partial` is left out. With `"dry_run": true`, returns the provider's request without
/// sending it, as `application/vnd.extractd.dry-run+json`.
#[utoipa::path(
    post, path = "/v1/extract", tag = "extraction",
    params(("offset_unit" = Option<String>, Query, pattern = "^(code_point|utf16|byte)$", description = "Unit of the offsets in `evidence`: `code_point` (default), `utf16` or `byte`")),
    request_body(content = openapi::ExtractRequest, content_type = "application/json", example = json!({
        "input": "John Smith is a 30-year-old software engineer",
        "schema": {
            "title": "Person", "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
            "required": ["name", "age", "occupation"], "additionalProperties": false
        }
    })),
    responses(
        (status = 200, description = "The extracted value", content(
            (ItemResult = "application/json"), (String = "text/event-stream"), (DryRun<'static> = "application/vnd.extractd.dry-run+json")))
    ),
)]
pub async fn extract(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let state = &state.0;
    let work = state.lifecycle.work.token();
    let SingleRequest {
        mut spec,
        text,
        format,
        items_only,
        dry_run,
        trace_context,
        piece,
        memory,
    } = SingleRequest::parse(state, caller, request).await?;
    let metadata = spec.metadata.take();
    let prepared = state
        .extractor
        .prepare(caller, spec, RequestClass::Single, trace_context)
        .await?;
    if dry_run {
        return run_long(piece, || dry_run_response(&prepared, &text)).await;
    }
    let context = ResponseContext {
        id: new_id("ext"),
        request_id,
        metadata,
        warnings: prepared.warnings(),
    };
    let submission = Submission {
        caller,
        items: Some(1),
        concurrency: None,
        draining: &state.lifecycle.draining,
    };
    let stream_memory = (format == ResponseFormat::Sse)
        .then(|| StreamMemory::reserve(state, caller))
        .transpose()?;
    let admitted = state.extractor.submit(prepared, &submission)?;
    let input = Input::new(0, Item::from(text));
    if let Some(stream_memory) = stream_memory {
        let resources = StreamResources {
            memory,
            work,
            server_ends: state.lifecycle.ended.clone().cancelled_owned(),
            upload: None,
            partials: Some(admitted.stream_partials().await?),
        };
        let inputs = futures_util::stream::iter([input]);
        let outcomes = admitted.run(OnError::Continue, inputs);
        let encoder = SingleSse::new(items_only);
        let body = ResponseBody::new(outcomes, encoder, context, Some(1), resources);
        let response = streaming_response("text/event-stream", Body::new(body));
        return Ok(stream_memory.hold(response));
    }
    tokio::select! {
        outcome = admitted.run_single(input) => {
            let piece = writing_piece(&outcome, caller);
            Ok(run_long(piece, || respond(outcome, &context)).await)
        }
        () = state.lifecycle.ended.cancelled() => Err(shutting_down().into()),
    }
}

/// Returns the response to a dry run.
fn dry_run_response(prepared: &PreparedRequest, text: &Content) -> Result<Response, ApiError> {
    let preview = DryRun {
        dry_run: true,
        model: prepared.model_label(),
        request: prepared.preview(&text.0)?,
        estimate: prepared.estimate(&text.0).into(),
        warnings: &prepared.warnings(),
    };
    Ok(([(CONTENT_TYPE, DRY_RUN_TYPE)], Json(preview)).into_response())
}

/// Reply to a single extraction with `dry_run`: what would be sent, and what it would ask.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DryRun<'a> {
    /// Always true.
    pub dry_run: bool,
    /// Model that would be called first, as `provider/model`.
    pub model: &'a str,
    /// Request to the provider, without secrets.
    pub request: RequestPreview,
    /// Estimate of the call's tokens, without validation retries.
    pub estimate: Estimate,
    /// Likely mistakes in the schema, each with a JSON Pointer into it.
    pub warnings: &'a [FieldError],
}

/// Estimate of a call's tokens and cost. The prompt is estimated from its text; the answer has as many tokens as the outputs of
/// the examples, or 256.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Estimate {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Cost in US dollars; absent if the model has no configured price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub cost_usd: Option<Usd>,
    /// Prices of the model, as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub input_usd_per_million_tokens: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub output_usd_per_million_tokens: Option<Usd>,
}

impl From<CallEstimate> for Estimate {
    fn from(CallEstimate { tokens, price }: CallEstimate) -> Self {
        let per_million = |usd: Usd| Usd(usd.0.saturating_mul(1_000_000));
        Self {
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cost_usd: price.map(|price| price.cost(tokens)),
            input_usd_per_million_tokens: price.map(|price| per_million(price.input)),
            output_usd_per_million_tokens: price.map(|price| per_million(price.output)),
        }
    }
}

/// A parsed request of a single extraction.
struct SingleRequest {
    spec: Spec,
    text: Content,
    format: ResponseFormat,
    items_only: bool,
    dry_run: bool,
    trace_context: Option<TraceContext>,
    /// Long work that a dry run is, if it is long.
    piece: Option<Piece>,
    /// Memory of the body, reserved until the response is complete.
    memory: BodyMemory,
}

impl SingleRequest {
    async fn parse(state: &AppState, caller: CallerId, request: Request) -> Result<Self, Error> {
        let (head, body) = request.into_parts();
        if content_negotiation::request_format(&head.headers)? != RequestFormat::Json {
            let detail =
                "one text must be sent as `application/json`; send NDJSON to /v1/extract/batch";
            return Err(Error::new(Code::UnsupportedMediaType, detail));
        }
        let mut complete = request_body::read_body(state, caller, &head.headers, body).await?;
        let kept_bytes = |request: &Single| request.spec.kept_bytes();
        let mut request = complete.parse(kept_bytes).await?;
        request.spec.offset_unit = offset_unit_only(&head.uri)?;
        if request.dry_run && complete.bytes.len() > MAX_DRY_RUN_BYTES {
            let detail = format!(
                "a dry run may have {MAX_DRY_RUN_BYTES} bytes; send it with a shorter text, examples or schema"
            );
            return Err(Error::new(Code::PayloadTooLarge, detail));
        }
        let text = request.input.ok_or_else(|| {
            Error::invalid("/input", "this field is required: the text to extract from")
        })?;
        if is_blank(&text.0) {
            return Err(Error::invalid("/input", BLANK));
        }
        Ok(Self {
            spec: request.spec,
            text,
            format: content_negotiation::response_format(
                &head.headers,
                request.stream != SingleStream::Off,
            ),
            items_only: request.stream == SingleStream::Items,
            dry_run: request.dry_run,
            trace_context: trace_context(&head.headers),
            piece: request.dry_run.then(|| complete.parsing_piece()).flatten(),
            memory: complete.into_memory(),
        })
    }
}

/// Returns the response of a completed single extraction.
fn respond(mut outcome: Outcome, context: &ResponseContext) -> Response {
    let timing = outcome.timing;
    let memory = ReservedMemory::take(&mut outcome);
    let mut response = match std::mem::replace(&mut outcome.ending, ItemOutcome::Cancelled) {
        ItemOutcome::Failed(error) => {
            let mut response = ApiError::from(error).into_response();
            if outcome.usage.total_tokens > 0 {
                response
                    .extensions_mut()
                    .insert(FailureUsage(outcome.usage));
            }
            response
        }
        ending => {
            outcome.ending = ending;
            let mut json = BytesMut::with_capacity(512);
            append_json(&mut json, &context.single_result(&outcome));
            ([(CONTENT_TYPE, "application/json")], json.freeze()).into_response()
        }
    };
    response.extensions_mut().insert(timing);
    ReservedMemory::hold(memory, response)
}
