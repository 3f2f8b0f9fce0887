//! `POST /v1/extract/batch`: many texts, in any mix of body and reply.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::response::{IntoResponse, Response};

use super::connection::Connection;
use super::content_negotiation::{self, RequestFormat, ResponseFormat};
use super::extract::event_stream;
use super::guard::{self, RequestId};
use super::json_array_writer::JsonArrayWriter;
use super::ndjson_reader::NdjsonReader;
use super::problem::ApiError;
use super::response_stream::{Reply, ResponseContext, StreamResources, too_large_to_hold};
use super::stall_watchdog::{self, StallWatchdog};
use super::streams::{NdjsonEncoder, SseEncoder};
use super::{Shared, State, json_body, query, request_body};
use crate::contract::{BatchResult, Problem};
use crate::extraction::{Inputs, RequestClass, Submission};
use crate::types::{Batch, Error, Input};
use throttle::CallerId;

/// Extracts from many texts.
///
/// The reply is one object in input order; or, with `"stream": true` or `Accept: text/event-stream`, a `result` event the
/// moment that an item is done, and `done` last; or, with `Accept: application/x-ndjson`, a line for each in completion
/// order, the summary last. With `Content-Type: application/x-ndjson` each line of the body is one input, and the spec's
/// fields are query parameters (objects as URL-encoded JSON).
#[utoipa::path(
    post, path = "/v1/extract/batch", tag = "extraction",
    request_body(content(
        (super::openapi::BatchRequest = "application/json", example = json!({
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
        (status = 200, description = "Every input's result, exactly one each", content(
            (BatchResult = "application/json"), (String = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn extract_batch(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let shared = state.0;
    let connection = request.extensions().get::<Connection>().cloned();
    let (head, body) = request.into_parts();
    let asked = BatchRequest {
        headers: head.headers,
        caller,
        request_id,
        shared,
    };
    match content_negotiation::request_format(&asked.headers)? {
        RequestFormat::Json => asked.json(body, &head.uri).await,
        RequestFormat::Ndjson => {
            asked
                .ndjson(body, head.uri.query().unwrap_or_default(), connection)
                .await
        }
    }
}

struct BatchRequest {
    shared: Arc<Shared>,
    headers: HeaderMap,
    caller: CallerId,
    request_id: Arc<str>,
}

impl BatchRequest {
    async fn json(self, body: Body, uri: &axum::http::Uri) -> Result<Response, ApiError> {
        let whole = request_body::read(
            &self.shared,
            &self.headers,
            body,
            self.shared.max_body_bytes,
        )
        .await?;
        let mut batch: Batch = json_body::parse(&whole.bytes)?;
        let bytes = whole.bytes.len();
        drop(whole.bytes);
        guard::no_query(uri)?;
        let missing = || Error::invalid("/inputs", "this field is required: an array of texts");
        let inputs = batch.inputs.take().ok_or_else(missing)?;
        let total = inputs.len();
        let inputs = futures_util::stream::iter(
            inputs
                .into_iter()
                .enumerate()
                .map(|(index, item)| Input::new(index, item)),
        );
        let wanted = content_negotiation::wanted(&self.headers, batch.stream);
        if wanted == ResponseFormat::Json && bytes > self.shared.max_ordered_bytes {
            return Err(too_large_to_hold().into());
        }
        let held = self.held(Some(whole.room), None);
        self.reply(batch, wanted, inputs, Some(total), held).await
    }

    async fn ndjson(
        self,
        body: Body,
        query: &str,
        connection: Option<Connection>,
    ) -> Result<Response, ApiError> {
        let batch = query::batch(query)?;
        let wanted = content_negotiation::wanted(&self.headers, batch.stream);
        let upload = Arc::new(StallWatchdog::default());
        let mut lines = NdjsonReader::new(
            body.into_data_stream(),
            self.shared.max_line_bytes,
            Arc::clone(&upload),
        );
        if let Some(connection) = connection {
            stall_watchdog::start(&upload, connection, &self.shared.lifecycle.tasks);
        }
        if self.headers.contains_key(EXPECT) {
            lines.begin().await;
        }
        let held = self.held(None, Some(upload));
        self.reply(batch, wanted, lines, None, held).await
    }

    fn held(
        &self,
        room: Option<tokio::sync::OwnedSemaphorePermit>,
        upload: Option<Arc<StallWatchdog>>,
    ) -> StreamResources {
        let lifecycle = &self.shared.lifecycle;
        StreamResources {
            room,
            work: lifecycle.work.token(),
            server_ends: lifecycle.ended.clone().cancelled_owned(),
            upload,
            watch: None,
        }
    }

    async fn reply<S: Inputs + 'static>(
        self,
        mut batch: Batch,
        wanted: ResponseFormat,
        inputs: S,
        total: Option<usize>,
        held: StreamResources,
    ) -> Result<Response, ApiError> {
        let shared = &self.shared;
        let (concurrency, on_error) = (batch.concurrency(), batch.on_error);
        let metadata = batch.spec.metadata.take();
        let plan = shared
            .extractor
            .prepare(
                batch.spec,
                RequestClass::Batch,
                guard::traceparent(&self.headers),
            )
            .await?;
        let submission = Submission {
            caller: self.caller,
            items: total,
            concurrency,
            draining: &shared.lifecycle.draining,
        };
        let outcomes = shared
            .extractor
            .submit(plan, &submission)?
            .run(on_error, inputs);
        let about = ResponseContext {
            id: guard::new_id("bat"),
            request_id: self.request_id,
            metadata,
        };
        Ok(match wanted {
            ResponseFormat::Json => {
                let mut reply = Reply::new(
                    outcomes,
                    JsonArrayWriter::new(shared.max_ordered_bytes),
                    about,
                    total,
                    held,
                );
                reply.read_inputs(shared.max_ordered_bytes).await?;
                typed("application/json", Body::new(reply))
            }
            ResponseFormat::Sse => event_stream(Body::new(Reply::new(
                outcomes,
                SseEncoder::default(),
                about,
                total,
                held,
            ))),
            ResponseFormat::Ndjson => typed(
                "application/x-ndjson",
                Body::new(Reply::new(outcomes, NdjsonEncoder, about, total, held)),
            ),
        })
    }
}

fn typed(media: &'static str, body: Body) -> Response {
    (
        [
            (CONTENT_TYPE.as_str(), media),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ],
        body,
    )
        .into_response()
}
