//! Admission: decides whether a request may enter, and how many of its items may wait or be in flight.
//!
//! A place in the waiting room belongs to an item that exists. A request takes a place for an item when it has one, and returns
//! it when the item has ended; an idle request holds none. With several callers, one may have as many items waiting as there are
//! free places, so that there is always room for another caller (the dynamic threshold of Choudhury and Hahne, "Dynamic Queue
//! Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998, with a factor of 1).

use std::time::{Duration, Instant};

use super::State;
use crate::caller_id::CallerId;
use crate::caller_quota::Caller;
use crate::types::{AdmissionRequest, PoolId, RETRY_SOON, Refused, RequestId};

impl State {
    /// Admits a request. A single takes its place at once.
    pub fn admit(
        &mut self,
        caller: CallerId,
        asked: &AdmissionRequest,
        now: Instant,
    ) -> Result<RequestId, Refused> {
        if let Some(own) = self.callers.get_mut(&caller) {
            if own.has_budget() && !asked.has_price {
                return Err(Refused::NoPrice);
            }
            if let Some(until) = own.budget_exhausted_until(now) {
                return Err(Refused::BudgetExhausted {
                    retry_after: until - now,
                });
            }
        }
        self.check_room(caller, asked.pool, now)?;
        if asked.is_single {
            self.add_place(caller);
        }
        self.requests += 1;
        Ok(self.requests)
    }

    /// Takes a place for one more item of an admitted request, if there is room. The first item of a request always has a
    /// place, so that every admitted request goes on.
    pub fn take_place(
        &mut self,
        caller: CallerId,
        pool: PoolId,
        is_first: bool,
        now: Instant,
    ) -> bool {
        let has_room = is_first || self.check_room(caller, pool, now).is_ok();
        if has_room {
            self.add_place(caller);
        }
        has_room
    }

    fn add_place(&mut self, caller: CallerId) {
        self.admitted += 1;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted += 1;
        }
    }

    /// Returns places to the waiting room.
    pub fn release_places(&mut self, caller: CallerId, places: usize) {
        self.admitted -= places;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted -= places;
        }
    }

    /// Checks that the waiting room, and the caller's part of it, have a place.
    fn check_room(&mut self, caller: CallerId, pool: PoolId, now: Instant) -> Result<(), Refused> {
        let ready = self.ready_calls(caller, pool, now);
        let waiting = self.queued();
        let room = (self.config.max_queue + ready).saturating_sub(waiting);
        if room == 0 {
            return Err(Refused::Overloaded {
                waiting,
                max_queue: self.config.max_queue,
                retry_after: RETRY_SOON,
            });
        }
        let is_shared = self.has_several_callers();
        let Some(own) = self.callers.get_mut(&caller) else {
            return Ok(());
        };
        let own_ready = ready.min(own.available_calls(now));
        if own.free_room(own_ready) == Some(0) {
            return Err(Refused::QuotaUsedUp {
                retry_after: self.quota_reset(caller, now).max(RETRY_SOON),
            });
        }
        let own_waiting = own.waiting();
        if is_shared && own_waiting >= room.saturating_add(own_ready) {
            return Err(Refused::ShareUsedUp {
                waiting: own_waiting,
                retry_after: RETRY_SOON,
            });
        }
        Ok(())
    }

    /// Returns how many calls of a caller could go out now. Items that are parked leave free slots to others.
    fn ready_calls(&self, caller: CallerId, id: PoolId, now: Instant) -> usize {
        let Some(pool) = self.pools.get(id.0).filter(|pool| pool.is_idle()) else {
            return 0;
        };
        let own = self.callers.get(&caller);
        let free = own.map_or_else(
            || self.slots.free(),
            |own| (pool.provider).available_slots(&own.in_flight, id, &self.slots),
        );
        free.min(pool.provider.available_calls(now))
    }

    /// Returns true if several callers are configured.
    pub fn has_several_callers(&self) -> bool {
        let configured = self.callers.values().filter(|caller| !caller.is_retired);
        configured.take(2).count() > 1
    }

    /// Returns the time until all quotas of a minute of a caller have something again; zero if they have now.
    fn quota_reset(&self, caller: CallerId, now: Instant) -> Duration {
        let status = self.callers.get(&caller).map(|own| own.quota_status(now));
        let status = status.unwrap_or_default();
        let windows = [status.requests, status.tokens].into_iter().flatten();
        windows.map(|window| window.reset).max().unwrap_or_default()
    }
}

impl Caller {
    /// Returns the number of its items that wait.
    pub fn waiting(&self) -> usize {
        self.admitted.saturating_sub(self.in_flight.count())
    }
}
