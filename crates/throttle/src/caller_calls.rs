//! Calls in flight of one caller, and how many more it may have beside those of the others.
//!
//! A call may last for an hour, so a caller that took every slot of a limit would stop the others for that long. Of each limit
//! of calls in flight that callers share (of the process, a provider, a model), an eighth of the slots is therefore left to callers
//! that have no call under it, and one for each other caller that has asked there in the last minute and has no call now, up to a
//! half. One caller alone takes seven eighths, and as many others as an eighth has slots find one each, whatever came before them. A
//! threshold that falls with the free slots, as that of waiting items (`scheduler/admit.rs`), does not give this: with 64 slots, callers
//! that take what it permits one after the other hold 57, 6 and 1.

use std::collections::BTreeMap;

use crate::raii_counter::{CountGuard, RaiiCounter};
use crate::types::PoolId;

/// Part of the slots that is left to callers without calls: one of so many, and at least one.
const SLOTS_FOR_EACH_LEFT: usize = 8;

/// Limit of calls in flight that callers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallLimit {
    /// That of the whole process.
    Process,
    Provider(PoolId),
    /// That of a model that has one of its own, by the model's number.
    Model(u64),
}

/// Calls in flight of one caller.
#[derive(Debug, Default)]
pub struct CallerCalls {
    /// True if slots are left to other callers.
    pub leaves_slots: bool,
    by_limit: BTreeMap<CallLimit, RaiiCounter>,
}

/// Call in flight of a caller, counted while this lives.
#[derive(Debug)]
pub struct CallerCallGuard(#[expect(dead_code, reason = "held, not read")] [Option<CountGuard>; 3]);

impl CallerCalls {
    /// Returns the number of all calls.
    pub fn count(&self) -> usize {
        self.under(CallLimit::Process)
    }

    /// Returns the number of calls under a limit.
    pub fn under(&self, limit: CallLimit) -> usize {
        self.by_limit.get(&limit).map_or(0, RaiiCounter::count)
    }

    /// Counts a call to a provider, and to a model if that has a limit of its own.
    pub fn guard(&mut self, provider: PoolId, limited_model: Option<u64>) -> CallerCallGuard {
        let limits = [
            Some(CallLimit::Process),
            Some(CallLimit::Provider(provider)),
            limited_model.map(CallLimit::Model),
        ];
        let mut guard = |limit| self.by_limit.entry(limit).or_default().guard();
        CallerCallGuard(limits.map(|limit| limit.map(&mut guard)))
    }

    /// Returns how many slots of a limit the caller leaves to others while it has calls. `idle_callers`: number of callers that have
    /// asked there lately and have no call under the limit, each of which may come with the next; this caller may be one of them.
    pub fn left(&self, slots: usize, idle_callers: usize) -> usize {
        if !self.leaves_slots {
            return 0;
        }
        let others = idle_callers.saturating_sub(1);
        slots
            .div_ceil(SLOTS_FOR_EACH_LEFT)
            .max(others.min(slots / 2))
    }

    /// Returns how many of the free slots of a limit the caller may take.
    pub fn available(
        &self,
        limit: CallLimit,
        slots: usize,
        free: usize,
        idle_callers: usize,
    ) -> usize {
        let above = free.saturating_sub(self.left(slots, idle_callers));
        if self.under(limit) == 0 {
            above.max(free.min(1))
        } else {
            above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_slots_and_at_least_one_is_left_to_callers_without_calls() {
        for (slots, most) in [(1, 1), (2, 1), (3, 2), (8, 7), (9, 7), (16, 14), (64, 56)] {
            let mut calls = CallerCalls {
                leaves_slots: true,
                ..CallerCalls::default()
            };
            let free = |calls: &CallerCalls| slots - calls.count();
            let mut guards = Vec::new();
            while calls.available(CallLimit::Process, slots, free(&calls), 0) > 0 {
                guards.push(calls.guard(PoolId(0), None));
            }
            assert_eq!(guards.len(), most, "of {slots}");
            let other = CallerCalls {
                leaves_slots: true,
                ..CallerCalls::default()
            };
            let available = other.available(CallLimit::Process, slots, free(&calls), 0);
            assert_eq!(available, free(&calls).min(1), "for a caller without calls");
            calls.leaves_slots = false;
            let available = calls.available(CallLimit::Process, slots, free(&calls), 0);
            assert_eq!(available, free(&calls));
        }
    }

    #[test]
    fn a_slot_is_left_to_each_idle_caller_and_half_of_them_at_most() {
        for (others, most) in [(0, 56), (8, 56), (9, 55), (32, 32), (50, 32)] {
            let mut calls = CallerCalls {
                leaves_slots: true,
                ..CallerCalls::default()
            };
            let idle_callers = others + 1;
            let free = |calls: &CallerCalls| 64 - calls.count();
            let mut guards = Vec::new();
            while calls.available(CallLimit::Process, 64, free(&calls), idle_callers) > 0 {
                guards.push(calls.guard(PoolId(0), None));
            }
            assert_eq!(guards.len(), most, "{others}");
        }
    }

    #[test]
    fn calls_are_counted_under_each_of_their_limits() {
        let mut calls = CallerCalls::default();
        let limited = calls.guard(PoolId(1), Some(7));
        let _unlimited = calls.guard(PoolId(2), None);
        let counts = |calls: &CallerCalls| {
            let [one, two] = [1, 2].map(|pool| calls.under(CallLimit::Provider(PoolId(pool))));
            [calls.count(), one, two, calls.under(CallLimit::Model(7))]
        };
        assert_eq!(counts(&calls), [2, 1, 1, 1]);
        drop(limited);
        assert_eq!(counts(&calls), [1, 0, 1, 0]);
    }
}
