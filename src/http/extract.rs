//! `POST /v1/extract`: one text.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;

use super::guard::{self, RequestId};
use super::negotiate::{self, Sent, Wanted};
use super::problem::{Failed, Problem};
use super::reply::shutting_down;
use super::shapes::{ItemResult, SingleDone, Status, write};
use super::{Shared, State, body, json, streams};
use crate::extract::{Kind, Plan, single};
use crate::limits::{CallerId, Lane};
use crate::model::{Code, Ending, Error, Input, Item, Metadata, Outcome, Single};

/// Extracts from one text.
///
/// Answers with the object, which is always valid against the schema; or, with `"stream": true` or
/// `Accept: text/event-stream`, with a `result` or an `error` event, then `done`.
#[utoipa::path(
    post, path = "/v1/extract", tag = "extraction",
    request_body(content = super::docs::ExtractRequest, content_type = "application/json", example = json!({
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
) -> Result<Response, Failed> {
    let shared = &state.0;
    let work = shared.lifecycle.work.token();
    let (head, body) = request.into_parts();
    if negotiate::sent(&head.headers)? != Sent::Json {
        let detail = "one text is sent as `application/json`; NDJSON goes to /v1/extract/batch";
        return Err(Error::new(Code::UnsupportedMediaType, detail).into());
    }
    let whole = body::read(shared, &head.headers, body, shared.max_body_bytes).await?;
    let Single { mut spec, input, stream } = json::parse(&whole.bytes)?;
    guard::no_query(&head.uri)?;
    let content = input.ok_or_else(|| Error::invalid("/input", "this field is required: the text to extract from"))?;
    let metadata = spec.metadata.take();
    let plan = shared.extractor.plan(spec, Kind::Single, guard::traceparent(&head.headers)).await?;
    let lane = admit(shared, caller, &plan, Some(1), None)?;
    let asked = Asked { shared: Arc::clone(shared), plan, lane, content: Item::from(content), metadata, request_id };
    if negotiate::wanted(&head.headers, stream) != Wanted::Sse {
        return asked.whole().await;
    }
    let events = async move {
        let _held = (work, whole.room);
        Ok::<_, std::convert::Infallible>(asked.events().await.freeze())
    };
    let mut opening = BytesMut::new();
    streams::open(&mut opening);
    let opening = futures_util::stream::iter([Ok(opening.freeze())]);
    let stream = futures_util::StreamExt::chain(opening, futures_util::stream::once(events));
    Ok(event_stream(Body::from_stream(stream)))
}

/// The way into the queue, closed while the server drains.
pub fn admit(
    shared: &Shared,
    caller: CallerId,
    plan: &Plan,
    items: Option<usize>,
    concurrency: Option<usize>,
) -> Result<Lane, Error> {
    if shared.lifecycle.draining.is_cancelled() {
        return Err(shutting_down());
    }
    shared.extractor.admit(caller, plan, items, concurrency)
}

pub fn event_stream(body: Body) -> Response {
    let headers = [(CONTENT_TYPE.as_str(), "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];
    (headers, body).into_response()
}

/// A single that was let in.
struct Asked {
    shared: Arc<Shared>,
    plan: Plan,
    lane: Lane,
    content: Item,
    metadata: Option<Metadata>,
    request_id: Arc<str>,
}

impl Asked {
    async fn run(self) -> (Result<Outcome, Error>, Option<Metadata>, Arc<str>) {
        let work = single(Arc::clone(&self.shared.extractor), Arc::new(self.plan), self.lane, Input::new(0, self.content));
        let outcome = tokio::select! {
            outcome = work => Ok(outcome),
            () = self.shared.lifecycle.ended.cancelled() => Err(shutting_down()),
        };
        (outcome, self.metadata, self.request_id)
    }

    async fn whole(self) -> Result<Response, Failed> {
        let (outcome, metadata, request_id) = self.run().await;
        let mut outcome = outcome?;
        let timing = outcome.timing;
        let mut response = match std::mem::replace(&mut outcome.ending, Ending::Cancelled) {
            Ending::Failed(error) => Failed::from(error).into_response(),
            ending => {
                outcome.ending = ending;
                let mut json = BytesMut::with_capacity(512);
                write(&mut json, &ItemResult::of_single(&outcome, &guard::new_id("ext"), metadata.as_ref(), &request_id));
                ([(CONTENT_TYPE, "application/json")], json.freeze()).into_response()
            }
        };
        response.extensions_mut().insert(timing);
        Ok(response)
    }

    async fn events(self) -> BytesMut {
        let (outcome, metadata, request_id) = self.run().await;
        let mut out = BytesMut::new();
        let error = match &outcome {
            Err(error) | Ok(Outcome { ending: Ending::Failed(error), .. }) => Some(error),
            Ok(_) => None,
        };
        if let Some(error) = error {
            streams::event(&mut out, "error", None, &Problem::new(error, &request_id));
        }
        if let Ok(outcome) = &outcome {
            let id = guard::new_id("ext");
            let result = ItemResult::of_single(outcome, &id, metadata.as_ref(), &request_id);
            let status = result.status;
            if status == Status::Succeeded {
                streams::event(&mut out, "result", None, &result);
            }
            let done = SingleDone { status, usage: outcome.usage, timing: outcome.timing.into() };
            streams::event(&mut out, "done", None, &done);
        }
        out
    }
}
