//! A batch's reply: one loop over the outcomes, whatever form they are sent in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::StreamExt;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Chunk;
use super::stall_watchdog::StallWatchdog;
use crate::contract::{BatchStatus, ItemResult, Progress, Summary, millis};
pub use crate::extraction::shutting_down;
use crate::extraction::{Inputs, Outcomes, PartialEvent, PartialStream};
use crate::types::{Code, Counts, Error, Metadata, Outcome};

/// A form of reply. Each call appends what is to be sent.
pub trait Encoder: Send + Unpin {
    fn begin(&mut self, _: &ResponseContext, _: &mut BytesMut) {}

    fn outcome(&mut self, about: &ResponseContext, outcome: &Outcome, out: &mut BytesMut);

    /// What is known before the outcome.
    fn news(&mut self, _: &PartialEvent, _: &mut BytesMut) {}

    /// Once a second while there is something new to say.
    fn progress(&mut self, _: Progress, _: &mut BytesMut) {}

    /// When nothing was sent for [`QUIET`].
    fn keep_alive(&mut self, _: &mut BytesMut) {}

    fn end(
        &mut self,
        about: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    );

    /// The reply cannot be brought to its end.
    fn fail(&mut self, about: &ResponseContext, error: &Error, out: &mut BytesMut);

    /// Bytes held back, and how many may be.
    fn held(&self) -> Option<(usize, usize)> {
        None
    }
}

/// What a form of reply may mention.
#[derive(Debug)]
pub struct ResponseContext {
    pub id: String,
    pub request_id: Arc<str>,
    pub metadata: Option<Metadata>,
}

impl ResponseContext {
    /// Returns the result of a single extraction under this response's ID.
    pub fn single_result<'a>(&'a self, outcome: &'a Outcome) -> ItemResult<'a> {
        ItemResult::of_single(outcome, &self.id, &self.request_id, self.metadata.as_ref())
    }
}

/// After so long without a byte something is sent, so that proxies keep the connection.
const QUIET: Duration = Duration::from_secs(15);
/// How long the status of an ordered reply waits for an upload to end.
const READ_FIRST: Duration = Duration::from_secs(1);
/// The most often that progress is told.
const TICK: Duration = Duration::from_secs(1);
/// Outcomes that are there already are sent together, up to this many bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// A batch's reply as a body.
pub struct Reply<S, K> {
    outcomes: Outcomes<S>,
    sink: K,
    about: ResponseContext,
    /// `None`: not known until the body was read.
    total: Option<usize>,
    tally: Counts,
    told: Option<Progress>,
    started: Instant,
    tick: Interval,
    quiet_since: Instant,
    begun: bool,
    ended: bool,
    upload: Option<Arc<StallWatchdog>>,
    watch: Option<PartialStream>,
    server_ends: Pin<Box<WaitForCancellationFutureOwned>>,
    _room: Option<OwnedSemaphorePermit>,
    _work: TaskTrackerToken,
}

/// What a reply holds on to until it is sent.
pub struct StreamResources {
    /// The body of the request, if it is in memory.
    pub room: Option<OwnedSemaphorePermit>,
    pub work: TaskTrackerToken,
    pub server_ends: WaitForCancellationFutureOwned,
    /// Where the inputs are still coming.
    pub upload: Option<Arc<StallWatchdog>>,
    /// What is told of an answer while it is written.
    pub watch: Option<PartialStream>,
}

impl<S: Inputs, K: Encoder> Reply<S, K> {
    pub fn new(
        outcomes: Outcomes<S>,
        sink: K,
        about: ResponseContext,
        total: Option<usize>,
        held: StreamResources,
    ) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        Self {
            outcomes,
            sink,
            about,
            total,
            tally: Counts::default(),
            told: None,
            started: Instant::now(),
            tick,
            quiet_since: Instant::now(),
            begun: false,
            ended: false,
            upload: held.upload,
            watch: held.watch,
            server_ends: Box::pin(held.server_ends),
            _room: held.room,
            _work: held.work,
        }
    }

    /// Works until all inputs are read, but for [`READ_FIRST`] at the most: an ordered reply waits so long before its status
    /// goes out, so that a batch which turns out too large to be held is refused and not broken off.
    ///
    /// # Errors
    /// `payload_too_large` when it cannot.
    pub async fn read_inputs(&mut self, max_bytes: usize) -> Result<(), Error> {
        let Some(upload) = self.upload.clone() else {
            return Ok(());
        };
        let reading = std::future::poll_fn(|cx| {
            loop {
                let polled = self.outcomes.poll_next_unpin(cx);
                if upload.bytes() > max_bytes || self.holds_too_much() {
                    return Poll::Ready(Err(too_large_to_hold()));
                }
                match polled {
                    Poll::Ready(Some(outcome)) => self.take(&outcome, &mut BytesMut::new()),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending if upload.has_ended() => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        tokio::time::timeout(READ_FIRST, reading)
            .await
            .unwrap_or(Ok(()))
    }

    fn take(&mut self, outcome: &Outcome, out: &mut BytesMut) {
        self.tally.count(outcome);
        self.sink.outcome(&self.about, outcome, out);
    }

    fn holds_too_much(&self) -> bool {
        self.sink.held().is_some_and(|(held, most)| held > most)
    }

    /// Takes every outcome that is there.
    fn take_outcomes(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        while out.len() < CHUNK_BYTES {
            match self.outcomes.poll_next_unpin(cx) {
                Poll::Ready(Some(outcome)) => {
                    while let Some(news) =
                        self.watch.as_mut().and_then(PartialStream::drain_remaining)
                    {
                        self.sink.news(&news, out);
                    }
                    self.take(&outcome, out);
                    if self.holds_too_much() {
                        return self.fail(&too_large_to_hold(), out);
                    }
                }
                Poll::Ready(None) => return self.end(out),
                Poll::Pending => return self.take_news(cx, out),
            }
        }
    }

    fn take_news(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        let Some(watch) = &mut self.watch else { return };
        while out.len() < CHUNK_BYTES
            && let Poll::Ready(Some(news)) = watch.poll_next_unpin(cx)
        {
            self.sink.news(&news, out);
        }
    }

    fn end(&mut self, out: &mut BytesMut) {
        if self
            .upload
            .as_ref()
            .is_some_and(|upload| upload.is_broken())
        {
            return self.fail(
                &Error::new(
                    Code::InvalidJson,
                    "the request's body broke off; what came before is answered",
                ),
                out,
            );
        }
        let status = if self.outcomes.stopped() {
            BatchStatus::Stopped
        } else {
            BatchStatus::Completed
        };
        let summary = Summary::new(self.tally, self.started.elapsed());
        self.sink.end(&self.about, status, summary, out);
        self.ended = true;
        tracing::debug!(id = %self.about.id, ended = self.tally.ended(), elapsed_ms = millis(self.started.elapsed()), "batch done");
    }

    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        self.sink.fail(&self.about, error, out);
        self.ended = true;
    }

    fn progress(&self) -> Progress {
        let ended = self.tally.ended();
        let total = self.total.unwrap_or_else(|| self.outcomes.pulled());
        let in_flight = self.outcomes.in_flight().min(total.saturating_sub(ended));
        Progress {
            total,
            succeeded: self.tally.succeeded,
            failed: self.tally.failed,
            invalid: self.tally.invalid,
            cancelled: self.tally.cancelled,
            in_flight,
            queued: total.saturating_sub(ended + in_flight),
        }
    }

    fn tick(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        while self.tick.poll_tick(cx).is_ready() {
            let progress = self.progress();
            if self.told != Some(progress) {
                self.told = Some(progress);
                self.sink.progress(progress, out);
            }
            if out.is_empty() && self.quiet_since.elapsed() >= QUIET {
                self.sink.keep_alive(out);
            }
        }
    }
}

pub fn too_large_to_hold() -> Error {
    let detail = "the batch is larger than `limits.max_ordered_bytes` and an ordered reply has to be held until its end; \
                  ask for a stream instead (`\"stream\": true`, or `Accept: application/x-ndjson`)";
    Error::new(Code::PayloadTooLarge, detail)
}

impl<S: Inputs, K: Encoder> http_body::Body for Reply<S, K> {
    type Data = Chunk;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Self::Error>>> {
        let this = &mut *self;
        if let Some(upload) = &this.upload {
            upload.blocked(None);
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let mut out = BytesMut::new();
        if !std::mem::replace(&mut this.begun, true) {
            this.sink.begin(&this.about, &mut out);
        }
        if this.server_ends.as_mut().poll(cx).is_ready() {
            this.fail(&shutting_down(), &mut out);
        } else {
            this.take_outcomes(cx, &mut out);
            if !this.ended {
                this.tick(cx, &mut out);
            }
        }
        if out.is_empty() {
            return if this.ended {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        this.quiet_since = Instant::now();
        if let Some(upload) = &this.upload {
            upload.blocked(Some(this.quiet_since));
        }
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }
}
