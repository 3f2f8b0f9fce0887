//! Memory whose holder waits for room before it reads on: a reader of inputs, or the writer of a page of results.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use throttle::{CallerId, MemoryReservation, NoMemory};
use tokio::time::{Instant, Sleep};

use crate::provider::call_room;

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

    /// Polls until the memory of inputs of so many bytes is reserved, while there is room for a call with them beside it. Inputs that
    /// took all room would wait for the memory of their calls, and the calls for that of the inputs. Large inputs, for which there is
    /// never that much, are reserved without it.
    ///
    /// # Errors
    /// [`NoMemory`] if there was no room in time.
    pub fn poll_reserve_inputs(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
    ) -> Poll<Result<(), NoMemory>> {
        let most = (bytes + call_room(bytes)).min(self.reservation.max_bytes() / 2);
        let reserved = ready!(self.poll_reserve(cx, bytes.max(most)));
        self.reservation.shrink(bytes);
        Poll::Ready(reserved)
    }

    /// Waits until the memory of inputs of so many bytes is reserved, as [`poll_reserve_inputs`](Self::poll_reserve_inputs) does.
    ///
    /// # Errors
    /// [`NoMemory`] if there was no room in time.
    pub async fn reserve_inputs(&mut self, bytes: usize) -> Result<(), NoMemory> {
        poll_fn(|cx| self.poll_reserve_inputs(cx, bytes)).await
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use throttle::{MemoryLedger, MemoryUse};

    use super::*;

    #[tokio::test]
    async fn inputs_leave_room_for_a_call_unless_they_are_large() {
        const MIB: usize = 1 << 20;
        let ledger = MemoryLedger::new(16 * MIB, 16 * MIB);
        let caller = CallerId(1);
        let memory = || {
            let empty = ledger.empty(caller, MemoryUse::Inputs);
            WaitingMemory::new(empty, Duration::MAX)
        };
        let others = ledger.reserve(caller, MemoryUse::Inputs, 14 * MIB).unwrap();
        let mut inputs = memory();
        assert!(inputs.reserve_inputs(MIB).now_or_never().is_none());
        assert_eq!(
            ledger.snapshot().held,
            14 * MIB,
            "it holds nothing meanwhile"
        );
        let mut small = memory();
        small.reserve_inputs(64 * 1024).await.unwrap();
        drop(small);
        drop(others);
        let others = ledger.reserve(caller, MemoryUse::Inputs, 13 * MIB).unwrap();
        inputs.reserve_inputs(MIB).await.unwrap();
        assert_eq!(ledger.snapshot().held, 14 * MIB);
        drop((inputs, others));
        let mut large = memory();
        large.reserve_inputs(15 * MIB).await.unwrap();
        assert_eq!(ledger.snapshot().held, 15 * MIB);
    }
}
