//! `POST /v1/extract`: one text.

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;

use super::content_negotiation::{self, RequestFormat, ResponseFormat};
use super::guard::{self, RequestId};
use super::problem::ApiError;
use super::response_stream::{Reply, ResponseContext, StreamResources, shutting_down};
use super::streams::SingleSse;
use super::{State, json_body, request_body};
use crate::contract::{ItemResult, Problem, append_json};
use crate::extraction::{BLANK, RequestClass, Submission, is_blank};
use crate::types::{Code, Error, Input, Item, ItemOutcome, OnError, Outcome, Single};
use throttle::CallerId;

/// Extracts from one text.
///
/// Answers with the object, which is always valid against the schema; or, with `"stream": true` or
/// `Accept: text/event-stream`, with events: `partial` (the object as far as it is known) and, of a schema that is a list or has
/// one list of objects, `item` (an element that is finished and valid) while the model writes; `result` or `error`; then `done`.
#[utoipa::path(
    post, path = "/v1/extract", tag = "extraction",
    request_body(content = super::openapi::ExtractRequest, content_type = "application/json", example = json!({
        "input": "John Smith is a 30-year-old software engineer",
        "schema": {
            "title": "Person", "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
            "required": ["name", "age", "occupation"], "additionalProperties": false
        }
    })),
    responses(
        (status = 200, description = "The extracted object", content(
            (ItemResult = "application/json"), (String = "text/event-stream"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn extract(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let shared = &state.0;
    let work = shared.lifecycle.work.token();
    let (parts, body) = request.into_parts();
    if content_negotiation::request_format(&parts.headers)? != RequestFormat::Json {
        let detail = "one text is sent as `application/json`; NDJSON goes to /v1/extract/batch";
        return Err(Error::new(Code::UnsupportedMediaType, detail).into());
    }
    let whole = request_body::read(shared, &parts.headers, body, shared.max_body_bytes).await?;
    let Single {
        mut spec,
        input,
        stream,
    } = json_body::parse(&whole.bytes)?;
    guard::no_query(&parts.uri)?;
    let content = input.ok_or_else(|| {
        Error::invalid("/input", "this field is required: the text to extract from")
    })?;
    if is_blank(&content.0) {
        return Err(Error::invalid("/input", BLANK).into());
    }
    let metadata = spec.metadata.take();
    let plan = shared
        .extractor
        .prepare(
            spec,
            RequestClass::Single,
            guard::traceparent(&parts.headers),
        )
        .await?;
    let submission = Submission {
        caller,
        items: Some(1),
        concurrency: None,
        draining: &shared.lifecycle.draining,
    };
    let admitted = shared.extractor.submit(plan, &submission)?;
    let input = Input::new(0, Item::from(content));
    let about = ResponseContext {
        id: guard::new_id("ext"),
        request_id,
        metadata,
    };
    if content_negotiation::wanted(&parts.headers, stream) == ResponseFormat::Sse {
        let server_ends = shared.lifecycle.ended.clone().cancelled_owned();
        let held = StreamResources {
            room: Some(whole.room),
            work,
            server_ends,
            upload: None,
            watch: Some(admitted.stream_partials().await),
        };
        let events = admitted.run(OnError::Continue, futures_util::stream::iter([input]));
        return Ok(event_stream(Body::new(Reply::new(
            events,
            SingleSse::default(),
            about,
            Some(1),
            held,
        ))));
    }
    tokio::select! {
        outcome = admitted.run_single(input) => Ok(reply(outcome, &about)),
        () = shared.lifecycle.ended.cancelled() => Err(shutting_down().into()),
    }
}

/// The response for a single that is done.
fn reply(mut outcome: Outcome, about: &ResponseContext) -> Response {
    let timing = outcome.timing;
    let mut response = match std::mem::replace(&mut outcome.ending, ItemOutcome::Cancelled) {
        ItemOutcome::Failed(error) => ApiError::from(error).into_response(),
        ending => {
            outcome.ending = ending;
            let mut json = BytesMut::with_capacity(512);
            append_json(&mut json, &about.single_result(&outcome));
            ([(CONTENT_TYPE, "application/json")], json.freeze()).into_response()
        }
    };
    response.extensions_mut().insert(timing);
    response
}

pub fn event_stream(body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ];
    (headers, body).into_response()
}
