//! How long the calls of a request take, and from when on one of them is taken to be stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Answers after which the slowest of them says something.
const ENOUGH: u64 = 20;
/// So many times as long as the slowest answer.
const FACTOR: u32 = 10;
/// Never sooner than this.
const LEAST: Duration = Duration::from_secs(5);

/// The calls of one request, which ask the same of texts of one kind.
#[derive(Debug, Default)]
pub struct StragglerDetector {
    answers: AtomicU64,
    slowest_us: AtomicU64,
}

impl StragglerDetector {
    pub fn record_latency(&self, took: Duration) {
        self.slowest_us.fetch_max(
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// When to give up a call of an item of which so many were given up already: each time later, in case it is the text that
    /// takes long. `None` while too little is known.
    pub fn straggler_limit(&self, stalls: u32) -> Option<Duration> {
        if self.answers.load(Ordering::Relaxed) < ENOUGH {
            return None;
        }
        let slowest = Duration::from_micros(self.slowest_us.load(Ordering::Relaxed));
        let patience = slowest.saturating_mul(FACTOR).max(LEAST);
        Some(patience.saturating_mul(1 << stalls.min(10)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_slowest_and_each_time_twice_as_long() {
        let pace = StragglerDetector::default();
        for _ in 0..19 {
            pace.record_latency(Duration::from_secs(1));
        }
        assert_eq!(pace.straggler_limit(0), None);
        pace.record_latency(Duration::from_millis(300));
        assert_eq!(pace.straggler_limit(0), Some(Duration::from_secs(10)));
        assert_eq!(pace.straggler_limit(2), Some(Duration::from_secs(40)));
        let quick = StragglerDetector::default();
        (0..20).for_each(|_| quick.record_latency(Duration::from_millis(5)));
        assert_eq!(quick.straggler_limit(0), Some(LEAST));
    }
}
