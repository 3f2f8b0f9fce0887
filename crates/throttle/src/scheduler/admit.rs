//! Admission: decides how many items of a request may wait or be in flight, or rejects the request.

use std::time::{Duration, Instant};

use super::State;
use crate::types::{AdmissionRequest, CallerId, RETRY_SOON, Refused, RequestId};

impl State {
    /// Admits a request, with as large a part of its wanted window as there is room for.
    pub fn admit(
        &mut self,
        caller: CallerId,
        asked: &AdmissionRequest,
        now: Instant,
    ) -> Result<(RequestId, usize), Refused> {
        let AdmissionRequest {
            pool,
            items: wanted,
            has_price,
            ..
        } = *asked;
        // Items that are parked leave free slots to others.
        let ready = self.pools.get(pool.0).map_or(0, |pool| {
            if pool.is_idle() {
                pool.provider.available_calls(now)
            } else {
                0
            }
        });
        let mut ready = ready.min(self.slots.available_permits());
        let mut own_room = usize::MAX;
        if let Some(own) = self.callers.get_mut(&caller) {
            if own.has_budget() && !has_price {
                return Err(Refused::NoPrice);
            }
            if let Some(until) = own.budget_exhausted_until(now) {
                return Err(Refused::BudgetExhausted {
                    retry_after: until - now,
                });
            }
            ready = ready.min(own.available_calls(now));
            own_room = own.free_room(ready).unwrap_or(usize::MAX);
        }
        let waiting = self.queued();
        let room = (self.config.max_queue + ready).saturating_sub(waiting);
        if room == 0 {
            return Err(Refused::Overloaded {
                waiting,
                max_queue: self.config.max_queue,
                retry_after: RETRY_SOON,
            });
        }
        if own_room == 0 {
            return Err(Refused::QuotaUsedUp {
                retry_after: self.quota_reset(caller, now).max(RETRY_SOON),
            });
        }
        let window = wanted.min(room).min(own_room);
        self.admitted += window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted += window;
        }
        self.requests += 1;
        Ok((self.requests, window))
    }

    /// Returns the window of a request that ended.
    pub fn release_window(&mut self, caller: CallerId, window: usize) {
        self.admitted -= window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted -= window;
        }
    }

    /// Returns the time until all quotas of a minute of a caller have something again; zero if they have now.
    fn quota_reset(&self, caller: CallerId, now: Instant) -> Duration {
        let Some(own) = self.callers.get(&caller) else {
            return Duration::ZERO;
        };
        let status = own.quota_status(now);
        let windows = [status.requests, status.tokens].into_iter().flatten();
        windows.map(|window| window.reset).max().unwrap_or_default()
    }
}
