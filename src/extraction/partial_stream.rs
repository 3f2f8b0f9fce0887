//! Stream of an item's partial results, from its publisher to the client.
//!
//! A slow reader misses versions of the object, but no element of its list, up to a bounded memory of those that wait. What takes longer
//! than about a millisecond is long work of the caller.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::partial_publisher::{PartialEvent, PartialPublisher};
use crate::long_work::{Piece, spawn_long};
use crate::turn;

/// Minimum time between two versions of the object, per byte of the answer: about a megabyte a second.
const INTERVAL_PER_BYTE: Duration = Duration::from_micros(1);

/// Units of a task's turn that an element takes: at most sixteen follow each other.
const ELEMENT_UNITS: u32 = 8;

/// Stream of an item's partial results.
#[derive(Debug)]
pub struct PartialStream {
    publisher: Arc<PartialPublisher>,
    /// Event that is made as long work. At most one.
    work: JoinSet<Option<PartialEvent>>,
    /// Timer until the next version of the object may be sent.
    pause: Pin<Box<Sleep>>,
    is_pausing: bool,
}

impl PartialStream {
    pub fn new(publisher: Arc<PartialPublisher>) -> Self {
        Self {
            publisher,
            work: JoinSet::new(),
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            is_pausing: false,
        }
    }

    /// Polls for the next event that was not sent when the item ended: each complete element, then at most one version of the
    /// object. `None`: all were sent.
    pub fn poll_remaining(&mut self, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        match ready!(self.poll_item(cx)) {
            Some(item) => Poll::Ready(Some(item)),
            None => self.poll_version(cx),
        }
    }

    /// Returns the result of the long work in progress, or else the event of the next complete element; `None` if no element is complete yet.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        loop {
            if let Some(event) = ready!(self.poll_work(cx)) {
                return Poll::Ready(Some(event));
            }
            ready!(turn::poll_take(cx, ELEMENT_UNITS));
            let Some(element) = self.publisher.next_element() else {
                return Poll::Ready(None);
            };
            match self.publisher.check_piece(&element) {
                Some(piece) => self.spawn(piece, |publisher| publisher.check(element)),
                None => {
                    if let Some(item) = self.publisher.check(element) {
                        return Poll::Ready(Some(item));
                    }
                }
            }
        }
    }

    /// Polls for a version of the object, and pauses the next one; `None`: it has not changed.
    fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        let Some((length, piece)) = self.publisher.changed() else {
            return Poll::Ready(None);
        };
        self.pause
            .as_mut()
            .reset((Instant::now() + INTERVAL_PER_BYTE * length).into());
        self.is_pausing = true;
        match piece {
            Some(piece) => {
                self.spawn(piece, PartialPublisher::version);
                self.poll_work(cx)
            }
            None => Poll::Ready(self.publisher.version()),
        }
    }

    /// Starts to make an event as long work.
    fn spawn(
        &mut self,
        piece: Piece,
        make: impl FnOnce(&PartialPublisher) -> Option<PartialEvent> + Send + 'static,
    ) {
        let publisher = Arc::clone(&self.publisher);
        // In a task: the stream may not be polled for long, and would keep a permit from the others.
        self.work.spawn(async move {
            let event = spawn_long(piece, move || make(&publisher)).await;
            event.ok().flatten()
        });
    }

    /// Waits for the long work in progress, and returns its event; `None` if there is no such work, or it made no event.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        while let Some(done) = ready!(self.work.poll_join_next(cx)) {
            if let Ok(Some(event)) = done {
                return Poll::Ready(Some(event));
            }
        }
        Poll::Ready(None)
    }
}

impl Stream for PartialStream {
    type Item = PartialEvent;

    /// Polls for the next event. The stream never ends.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        self.publisher.reader.register(cx.waker());
        if let Some(item) = ready!(self.poll_item(cx)) {
            return Poll::Ready(Some(item));
        }
        if self.is_pausing && self.pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.is_pausing = false;
        match ready!(self.poll_version(cx)) {
            Some(version) => Poll::Ready(Some(version)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
