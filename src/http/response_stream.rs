//! Streaming response body: polls item outcomes and encodes them as JSON, Server-Sent Events or NDJSON.
//!
//! One loop for all formats; a format is an [`Encoder`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body::Frame;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::request_body::BodyMemory;
use super::request_memory::too_large_to_buffer;
use super::upload_monitor::UploadMonitor;
use crate::contract::{BatchStatus, ItemResult, Progress, Summary, millis};
use crate::extraction::{
    Inputs, Outcomes, PartialEvent, PartialStream, shutting_down, write_in_turn,
};
use crate::turn;
use crate::types::{Counts, Error, EvidenceCounts, FieldError, Outcome, SentMetadata};

/// Response format. Each call appends the bytes to send.
pub trait Encoder: Send + Unpin {
    /// Appends or buffers the result of an item.
    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, out: &mut BytesMut);

    /// Appends a partial result of an item.
    fn partial(&mut self, _: &PartialEvent, _: &mut BytesMut) {}

    /// Appends the progress. Called at most once per [`PROGRESS_INTERVAL`], and only if it changed.
    fn progress(&mut self, _: Progress, _: &mut BytesMut) {}

    /// Appends bytes that keep the connection open. Called if nothing was sent for [`KEEP_ALIVE_INTERVAL`].
    fn keep_alive(&mut self, _: &mut BytesMut) {}

    /// Appends the end of a response that has a result for each input that was read.
    fn end(&mut self, context: &ResponseContext, end: BatchEnd, out: &mut BytesMut);

    /// Appends an error that ends the response without its results.
    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut);

    /// Returns the error of a response that buffers more than it may; never for a format that does not buffer.
    fn buffer_error(&self) -> Option<Error> {
        None
    }

    /// Appends the next part of a response that [`Encoder::end`] has ended. Returns false after the last part.
    fn next_part(&mut self, _: &mut BytesMut) -> bool {
        false
    }
}

/// End of a response.
#[derive(Debug)]
pub struct BatchEnd {
    pub status: BatchStatus,
    pub summary: Summary,
    /// Error that ended the batch before all inputs were extracted.
    pub error: Option<Error>,
}

/// Identity and metadata of a response, as an encoder may include them.
#[derive(Debug)]
pub struct ResponseContext {
    pub id: String,
    pub request_id: Arc<str>,
    pub metadata: Option<SentMetadata>,
    /// Likely mistakes in the schema.
    pub warnings: Arc<[FieldError]>,
}

impl ResponseContext {
    /// Returns the result of a single extraction under this response's ID.
    pub fn single_result<'a>(&'a self, outcome: &'a Outcome) -> ItemResult<'a> {
        let mut result =
            ItemResult::of_single(outcome, &self.id, &self.request_id, self.metadata.as_ref());
        result.warnings = &self.warnings;
        result
    }
}

/// Time without a byte after which a keep-alive is sent, so that proxies keep the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Maximum time for which the status of an ordered response waits for the upload to end.
const READ_INPUTS_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum time between two progress events.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Approximate size of a chunk, in bytes. Outcomes that are ready are sent together up to this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// HTTP body that runs a batch (a single extraction is a batch of one) and streams its results.
pub struct ResponseBody<S, K> {
    outcomes: Outcomes<S>,
    encoder: K,
    context: ResponseContext,
    /// Number of items. `None`: unknown until the request's body was read.
    total: Option<usize>,
    counts: Counts,
    last_progress: Option<Progress>,
    started: Instant,
    progress_ticks: Interval,
    last_sent: Instant,
    ended: bool,
    upload: Option<Arc<UploadMonitor>>,
    partials: Option<PartialStream>,
    /// Outcome that waits for its partial results.
    waiting: Option<Outcome>,
    server_ends: Pin<Box<WaitForCancellationFutureOwned>>,
    /// True once the end of the server has ended the batch.
    is_cut: bool,
    /// True if inputs of an upload were not read because of that.
    was_upload_cut: bool,
    _memory: BodyMemory,
    _work: TaskTrackerToken,
}

/// Resources that a response holds until it is sent.
pub struct StreamResources {
    /// Memory of the request's body; of its query, if the body is streamed.
    pub memory: BodyMemory,
    pub work: TaskTrackerToken,
    pub server_ends: WaitForCancellationFutureOwned,
    /// Upload of the inputs. `None` if all are in memory.
    pub upload: Option<Arc<UploadMonitor>>,
    /// Partial results of a single extraction.
    pub partials: Option<PartialStream>,
}

impl<S: Inputs, K: Encoder> ResponseBody<S, K> {
    /// Creates a body that starts when it is first polled.
    pub fn new(
        outcomes: Outcomes<S>,
        encoder: K,
        context: ResponseContext,
        total: Option<usize>,
        resources: StreamResources,
    ) -> Self {
        let mut progress_ticks = interval(PROGRESS_INTERVAL);
        progress_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        progress_ticks.reset();
        let counts = Counts {
            grounding: outcomes.has_evidence().then(EvidenceCounts::default),
            ..Counts::default()
        };
        Self {
            outcomes,
            encoder,
            context,
            total,
            counts,
            last_progress: None,
            started: Instant::now(),
            progress_ticks,
            last_sent: Instant::now(),
            ended: false,
            upload: resources.upload,
            partials: resources.partials,
            waiting: None,
            server_ends: Box::pin(resources.server_ends),
            is_cut: false,
            was_upload_cut: false,
            _memory: resources.memory,
            _work: resources.work,
        }
    }

    /// Processes items until all inputs are read, or [`READ_INPUTS_TIMEOUT`] has passed. An ordered response waits for this before its
    /// status is sent, so that a batch too large to buffer is rejected instead of interrupted.
    ///
    /// # Errors
    /// `payload_too_large` if the inputs or the results exceed `max_bytes`.
    pub async fn read_inputs(&mut self, max_bytes: usize) -> Result<(), Error> {
        let Some(upload) = self.upload.clone() else {
            return Ok(());
        };
        let reading = std::future::poll_fn(|cx| {
            loop {
                let polled = self.outcomes.poll_next_unpin(cx);
                if upload.bytes() > max_bytes {
                    return Poll::Ready(Err(too_large_to_buffer()));
                }
                if let Some(error) = self.encoder.buffer_error() {
                    return Poll::Ready(Err(error));
                }
                match polled {
                    Poll::Ready(Some(outcome)) => {
                        let units = self.add_outcome(&outcome, &mut BytesMut::new());
                        ready!(turn::poll_take(cx, units));
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending if upload.has_ended() => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        tokio::time::timeout(READ_INPUTS_TIMEOUT, reading)
            .await
            .unwrap_or(Ok(()))
    }

    /// Encodes an outcome. Returns the units of the task's turn that this takes.
    fn add_outcome(&mut self, outcome: &Outcome, out: &mut BytesMut) -> u32 {
        self.counts.count(outcome);
        let encode = || self.encoder.outcome(&self.context, outcome, out);
        write_in_turn(outcome, encode)
    }

    /// Encodes the outcomes that are ready, each after its partial results.
    fn encode_outcomes(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        while out.len() < CHUNK_BYTES {
            let outcome = match self.waiting.take() {
                Some(outcome) => outcome,
                None => match self.outcomes.poll_next_unpin(cx) {
                    Poll::Ready(Some(outcome)) => outcome,
                    Poll::Ready(None) => return self.end(out),
                    Poll::Pending => return self.encode_partials(cx, out),
                },
            };
            if self.poll_remaining_partials(cx, out).is_pending() {
                self.waiting = Some(outcome);
                return;
            }
            let units = self.add_outcome(&outcome, out);
            if let Some(error) = self.encoder.buffer_error() {
                return self.fail(&error, out);
            }
            if turn::poll_take(cx, units).is_pending() {
                return;
            }
        }
    }

    /// Encodes the partial results that were not sent when their item ended.
    fn poll_remaining_partials(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<()> {
        let Some(partials) = &mut self.partials else {
            return Poll::Ready(());
        };
        while let Some(partial) = ready!(partials.poll_remaining(cx)) {
            self.encoder.partial(&partial, out);
        }
        Poll::Ready(())
    }

    fn encode_partials(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        let Some(partials) = &mut self.partials else {
            return;
        };
        while out.len() < CHUNK_BYTES
            && let Poll::Ready(Some(partial)) = partials.poll_next_unpin(cx)
        {
            self.encoder.partial(&partial, out);
        }
    }

    fn end(&mut self, out: &mut BytesMut) {
        let error = self.early_end();
        let status = if self.outcomes.stopped() || error.is_some() {
            BatchStatus::Stopped
        } else {
            BatchStatus::Completed
        };
        let summary = Summary::new(self.counts, self.started.elapsed())
            .with_warnings(Arc::clone(&self.context.warnings));
        let end = BatchEnd {
            status,
            summary,
            error,
        };
        self.encoder.end(&self.context, end, out);
        self.ended = true;
        tracing::debug!(id = %self.context.id, ended = self.counts.ended(), elapsed_ms = millis(self.started.elapsed()), "batch completed");
    }

    /// Returns the error that ended the batch before all inputs were extracted.
    fn early_end(&self) -> Option<Error> {
        if self.is_cut {
            let mut error = shutting_down();
            if self.was_upload_cut {
                error.detail = format!(
                    "{}; the inputs after the first {} were not read",
                    error.detail,
                    self.outcomes.pulled()
                )
                .into();
            }
            return Some(error);
        }
        let interruption = self.upload.as_ref()?.interruption()?;
        Some(
            interruption.error(
                "the results of the inputs received before it were sent; send the rest again",
            ),
        )
    }

    /// Ends the batch at the end of the server: what is finished is sent, and the rest is cancelled.
    fn cut(&mut self) {
        self.is_cut = true;
        let is_in_memory = self.upload.is_none();
        self.was_upload_cut = !is_in_memory && !self.outcomes.has_read_all();
        self.outcomes.interrupt(is_in_memory);
    }

    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        self.encoder.fail(&self.context, error, out);
        self.ended = true;
    }

    fn progress(&self) -> Progress {
        let ended = self.counts.ended();
        let total = self.total.unwrap_or_else(|| self.outcomes.pulled());
        let in_flight = self.outcomes.in_flight().min(total.saturating_sub(ended));
        Progress {
            total,
            succeeded: self.counts.succeeded,
            failed: self.counts.failed,
            invalid: self.counts.invalid,
            cancelled: self.counts.cancelled,
            in_flight,
            queued: total.saturating_sub(ended + in_flight),
        }
    }

    fn encode_progress(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        while self.progress_ticks.poll_tick(cx).is_ready() {
            let progress = self.progress();
            if self.last_progress != Some(progress) {
                self.last_progress = Some(progress);
                self.encoder.progress(progress, out);
            }
            if out.is_empty() && self.last_sent.elapsed() >= KEEP_ALIVE_INTERVAL {
                self.encoder.keep_alive(out);
            }
        }
    }
}

impl<S: Inputs, K: Encoder> http_body::Body for ResponseBody<S, K> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let mut out = BytesMut::new();
        if this.ended {
            return Poll::Ready(
                this.encoder
                    .next_part(&mut out)
                    .then(|| Ok(Frame::data(out.freeze()))),
            );
        }
        if !this.is_cut && this.server_ends.as_mut().poll(cx).is_ready() {
            this.cut();
        }
        this.encode_outcomes(cx, &mut out);
        if let Some(upload) = &this.upload
            && this.outcomes.has_items()
        {
            upload.restart_idle_time();
        }
        if !this.ended {
            this.encode_progress(cx, &mut out);
        }
        if out.is_empty() {
            return if this.ended {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        this.last_sent = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }
}

/// Returns a streaming response of this media type, with headers that keep proxies from buffering and caching it.
pub fn streaming_response(media_type: &'static str, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}
