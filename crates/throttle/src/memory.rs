//! The memory budget: every large thing that a request holds reserves its bytes here first.
//!
//! With several callers, one may hold as much as is free, so that there is always room for another caller: the same dynamic
//! threshold as for the waiting room.

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::caller_id::CallerId;

/// Memory budget of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryLedger(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    max_bytes: usize,
    max_body_bytes: usize,
    state: Mutex<Held>,
    reclaim: OnceLock<Reclaim>,
}

/// Function that frees memory that is held without being used.
struct Reclaim(Box<dyn Fn() + Send + Sync>);

impl Debug for Reclaim {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Reclaim")
    }
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// Part of the total that was set aside.
    set_aside: usize,
    by_use: BTreeMap<MemoryUse, usize>,
    by_caller: BTreeMap<CallerId, usize>,
    /// Bytes of request bodies of each caller that holds any.
    bodies_by_caller: BTreeMap<CallerId, usize>,
    has_several_callers: bool,
}

/// Kind of a reservation, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryUse {
    /// JSON bodies of requests, and the values parsed from them.
    RequestBodies,
    /// Inputs of NDJSON uploads and of jobs, until they have ended.
    Inputs,
    /// Responses, and what they are made of, until they are sent.
    Responses,
    /// Compiled schemas in use or cached.
    Schemas,
    /// The result cache, at its full size.
    Cache,
    /// The process itself: the program, its threads, buffers of connections, and the allocator's spare pages.
    Process,
}

impl MemoryUse {
    /// All uses, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::RequestBodies,
        Self::Inputs,
        Self::Responses,
        Self::Schemas,
        Self::Cache,
        Self::Process,
    ];

    /// Returns the name of the use, as in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestBodies => "request_bodies",
            Self::Inputs => "inputs",
            Self::Responses => "responses",
            Self::Schemas => "schemas",
            Self::Cache => "cache",
            Self::Process => "process",
        }
    }
}

/// Reason why memory cannot be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    /// The reservation alone is larger than a caller may ever hold.
    #[error("{bytes} bytes of memory are needed, and a caller may hold {max_bytes}")]
    TooLarge {
        /// Size of the reservation.
        bytes: usize,
        /// Maximum that one caller may hold, in bytes.
        max_bytes: usize,
    },
    /// All requests together would exceed the budget.
    #[error("the requests in progress hold all memory that they may")]
    Full,
    /// The caller's own requests hold its share of the budget.
    #[error("the caller's requests in progress hold its share of the memory")]
    ShareUsedUp,
}

/// Memory held at this time.
#[derive(Debug, Clone)]
pub struct MemorySnapshot {
    /// Budget, in bytes.
    pub max_bytes: usize,
    /// Bytes held in total.
    pub held: usize,
    /// Bytes held by each use.
    pub by_use: [(MemoryUse, usize); MemoryUse::ALL.len()],
    /// Bytes held by each caller that holds any.
    pub by_caller: BTreeMap<CallerId, usize>,
}

impl MemoryLedger {
    /// Creates a budget of `max_bytes`, of which request bodies may take `max_body_bytes`.
    #[must_use]
    pub fn new(max_bytes: usize, max_body_bytes: usize) -> Self {
        Self(Arc::new(Ledger {
            max_bytes,
            max_body_bytes,
            state: Mutex::default(),
            reclaim: OnceLock::new(),
        }))
    }

    /// Returns an empty reservation, to be enlarged.
    #[must_use]
    pub fn empty(&self, caller: CallerId, held_as: MemoryUse) -> MemoryReservation {
        MemoryReservation {
            ledger: Arc::clone(&self.0),
            caller,
            held_as,
            bytes: 0,
        }
    }

    /// Reserves memory until the reservation is dropped.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room.
    pub fn reserve(
        &self,
        caller: CallerId,
        held_as: MemoryUse,
        bytes: usize,
    ) -> Result<MemoryReservation, NoMemory> {
        let mut reservation = self.empty(caller, held_as);
        reservation.resize(bytes)?;
        Ok(reservation)
    }

    /// Records memory that is taken already, until the reservation is dropped. It may exceed the budget: then there is no room for
    /// anything else.
    #[must_use]
    pub fn record(&self, caller: CallerId, held_as: MemoryUse, bytes: usize) -> MemoryReservation {
        let mut recorded = self.empty(caller, held_as);
        recorded.record(bytes);
        recorded
    }

    /// Sets `bytes` aside for as long as the ledger exists, on behalf of no caller: callers share what is left. To be called once
    /// for a use, at the start.
    pub fn set_aside(&self, held_as: MemoryUse, bytes: usize) {
        let mut held = self.0.lock();
        held.total += bytes;
        held.set_aside += bytes;
        *held.by_use.entry(held_as).or_default() += bytes;
    }

    /// Sets the function that frees memory that is held without being used. It is called when there is no room for a reservation, which is
    /// then tried once more; it must not reserve any. The first function stays.
    pub fn set_reclaim(&self, reclaim: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.reclaim.set(Reclaim(Box::new(reclaim)));
    }

    /// Returns the memory that callers share, in bytes: the budget without what was set aside.
    #[must_use]
    pub fn shared_bytes(&self) -> usize {
        self.0.shared_bytes(&self.0.lock())
    }

    /// Sets whether several callers share the budget, so that one may not hold all of it.
    pub fn set_has_several_callers(&self, has_several: bool) {
        self.0.lock().has_several_callers = has_several;
    }

    /// Returns the memory held at this time.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        let held = self.0.lock();
        MemorySnapshot {
            max_bytes: self.0.max_bytes,
            held: held.total,
            by_use: MemoryUse::ALL.map(|held_as| (held_as, held.bytes_of(held_as))),
            by_caller: held.by_caller.clone(),
        }
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared_bytes(&self, held: &Held) -> usize {
        self.max_bytes.saturating_sub(held.set_aside)
    }

    /// Returns the bytes that one caller may hold when nobody else holds any.
    fn max_bytes_of_caller(&self, held: &Held) -> usize {
        held.max_share(self.shared_bytes(held))
    }

    /// Checks that a caller may hold `bytes` more.
    fn check(
        &self,
        held: &Held,
        reservation: &MemoryReservation,
        bytes: usize,
    ) -> Result<(), NoMemory> {
        let own = held
            .by_caller
            .get(&reservation.caller)
            .copied()
            .unwrap_or_default();
        let max_bytes = self.max_bytes_of_caller(held);
        let is_body = reservation.held_as == MemoryUse::RequestBodies;
        let all_bytes = reservation.bytes.saturating_add(bytes);
        let max_bytes = if is_body {
            max_bytes.min(held.max_share(self.max_body_bytes))
        } else {
            max_bytes
        };
        if all_bytes > max_bytes {
            return Err(NoMemory::TooLarge {
                bytes: all_bytes,
                max_bytes,
            });
        }
        let total = held.total.saturating_add(bytes);
        let bodies = held
            .bytes_of(MemoryUse::RequestBodies)
            .saturating_add(bytes);
        if total > self.max_bytes || (is_body && bodies > self.max_body_bytes) {
            return Err(NoMemory::Full);
        }
        let own_bodies = held.bodies_by_caller.get(&reservation.caller);
        let own_bodies = own_bodies.copied().unwrap_or_default();
        let is_above_share = own.saturating_add(bytes) > self.max_bytes - total
            || (is_body && own_bodies.saturating_add(bytes) > self.max_body_bytes - bodies);
        if held.has_several_callers && is_above_share {
            return Err(NoMemory::ShareUsedUp);
        }
        Ok(())
    }
}

impl Held {
    /// Returns how many of these bytes one caller may hold when nobody else holds any.
    const fn max_share(&self, bytes: usize) -> usize {
        if self.has_several_callers {
            bytes / 2
        } else {
            bytes
        }
    }

    /// Returns the bytes held by a use.
    fn bytes_of(&self, held_as: MemoryUse) -> usize {
        self.by_use.get(&held_as).copied().unwrap_or_default()
    }

    /// Changes a reservation to `bytes`.
    fn change(&mut self, reservation: &mut MemoryReservation, bytes: usize) {
        match bytes.checked_sub(reservation.bytes) {
            Some(0) => {}
            Some(more) => self.add(reservation, more),
            None => self.subtract(reservation, reservation.bytes - bytes),
        }
        reservation.bytes = bytes;
    }

    fn add(&mut self, reservation: &MemoryReservation, bytes: usize) {
        self.total += bytes;
        *self.by_use.entry(reservation.held_as).or_default() += bytes;
        for held in self.of_caller(reservation) {
            *held.entry(reservation.caller).or_default() += bytes;
        }
    }

    fn subtract(&mut self, reservation: &MemoryReservation, bytes: usize) {
        self.total -= bytes;
        if let Some(held) = self.by_use.get_mut(&reservation.held_as) {
            *held -= bytes;
        }
        for held in self.of_caller(reservation) {
            if let Some(own) = held.get_mut(&reservation.caller) {
                *own -= bytes;
                if *own == 0 {
                    held.remove(&reservation.caller);
                }
            }
        }
    }

    /// Returns the sums by caller to which a reservation belongs.
    fn of_caller(
        &mut self,
        reservation: &MemoryReservation,
    ) -> impl Iterator<Item = &mut BTreeMap<CallerId, usize>> {
        let is_body = reservation.held_as == MemoryUse::RequestBodies;
        let bodies = is_body.then_some(&mut self.bodies_by_caller);
        [Some(&mut self.by_caller), bodies].into_iter().flatten()
    }
}

/// Memory that is reserved until this is dropped.
#[derive(Debug)]
pub struct MemoryReservation {
    ledger: Arc<Ledger>,
    caller: CallerId,
    held_as: MemoryUse,
    bytes: usize,
}

impl MemoryReservation {
    /// Returns the caller on whose behalf it is reserved.
    #[must_use]
    pub const fn caller(&self) -> CallerId {
        self.caller
    }

    /// Returns the number of bytes reserved.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the maximum that the caller may hold when nobody else holds any, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.ledger.max_bytes_of_caller(&self.ledger.lock())
    }

    /// Changes the reservation to `bytes`. A smaller one always succeeds.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room; the reservation is unchanged.
    pub fn resize(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let result = self.try_resize(bytes);
        if let Err(NoMemory::Full | NoMemory::ShareUsedUp) = result
            && let Some(Reclaim(reclaim)) = self.ledger.reclaim.get()
        {
            reclaim();
            return self.try_resize(bytes);
        }
        result
    }

    fn try_resize(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let ledger = Arc::clone(&self.ledger);
        let mut held = ledger.lock();
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            ledger.check(&held, self, more)?;
        }
        held.change(self, bytes);
        Ok(())
    }

    /// Gives back what is reserved above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        self.record(bytes.min(self.bytes));
    }

    /// Changes the reservation to the `bytes` that are taken already, which may exceed the budget.
    pub fn record(&mut self, bytes: usize) {
        let ledger = Arc::clone(&self.ledger);
        ledger.lock().change(self, bytes);
    }

    /// Moves up to `bytes` of the reservation into one of their own.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            ledger: Arc::clone(&self.ledger),
            bytes,
            ..*self
        }
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.ledger.lock().subtract(self, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    #[test]
    fn what_is_recorded_leaves_no_room_for_more() {
        let ledger = MemoryLedger::new(1000, 1000);
        ledger.set_has_several_callers(true);
        let mut recorded = ledger.record(ALICE, MemoryUse::Responses, 1200);
        assert_eq!(ledger.snapshot().held, 1200);
        recorded.resize(1200).expect("it takes no more");
        let refused = ledger.reserve(BOB, MemoryUse::Inputs, 1).unwrap_err();
        assert_eq!(refused, NoMemory::Full);
        drop(recorded);
        assert_eq!(ledger.snapshot().held, 0);
        let _room = ledger.reserve(BOB, MemoryUse::Inputs, 1).unwrap();
    }

    #[test]
    fn everything_is_returned_and_nothing_exceeds_the_budget() {
        let ledger = MemoryLedger::new(1000, 600);
        let mut first = ledger.reserve(ALICE, MemoryUse::Inputs, 300).unwrap();
        assert_eq!(first.max_bytes(), 1000);
        let body = ledger
            .reserve(ALICE, MemoryUse::RequestBodies, 600)
            .unwrap();
        assert_eq!(first.resize(500), Err(NoMemory::Full));
        assert_eq!(
            ledger
                .reserve(BOB, MemoryUse::RequestBodies, 1)
                .unwrap_err(),
            NoMemory::Full
        );
        first.shrink(200);
        first.shrink(500);
        assert_eq!(first.bytes(), 200);
        first.resize(400).unwrap();
        let second = first.split(150);
        assert_eq!((first.bytes(), second.bytes()), (250, 150));
        drop(first);
        let snapshot = ledger.snapshot();
        assert_eq!(
            (snapshot.held, snapshot.by_caller),
            (750, BTreeMap::from([(ALICE, 750)]))
        );
        assert_eq!(snapshot.by_use[1], (MemoryUse::Inputs, 150));
        drop((second, body));
        assert_eq!(ledger.snapshot().held, 0);
        assert!(matches!(
            ledger.reserve(ALICE, MemoryUse::RequestBodies, 601),
            Err(NoMemory::TooLarge { max_bytes: 600, .. })
        ));
    }

    #[test]
    fn what_is_set_aside_belongs_to_no_caller_and_is_lacking_to_all() {
        let ledger = MemoryLedger::new(1000, 1000);
        ledger.set_aside(MemoryUse::Cache, 400);
        assert_eq!(
            ledger.reserve(ALICE, MemoryUse::Inputs, 601).unwrap_err(),
            NoMemory::TooLarge {
                bytes: 601,
                max_bytes: 600
            }
        );
        let alice = ledger.reserve(ALICE, MemoryUse::Inputs, 600).unwrap();
        let snapshot = ledger.snapshot();
        assert_eq!(
            (snapshot.held, snapshot.by_caller),
            (1000, BTreeMap::from([(ALICE, 600)]))
        );
        assert!(snapshot.by_use.contains(&(MemoryUse::Cache, 400)));
        assert_eq!(
            ledger.reserve(BOB, MemoryUse::Inputs, 1).unwrap_err(),
            NoMemory::Full
        );
        drop(alice);
        assert_eq!(ledger.snapshot().held, 400);
        ledger.set_has_several_callers(true);
        assert!(matches!(
            ledger.reserve(BOB, MemoryUse::Inputs, 301),
            Err(NoMemory::TooLarge { max_bytes: 300, .. })
        ));
    }

    #[test]
    fn what_is_not_used_makes_room() {
        let ledger = MemoryLedger::new(1000, 1000);
        ledger.set_aside(MemoryUse::Process, 200);
        assert_eq!(ledger.shared_bytes(), 800);
        let unused = ledger.reserve(ALICE, MemoryUse::Schemas, 300).unwrap();
        let unused = Mutex::new(vec![unused]);
        ledger.set_reclaim(move || unused.lock().unwrap().clear());
        let mut bob = ledger.reserve(BOB, MemoryUse::Inputs, 500).unwrap();
        assert_eq!(ledger.snapshot().held, 1000);
        assert!(matches!(bob.resize(801), Err(NoMemory::TooLarge { .. })));
        assert_eq!(ledger.snapshot().held, 1000);
        bob.resize(800).unwrap();
        let refused = ledger.reserve(ALICE, MemoryUse::Inputs, 1).unwrap_err();
        assert_eq!(refused, NoMemory::Full);
    }

    #[test]
    fn one_caller_leaves_room_for_the_bodies_of_others() {
        let ledger = MemoryLedger::new(100_000, 1_000);
        ledger.set_has_several_callers(true);
        let body = |caller, bytes| ledger.reserve(caller, MemoryUse::RequestBodies, bytes);
        assert_eq!(
            body(ALICE, 501).unwrap_err(),
            NoMemory::TooLarge {
                bytes: 501,
                max_bytes: 500
            }
        );
        let mut bodies = vec![body(ALICE, 250).unwrap(), body(ALICE, 250).unwrap()];
        assert_eq!(body(ALICE, 1).unwrap_err(), NoMemory::ShareUsedUp);
        bodies.push(body(BOB, 250).unwrap());
        assert_eq!(body(BOB, 1).unwrap_err(), NoMemory::ShareUsedUp);
        let other = ledger.reserve(ALICE, MemoryUse::Inputs, 10_000).unwrap();
        bodies.clear();
        assert!(body(ALICE, 500).is_ok(), "other uses do not count");
        ledger.set_has_several_callers(false);
        assert!(body(ALICE, 1_000).is_ok());
        drop(other);
    }

    #[test]
    fn one_caller_leaves_memory_to_the_others() {
        let ledger = MemoryLedger::new(1000, 1000);
        ledger.set_has_several_callers(true);
        let mut alice = ledger.reserve(ALICE, MemoryUse::Inputs, 500).unwrap();
        assert!(matches!(alice.resize(501), Err(NoMemory::TooLarge { .. })));
        assert_eq!(
            ledger.reserve(ALICE, MemoryUse::Responses, 1).unwrap_err(),
            NoMemory::ShareUsedUp
        );
        let bob = ledger.reserve(BOB, MemoryUse::Inputs, 250).unwrap();
        assert_eq!(
            ledger.reserve(BOB, MemoryUse::Inputs, 1).unwrap_err(),
            NoMemory::ShareUsedUp
        );
        drop(alice);
        assert!(ledger.reserve(BOB, MemoryUse::Inputs, 250).is_ok());
        drop(bob);
    }
}
