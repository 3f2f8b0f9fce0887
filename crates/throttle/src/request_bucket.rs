//! The request bucket (requests per minute) of one provider key: governor's GCRA, with the time as
//! an argument.
//!
//! governor's own waiting keeps no order and sleeps on a timer of its own. Its `per_minute(60)`
//! lets 119 calls through in the first minute (a full burst and the refill). Here the burst is
//! small and explicit, and the fair queue waits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// A rate. In any time t at most `burst + per_minute × t` calls go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per minute.
    pub per_minute: NonZeroU32,
    /// Requests that may go out at once.
    pub burst: NonZeroU32,
}

/// A clock that returns the time it was last set to.
#[derive(Debug, Clone)]
struct ManualClock {
    start: Instant,
    elapsed_ns: Arc<AtomicU64>,
}

impl ManualClock {
    fn set(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        // 584 years fit into 64 bits.
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.elapsed_ns.fetch_max(elapsed, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Elapsed(u64);

impl std::ops::Add<Nanos> for Elapsed {
    type Output = Self;

    fn add(self, rhs: Nanos) -> Self {
        Self(self.0.saturating_add(rhs.into()))
    }
}

impl Reference for Elapsed {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.into()))
    }
}

impl Clock for ManualClock {
    type Instant = Elapsed;

    fn now(&self) -> Elapsed {
        Elapsed(self.elapsed_ns.load(Ordering::Relaxed))
    }
}

/// A bucket of requests.
#[derive(Debug)]
pub struct RequestBucket {
    rate: Rate,
    /// Time in which one request comes back.
    interval: Duration,
    clock: ManualClock,
    cells: RateLimiter<NotKeyed, InMemoryState, ManualClock, StateInformationMiddleware>,
    /// No request is available before this moment.
    empty_until: Instant,
    /// Requests that remained when the last was taken, and the time of that.
    remaining: u32,
    taken_at: Instant,
}

impl RequestBucket {
    /// Creates a full bucket. `pace` is the share of the rate at which it fills.
    pub fn new(rate: Rate, pace: f64, now: Instant) -> Self {
        let clock = ManualClock {
            start: now,
            elapsed_ns: Arc::default(),
        };
        let interval = interval(rate).div_f64(pace);
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_minute(rate.per_minute))
            .allow_burst(rate.burst);
        let cells = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        Self {
            rate,
            interval,
            clock,
            cells,
            empty_until: now,
            remaining: rate.burst.get(),
            taken_at: now,
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// The time at which a request is available.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if now < self.empty_until {
            return Err(self.empty_until);
        }
        self.clock.set(now);
        match self.cells.check() {
            Ok(state) => {
                self.remaining = state.remaining_burst_capacity();
                self.taken_at = now;
                if self.remaining == 0 {
                    self.empty_until = now + self.interval;
                }
                Ok(())
            }
            Err(refusal) => {
                self.remaining = 0;
                self.empty_until = now + refusal.wait_time_from(self.clock.now());
                Err(self.empty_until)
            }
        }
    }

    /// Returns when a request is available; `None` means now.
    pub fn available_at(&self, now: Instant) -> Option<Instant> {
        (now < self.empty_until).then_some(self.empty_until)
    }

    /// Empties the bucket: the provider reports that nothing is left.
    pub fn empty(&mut self, now: Instant) {
        for _ in 0..self.available(now) {
            if self.take(now).is_err() {
                break;
            }
        }
    }

    /// Returns the configured rate, without the share that is held back.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Returns how many requests are available now.
    pub fn available(&self, now: Instant) -> u32 {
        if now < self.empty_until {
            return 0;
        }
        let refilled = now.saturating_duration_since(self.taken_at).as_nanos()
            / self.interval.as_nanos().max(1);
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
        self.remaining
            .saturating_add(refilled)
            .clamp(1, self.rate.burst.get())
    }
}

/// Returns the time between two requests. Rounded up to the nanosecond: rounded down, as governor's
/// `per_minute` does, it would exceed the rate.
fn interval(rate: Rate) -> Duration {
    const MINUTE_NS: u64 = 60_000_000_000;
    Duration::from_nanos(MINUTE_NS.div_ceil(rate.per_minute.get().into()))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "the counts are small")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate {
            per_minute: NonZeroU32::new(per_minute).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[test]
    fn a_bucket_shows_what_is_available_and_when() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = RequestBucket::new(rate(60, 3), 1.0, start);
        assert_eq!(bucket.available(start), 3);
        bucket.take(start).unwrap();
        assert_eq!(bucket.available(start), 2);
        bucket.empty(start);
        assert_eq!(bucket.available(start), 0);
        assert_eq!(bucket.available_at(start), Some(at(1_000)));
        assert_eq!(bucket.available_at(at(1_000)), None);
        let later = [999, 1_000, 1_999, 2_000, 2_999, 3_000, 60_000];
        let available = later.map(|ms| bucket.available(at(ms)));
        assert_eq!(available, [0, 1, 1, 2, 2, 3, 3]);
    }

    proptest! {
        /// A caller that comes at each returned time gets the whole rate, and never more than burst
        /// + rate × t.
        #[test]
        fn the_full_rate_is_used_and_never_exceeded(per_minute in 1_u32..1_000_000, burst in 1_u32..50, late_us in 0_u64..50) {
            let start = Instant::now();
            let mut bucket = RequestBucket::new(rate(per_minute, burst), 1.0, start);
            let (mut now, mut taken) = (start, Vec::new());
            for _ in 0..500 {
                match bucket.take(now) {
                    Ok(()) => taken.push(now),
                    Err(at) => {
                        prop_assert!(at > now);
                        now = at + Duration::from_micros(late_us);
                    }
                }
            }
            let per_ns = f64::from(per_minute) / 60e9;
            for (n, at) in taken.iter().enumerate() {
                for (m, earlier) in taken.iter().enumerate().take(n + 1).step_by(7) {
                    let allowed = f64::from(burst) + per_ns * (*at - *earlier).as_nanos() as f64;
                    prop_assert!((n - m + 1) as f64 <= allowed + 1e-3, "{} in {:?}", n - m + 1, *at - *earlier);
                }
            }
            if late_us == 0 {
                let whole = f64::from(burst) + per_ns * (now - start).as_nanos() as f64;
                prop_assert!(taken.len() as f64 >= whole - 1.5, "{} of {whole}", taken.len());
            }
        }
    }
}
