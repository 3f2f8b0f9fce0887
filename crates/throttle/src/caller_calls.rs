//! Calls in flight of one caller, and how many more it may have beside those of the others.
//!
//! A call may last for an hour, and nothing ends it early, so what a caller takes of the slots of a limit it takes for as long as its
//! calls last. Of each limit of calls in flight that callers share (of the process, a provider, a model):
//!
//! - a caller without calls takes any free slot, and every other one takes slots while half of them stay free;
//! - once a call of a caller has ended, it has its fair share: seven eighths are divided among the callers that have used the limit in
//!   the last minute. A sixteenth of the slots stays free for callers without calls;
//! - a caller takes more than that, and leaves an eighth, if its calls give their slots back about as soon as those of others: at most as
//!   many more as have ended in the last minute.
//!
//! A threshold that falls with the free slots, as that of waiting items (`scheduler/admit.rs`), does not give this: with 64 slots, callers
//! that take what it permits one after the other hold 57, 6 and 1. Slots that are left for each idle caller, instead of half of them by
//! callers with long calls, do not either: a batch needs more than one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::call_times::CallTimes;
use crate::raii_counter::{CountGuard, RaiiCounter};
use crate::types::PoolId;

/// Part of the slots that is left by callers above their fair share: one of so many, and at least one.
const SLOTS_FOR_EACH_LEFT: usize = 8;
/// Time after its last call in which a caller has a fair share of a limit.
const ACTIVE_TIME: Duration = Duration::from_secs(60);
/// Factor between the usual time of a caller's calls and that of others, up to which its calls are as short as theirs.
const MAX_TIME_FACTOR: f64 = 4.0;
/// Time, in seconds, up to which calls are short whatever those of others take: the callers are counted as seldom.
const SHORT_TIME: f64 = 0.1;
/// The usual time of calls is that of the caller at this part of the callers, from the one with the shortest calls: a few callers with
/// very long or very short calls do not change it.
const USUAL_CALLER: usize = 4;

/// Limit of calls in flight that callers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallLimit {
    /// That of the whole process.
    Process,
    Provider(PoolId),
    /// That of a model that has one of its own, by the model's number.
    Model(u64),
}

/// Callers that use a limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitUse {
    /// Number of callers that have used the limit in the last minute.
    active_callers: usize,
    /// Time, in seconds, that a call of most of them takes at least; `None` if none has ended.
    usual_time: Option<f64>,
}

/// Callers that use each limit. Counted from time to time.
#[derive(Debug, Default)]
pub struct CallShares(BTreeMap<CallLimit, LimitUse>);

/// Calls in flight of one caller.
#[derive(Debug, Default)]
pub struct CallerCalls {
    /// True if slots are left to other callers.
    pub leaves_slots: bool,
    by_limit: BTreeMap<CallLimit, CallsUnder>,
}

/// Calls of one caller under one limit.
#[derive(Debug)]
struct CallsUnder {
    in_flight: RaiiCounter,
    times: CallTimes,
}

/// Call in flight of a caller, counted while this lives.
#[derive(Debug)]
pub struct CallerCallGuard(#[expect(dead_code, reason = "held, not read")] [Option<CountGuard>; 3]);

/// Returns the limits of a call to a provider, and to a model if that has a limit of its own.
fn limits_of(provider: PoolId, limited_model: Option<u64>) -> [Option<CallLimit>; 3] {
    [
        Some(CallLimit::Process),
        Some(CallLimit::Provider(provider)),
        limited_model.map(CallLimit::Model),
    ]
}

impl CallShares {
    /// Counts the callers that use each limit.
    pub fn count<'a>(callers: impl Iterator<Item = &'a mut CallerCalls>, now: Instant) -> Self {
        let mut times: BTreeMap<CallLimit, (usize, Vec<f64>)> = BTreeMap::new();
        for calls in callers {
            calls.by_limit.retain(|_, own| own.is_active(now));
            for (limit, own) in &mut calls.by_limit {
                own.times.update(own.in_flight.count(), now);
                let (active_callers, usual_times) = times.entry(*limit).or_default();
                *active_callers += 1;
                usual_times.extend(own.times.usual_time());
            }
        }
        let uses = times
            .into_iter()
            .map(|(limit, (active_callers, mut usual_times))| {
                usual_times.sort_by(f64::total_cmp);
                let index = usual_times.len().saturating_sub(1) / USUAL_CALLER;
                let usual_time = usual_times.get(index).copied();
                let of_limit = LimitUse {
                    active_callers,
                    usual_time,
                };
                (limit, of_limit)
            });
        Self(uses.collect())
    }

    fn get(&self, limit: CallLimit) -> LimitUse {
        self.0.get(&limit).copied().unwrap_or_default()
    }
}

impl CallsUnder {
    fn is_active(&self, now: Instant) -> bool {
        self.in_flight.count() > 0 || self.times.was_used_within(ACTIVE_TIME, now)
    }

    /// Returns how many calls above its fair share the caller has earned: as many as have ended in about the last minute, if they
    /// take no longer than those of others. `None`: none has ended yet.
    fn earned(&self, of_limit: LimitUse) -> Option<usize> {
        let own = self.times.usual_time()?;
        let usual = of_limit.usual_time.unwrap_or(own);
        let are_short = own <= SHORT_TIME.max(MAX_TIME_FACTOR * usual);
        Some(if are_short { self.times.ended() } else { 0 })
    }
}

impl CallerCalls {
    /// Returns the number of all calls.
    pub fn count(&self) -> usize {
        self.under(CallLimit::Process)
    }

    /// Returns the number of calls under a limit.
    pub fn under(&self, limit: CallLimit) -> usize {
        let own = self.by_limit.get(&limit);
        own.map_or(0, |own| own.in_flight.count())
    }

    /// Counts a call to a provider, and to a model if that has a limit of its own.
    pub fn guard(
        &mut self,
        provider: PoolId,
        limited_model: Option<u64>,
        now: Instant,
    ) -> CallerCallGuard {
        let mut guard = |limit| {
            let own = self.by_limit.entry(limit).or_insert_with(|| CallsUnder {
                in_flight: RaiiCounter::default(),
                times: CallTimes::new(now),
            });
            own.times.record_start(own.in_flight.count(), now);
            own.in_flight.guard()
        };
        CallerCallGuard(limits_of(provider, limited_model).map(|limit| limit.map(&mut guard)))
    }

    /// Records the end of a call, whose guard is dropped after this.
    pub fn record_end(
        &mut self,
        provider: PoolId,
        limited_model: Option<u64>,
        began: Instant,
        now: Instant,
    ) {
        for limit in limits_of(provider, limited_model).into_iter().flatten() {
            if let Some(own) = self.by_limit.get_mut(&limit) {
                let in_flight = own.in_flight.count();
                own.times.record_end(in_flight, began, now);
            }
        }
    }

    /// Returns how many of the free slots of a limit the caller may take.
    pub fn available(
        &self,
        limit: CallLimit,
        slots: usize,
        free: usize,
        shares: &CallShares,
    ) -> usize {
        if !self.leaves_slots {
            return free;
        }
        let Some(own) = self.by_limit.get(&limit) else {
            return free.min(1);
        };
        let in_flight = own.in_flight.count();
        let of_limit = shares.get(limit);
        let left = slots.div_ceil(SLOTS_FOR_EACH_LEFT);
        let fair = fair_share(slots, of_limit);
        let take = |left: usize, most: usize| {
            let free = free.saturating_sub(left);
            free.min(most.saturating_sub(in_flight))
        };
        let of_share = own.earned(of_limit).map_or(0, |earned| {
            let as_others_do = take(left, fair.saturating_add(earned));
            as_others_do.max(take(left.div_ceil(2), fair))
        });
        let of_first_half = take(slots.div_ceil(2), usize::MAX);
        let first_call = usize::from(in_flight == 0 && free > 0);
        of_share.max(of_first_half).max(first_call)
    }
}

/// Returns how many slots of a limit each caller has a right to, if those that use it now share seven eighths of them.
fn fair_share(slots: usize, of_limit: LimitUse) -> usize {
    let shared = slots.saturating_sub(slots.div_ceil(SLOTS_FOR_EACH_LEFT));
    (shared / of_limit.active_callers.max(1)).max(1)
}

#[cfg(test)]
mod tests;
