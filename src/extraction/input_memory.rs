//! Memory of inputs that are read and not extracted yet: a reader waits for room before it reads on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use throttle::{CallerId, MemoryReservation};
use tokio::time::{Instant, Sleep};

/// Interval of the tries to reserve memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Memory that a reader of inputs holds, of which each input takes its part with it.
#[derive(Debug)]
pub struct InputMemory {
    reservation: MemoryReservation,
    /// Time for which the reader may wait for room.
    max_wait: Duration,
    /// Timer of the next try, and the start of the wait; `None` while there is room.
    wait: Option<(Pin<Box<Sleep>>, Instant)>,
}

/// The reader has waited for room for as long as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitedTooLong;

impl InputMemory {
    /// Creates a memory whose reader waits up to `max_wait` for room.
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
    /// [`WaitedTooLong`] if there was no room in time.
    pub fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
    ) -> Poll<Result<(), WaitedTooLong>> {
        while self.reservation.resize(bytes).is_err() {
            let (timer, since) = self.wait.get_or_insert_with(|| {
                (Box::pin(tokio::time::sleep(RETRY_INTERVAL)), Instant::now())
            });
            if since.elapsed() >= self.max_wait {
                self.wait = None;
                return Poll::Ready(Err(WaitedTooLong));
            }
            ready!(timer.as_mut().poll(cx));
            timer.set(tokio::time::sleep(RETRY_INTERVAL));
        }
        self.wait = None;
        Poll::Ready(Ok(()))
    }

    /// Moves up to `bytes` into the reservation of an input.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> MemoryReservation {
        self.reservation.split(bytes)
    }
}
