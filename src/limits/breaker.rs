//! The circuit breaker of one model at one provider: who is down is left alone, and asked now and then.

use std::time::{Duration, Instant};

use super::count::{Count, Counted};
use super::rolling::Rolling;

/// Calls of the last ten seconds from which on their ratio says something.
const MIN_VOLUME: u32 = 20;
/// So many failures and no success say enough by themselves.
const ALL_FAILED: u32 = 5;
/// So many in a row say that it is down now, however well it did a moment ago.
const IN_A_ROW: u32 = 10;
/// How long it stays open at first; each time that a probe fails, twice as long.
const OPEN: Duration = Duration::from_secs(5);
const MAX_OPEN: Duration = Duration::from_secs(60);
/// Calls that a half-open one lets through, and that have to succeed for it to close.
const PROBES: usize = 3;
/// A call that was given up after less says little about a provider whose usual time is not known.
const MIN_TIMEOUT: Duration = Duration::from_millis(500);

/// What a call says about the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Success,
    Failure,
    /// No answer within this time. Of its own accord, a caller may allow too little: that says less.
    Timeout {
        took: Duration,
        is_own: bool,
    },
    /// Load, or the caller's own doing.
    Neutral,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    succeeded: u32,
    failed: u32,
    timed_out: u32,
    /// Those of them that say much.
    stalled: u32,
    slowest: Duration,
}

/// As others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

#[derive(Debug)]
pub struct Breaker {
    seen: Rolling<Seen>,
    /// Failures since the last success.
    in_a_row: u32,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    until: Instant,
    length: Duration,
    probes: Count,
    succeeded: usize,
}

impl Breaker {
    pub fn new(now: Instant) -> Self {
        Self { seen: Rolling::new(now), in_a_row: 0, opened: None }
    }

    pub fn state(&self, now: Instant) -> State {
        match &self.opened {
            None => State::Closed,
            Some(opened) if opened.until > now => State::Open { until: opened.until },
            Some(_) => State::HalfOpen,
        }
    }

    /// Whether one more call may go out.
    pub fn lets_through(&self, now: Instant) -> bool {
        let Some(opened) = &self.opened else { return true };
        opened.until <= now && opened.probes.now() + opened.succeeded < PROBES
    }

    /// What a call that goes out now holds until it ends; `None` when it is not a probe.
    pub fn probe(&self) -> Option<Counted> {
        self.opened.as_ref().map(|opened| opened.probes.take())
    }

    /// A call that went out at `began` has ended; its health is `weighed`. True when the breaker has opened by it.
    pub fn record(&mut self, health: Health, began: Instant, now: Instant) -> bool {
        match (&mut self.opened, health) {
            // Not a probe: called before it opened, and late with its news.
            (Some(opened), _) if began < opened.until => false,
            (_, Health::Neutral) => false,
            (Some(opened), Health::Success) => {
                opened.succeeded += 1;
                if opened.succeeded >= PROBES {
                    self.opened = None;
                    self.seen.clear();
                }
                false
            }
            (Some(opened), Health::Failure | Health::Timeout { .. }) => {
                let length = (opened.length * 2).min(MAX_OPEN);
                self.open(length, now);
                true
            }
            (None, Health::Success) => {
                self.in_a_row = 0;
                let seen = self.seen.now(now);
                seen.succeeded += 1;
                seen.slowest = seen.slowest.max(now.saturating_duration_since(began));
                false
            }
            (None, health) => {
                self.in_a_row += 1;
                let seen = self.seen.now(now);
                seen.failed += 1;
                seen.timed_out += u32::from(matches!(health, Health::Timeout { .. }));
                seen.stalled += u32::from(matches!(health, Health::Timeout { is_own: false, .. }));
                let tripped = self.tripped(now);
                if tripped {
                    self.open(OPEN, now);
                }
                tripped
            }
        }
    }

    /// Whoever allows less time than the provider usually takes learns nothing about its health.
    pub fn weighed(&mut self, health: Health, now: Instant) -> Health {
        match health {
            Health::Timeout { took, .. } if took < MIN_TIMEOUT || took < self.all(now).slowest * 2 => Health::Neutral,
            health => health,
        }
    }

    /// The last ten seconds.
    fn all(&mut self, now: Instant) -> Seen {
        self.seen.recent(now).fold(Seen::default(), |all, seen| Seen {
            succeeded: all.succeeded + seen.succeeded,
            failed: all.failed + seen.failed,
            timed_out: all.timed_out + seen.timed_out,
            stalled: all.stalled + seen.stalled,
            slowest: all.slowest.max(seen.slowest),
        })
    }

    /// Whether as many calls time out as load would explain: one of ten. A few that are stuck are no load.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let all = self.all(now);
        all.timed_out * 10 >= all.succeeded
    }

    fn tripped(&mut self, now: Instant) -> bool {
        let all = self.all(now);
        let none_succeeded = all.succeeded == 0 && (all.stalled > 0 || all.failed >= ALL_FAILED);
        none_succeeded || self.in_a_row >= IN_A_ROW || (all.succeeded + all.failed >= MIN_VOLUME && all.failed >= all.succeeded)
    }

    fn open(&mut self, length: Duration, now: Instant) {
        self.opened = Some(Opened { until: now + length, length, probes: Count::default(), succeeded: 0 });
        self.seen.clear();
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn half_of_twenty_open_it_and_three_probes_close_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 0..10 {
            assert!(!breaker.record(Health::Success, start, after(start, n)));
        }
        for n in 0..9 {
            assert!(!breaker.record(Health::Failure, start, after(start, n)));
        }
        assert!(breaker.record(Health::Failure, start, after(start, 100)));
        assert!(!breaker.lets_through(after(start, 5_000)));
        assert!(breaker.lets_through(after(start, 5_100)));
        let probes: Vec<_> = (0..3).map(|_| breaker.probe().unwrap()).collect();
        assert!(!breaker.lets_through(after(start, 5_200)), "three and no more");
        drop(probes);
        for _ in 0..3 {
            assert!(breaker.lets_through(after(start, 5_300)));
            assert!(!breaker.record(Health::Success, after(start, 5_200), after(start, 5_300)));
        }
        assert_eq!(breaker.state(after(start, 5_300)), State::Closed);
    }

    #[test]
    fn many_failures_in_a_row_open_it_however_well_it_did() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 0..5_000 {
            assert!(!breaker.record(Health::Success, start, after(start, n)));
        }
        for n in 0..200 {
            let health = if n % 10 == 9 { Health::Success } else { Health::Failure };
            assert!(!breaker.record(health, start, after(start, 5_000 + n)), "never ten in a row");
        }
        assert!((0..10).all(|n| breaker.record(Health::Failure, start, after(start, 5_300)) == (n == 9)));
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_minute() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        let mut now = start;
        for _ in 0..5 {
            breaker.record(Health::Failure, now, now);
        }
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.state(now), State::Open { until: now + Duration::from_secs(seconds) });
            now += Duration::from_secs(seconds);
            assert_eq!(breaker.state(now), State::HalfOpen);
            assert!(!breaker.record(Health::Failure, start, now), "one that was called before it opened");
            assert!(breaker.record(Health::Failure, now, now));
            assert!(!breaker.record(Health::Failure, now, now), "the second probe of the same three");
        }
    }

    const fn timeout(ms: u64, is_own: bool) -> Health {
        Health::Timeout { took: Duration::from_millis(ms), is_own }
    }

    #[test]
    fn one_timeout_opens_it_where_nothing_else_is_known() {
        let start = Instant::now();
        let record = |breaker: &mut Breaker, health| {
            let health = breaker.weighed(health, start);
            breaker.record(health, start, start)
        };
        let mut breaker = Breaker::new(start);
        assert!(!record(&mut breaker, timeout(200, false)), "too short to say anything");
        assert!(!record(&mut breaker, timeout(1_000, true)), "an impatient caller");
        assert!(record(&mut breaker, timeout(1_000, false)));
        let mut healthy = Breaker::new(start);
        healthy.record(Health::Success, start, start);
        assert!(!record(&mut healthy, timeout(1_000, false)));
        let mut slow = Breaker::new(start);
        slow.record(Health::Success, start, after(start, 2_000));
        assert_eq!(slow.weighed(timeout(3_000, false), after(start, 3_000)), Health::Neutral, "it usually takes as long");
        assert_ne!(slow.weighed(timeout(3_000, false), after(start, 20_000)), Health::Neutral, "that is long ago");
    }

    #[test]
    fn a_few_stuck_calls_are_no_load() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for _ in 0..50 {
            breaker.record(Health::Success, start, start);
        }
        for n in 1..=5 {
            breaker.record(timeout(5_000, false), start, start);
            assert_eq!(breaker.is_slow(start), n == 5);
        }
    }

    #[test]
    fn load_says_nothing() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 0..100 {
            assert!(!breaker.record(Health::Neutral, start, after(start, n)));
        }
    }
}
