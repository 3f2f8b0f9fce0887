//! Circuit breaker per model and provider: closed, open, half-open. Time is an argument.

use std::time::{Duration, Instant};

use crate::raii_counter::{CountGuard, RaiiCounter};
use crate::rolling_window::RollingWindow;

/// Minimum number of calls in the last ten seconds for the failure ratio to count.
const MIN_VOLUME: u32 = 20;
/// Number of failures without any success that opens the breaker.
const MIN_FAILURES_WITHOUT_SUCCESS: u32 = 5;
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

#[derive(Debug, Clone, Copy, Default)]
struct OutcomeCounts {
    succeeded: u32,
    failed: u32,
    timed_out: u32,
    slowest: Duration,
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

#[derive(Debug)]
pub struct Breaker {
    outcomes: RollingWindow<OutcomeCounts>,
    /// Failures since the last success.
    consecutive_failures: u32,
    open_period: Option<OpenPeriod>,
}

#[derive(Debug)]
struct OpenPeriod {
    until: Instant,
    length: Duration,
    probes: RaiiCounter,
    succeeded: usize,
    failed: usize,
}

impl Breaker {
    pub fn new(now: Instant) -> Self {
        Self {
            outcomes: RollingWindow::new(now),
            consecutive_failures: 0,
            open_period: None,
        }
    }

    pub fn state(&self, now: Instant) -> State {
        match &self.open_period {
            None => State::Closed,
            Some(opened) if opened.until > now => State::Open {
                until: opened.until,
            },
            Some(_) => State::HalfOpen,
        }
    }

    /// Returns true if another call may go out.
    pub fn allows_call(&self, now: Instant) -> bool {
        let Some(opened) = &self.open_period else {
            return true;
        };
        opened.until <= now && opened.probes.count() + opened.succeeded + opened.failed < MAX_PROBES
    }

    /// Returns the guard of a probe, or `None` if a call that goes out now is not a probe.
    pub fn probe_guard(&self) -> Option<CountGuard> {
        self.open_period
            .as_ref()
            .map(|opened| opened.probes.guard())
    }

    /// Records a call that began at `began`. Returns true if the breaker has opened.
    pub fn record(&mut self, health: Health, began: Instant, now: Instant) -> bool {
        match (&mut self.open_period, health) {
            // Not a probe: it began before the breaker opened.
            (Some(opened), _) if began < opened.until => false,
            (_, Health::Neutral) => false,
            (Some(opened), Health::Success) => {
                opened.succeeded += 1;
                if opened.succeeded >= DECIDING_PROBES {
                    self.open_period = None;
                    self.outcomes.clear();
                }
                false
            }
            (Some(opened), health) => {
                opened.failed += 1;
                // One probe without any answer is enough to open again.
                let is_stalled = matches!(health, Health::Timeout { .. });
                if opened.failed < DECIDING_PROBES && !is_stalled {
                    return false;
                }
                let length = (opened.length * 2).min(MAX_OPEN_PERIOD);
                self.open(length, now);
                true
            }
            (None, Health::Success) => {
                self.consecutive_failures = 0;
                let counts = self.outcomes.current(now);
                counts.succeeded += 1;
                counts.slowest = counts.slowest.max(now.saturating_duration_since(began));
                false
            }
            (None, health) => {
                self.consecutive_failures += 1;
                let counts = self.outcomes.current(now);
                counts.failed += 1;
                counts.timed_out += u32::from(matches!(health, Health::Timeout { .. }));
                let tripped = self.should_open(now);
                if tripped {
                    self.open(FIRST_OPEN_PERIOD, now);
                }
                tripped
            }
        }
    }

    /// Ignores timeouts shorter than the provider's usual latency: they do not indicate failure.
    pub fn discount_short_timeout(&mut self, health: Health, now: Instant) -> Health {
        match health {
            Health::Timeout { took, .. }
                if took < MIN_TIMEOUT || took < self.totals(now).slowest * 2 =>
            {
                Health::Neutral
            }
            health => health,
        }
    }

    /// Returns the sums of the last ten seconds.
    fn totals(&mut self, now: Instant) -> OutcomeCounts {
        self.outcomes
            .recent(now)
            .fold(OutcomeCounts::default(), |sum, counts| OutcomeCounts {
                succeeded: sum.succeeded + counts.succeeded,
                failed: sum.failed + counts.failed,
                timed_out: sum.timed_out + counts.timed_out,
                slowest: sum.slowest.max(counts.slowest),
            })
    }

    /// Returns true if at least one of ten calls timed out, as overload would cause. A few stuck
    /// calls are not overload.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let all = self.totals(now);
        all.timed_out * 10 >= all.succeeded
    }

    fn should_open(&mut self, now: Instant) -> bool {
        let all = self.totals(now);
        let none_succeeded =
            all.succeeded == 0 && (all.timed_out > 0 || all.failed >= MIN_FAILURES_WITHOUT_SUCCESS);
        none_succeeded
            || self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES
            || all.is_mostly_failure()
    }

    fn open(&mut self, length: Duration, now: Instant) {
        self.open_period = Some(OpenPeriod {
            until: now + length,
            length,
            probes: RaiiCounter::default(),
            succeeded: 0,
            failed: 0,
        });
        self.outcomes.clear();
        self.consecutive_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_majority_of_failures_opens_the_breaker_and_two_of_three_probes_close_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        let of_ten = |n: u64, failed: u64| {
            if n % 10 >= 10 - failed {
                Health::Failure
            } else {
                Health::Success
            }
        };
        for n in 0..1_000 {
            assert!(
                !breaker.record(of_ten(n, 5), start, after(start, n)),
                "half of them"
            );
        }
        let later = after(start, 20_000);
        let opened = (0..1_000).find(|n| breaker.record(of_ten(n * 7, 7), later, later));
        assert!((20..60).contains(&opened.unwrap()), "{opened:?}");
        assert!(!breaker.allows_call(after(later, 4_999)));
        let soon = after(later, 5_000);
        assert!(breaker.allows_call(soon));
        let probes: Vec<_> = (0..3).map(|_| breaker.probe_guard().unwrap()).collect();
        assert!(!breaker.allows_call(soon), "three and no more");
        drop(probes);
        assert!(!breaker.record(Health::Failure, soon, soon));
        assert!(!breaker.record(Health::Neutral, soon, soon), "says nothing");
        assert!(!breaker.record(Health::Success, soon, soon) && breaker.allows_call(soon));
        assert!(!breaker.record(Health::Success, soon, soon));
        assert_eq!(breaker.state(soon), State::Closed);
    }

    #[test]
    fn consecutive_failures_open_the_breaker_despite_earlier_successes() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 0..5_000 {
            assert!(!breaker.record(Health::Success, start, after(start, n)));
        }
        for n in 0..200 {
            let health = if n % 15 == 14 {
                Health::Success
            } else {
                Health::Failure
            };
            assert!(
                !breaker.record(health, start, after(start, 5_000 + n)),
                "never fifteen in a row"
            );
        }
        breaker.record(Health::Success, start, after(start, 5_200));
        assert!(
            (0..15)
                .all(|n| breaker.record(Health::Failure, start, after(start, 5_300)) == (n == 14))
        );
    }

    #[test]
    fn failed_probes_double_the_open_period_up_to_a_minute() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        let mut now = start;
        for _ in 0..5 {
            breaker.record(Health::Failure, now, now);
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
                !breaker.record(Health::Failure, start, now),
                "one that was called before it opened"
            );
            assert!(!breaker.record(Health::Failure, now, now), "one of three");
            assert!(breaker.record(Health::Failure, now, now), "two of three");
            assert!(!breaker.record(Health::Failure, now, now), "the third");
        }
        now += Duration::from_secs(60);
        assert!(
            breaker.record(timeout(1_000), now, now),
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
            breaker.record(health, start, start)
        };
        let mut breaker = Breaker::new(start);
        assert!(
            !record(&mut breaker, timeout(200)),
            "too short to say anything"
        );
        assert!(record(&mut breaker, timeout(1_000)));
        let mut healthy = Breaker::new(start);
        healthy.record(Health::Success, start, start);
        assert!(!record(&mut healthy, timeout(1_000)));
        let mut slow = Breaker::new(start);
        slow.record(Health::Success, start, after(start, 2_000));
        assert_eq!(
            slow.discount_short_timeout(timeout(3_000), after(start, 3_000)),
            Health::Neutral,
            "it usually takes as long"
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
        let mut breaker = Breaker::new(start);
        for _ in 0..50 {
            breaker.record(Health::Success, start, start);
        }
        for n in 1..=5 {
            breaker.record(timeout(5_000), start, start);
            assert_eq!(breaker.is_slow(start), n == 5);
        }
    }

    #[test]
    fn neutral_outcomes_never_open_the_breaker() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 0..100 {
            assert!(!breaker.record(Health::Neutral, start, after(start, n)));
        }
    }
}
