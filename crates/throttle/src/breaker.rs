//! Circuit breaker per model and provider: closed, open, half-open. Time is an argument.
//!
//! Failures are counted for each caller, because a caller's own requests may be their reason. The failures of some callers do not open the
//! breaker while the calls of at least as many others succeed. If only one caller's calls failed, or those of other callers succeed, the
//! breaker is open for the callers whose calls failed: the calls of others are probes at once. Later, the probes of others go before those of
//! the callers that have kept it open.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;
use crate::raii_counter::{CountGuard, RaiiCounter};
use crate::rolling_window::CallerWindows;

/// Minimum number of calls in the last ten seconds for the failure ratio to count.
const MIN_VOLUME: u32 = 20;
/// Number of failures without any success that opens the breaker.
const MIN_FAILURES_WITHOUT_SUCCESS: u32 = 5;
/// Time without any success after which the failures of two callers open the breaker, even if calls of others succeeded before it.
const MAX_UNSUCCESSFUL_TIME: Duration = Duration::from_secs(2);
/// Number of consecutive failures that opens the breaker, whatever came before.
const MAX_CONSECUTIVE_FAILURES: u32 = 15;
/// Duration of the first open period. It doubles after each failed probe round.
const FIRST_OPEN_PERIOD: Duration = Duration::from_secs(5);
/// Longest open period.
const MAX_OPEN_PERIOD: Duration = Duration::from_secs(60);
/// Maximum number of probes while half-open.
const MAX_PROBES: usize = 3;
/// Number of successful probes that closes the breaker. Two of three, because a provider that fails
/// four of ten calls is not down.
const DECIDING_PROBES: usize = 2;
/// Time for which the callers whose calls have failed leave the probes to others that ask for them. As long as the first open period, so
/// that callers that do not wait (they have a fallback) have had time to ask.
const OTHERS_FIRST: Duration = FIRST_OPEN_PERIOD;
/// Shortest timeout that counts as a failure while the provider's usual latency is unknown.
const MIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Evidence of a call for the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The provider answered.
    Success,
    /// The provider failed: it refused the connection, broke it off, or answered with an error of its own.
    Failure,
    /// The provider did not answer in the time that any call is given.
    Timeout {
        /// Time that the call was given.
        took: Duration,
    },
    /// No evidence: overload, or a decision of the caller, such as a time limit that is shorter than any call is given.
    Neutral,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OutcomeCounts {
    succeeded: u32,
    failed: u32,
    timed_out: u32,
    slowest: Duration,
}

impl Add for OutcomeCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            timed_out: self.timed_out + other.timed_out,
            slowest: self.slowest.max(other.slowest),
        }
    }
}

impl Sub for OutcomeCounts {
    type Output = Self;

    /// Returns the counts of the calls that are not among those of `part`. `slowest` is that of all.
    fn sub(self, part: Self) -> Self {
        Self {
            succeeded: self.succeeded - part.succeeded,
            failed: self.failed - part.failed,
            timed_out: self.timed_out - part.timed_out,
            slowest: self.slowest,
        }
    }
}

impl OutcomeCounts {
    /// Returns true if significantly more than half failed (by two standard deviations).
    fn is_mostly_failure(self) -> bool {
        let all = self.succeeded + self.failed;
        let excess = u64::from(self.failed.saturating_sub(self.succeeded));
        all >= MIN_VOLUME && excess * excess >= 4 * u64::from(all)
    }
}

/// State for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

#[derive(Debug, Default)]
pub struct Breaker {
    /// Calls of the last ten seconds, by caller.
    outcomes: CallerWindows<OutcomeCounts>,
    /// Failures since the last success of any caller, by caller.
    in_a_row: BTreeMap<CallerId, u32>,
    /// Time of the last success of any caller.
    succeeded_at: Option<Instant>,
    open_period: Option<OpenPeriod>,
}

#[derive(Debug)]
struct OpenPeriod {
    since: Instant,
    /// Time from which the blamed callers may call, and all others unless it `is_doubtful`.
    until: Instant,
    length: Duration,
    probes: RaiiCounter,
    /// Probes that gave their places to others before they had a result, and go on, by caller.
    yielded: BTreeMap<CallerId, RaiiCounter>,
    succeeded: usize,
    failed: usize,
    /// The callers whose failures opened the breaker, and those whose probes have failed since.
    blamed: BTreeSet<CallerId>,
    /// Number of callers whose failures opened the breaker.
    blamed_first: usize,
    /// True if their own requests may be the reason: it is one caller, or calls of others succeed.
    is_doubtful: bool,
    /// True if another caller has asked for a call in this period.
    do_others_ask: bool,
}

/// Evidence that opens the breaker.
#[derive(Debug, PartialEq, Eq)]
struct Blame {
    /// The callers whose calls mostly failed.
    callers: BTreeSet<CallerId>,
    /// True if their own requests may be the reason: it is one caller, or calls of others succeed.
    is_doubtful: bool,
}

impl Breaker {
    pub fn state(&self, now: Instant) -> State {
        match &self.open_period {
            None => State::Closed,
            Some(opened) if opened.until > now => State::Open {
                until: opened.until,
            },
            Some(_) => State::HalfOpen,
        }
    }

    /// Checks that a call of the caller may go out.
    ///
    /// # Errors
    /// The time from which it may; `None` if a probe has to end first.
    pub fn check_call(&self, caller: CallerId, now: Instant) -> Result<(), Option<Instant>> {
        let Some(opened) = &self.open_period else {
            return Ok(());
        };
        let may_probe_at_once = opened.is_doubtful && !opened.blamed.contains(&caller);
        if opened.until > now && !may_probe_at_once {
            return Err(Some(opened.until));
        }
        let yielded = opened.yielded.get(&caller).map_or(0, RaiiCounter::count);
        if opened.probes.count() + opened.succeeded + opened.failed >= MAX_PROBES
            || yielded >= MAX_PROBES
        {
            return Err(None);
        }
        let own_turn = opened.until + OTHERS_FIRST;
        if opened.do_others_ask && opened.blamed.contains(&caller) && own_turn > now {
            return Err(Some(own_turn));
        }
        Ok(())
    }

    /// Records that a caller asks for a call that may not go out now.
    pub fn record_ask(&mut self, caller: CallerId) {
        if let Some(opened) = &mut self.open_period {
            opened.do_others_ask |= !opened.blamed.contains(&caller);
        }
    }

    /// Returns the guard of a probe, or `None` if a call that goes out now is not a probe.
    pub fn probe_guard(&self) -> Option<CountGuard> {
        self.open_period
            .as_ref()
            .map(|opened| opened.probes.guard())
    }

    /// Returns the guard of a caller's probe that goes on without a place among the probes; as many of those as there are places keep
    /// further probes of that caller back.
    pub fn yielded_guard(&mut self, caller: CallerId) -> Option<CountGuard> {
        let opened = self.open_period.as_mut()?;
        Some(opened.yielded.entry(caller).or_default().guard())
    }

    /// Records a call of a caller that began at `began`. Returns true if the breaker has opened.
    pub fn record(
        &mut self,
        caller: CallerId,
        health: Health,
        began: Instant,
        now: Instant,
    ) -> bool {
        match (&mut self.open_period, health) {
            // Not a probe: it began before the breaker opened.
            (Some(opened), health) if began <= opened.since => {
                opened.is_doubtful |= health == Health::Success && !opened.blamed.contains(&caller);
                false
            }
            (_, Health::Neutral) => false,
            (Some(opened), Health::Success) => {
                opened.succeeded += 1;
                if opened.succeeded >= DECIDING_PROBES {
                    self.open_period = None;
                }
                // It has no other counts since it opened: without these, five failures would open it again.
                self.record_success(caller, began, now);
                false
            }
            (Some(opened), health) => {
                opened.failed += 1;
                if opened.blamed.insert(caller) {
                    // Those that are not blamed yet will ask again.
                    opened.do_others_ask = false;
                }
                // One probe without any answer is enough to open again.
                let is_stalled = matches!(health, Health::Timeout { .. });
                if opened.failed < DECIDING_PROBES && !is_stalled {
                    return false;
                }
                let length = (opened.length * 2).min(MAX_OPEN_PERIOD);
                let blamed = std::mem::take(&mut opened.blamed);
                let is_doubtful = opened.is_doubtful && blamed.len() == opened.blamed_first;
                self.open(length, blamed, is_doubtful, now);
                true
            }
            (None, Health::Success) => {
                self.record_success(caller, began, now);
                false
            }
            (None, health) => {
                *self.in_a_row.entry(caller).or_default() += 1;
                let counts = self.outcomes.current(caller, now);
                counts.failed += 1;
                counts.timed_out += u32::from(matches!(health, Health::Timeout { .. }));
                let Some(blame) = self.blame(now) else {
                    return false;
                };
                self.open(FIRST_OPEN_PERIOD, blame.callers, blame.is_doubtful, now);
                true
            }
        }
    }

    fn record_success(&mut self, caller: CallerId, began: Instant, now: Instant) {
        self.in_a_row.clear();
        self.succeeded_at = Some(now);
        let counts = self.outcomes.current(caller, now);
        counts.succeeded += 1;
        counts.slowest = counts.slowest.max(now.saturating_duration_since(began));
    }

    /// Ignores timeouts shorter than the provider's usual latency: they do not indicate failure.
    pub fn discount_short_timeout(&mut self, health: Health, now: Instant) -> Health {
        match health {
            Health::Timeout { took, .. }
                if took < MIN_TIMEOUT || took < self.outcomes.sum(now).slowest * 2 =>
            {
                Health::Neutral
            }
            health => health,
        }
    }

    /// Returns true if at least one of ten calls timed out, as overload would cause. A few stuck calls are not overload, and neither are
    /// the timeouts of one caller while the calls of others are answered in time.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let all = self.outcomes.sum(now);
        let most = self.outcomes.largest(now, |own| own.timed_out);
        let others = most.map_or(all, |(_, most)| all - most);
        let counted = if others.succeeded + others.timed_out > 0 {
            others
        } else {
            all
        };
        counted.timed_out * 10 >= counted.succeeded
    }

    /// Returns the evidence if the breaker should open. The calls of a caller that fail may do so for reasons of its own, so others have to
    /// agree. With one failing caller left out, those whose calls mostly fail are more than the others (or there are no others); more than
    /// half of all have failed since the last success, five times in all; or some have failed, and there was no success for a while.
    fn blame(&mut self, now: Instant) -> Option<Blame> {
        let all = self.outcomes.sum(now);
        let in_a_row: u32 = self.in_a_row.values().sum();
        let none_succeeded =
            all.succeeded == 0 && (all.timed_out > 0 || all.failed >= MIN_FAILURES_WITHOUT_SUCCESS);
        let is_down =
            none_succeeded || in_a_row >= MAX_CONSECUTIVE_FAILURES || all.is_mostly_failure();
        if !is_down {
            return None;
        }
        let totals = self.outcomes.totals(now);
        let active: Vec<_> = totals
            .filter(|(_, own)| own.failed + own.succeeded > 0)
            .collect();
        let mostly_fail = (active.iter()).filter(|(_, own)| own.failed >= own.succeeded);
        let mut callers: BTreeSet<_> = mostly_fail.map(|(caller, _)| *caller).collect();
        let (failing, others) = (callers.len(), active.len() - callers.len());
        let most_in_a_row = self.in_a_row.values().max().copied().unwrap_or_default();
        let do_most_fail_now = active.len() < 2
            || in_a_row - most_in_a_row >= MIN_FAILURES_WITHOUT_SUCCESS
                && 2 * self.in_a_row.len() > active.len() + 1;
        let is_success_long_ago = (self.succeeded_at)
            .is_none_or(|at| now.saturating_duration_since(at) >= MAX_UNSUCCESSFUL_TIME);
        let do_others_agree = others == 0
            || failing > others + 1
            || do_most_fail_now
            || failing > 1 && is_success_long_ago;
        if !do_others_agree {
            return None;
        }
        if do_most_fail_now {
            callers.extend(self.in_a_row.keys());
        }
        let has_others = (active.iter()).any(|(caller, _)| !callers.contains(caller));
        Some(Blame {
            is_doubtful: active.len() < 2 || has_others,
            callers,
        })
    }

    fn open(
        &mut self,
        length: Duration,
        blamed: BTreeSet<CallerId>,
        is_doubtful: bool,
        now: Instant,
    ) {
        self.open_period = Some(OpenPeriod {
            since: now,
            until: now + length,
            length,
            probes: RaiiCounter::default(),
            yielded: BTreeMap::new(),
            succeeded: 0,
            failed: 0,
            blamed_first: blamed.len(),
            blamed,
            is_doubtful,
            do_others_ask: false,
        });
        self.outcomes.clear();
        self.in_a_row.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    fn allows_call(breaker: &Breaker, now: Instant) -> bool {
        breaker.check_call(ALICE, now).is_ok()
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_majority_of_failures_opens_the_breaker_and_two_of_three_probes_close_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let of_ten = |n: u64, failed: u64| {
            if n % 10 >= 10 - failed {
                Health::Failure
            } else {
                Health::Success
            }
        };
        for n in 0..1_000 {
            assert!(
                !breaker.record(ALICE, of_ten(n, 5), start, after(start, n)),
                "half of them"
            );
        }
        let later = after(start, 20_000);
        let opened = (0..1_000).find(|n| breaker.record(ALICE, of_ten(n * 7, 7), later, later));
        assert!((20..60).contains(&opened.unwrap()), "{opened:?}");
        assert!(!allows_call(&breaker, after(later, 4_999)));
        let soon = after(later, 5_000);
        assert!(allows_call(&breaker, soon));
        let probes: Vec<_> = (0..3).map(|_| breaker.probe_guard().unwrap()).collect();
        assert!(!allows_call(&breaker, soon), "three and no more");
        drop(probes);
        let guards = (0..3).map(|_| breaker.yielded_guard(ALICE).unwrap());
        let mut yielded: Vec<_> = guards.collect();
        assert!(!allows_call(&breaker, soon), "three hang");
        assert!(breaker.check_call(BOB, soon).is_ok(), "none is his");
        yielded.pop();
        assert!(allows_call(&breaker, soon));
        assert!(!breaker.record(ALICE, Health::Failure, soon, soon));
        assert!(
            !breaker.record(ALICE, Health::Neutral, soon, soon),
            "says nothing"
        );
        assert!(!breaker.record(ALICE, Health::Success, soon, soon) && allows_call(&breaker, soon));
        let third = breaker.probe_guard().unwrap();
        assert!(!allows_call(&breaker, soon), "three, with those that ended");
        drop(third);
        assert!(!breaker.record(ALICE, Health::Success, soon, soon));
        assert_eq!(breaker.state(soon), State::Closed);
    }

    #[test]
    fn consecutive_failures_open_the_breaker_despite_earlier_successes() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..5_000 {
            assert!(!breaker.record(ALICE, Health::Success, start, after(start, n)));
        }
        for n in 0..200 {
            let health = if n % 15 == 14 {
                Health::Success
            } else {
                Health::Failure
            };
            assert!(
                !breaker.record(ALICE, health, start, after(start, 5_000 + n)),
                "never fifteen in a row"
            );
        }
        breaker.record(ALICE, Health::Success, start, after(start, 5_200));
        assert!((0..15).all(|n| breaker.record(
            ALICE,
            Health::Failure,
            start,
            after(start, 5_300)
        ) == (n == 14)));
    }

    #[test]
    fn failed_probes_double_the_open_period_up_to_a_minute() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let mut now = start;
        for _ in 0..5 {
            breaker.record(ALICE, Health::Failure, now, now);
        }
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(
                breaker.state(now),
                State::Open {
                    until: now + Duration::from_secs(seconds)
                }
            );
            now += Duration::from_secs(seconds);
            assert_eq!(breaker.state(now), State::HalfOpen);
            assert!(
                !breaker.record(ALICE, Health::Failure, start, now),
                "one that was called before it opened"
            );
            assert!(
                !breaker.record(ALICE, Health::Failure, now, now),
                "one of three"
            );
            assert!(
                breaker.record(ALICE, Health::Failure, now, now),
                "two of three"
            );
            assert!(
                !breaker.record(ALICE, Health::Failure, now, now),
                "the third"
            );
        }
        now += Duration::from_secs(60);
        assert!(
            breaker.record(ALICE, timeout(1_000), now, now),
            "one that was not answered"
        );
    }

    const fn timeout(ms: u64) -> Health {
        Health::Timeout {
            took: Duration::from_millis(ms),
        }
    }

    #[test]
    fn a_timeout_opens_the_breaker_if_no_call_has_succeeded() {
        let start = Instant::now();
        let record = |breaker: &mut Breaker, health| {
            let health = breaker.discount_short_timeout(health, start);
            breaker.record(ALICE, health, start, start)
        };
        let mut breaker = Breaker::default();
        assert!(
            !record(&mut breaker, timeout(499)),
            "too short to say anything"
        );
        assert!(record(&mut breaker, timeout(500)));
        let mut healthy = Breaker::default();
        healthy.record(ALICE, Health::Success, start, start);
        assert!(!record(&mut healthy, timeout(1_000)));
        let mut slow = Breaker::default();
        slow.record(ALICE, Health::Success, start, after(start, 2_000));
        assert_eq!(
            slow.discount_short_timeout(timeout(3_000), after(start, 3_000)),
            Health::Neutral,
            "it usually takes as long"
        );
        assert_ne!(
            slow.discount_short_timeout(timeout(4_000), after(start, 3_000)),
            Health::Neutral,
            "it never takes twice as long"
        );
        assert_ne!(
            slow.discount_short_timeout(timeout(3_000), after(start, 20_000)),
            Health::Neutral,
            "that is long ago"
        );
    }

    #[test]
    fn a_few_stuck_calls_are_not_overload() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..50 {
            breaker.record(ALICE, Health::Success, start, start);
        }
        for n in 1..=5 {
            breaker.record(ALICE, timeout(5_000), start, start);
            assert_eq!(breaker.is_slow(start), n == 5);
        }
    }

    #[test]
    fn neutral_outcomes_never_open_the_breaker() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..100 {
            assert!(!breaker.record(ALICE, Health::Neutral, start, after(start, n)));
        }
    }

    #[test]
    fn the_failures_of_one_caller_do_not_open_the_breaker_while_the_calls_of_another_succeed() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.record(BOB, Health::Success, start, start);
        // The other caller fails now and then, too.
        for n in 0..5_000 {
            let now = after(start, n * 10);
            for _ in 0..20 {
                assert!(!breaker.record(ALICE, Health::Failure, now, now), "{n}");
            }
            let health = if n % 10 == 9 {
                Health::Failure
            } else {
                Health::Success
            };
            assert!(!breaker.record(BOB, health, now, now), "{n}");
            assert!(!breaker.record(ALICE, timeout(30_000), now, now), "{n}");
        }
    }

    #[test]
    fn failures_of_two_callers_open_the_breaker_and_so_do_those_of_one_beside_idle_callers() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.record(ALICE, Health::Success, start, start);
            breaker.record(BOB, Health::Success, start, start);
        }
        let callers = (0..40).map(|n| if n % 4 == 0 { BOB } else { ALICE });
        let opened: Vec<_> = callers
            .map(|caller| breaker.record(caller, Health::Failure, start, start))
            .collect();
        let first = opened.iter().position(|has_opened| *has_opened);
        assert!(first.is_some_and(|first| first < 20), "{first:?}");

        let mut breaker = Breaker::default();
        breaker.record(BOB, Health::Success, start, start);
        let later = after(start, 11_000);
        assert!(
            (0..5).all(|n| breaker.record(ALICE, Health::Failure, later, later) == (n == 4)),
            "the other caller is idle"
        );
    }

    #[test]
    fn the_probes_of_others_go_before_those_of_the_caller_that_failed() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.record(ALICE, Health::Failure, start, start);
        }
        let mut now = after(start, 5_000);
        breaker.record_ask(ALICE);
        assert_eq!(breaker.check_call(ALICE, now), Ok(()), "nobody else asks");
        breaker.record_ask(BOB);
        let own_turn = now + OTHERS_FIRST;
        assert_eq!(breaker.check_call(ALICE, now), Err(Some(own_turn)));
        assert_eq!(breaker.check_call(BOB, now), Ok(()));
        assert_eq!(breaker.check_call(ALICE, own_turn), Ok(()));
        // The provider is down for both: both may ask again.
        for _ in 0..2 {
            breaker.record(BOB, Health::Failure, now, now);
        }
        now = after(now, 10_000);
        breaker.record_ask(BOB);
        assert_eq!(breaker.check_call(ALICE, now), Ok(()));
        breaker.record_ask(CallerId(3));
        assert!(breaker.check_call(BOB, now).is_err());
        for _ in 0..2 {
            breaker.record(CallerId(3), Health::Success, now, now);
        }
        assert_eq!(breaker.state(now), State::Closed);
    }

    #[test]
    fn the_calls_of_others_are_probes_at_once_if_only_one_caller_failed() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let open_by_alice = |breaker: &mut Breaker, now| {
            (0..5).any(|_| breaker.record(ALICE, Health::Failure, now, now))
        };
        assert!(open_by_alice(&mut breaker, start));
        let until = after(start, 5_000);
        let now = after(start, 1);
        assert_eq!(breaker.check_call(ALICE, now), Err(Some(until)));
        assert_eq!(breaker.check_call(BOB, now), Ok(()));
        let probes: Vec<_> = (0..MAX_PROBES)
            .filter_map(|_| breaker.probe_guard())
            .collect();
        assert_eq!(breaker.check_call(BOB, now), Err(None), "three and no more");
        drop(probes);
        for _ in 0..DECIDING_PROBES {
            breaker.record(BOB, Health::Success, now, now);
        }
        assert_eq!(breaker.state(now), State::Closed);

        // The provider is down: after the others' probes, it is open for all.
        let now = after(start, 12_000);
        assert!(open_by_alice(&mut breaker, now));
        let later = after(now, 1);
        assert!(!breaker.record(BOB, Health::Failure, later, later));
        assert!(breaker.check_call(BOB, later).is_err(), "it has tried");
        assert_eq!(breaker.check_call(CallerId(3), later), Ok(()));
        assert!(breaker.record(CallerId(3), Health::Failure, later, later));
        let until = after(later, 10_000);
        for caller in [ALICE, BOB, CallerId(3), CallerId(4)] {
            assert_eq!(breaker.check_call(caller, later), Err(Some(until)));
        }
        // What one of them tries later is not the evidence of one caller.
        for _ in 0..DECIDING_PROBES {
            breaker.record(ALICE, Health::Failure, until, until);
        }
        assert!(breaker.check_call(CallerId(4), until).is_err());
    }

    fn record_all(breaker: &mut Breaker, callers: &[u64], health: Health, now: Instant) -> bool {
        let mut opened = (callers.iter()).map(|id| breaker.record(CallerId(*id), health, now, now));
        opened.any(|has_opened| has_opened)
    }

    #[test]
    fn the_failures_of_some_callers_do_not_open_the_breaker_while_as_many_others_succeed() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for second in 0..100 {
            let now = after(start, second * 1_000);
            assert!(!record_all(&mut breaker, &[3, 4], Health::Success, now));
            let failing = [1, 2].repeat(50);
            assert!(
                !record_all(&mut breaker, &failing, Health::Failure, now),
                "{second}"
            );
        }
    }

    #[test]
    fn more_callers_fail_than_succeed_with_one_left_out_and_without_idle_ones() {
        let start = Instant::now();
        let opens = |failing: &[u64]| {
            let mut breaker = Breaker::default();
            // Idle callers are forgotten when another one comes.
            record_all(&mut breaker, &[1, 2, 3, 4, 5, 6, 7], Health::Success, start);
            let later = after(start, 20_000);
            (0..100).any(|_| {
                let opened = record_all(&mut breaker, failing, Health::Failure, later);
                record_all(&mut breaker, &[7], Health::Success, later);
                opened
            })
        };
        assert!(opens(&[1, 2, 3]));
        assert!(!opens(&[1, 2, 1, 2]));
        assert!(!opens(&[1, 1, 1]));
    }

    #[test]
    fn the_calls_of_those_that_succeed_are_probes_at_once_beside_many_that_fail() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        record_all(&mut breaker, &[4, 4], Health::Success, start);
        let failing = [1, 2, 3].repeat(10);
        assert!(record_all(&mut breaker, &failing, Health::Failure, start));
        let now = after(start, 1);
        for (caller, may_call) in [(1, false), (2, false), (3, false), (4, true), (5, true)] {
            assert_eq!(
                breaker.check_call(CallerId(caller), now).is_ok(),
                may_call,
                "{caller}"
            );
        }
        record_all(&mut breaker, &[4; DECIDING_PROBES], Health::Success, now);
        assert_eq!(breaker.state(now), State::Closed);

        // Those that fail keep it open, but not for others.
        assert!(record_all(&mut breaker, &failing, Health::Failure, now));
        let later = after(now, 5_000);
        assert!(record_all(&mut breaker, &[1, 2], Health::Failure, later));
        let next = after(later, 1);
        assert!(breaker.check_call(CallerId(4), next).is_ok());
        assert!(breaker.check_call(CallerId(3), next).is_err());
        // Until the calls of others fail, too.
        record_all(&mut breaker, &[4, 5], Health::Failure, next);
        assert!(breaker.check_call(CallerId(6), after(next, 1)).is_err());
    }

    #[test]
    fn failures_of_most_callers_in_a_row_open_the_breaker_for_all() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        record_all(
            &mut breaker,
            &[1, 2, 3, 4, 5].repeat(9),
            Health::Success,
            start,
        );
        let now = after(start, 1_000);
        assert!(!record_all(&mut breaker, &[1; 20], Health::Failure, now));
        assert!(!record_all(
            &mut breaker,
            &[2, 2, 3, 3],
            Health::Failure,
            now
        ));
        assert!(
            !record_all(&mut breaker, &[3], Health::Failure, now),
            "two of four"
        );
        assert!(record_all(&mut breaker, &[4], Health::Failure, now));
        let later = after(now, 1);
        assert!(breaker.check_call(CallerId(4), later).is_err());
        // Its calls have succeeded until now.
        assert!(breaker.check_call(CallerId(5), later).is_ok());
        assert!(record_all(&mut breaker, &[5, 5], Health::Failure, later));
        assert!(breaker.check_call(CallerId(6), later).is_err());
    }

    #[test]
    fn a_caller_whose_calls_mostly_succeed_is_not_left_out_and_not_blamed() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        record_all(&mut breaker, &[1; 60], Health::Success, start);
        record_all(&mut breaker, &[1; 4].repeat(4), Health::Failure, start);
        record_all(&mut breaker, &[1], Health::Success, start);
        assert!(!record_all(&mut breaker, &[2; 100], Health::Failure, start));
    }

    #[test]
    fn callers_that_have_succeeded_and_call_no_more_do_not_keep_the_breaker_closed_for_long() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        record_all(&mut breaker, &[1, 2, 3, 4, 5, 6], Health::Success, start);
        let soon = after(start, 1_999);
        assert!(!record_all(
            &mut breaker,
            &[1, 2].repeat(20),
            Health::Failure,
            soon
        ));
        let later = after(start, 2_000);
        assert!(record_all(&mut breaker, &[2], Health::Failure, later));
        assert!(breaker.check_call(CallerId(3), after(later, 1)).is_ok());
        // A single caller's failures do not suffice.
        let mut breaker = Breaker::default();
        record_all(&mut breaker, &[2], Health::Success, start);
        assert!(!record_all(&mut breaker, &[1; 40], Health::Failure, later));
    }

    #[test]
    fn a_late_success_of_another_caller_lets_the_calls_of_others_be_probes_at_once() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert!(record_all(
            &mut breaker,
            &[1, 2].repeat(3),
            Health::Failure,
            start
        ));
        let now = after(start, 1);
        let mut try_after_success_of = |caller| {
            breaker.record(CallerId(caller), Health::Success, start, now);
            breaker.check_call(CallerId(3), now).is_ok()
        };
        assert!(!try_after_success_of(1));
        assert!(try_after_success_of(3));
    }

    #[test]
    fn the_probes_that_closed_the_breaker_keep_it_closed_despite_a_few_failures() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert!(record_all(&mut breaker, &[1; 5], Health::Failure, start));
        let now = after(start, 5_000);
        record_all(&mut breaker, &[2; DECIDING_PROBES], Health::Success, now);
        assert!(!record_all(&mut breaker, &[1; 100], Health::Failure, now));
        let later = after(now, 11_000);
        assert!(record_all(&mut breaker, &[1; 5], Health::Failure, later));
    }

    #[test]
    fn failures_of_two_callers_open_the_breaker_for_all() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for caller in [ALICE, ALICE, ALICE, ALICE, BOB] {
            breaker.record(caller, Health::Failure, start, start);
        }
        assert!(breaker.check_call(CallerId(3), start).is_err());
    }

    #[test]
    fn the_timeouts_of_one_caller_are_not_overload_while_others_are_answered() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let mut record = |caller, health, count, now| {
            assert!((0..count).all(|_| !breaker.record(caller, health, now, now)));
            breaker.is_slow(now)
        };
        record(BOB, Health::Success, 10, start);
        assert!(!record(ALICE, timeout(5_000), 5, start));
        assert!(
            record(BOB, timeout(5_000), 1, start),
            "those of others, too"
        );
        let later = after(start, 12_000);
        record(ALICE, Health::Success, 10, later);
        assert!(record(ALICE, timeout(5_000), 1, later), "nobody else calls");
        let last = after(later, 12_000);
        record(ALICE, Health::Success, 100, last);
        record(ALICE, timeout(5_000), 2, last);
        record(BOB, Health::Success, 1, last);
        assert!(record(BOB, timeout(5_000), 1, last), "half of the others'");
    }
}
