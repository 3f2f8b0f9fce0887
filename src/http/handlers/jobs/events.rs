//! `GET /v1/jobs/{id}/events`: Server-Sent Events of a job, resumable after any event (`Last-Event-ID`).

use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::super::super::middleware::{SignedLink, count_for};
use super::super::super::open_connections::OpenRequest;
use super::super::super::problem::ApiError;
use super::super::super::query;
use super::super::super::response_memory::{
    PAGE_TIMEOUT, StreamMemory, page_room, resize_if_possible, waiting_memory,
};
use super::super::super::response_stream::streaming_response;
use super::super::super::sse::{EventWriter, append_comment};
use super::super::super::state::State;
use super::view::JobProgress;
use crate::extraction::WaitingMemory;
use crate::jobs::store::JobKey;
use crate::jobs::{EventPage, FollowEvent, Follower, Jobs};
use crate::types::{Code, Error, OffsetUnit, member_pointer};
use throttle::{CallerId, MemoryReservation, MemoryUse};

/// Time without an event after which a comment is sent, so that proxies keep the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Approximate size of a chunk of the response, in bytes.
const CHUNK_BYTES: usize = 32 * 1024;

/// Stream the events of a job
///
/// Sends a `result` event for each item, `progress` about once per second, and `done` last. A `done` that was followed by a retry
/// of the job is sent as `retried`.
///
/// The `id` of an event is its number, from 1 without gaps. To resume, also after a restart of the server, send it as
/// `Last-Event-ID` or `after`. After the number of `done`, the response is 204, which ends an `EventSource`.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", operation_id = "stream_job_events", tag = "jobs",
    params(("id" = String, Path, description = "ID of the job"), ("Last-Event-ID" = Option<u32>, Header, description = "Resume after this event"),
        ("after" = Option<u32>, Query, description = "Resume after this event. `Last-Event-ID` takes precedence"),
        ("offset_unit" = Option<String>, Query, pattern = "^(code_point|utf16|byte)$", description = "Unit of the offsets in `evidence`: `code_point` (default), `utf16` or `byte`"),
        ("signature" = Option<String>, Query, description = "Signature from the job's `links.events`, in place of a key")),
    responses((status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream"), (status = 204, description = "The job has ended, and no events follow")))]
pub async fn job_events(
    state: State,
    Extension(caller): Extension<CallerId>,
    signed: Option<Extension<SignedLink>>,
    open: Option<Extension<OpenRequest>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (after, unit) = resume_after(&headers, uri.query().unwrap_or_default())?;
    let limits = state.extractor.limits();
    let (job, owner) = if signed.is_some() {
        let job = state.jobs.get_of_any_caller(&id).await?;
        // A caller that is no longer configured has no share of its own.
        let owner = limits.caller_of(&job.caller).unwrap_or_default();
        if let Some(open) = open {
            count_for(&open, &state, owner)?;
        }
        (job, owner)
    } else {
        (state.jobs.get(caller, &id).await?, caller)
    };
    if after > job.last_event {
        let detail = format!(
            "the job has no event {after}, its last event is {}; reconnect without `Last-Event-ID` and `after`",
            job.last_event
        );
        return Err(Error::new(Code::Gone, detail).into());
    }
    if after == job.last_event && job.status.is_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let memory = StreamMemory::reserve(&state, owner)?;
    let stream = JobEventStream {
        input_memory: waiting_memory(&state, owner, PAGE_TIMEOUT),
        page_memory: limits.memory().empty(owner, MemoryUse::Responses),
        follower: state.jobs.follow(&job, after),
        jobs: state.jobs.clone(),
        job: job.key,
        unit,
        server_ends: state.lifecycle.ended.clone(),
        page: None,
        events: EventWriter::default(),
        quiet_since: Instant::now(),
    };
    Ok(memory.hold(streaming_response(
        "text/event-stream",
        Body::from_stream(stream::unfold(Some(stream), JobEventStream::next)),
    )))
}

/// Returns the number of the event after which to resume, 0 for all events; and the unit of offsets.
fn resume_after(headers: &HeaderMap, query: &str) -> Result<(u32, OffsetUnit), Error> {
    let number = |text: &str| text.parse::<u32>().ok();
    let (mut after, mut unit) = (None, OffsetUnit::default());
    for pair in query::pairs(query) {
        let (name, value) = pair?;
        match name.as_ref() {
            "after" => {
                after =
                    Some(number(&value).ok_or_else(|| {
                        Error::invalid("/after", "expected the number of an event")
                    })?);
            }
            "signature" => {}
            query::OFFSET_UNIT => {
                unit = query::parse_offset_unit(&value)
                    .map_err(|message| Error::invalid("/offset_unit", message))?;
            }
            _ => {
                return Err(Error::invalid(
                    member_pointer("", &name),
                    "unknown query parameter for this path",
                ));
            }
        }
    }
    let after = match headers
        .get("last-event-id")
        .map(|header| header.to_str().unwrap_or("?").trim())
    {
        None | Some("") => Ok(after.unwrap_or(0)),
        Some(last) => number(last).ok_or_else(|| {
            Error::new(
                Code::InvalidRequest,
                "the `Last-Event-ID` header must be the `id` of an event of this job, a whole number",
            )
        }),
    };
    Ok((after?, unit))
}

struct JobEventStream {
    follower: Follower,
    jobs: Jobs,
    job: JobKey,
    /// Unit of the offsets in evidence.
    unit: OffsetUnit,
    server_ends: CancellationToken,
    /// Events read from the store, and how many of them were sent.
    page: Option<(EventPage, usize)>,
    events: EventWriter,
    quiet_since: Instant,
    page_memory: MemoryReservation,
    /// Memory of the input whose result is converted.
    input_memory: WaitingMemory,
}

impl JobEventStream {
    /// Returns the next chunk, and the stream for the chunk after it; `None` at the end.
    async fn next(
        this: Option<Self>,
    ) -> Option<(Result<Bytes, std::convert::Infallible>, Option<Self>)> {
        let mut this = this?;
        let mut out = BytesMut::new();
        let continues = this.fill(&mut out).await;
        (continues || !out.is_empty()).then(|| (Ok(out.freeze()), continues.then_some(this)))
    }

    /// Waits until there is something to send. Returns false if nothing follows.
    async fn fill(&mut self, out: &mut BytesMut) -> bool {
        let server_ends = self.server_ends.clone();
        while out.is_empty() {
            if let Some(continues) = self.send_page(out) {
                return continues;
            }
            let followed = tokio::select! {
                followed = self.follower.next() => followed,
                () = server_ends.cancelled() => return false,
            };
            match followed {
                Ok(FollowEvent::Events(page)) => {
                    let bytes = page.events().iter().map(|event| event.body.len());
                    // The stream ends, and the client reconnects, as below.
                    let room = page_room(bytes.sum());
                    if let Err(refused) = resize_if_possible(&mut self.page_memory, room) {
                        tracing::debug!(%refused, "a stream of a job's events ends for lack of memory");
                        return false;
                    }
                    let memory = &mut self.input_memory;
                    let converted = self.jobs.convert_page(self.job, page, self.unit, memory);
                    match converted.await {
                        Ok(page) => self.page = Some((page, 0)),
                        // As below: the client reconnects.
                        Err(error) => {
                            log_unconverted(&error);
                            return false;
                        }
                    }
                }
                Ok(FollowEvent::Progress(job, rate)) => {
                    let progress = JobProgress::new(&job, &rate);
                    self.events.append(out, "progress", None, &progress);
                }
                Ok(FollowEvent::Idle) if self.quiet_since.elapsed() >= KEEP_ALIVE_INTERVAL => {
                    append_comment(out);
                }
                Ok(FollowEvent::Idle) => {}
                // The stream ends without `done`, so the client reconnects.
                Err(error) => {
                    if let Some(error) = error {
                        tracing::error!(%error, "the events of a job could not be read from the store");
                    }
                    return false;
                }
            }
        }
        self.quiet_since = Instant::now();
        true
    }

    /// Appends a chunk of the events read. Returns whether anything follows, or `None` if there was nothing to append.
    fn send_page(&mut self, out: &mut BytesMut) -> Option<bool> {
        let (page, sent) = self.page.as_mut()?;
        for recorded in page.events().get(*sent..).unwrap_or_default() {
            if out.len() >= CHUNK_BYTES {
                self.quiet_since = Instant::now();
                return Some(true);
            }
            *sent += 1;
            let is_end = page.is_end(recorded);
            let name = match recorded.item {
                Some(_) => "result",
                None if is_end => "done",
                None => "retried",
            };
            let number = Some(recorded.number.into());
            self.events
                .append_recorded(out, name, number, &recorded.body);
            if is_end {
                return Some(false);
            }
        }
        self.page = None;
        self.page_memory.shrink(0);
        (!out.is_empty()).then(|| {
            self.quiet_since = Instant::now();
            true
        })
    }
}

/// Logs why the offsets in events could not be converted. A lack of memory is that of the caller, who may try again and again.
fn log_unconverted(error: &Error) {
    let detail = &*error.detail;
    if error.code == Code::Internal {
        tracing::error!(
            detail,
            "the inputs of a job could not be read from the store"
        );
    } else {
        tracing::debug!(
            detail,
            "a stream of a job's events ends, because offsets cannot be converted now"
        );
    }
}
