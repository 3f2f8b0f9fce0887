//! `GET /v1/jobs/{id}/events`: a job as it goes, from any event on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::super::State;
use super::super::connection::Connection;
use super::super::extract::event_stream;
use super::super::problem::ApiError;
use super::super::query;
use super::super::stall_watchdog::{self, StallWatchdog};
use super::super::streams::{comment, event, open, recorded_event};
use super::SignedLink;
use super::view::JobProgress;
use crate::contract::Problem;
use crate::jobs::{FollowEvent, Follower, Page};
use crate::types::{Code, Error, pointer, truncate_pointer};
use throttle::CallerId;

/// After so long without a byte a comment is sent.
const QUIET: Duration = Duration::from_secs(15);
/// What is sent at a time, in bytes, more or less.
const PIECE_BYTES: usize = 64 * 1024;

/// Follows a job: a `result` for each item, `progress` about once a second, `done` last. Where an end was taken back by a retry,
/// `retried` stands in its place.
///
/// The `id` of an event is its number, from 1 without a gap; `Last-Event-ID` (or `?after=`, weaker) goes on after it, also after a
/// restart of the server. After the number of `done` the reply is 204, which ends an `EventSource`.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path), ("Last-Event-ID" = Option<u32>, Header, description = "Go on after this event"),
        ("after" = Option<u32>, Query, description = "The same; `Last-Event-ID` wins"),
        ("signature" = Option<String>, Query, description = "In place of a key: as in the job's `links.events`")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 204, description = "The job has ended, and nothing follows"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn job_events(
    state: State,
    Extension(caller): Extension<CallerId>,
    signed: Option<Extension<SignedLink>>,
    connection: Option<Extension<Connection>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let after = after(&headers, uri.query().unwrap_or_default())?;
    let job = if signed.is_some() {
        state.jobs.get_any(&id).await?
    } else {
        state.jobs.get(caller, &id).await?
    };
    if after > job.last_event {
        let detail = format!(
            "the job has no event {after}; its last one is {}: begin anew, without `Last-Event-ID` or `after`",
            job.last_event
        );
        return Err(Error::new(Code::Gone, detail).into());
    }
    if after == job.last_event && job.status.is_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let sending = Arc::new(StallWatchdog::default());
    if let Some(Extension(connection)) = connection {
        // A client that does not read is let go; it resumes where it was.
        stall_watchdog::start(&sending, connection, &state.lifecycle.tasks);
    }
    let stream = JobEventStream {
        follower: state.jobs.follow(&job, after),
        server_ends: state.lifecycle.ended.clone(),
        page: None,
        has_begun: false,
        quiet_since: Instant::now(),
        sending,
    };
    Ok(event_stream(Body::from_stream(stream::unfold(
        Some(stream),
        JobEventStream::next,
    ))))
}

/// The event to go on after.
fn after(headers: &HeaderMap, query: &str) -> Result<u32, Error> {
    let number = |text: &str| text.parse::<u32>().ok();
    let mut after = None;
    for pair in query::pairs(query) {
        let (name, value) = pair?;
        match name.as_ref() {
            "after" => {
                after = Some(
                    number(&value)
                        .ok_or_else(|| Error::invalid("/after", "expected an event's number"))?,
                )
            }
            "signature" => {}
            _ => {
                return Err(Error::invalid(
                    truncate_pointer(&pointer("", &name)),
                    "this path takes no such query parameter",
                ));
            }
        }
    }
    match headers
        .get("last-event-id")
        .map(|header| header.to_str().unwrap_or("?").trim())
    {
        None | Some("") => Ok(after.unwrap_or(0)),
        Some(last) => number(last).ok_or_else(|| {
            Error::new(
                Code::InvalidRequest,
                "`Last-Event-ID` is the number of an event of this job, as its `id:` said",
            )
        }),
    }
}

struct JobEventStream {
    follower: Follower,
    server_ends: CancellationToken,
    /// What was read and not sent yet, and how much of it was.
    page: Option<(Page, usize)>,
    has_begun: bool,
    quiet_since: Instant,
    /// Whether what was sent is taken.
    sending: Arc<StallWatchdog>,
}

impl JobEventStream {
    /// The next piece, and what goes on after it.
    async fn next(
        this: Option<Self>,
    ) -> Option<(Result<Bytes, std::convert::Infallible>, Option<Self>)> {
        let mut this = this?;
        this.sending.blocked(None);
        let mut out = BytesMut::new();
        if !std::mem::replace(&mut this.has_begun, true) {
            open(&mut out);
        }
        let goes_on = this.fill(&mut out).await;
        this.sending.blocked(Some(Instant::now()));
        (goes_on || !out.is_empty()).then(|| (Ok(out.freeze()), goes_on.then_some(this)))
    }

    /// Waits until there is something to send. False: nothing follows.
    async fn fill(&mut self, out: &mut BytesMut) -> bool {
        let ends = self.server_ends.clone();
        // The head of the stream does not wait.
        while out.is_empty() {
            if let Some(goes_on) = self.send_page(out) {
                return goes_on;
            }
            let told = tokio::select! {
                told = self.follower.next() => told,
                () = ends.cancelled() => return false,
            };
            match told {
                Ok(FollowEvent::Events(page)) => self.page = Some((page, 0)),
                Ok(FollowEvent::Progress(job, pace)) => {
                    event(out, "progress", None, &JobProgress::new(&job, pace))
                }
                Ok(FollowEvent::Quiet) if self.quiet_since.elapsed() >= QUIET => comment(out),
                Ok(FollowEvent::Quiet) => {}
                // Without `done`: whoever follows comes again, and finds out.
                Err(error) => {
                    if let Some(error) = error {
                        tracing::error!(%error, "the events of a job cannot be read");
                    }
                    return false;
                }
            }
        }
        self.quiet_since = Instant::now();
        true
    }

    /// Sends a piece of what was read. `None`: there is nothing; else whether anything follows.
    fn send_page(&mut self, out: &mut BytesMut) -> Option<bool> {
        let (page, sent) = self.page.as_mut()?;
        for recorded in page.events().get(*sent..).unwrap_or_default() {
            if out.len() >= PIECE_BYTES {
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
            recorded_event(out, name, recorded.number, &recorded.body);
            if is_end {
                return Some(false);
            }
        }
        self.page = None;
        (!out.is_empty()).then(|| {
            self.quiet_since = Instant::now();
            true
        })
    }
}
