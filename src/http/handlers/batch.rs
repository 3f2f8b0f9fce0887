//! `POST /v1/extract/batch`: many texts; body as JSON or NDJSON, response as JSON, Server-Sent Events or NDJSON.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::super::body_inputs::body_inputs;
use super::super::connection::Connection;
use super::super::content_negotiation::{self, RequestFormat, ResponseFormat};
use super::super::ids::new_id;
use super::super::json_array_writer::JsonArrayWriter;
use super::super::middleware::RequestId;
use super::super::ndjson_reader::NdjsonReader;
use super::super::ndjson_writer::NdjsonEncoder;
use super::super::problem::ApiError;
use super::super::query::offset_unit_only;
use super::super::request_body::BodyMemory;
use super::super::request_memory::{no_memory, too_large_to_buffer};
use super::super::response_memory::StreamMemory;
use super::super::response_stream::{
    ResponseBody, ResponseContext, StreamResources, streaming_response,
};
use super::super::sse::SseEncoder;
use super::super::state::{AppState, State};
use super::super::trace_context::trace_context;
use super::super::upload_monitor::{self, MEMORY_TIMEOUT, UploadMonitor};
use super::super::{json_body, openapi, query, request_body};
use crate::contract::BatchResult;
use crate::extraction::{Inputs, RequestClass, Submission, WaitingMemory};
use crate::types::{Batch, Error};
use throttle::{CallerId, MemoryUse};

/// Extract from many texts
///
/// Returns one object with all results in input order. With `"stream": true` or `Accept: text/event-stream`, sends a `result`
/// event when an item completes, and `done` last. With `Accept: application/x-ndjson`, sends one line per result in
/// completion order, and the summary last. With `Content-Type: application/x-ndjson`, each line of the body is one input, and
/// all other fields are query parameters (objects as URL-encoded JSON).
#[utoipa::path(
    post, path = "/v1/extract/batch", tag = "extraction",
    params(("offset_unit" = Option<String>, Query, pattern = "^(code_point|utf16|byte)$", description = "Unit of the offsets in `evidence`: `code_point` (default), `utf16` or `byte`")),
    request_body(content(
        (openapi::BatchRequest = "application/json", example = json!({
            "inputs": ["John Smith is a 30-year-old software engineer", "Sarah Johnson is a 25-year-old data scientist"],
            "schema": {
            "title": "Person", "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
            "required": ["name", "age", "occupation"], "additionalProperties": false
        }
        })),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "Exactly one result per input", content(
            (BatchResult = "application/json"), (String = "text/event-stream"), (String = "application/x-ndjson")))
    ),
)]
pub async fn extract_batch(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let connection = request.extensions().get::<Connection>().cloned();
    let (head, body) = request.into_parts();
    let batch = BatchHandler {
        headers: head.headers,
        caller,
        request_id,
        state: state.0,
    };
    match content_negotiation::request_format(&batch.headers)? {
        RequestFormat::Json => batch.json(body, &head.uri).await,
        RequestFormat::Ndjson => {
            batch
                .ndjson(body, head.uri.query().unwrap_or_default(), connection)
                .await
        }
    }
}

/// Size of the smallest result in a response, in bytes: that of a failed input. A batch reserves it for each input.
const MIN_RESULT_BYTES: usize = 256;

/// A batch request, apart from its body.
struct BatchHandler {
    state: Arc<AppState>,
    headers: HeaderMap,
    caller: CallerId,
    request_id: Arc<str>,
}

impl BatchHandler {
    async fn json(self, body: Body, uri: &Uri) -> Result<Response, ApiError> {
        let mut complete =
            request_body::read_body(&self.state, self.caller, &self.headers, body).await?;
        let mut batch: Batch = complete.parse(Batch::kept_bytes).await?;
        let size_bytes = complete.bytes.len();
        let total = batch.inputs.as_ref().map(Vec::len);
        let inputs = batch.inputs.take().map(body_inputs);
        batch.spec.offset_unit = offset_unit_only(uri)?;
        let missing = || Error::invalid("/inputs", "this field is required: an array of texts");
        let inputs = futures_util::stream::iter(inputs.ok_or_else(missing)?);
        let format = content_negotiation::response_format(&self.headers, batch.stream);
        if format == ResponseFormat::Json && size_bytes > self.state.max_ordered_bytes {
            return Err(too_large_to_buffer().into());
        }
        let memory = complete.into_memory();
        let resources = self.resources(memory, None);
        self.respond(batch, format, inputs, total, resources).await
    }

    async fn ndjson(
        self,
        body: Body,
        query: &str,
        connection: Option<Connection>,
    ) -> Result<Response, ApiError> {
        let (fields, unit) = query::batch_members(query)?;
        let ledger = self.state.extractor.limits().memory();
        let parsed = request_body::parse_query_fields(
            ledger,
            self.caller,
            fields,
            json_body::parse::<Batch>,
            Batch::kept_bytes,
        );
        let (mut batch, memory) = parsed.await?;
        batch.spec.offset_unit = unit;
        let format = content_negotiation::response_format(&self.headers, batch.stream);
        let upload = Arc::new(UploadMonitor::new(self.state.idle_timeout));
        let mut lines = NdjsonReader::new(
            body.into_data_stream(),
            self.state.max_line_bytes,
            Arc::clone(&upload),
            WaitingMemory::new(ledger.empty(self.caller, MemoryUse::Inputs), MEMORY_TIMEOUT),
        );
        if let Some(connection) = connection {
            upload_monitor::start(&upload, connection, &self.state.lifecycle.tasks);
        }
        if self.headers.contains_key(EXPECT) {
            lines.read_first_chunk().await;
        }
        let resources = self.resources(memory, Some(upload));
        self.respond(batch, format, lines, None, resources).await
    }

    fn resources(&self, memory: BodyMemory, upload: Option<Arc<UploadMonitor>>) -> StreamResources {
        let lifecycle = &self.state.lifecycle;
        StreamResources {
            memory,
            work: lifecycle.work.token(),
            server_ends: lifecycle.ended.clone().cancelled_owned(),
            upload,
            partials: None,
        }
    }

    async fn respond<S: Inputs + 'static>(
        self,
        mut batch: Batch,
        format: ResponseFormat,
        inputs: S,
        total: Option<usize>,
        resources: StreamResources,
    ) -> Result<Response, ApiError> {
        let state = &self.state;
        let (concurrency, on_error) = (batch.concurrency(), batch.on_error);
        let metadata = batch.spec.metadata.take();
        let prepared = state
            .extractor
            .prepare(
                self.caller,
                batch.spec,
                RequestClass::Batch,
                trace_context(&self.headers),
            )
            .await?;
        let warnings = prepared.warnings();
        let submission = Submission {
            caller: self.caller,
            items: total,
            concurrency,
            draining: &state.lifecycle.draining,
        };
        let stream_memory = StreamMemory::reserve(state, self.caller)?;
        let admitted = state.extractor.submit(prepared, &submission)?;
        let outcomes = admitted.run(on_error, inputs);
        let context = ResponseContext {
            id: new_id("bat"),
            request_id: self.request_id,
            metadata,
            warnings,
        };
        let response = match format {
            ResponseFormat::Json => {
                let ledger = state.extractor.limits().memory();
                let size = total.unwrap_or_default() * MIN_RESULT_BYTES;
                let memory = ledger
                    .reserve(self.caller, MemoryUse::Responses, size)
                    .map_err(|refused| no_memory(&refused))?;
                let writer = JsonArrayWriter::new(state.max_ordered_bytes, memory);
                let mut body = ResponseBody::new(outcomes, writer, context, total, resources);
                body.read_inputs(state.max_ordered_bytes).await?;
                streaming_response("application/json", Body::new(body))
            }
            ResponseFormat::Sse => {
                let encoder = SseEncoder::default();
                let body = ResponseBody::new(outcomes, encoder, context, total, resources);
                streaming_response("text/event-stream", Body::new(body))
            }
            ResponseFormat::Ndjson => {
                let body = ResponseBody::new(outcomes, NdjsonEncoder, context, total, resources);
                streaming_response("application/x-ndjson", Body::new(body))
            }
        };
        Ok(stream_memory.hold(response))
    }
}
