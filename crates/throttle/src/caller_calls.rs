//! Calls in flight of one caller, and how many more it may have beside those of the others.
//!
//! A call may last for an hour, and nothing ends it early, so what a caller takes of the slots of a limit it takes for as long as its
//! calls last. Of each limit of calls in flight that callers share (of the process, a provider, a model):
//!
//! - a caller without calls takes any free slot, and every other one takes slots while five eighths of them stay free;
//! - once it is known how long the calls of a caller take, it has its fair share: seven eighths are divided among the callers that have
//!   used the limit in the last minute. A caller with long calls has half of them at most. A sixteenth of the slots stays free for callers
//!   without calls;
//! - a caller takes more than that, and leaves an eighth, if its calls give their slots back about as soon as those of others: a sixteenth
//!   of the slots, or as many as calls of it have ended recently, so that short calls before them do not make room for long ones.
//!
//! A threshold that falls with the free slots, as that of waiting items (`scheduler/admit.rs`), does not give this: with 64 slots, callers
//! that take what it permits one after the other hold 57, 6 and 1. Nor does a slot that is left for each idle caller: a batch needs
//! several.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::call_times::CallTimes;
use crate::raii_counter::{CountGuard, RaiiCounter};
use crate::types::PoolId;

/// Divisor of the slots: callers above their fair share leave this part of them, rounded up.
const LEFT_DIVISOR: usize = 8;
/// Time after its last call in which a caller has a fair share of a limit.
const ACTIVE_TIME: Duration = Duration::from_secs(60);
/// Calls that take at most so many times as long as those of others are short. If calls four times as long were short, they would delay the
/// batches of others (`tests/load.rs`).
const MAX_TIME_FACTOR: f64 = 3.0;
/// Number of ended calls from which a caller's usual time is that of its calls, and not of a few chosen by chance: five calls spread over the
/// last minute count as much.
const KNOWN_CALLS: f64 = 3.0;
/// Time, in seconds, up to which calls are short whatever those of others take.
const SHORT_TIME: f64 = 0.2;
/// Time, in seconds, above which calls are long whatever those of others take: the others may come when only this caller has calls.
const LONG_TIME: f64 = 60.0;
/// With the callers in order of the usual times of their calls, the time at the end of the first quarter is usual for the limit. A few
/// callers with very short or very long calls do not change it.
const QUARTILE_DIVISOR: usize = 4;

/// Limit of calls in flight that callers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallLimit {
    /// That of the whole process.
    Process,
    Provider(PoolId),
    /// That of a model that has one of its own, by the model's number.
    Model(u64),
}

/// Use of one limit: how many callers it is divided among, and which calls are short.
#[derive(Debug, Clone, Copy)]
struct LimitUse {
    /// Number of callers that have used the limit in the last minute.
    active_callers: usize,
    /// Time, in seconds, up to which calls are short.
    short_time: f64,
}

/// Use of each limit of calls in flight, counted from time to time.
#[derive(Debug, Default)]
pub struct LimitUses(BTreeMap<CallLimit, LimitUse>);

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

impl LimitUses {
    /// Counts the callers that use each limit.
    pub fn count<'a>(callers: impl Iterator<Item = &'a mut CallerCalls>, now: Instant) -> Self {
        let mut uses: BTreeMap<CallLimit, CallersOfLimit> = BTreeMap::new();
        for calls in callers {
            for (limit, own) in &mut calls.by_limit {
                if own.is_active(now) {
                    own.times.update(own.in_flight.count(), now);
                    uses.entry(*limit).or_default().add(&own.times);
                }
            }
        }
        let uses = uses.into_iter();
        Self(uses.map(|(limit, own)| (limit, own.into())).collect())
    }

    /// Returns the number of callers that use a limit.
    pub fn active_callers(&self, limit: CallLimit) -> usize {
        self.get(limit).active_callers
    }

    fn get(&self, limit: CallLimit) -> LimitUse {
        let counted = self.0.get(&limit).copied();
        counted.unwrap_or_else(|| CallersOfLimit::default().into())
    }
}

/// Callers that use a limit, while they are counted.
#[derive(Debug, Default)]
struct CallersOfLimit {
    active: usize,
    /// Usual times of the calls of those of which enough calls have ended to know it.
    known_times: Vec<f64>,
    /// Usual times of the calls of the others of which calls have ended.
    other_times: Vec<f64>,
}

impl CallersOfLimit {
    fn add(&mut self, own: &CallTimes) {
        self.active += 1;
        if own.ended() >= KNOWN_CALLS {
            self.known_times.push(own.usual_time());
        } else if own.ended() > 0.0 {
            self.other_times.push(own.usual_time());
        }
    }
}

impl From<CallersOfLimit> for LimitUse {
    fn from(callers: CallersOfLimit) -> Self {
        let mut times = callers.known_times;
        if times.is_empty() {
            times = callers.other_times;
        }
        let index = times.len().saturating_sub(1) / QUARTILE_DIVISOR;
        let usual_time = if times.is_empty() {
            LONG_TIME
        } else {
            *times.select_nth_unstable_by(index, f64::total_cmp).1
        };
        Self {
            active_callers: callers.active,
            short_time: (MAX_TIME_FACTOR * usual_time).clamp(SHORT_TIME, LONG_TIME),
        }
    }
}

impl LimitUse {
    /// Returns the fair share of each caller in the slots, if at least `least_callers` use the limit; at least one.
    fn fair_share(&self, slots: usize, least_callers: usize) -> usize {
        let shared = slots.saturating_sub(slots.div_ceil(LEFT_DIVISOR));
        (shared / self.active_callers.max(least_callers)).max(1)
    }
}

impl CallsUnder {
    fn is_active(&self, now: Instant) -> bool {
        self.in_flight.count() > 0 || self.times.was_used_within(ACTIVE_TIME, now)
    }
}

impl CallerCalls {
    /// Returns the number of all calls.
    pub fn count(&self) -> usize {
        let own = self.by_limit.get(&CallLimit::Process);
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
        is_answered: bool,
        now: Instant,
    ) {
        for limit in limits_of(provider, limited_model).into_iter().flatten() {
            if let Some(own) = self.by_limit.get_mut(&limit) {
                let in_flight = own.in_flight.count();
                own.times.record_end(in_flight, began, is_answered, now);
            }
        }
    }

    /// Returns how many of the free slots of a limit the caller may take.
    pub fn available(
        &self,
        limit: CallLimit,
        slots: usize,
        free: usize,
        uses: &LimitUses,
    ) -> usize {
        if !self.leaves_slots {
            return free;
        }
        let own = self.by_limit.get(&limit);
        let in_flight = own.map_or(0, |own| own.in_flight.count());
        let left = slots.div_ceil(LEFT_DIVISOR);
        let take = |left: usize, most: usize| {
            let free = free.saturating_sub(left);
            free.min(most.saturating_sub(in_flight))
        };
        let first_call = usize::from(in_flight == 0 && free > 0);
        let of_quiet_limit = take(slots * 5 / 8, usize::MAX);
        let of_share = own.map_or(0, |own| {
            let of_limit = uses.get(limit);
            if own.times.usual_time() > of_limit.short_time {
                take(left.div_ceil(2), of_limit.fair_share(slots, 2))
            } else if own.times.ended() > 0.0 {
                let fair = of_limit.fair_share(slots, 1);
                let more = left.div_ceil(2).max(own.times.recently_ended());
                take(left, fair.saturating_add(more)).max(take(left.div_ceil(2), fair))
            } else {
                0
            }
        });
        first_call.max(of_quiet_limit).max(of_share)
    }
}

#[cfg(test)]
mod tests;
