//! Adaptive concurrency of a provider: fewer calls in flight after signs of overload (429, 503,
//! timeouts), more again after successes. Additive increase, multiplicative decrease, between one
//! and the configured cap.

use std::time::Instant;

/// Factor applied to the calls in flight after a sign of overload.
const DECREASE_FACTOR: f64 = 0.8;

/// The current limit of calls in flight.
#[derive(Debug)]
pub struct Adaptive {
    cap: usize,
    limit: f64,
    decreased_at: Option<Instant>,
}

impl Adaptive {
    pub const fn new(cap: usize) -> Self {
        Self {
            cap,
            limit: as_float(cap),
            decreased_at: None,
        }
    }

    /// Returns the maximum number of calls in flight now, at least 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to the cap"
    )]
    pub const fn limit(&self) -> usize {
        self.limit.ceil() as usize
    }

    /// Returns true if the limit is below the cap.
    pub const fn is_lowered(&self) -> bool {
        self.limit() < self.cap
    }

    /// Lowers the limit because a call that began at `began` met overload. `in_flight` includes it.
    pub fn decrease(&mut self, began: Instant, in_flight: usize, now: Instant) {
        // Calls that began before the last decrease report the same overload.
        if self.decreased_at.is_some_and(|at| began < at) {
            return;
        }
        // If few calls were in flight, the limit says little about the overload; it drops to half
        // at most.
        let base = self.limit.min(as_float(in_flight).max(self.limit / 2.0));
        self.limit = (base * DECREASE_FACTOR).max(1.0);
        self.decreased_at = Some(now);
    }

    /// Raises the limit after a success: by one for each round of `limit` calls, if all of them
    /// were needed.
    pub fn increase(&mut self, in_flight: usize) {
        if self.limit < as_float(self.cap) && in_flight + 1 >= self.limit() {
            self.limit = (self.limit + 1.0 / self.limit).min(as_float(self.cap));
        }
    }
}

/// Converts a number of calls.
#[expect(clippy::cast_precision_loss, reason = "at most 100,000 calls")]
pub const fn as_float(calls: usize) -> f64 {
    calls as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_storm_of_refusals_lowers_the_limit_once_and_successes_raise_it() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(64);
        let later = start + Duration::from_millis(10);
        for _ in 0..64 {
            adaptive.decrease(start, 64, later);
        }
        assert_eq!(adaptive.limit(), 52);
        assert!(adaptive.is_lowered() && !Adaptive::new(64).is_lowered());
        for _ in 0..1000 {
            adaptive.increase(50);
        }
        assert_eq!(adaptive.limit(), 52, "fewer calls than that are enough");
        let rounds = (0..2_000).take_while(|_| {
            // Another call takes the place of the one that has ended.
            adaptive.increase(adaptive.limit() - 1);
            adaptive.limit() < 64
        });
        assert!((600..900).contains(&rounds.count()), "one more a round");
    }

    #[test]
    fn refusals_with_few_calls_in_flight_halve_the_limit_at_most() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(64);
        let limits: Vec<_> = (1..=6)
            .map(|n| {
                // Each call begins when the one before it is refused.
                let began = start + Duration::from_millis(n);
                adaptive.decrease(began, 1, began + Duration::from_millis(1));
                adaptive.limit()
            })
            .collect();
        assert_eq!(limits, [26, 11, 5, 2, 1, 1]);
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(cap in 1_usize..1000, steps in prop::collection::vec((any::<bool>(), 0_usize..1000), 0..500)) {
            let start = Instant::now();
            let mut adaptive = Adaptive::new(cap);
            for (ms, (good, in_flight)) in (0..).zip(steps) {
                let now = start + Duration::from_millis(ms);
                if good { adaptive.increase(in_flight) } else { adaptive.decrease(now, in_flight, now) }
                prop_assert!((1..=cap).contains(&adaptive.limit()));
            }
        }
    }
}
