//! Memory of many small things of one request, reserved in steps: the ledger is not asked for each of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caller_id::CallerId;
use crate::memory::MemoryReservation;

/// Step in which a pool reserves memory, in bytes: 64 KiB. What is below a step is not reserved, and is the share of an ordinary request.
const STEP_BYTES: usize = 64 * 1024;

/// Memory of many things that are made on behalf of one caller; cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryPool(Arc<Mutex<Pool>>);

#[derive(Debug)]
struct Pool {
    /// Bytes held, for which the pool reserves steps.
    held: usize,
    /// Bytes held that have reservations of their own.
    reserved_apart: usize,
    reservation: MemoryReservation,
}

impl MemoryPool {
    /// Wraps an empty reservation.
    #[must_use]
    pub fn new(reservation: MemoryReservation) -> Self {
        Self(Arc::new(Mutex::new(Pool {
            held: 0,
            reserved_apart: 0,
            reservation,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the caller on whose behalf the memory is held.
    #[must_use]
    pub fn caller(&self) -> CallerId {
        self.lock().reservation.caller()
    }

    /// Returns the number of bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        let pool = self.lock();
        pool.held.saturating_add(pool.reserved_apart)
    }

    /// Records memory that is taken already, until what is returned is dropped. It may exceed the budget, as by
    /// [`MemoryLedger::record`](crate::MemoryLedger::record).
    #[must_use]
    pub fn hold(&self, bytes: usize) -> PooledMemory {
        let mut pool = self.lock();
        let held = pool.held.saturating_add(bytes);
        pool.set(held);
        drop(pool);
        PooledMemory {
            pool: self.clone(),
            bytes,
            reserved: None,
        }
    }

    /// Holds memory that was reserved before it is taken, until what is returned is dropped.
    #[must_use]
    pub fn hold_reserved(&self, reserved: MemoryReservation) -> PooledMemory {
        let bytes = reserved.bytes();
        let mut pool = self.lock();
        pool.reserved_apart = pool.reserved_apart.saturating_add(bytes);
        drop(pool);
        PooledMemory {
            pool: self.clone(),
            bytes,
            reserved: Some(reserved),
        }
    }
}

impl Pool {
    /// Forgets bytes that have a reservation of their own.
    const fn leave(&mut self, bytes: usize) {
        self.reserved_apart = self.reserved_apart.saturating_sub(bytes);
    }

    /// Sets the number of bytes held for which the pool reserves steps. A step more than is needed stays reserved, so that not each change needs the ledger.
    fn set(&mut self, held: usize) {
        self.held = held;
        let (needed, reserved) = (held / STEP_BYTES * STEP_BYTES, self.reservation.bytes());
        if needed > reserved || needed.saturating_add(STEP_BYTES) < reserved || held == 0 {
            self.reservation.record(needed);
        }
    }
}

/// Part of a pool's memory, held until it is dropped. A clone is memory as well.
#[derive(Debug)]
pub struct PooledMemory {
    pool: MemoryPool,
    bytes: usize,
    /// Reservation of its own; `None`: its part of the pool's.
    reserved: Option<MemoryReservation>,
}

impl PooledMemory {
    /// Takes the memory out of its pool, if it was reserved on its own.
    ///
    /// # Errors
    /// The memory itself if it was not.
    pub fn into_reservation(mut self) -> Result<MemoryReservation, Self> {
        let Some(reserved) = self.reserved.take() else {
            return Err(self);
        };
        self.pool.lock().leave(self.bytes);
        self.bytes = 0;
        Ok(reserved)
    }
}

impl Clone for PooledMemory {
    fn clone(&self) -> Self {
        self.pool.hold(self.bytes)
    }
}

impl Drop for PooledMemory {
    fn drop(&mut self) {
        let mut pool = self.pool.lock();
        if self.reserved.is_some() {
            pool.leave(self.bytes);
        } else {
            let held = pool.held.saturating_sub(self.bytes);
            pool.set(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryLedger, MemoryUse};

    #[test]
    fn a_pool_reserves_whole_steps_of_what_is_held() {
        let ledger = MemoryLedger::new(10 * STEP_BYTES, 10 * STEP_BYTES);
        let pool = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let reserved = || ledger.snapshot().held / STEP_BYTES;
        let small: Vec<_> = (0..3).map(|_| pool.hold(STEP_BYTES / 4)).collect();
        assert_eq!(reserved(), 0);
        let large = pool.hold(STEP_BYTES * 5);
        assert_eq!(reserved(), 5);
        let copy = large.clone();
        // More than the budget: it is taken already.
        assert_eq!((reserved(), pool.held()), (10, STEP_BYTES * 43 / 4));
        drop((large, small));
        assert_eq!(reserved(), 5);
        drop(copy);
        assert_eq!((reserved(), pool.held()), (0, 0));
        assert_eq!(pool.caller(), CallerId(1));
    }

    #[test]
    fn what_was_reserved_before_is_held_without_being_counted_twice() {
        let ledger = MemoryLedger::new(10 * STEP_BYTES, 10 * STEP_BYTES);
        let pool = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let reserve = |bytes| ledger.reserve(CallerId(1), MemoryUse::Responses, bytes);
        let first = pool.hold_reserved(reserve(1_000).unwrap());
        let second = pool.hold_reserved(reserve(200_000).unwrap());
        let recorded = pool.hold(STEP_BYTES);
        assert_eq!(pool.held(), 201_000 + STEP_BYTES);
        assert_eq!(ledger.snapshot().held, 201_000 + STEP_BYTES);
        let recorded = recorded.into_reservation().unwrap_err();
        drop((first, recorded));
        assert_eq!((pool.held(), ledger.snapshot().held), (200_000, 200_000));
        let taken = second.into_reservation().unwrap();
        assert_eq!((pool.held(), ledger.snapshot().held), (0, 200_000));
        drop(taken);
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[test]
    fn one_step_more_than_is_needed_stays_reserved_until_nothing_is_held() {
        let ledger = MemoryLedger::new(10 * STEP_BYTES, 10 * STEP_BYTES);
        let pool = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let mut parts: Vec<_> = (0..4).map(|_| pool.hold(STEP_BYTES)).collect();
        let reserved = std::iter::from_fn(|| {
            parts.pop()?;
            Some(ledger.snapshot().held / STEP_BYTES)
        });
        assert_eq!(reserved.collect::<Vec<_>>(), [4, 2, 2, 0]);
    }
}
