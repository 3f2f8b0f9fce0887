//! Memory whose holder waits for room before it reads on: a reader of inputs, or the writer of a page of results.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use throttle::{CallerId, MemoryReservation, NoMemory};
use tokio::time::{Instant, Sleep};

/// Interval of the tries to reserve memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Memory that can be waited for. Each input that a reader has read takes its part of the reader's with it.
#[derive(Debug)]
pub struct WaitingMemory {
    reservation: MemoryReservation,
    /// Time for which the holder may wait for room.
    max_wait: Duration,
    /// Timer of the next try, and the start of the wait; `None` while there is room.
    wait: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl WaitingMemory {
    /// Creates a memory whose holder waits up to `max_wait` for room.
    #[must_use]
    pub const fn new(reservation: MemoryReservation, max_wait: Duration) -> Self {
        Self {
            reservation,
            max_wait,
            wait: None,
        }
    }

    /// Returns the caller on whose behalf the memory is reserved.
    #[must_use]
    pub const fn caller(&self) -> CallerId {
        self.reservation.caller()
    }

    /// Waits until the memory of `bytes` is reserved.
    ///
    /// # Errors
    /// [`NoMemory`] if there was no room in time.
    pub async fn reserve(&mut self, bytes: usize) -> Result<(), NoMemory> {
        poll_fn(|cx| self.poll_reserve(cx, bytes)).await
    }

    /// Polls [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// [`NoMemory`] if there was no room in time.
    pub fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
    ) -> Poll<Result<(), NoMemory>> {
        while let Err(refused) = self.reservation.resize(bytes) {
            let (timer, since) = self.wait.get_or_insert_with(|| {
                (Box::pin(tokio::time::sleep(RETRY_INTERVAL)), Instant::now())
            });
            if since.elapsed() >= self.max_wait {
                self.wait = None;
                return Poll::Ready(Err(refused));
            }
            ready!(timer.as_mut().poll(cx));
            timer.set(tokio::time::sleep(RETRY_INTERVAL));
        }
        self.wait = None;
        Poll::Ready(Ok(()))
    }

    /// Gives back what is reserved above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        self.reservation.shrink(bytes);
    }

    /// Returns the reservation.
    pub const fn reservation_mut(&mut self) -> &mut MemoryReservation {
        &mut self.reservation
    }

    /// Moves up to `bytes` into the reservation of an input.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> MemoryReservation {
        self.reservation.split(bytes)
    }
}
