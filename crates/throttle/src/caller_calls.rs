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
mod tests {
    use super::*;

    const SLOTS: usize = 64;
    const LIMIT: CallLimit = CallLimit::Process;

    /// Callers that share the slots, and the calls that they hold.
    struct Callers {
        calls: Vec<CallerCalls>,
        held: Vec<Vec<CallerCallGuard>>,
        slots: usize,
        shares: CallShares,
        now: Instant,
    }

    impl Callers {
        fn new(count: usize, slots: usize) -> Self {
            let calls = || CallerCalls {
                leaves_slots: true,
                ..CallerCalls::default()
            };
            Self {
                calls: (0..count).map(|_| calls()).collect(),
                held: (0..count).map(|_| Vec::new()).collect(),
                slots,
                shares: CallShares::default(),
                now: Instant::now(),
            }
        }

        fn available(&self, caller: usize) -> usize {
            let free = self.slots - self.held.iter().map(Vec::len).sum::<usize>();
            self.calls[caller].available(LIMIT, self.slots, free, &self.shares)
        }

        /// Lets a caller take as many slots as it may, at most so many. Returns how many it has then.
        fn take(&mut self, caller: usize, most: usize) -> usize {
            let start = self.held[caller].len();
            while self.held[caller].len() < start + most && self.available(caller) > 0 {
                let call = self.calls[caller].guard(PoolId(0), None, self.now);
                self.held[caller].push(call);
            }
            self.held[caller].len()
        }

        /// Ends all calls of a caller after this time.
        fn end(&mut self, caller: usize, time: Duration) {
            let now = self.now + time;
            for call in self.held[caller].drain(..) {
                self.calls[caller].record_end(PoolId(0), None, self.now, now);
                drop(call);
            }
        }

        fn count(&mut self) {
            self.shares = CallShares::count(self.calls.iter_mut(), self.now);
        }

        /// Lets each of the callers make calls of this time, one after the other.
        fn make_calls(&mut self, callers: std::ops::Range<usize>, count: usize, time: Duration) {
            for caller in callers {
                for _ in 0..count {
                    assert_eq!(self.take(caller, 1), 1);
                    self.end(caller, time);
                }
            }
            self.now += time;
            self.count();
        }
    }

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_caller_alone_takes_half_until_a_call_has_ended_and_then_leaves_an_eighth() {
        let expected = [
            (1, 1, 1),
            (2, 1, 1),
            (3, 1, 2),
            (8, 4, 7),
            (9, 4, 7),
            (64, 32, 56),
        ];
        for (slots, at_first, most) in expected {
            let mut callers = Callers::new(2, slots);
            assert_eq!(callers.take(0, usize::MAX), at_first, "of {slots}");
            callers.end(0, LONG);
            callers.count();
            assert_eq!(callers.take(0, usize::MAX), most, "of {slots}");
            let free = slots - most;
            assert_eq!(callers.available(1), free.min(1), "without calls");
            callers.calls[0].leaves_slots = false;
            assert_eq!(callers.available(0), free);
        }
    }

    #[test]
    fn callers_with_long_calls_have_their_fair_share_and_what_leaves_half_free() {
        let mut callers = Callers::new(14, SLOTS);
        callers.make_calls(0..2, 1, LONG);
        callers.make_calls(2..14, 8, SHORT);
        let most = [0, 1].map(|caller| callers.take(caller, usize::MAX));
        assert_eq!(most, [32, 4], "seven eighths of the slots are 56");
        assert_eq!(callers.take(2, usize::MAX), 12, "and as many as have ended");
        assert_eq!(callers.take(3, usize::MAX), 8, "an eighth is left");
        assert_eq!(callers.take(4, usize::MAX), 4, "of its fair share");
        let more = [5, 6, 7, 8, 9].map(|caller| callers.take(caller, usize::MAX));
        assert_eq!(more, [1, 1, 1, 1, 0], "without calls");
    }

    #[test]
    fn one_of_many_short_calls_that_is_long_makes_a_caller_slow_while_it_lasts_and_after_that() {
        let mut callers = Callers::new(8, SLOTS);
        callers.make_calls(1..8, 100, SHORT);
        callers.make_calls(0..1, 100, SHORT);
        assert_eq!(callers.take(0, 1), 1);
        let began = callers.now;
        let most = |callers: &Callers| {
            let free = 40;
            let left = SLOTS - SLOTS / 2;
            let available = callers.calls[0].available(LIMIT, SLOTS, free, &callers.shares);
            if available == free - left {
                "half"
            } else {
                "an eighth"
            }
        };
        assert_eq!(most(&callers), "an eighth");
        callers.now += Duration::from_secs(3);
        callers.count();
        assert_eq!(most(&callers), "half", "while it lasts");
        callers.calls[0].record_end(PoolId(0), None, began, callers.now);
        callers.held[0].clear();
        callers.make_calls(0..8, 100, SHORT);
        assert_eq!(most(&callers), "half", "after it has ended");
        callers.make_calls(0..8, 400, SHORT);
        assert_eq!(most(&callers), "an eighth", "it hardly counts any longer");
    }

    #[test]
    fn a_few_callers_with_very_short_or_long_calls_do_not_change_what_is_usual() {
        for time in [Duration::from_millis(1), LONG] {
            let mut callers = Callers::new(9, SLOTS);
            callers.make_calls(0..2, 100, time);
            callers.make_calls(2..9, 100, 3 * SHORT);
            assert_eq!(callers.take(8, usize::MAX), 56, "{time:?}");
        }
        let mut callers = Callers::new(2, SLOTS);
        callers.make_calls(0..1, 100, Duration::from_millis(1));
        callers.make_calls(1..2, 100, SHORT * 9 / 10);
        assert_eq!(callers.take(1, usize::MAX), 56, "it is short anyway");
    }

    #[test]
    fn callers_that_have_not_used_a_limit_for_a_minute_have_no_share() {
        let mut callers = Callers::new(8, SLOTS);
        callers.make_calls(0..8, 1, LONG);
        callers.now += ACTIVE_TIME / 2;
        callers.make_calls(0..2, 1, LONG);
        let available = |callers: &Callers| callers.available(0);
        assert_eq!(available(&callers), 32, "seven are its share");
        callers.now += ACTIVE_TIME / 2;
        callers.count();
        assert_eq!(available(&callers), 32, "28 are its share");
        assert!(callers.calls[2].by_limit.is_empty());
        callers.make_calls(0..1, 1, LONG);
        callers.now += ACTIVE_TIME / 2;
        callers.count();
        assert_eq!(available(&callers), 56);
    }

    /// Ten callers always have more calls, part of which take 20 s. Forty others have one call or five at a time, for which the
    /// slots suffice more than twice.
    #[test]
    fn batches_beside_callers_with_long_calls_are_hardly_slower() {
        for slow_calls in [1, 2, 20] {
            let waits = Load::new(slow_calls).run(Duration::from_secs(200));
            let late = waits.iter().filter(|wait| **wait > SHORT).count();
            assert!(waits.len() > 20_000, "{}", waits.len());
            assert!(
                late * 100 < waits.len(),
                "one call of {slow_calls} is slow: {late} of {} batches wait",
                waits.len()
            );
        }
    }

    /// A call that has been made, or that waits.
    #[derive(Clone, Copy)]
    struct LoadCall {
        caller: usize,
        since: Duration,
        ends: Duration,
    }

    struct Load {
        callers: Callers,
        waiting: Vec<std::collections::VecDeque<LoadCall>>,
        random: u64,
        /// One of so many calls of the attackers is slow.
        slow_calls: usize,
    }

    const ATTACKERS: usize = 10;
    const STEP: Duration = Duration::from_millis(5);

    impl Load {
        fn new(slow_calls: usize) -> Self {
            let callers = Callers::new(50, SLOTS);
            Self {
                waiting: vec![std::collections::VecDeque::new(); callers.calls.len()],
                callers,
                random: 1,
                slow_calls,
            }
        }

        fn below(&mut self, end: u64) -> usize {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            usize::try_from(self.random % end).expect("it is small")
        }

        /// Returns the times that calls of others than the attackers have waited.
        fn run(mut self, time: Duration) -> Vec<Duration> {
            let start = self.callers.now;
            let (mut waits, mut in_flight, mut passed) = (Vec::new(), Vec::new(), Duration::ZERO);
            let mut turn = 0;
            while passed < time {
                passed += STEP;
                self.callers.now = start + passed;
                in_flight.retain(|call: &LoadCall| {
                    if call.ends > passed {
                        return true;
                    }
                    let own = &mut self.callers.calls[call.caller];
                    own.record_end(PoolId(0), None, start + call.since, start + passed);
                    self.callers.held[call.caller].pop();
                    false
                });
                if passed.as_millis().is_multiple_of(100) {
                    self.callers.count();
                }
                for caller in 0..self.waiting.len() {
                    let count = match self.below(1_000) {
                        _ if caller < ATTACKERS => 20 - self.waiting[caller].len().min(20),
                        0..3 => 5,
                        3..13 => 1,
                        _ => 0,
                    };
                    let call = LoadCall {
                        caller,
                        since: passed,
                        ends: passed,
                    };
                    self.waiting[caller].extend((0..count).map(|_| call));
                }
                let mut refused = 0;
                while refused < self.waiting.len() {
                    turn = (turn + 1) % self.waiting.len();
                    refused += 1;
                    if self.waiting[turn].is_empty() || self.callers.available(turn) == 0 {
                        continue;
                    }
                    refused = 0;
                    let call = self.waiting[turn].pop_front().expect("it is not empty");
                    let is_attacker = turn < ATTACKERS;
                    if !is_attacker && passed > time / 10 {
                        waits.push(passed.saturating_sub(call.since));
                    }
                    self.callers.take(turn, 1);
                    let is_slow = is_attacker && self.below(20) < 20 / self.slow_calls;
                    let short = SHORT / 2 + SHORT / 10 * u32::try_from(self.below(10)).unwrap();
                    let ends = passed + if is_slow { LONG } else { short };
                    in_flight.push(LoadCall {
                        since: passed,
                        ends,
                        ..call
                    });
                }
            }
            waits
        }
    }
}
