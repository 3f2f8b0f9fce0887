//! Straggler detection: the time from which a call that takes far longer than the others of its request counts as stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Number of answers from which their latency is significant.
const MIN_ANSWERS: u64 = 20;
/// Multiple of the slowest answer's latency.
const FACTOR: u32 = 10;
/// Lower bound of the straggler limit.
const MIN_LIMIT: Duration = Duration::from_secs(5);

/// Latency of the calls of one request, which are comparable: the same prompt, with similar texts.
#[derive(Debug, Default)]
pub struct StragglerDetector {
    answers: AtomicU64,
    slowest_us: AtomicU64,
}

impl StragglerDetector {
    /// Records the latency of an answered call.
    pub fn record_latency(&self, took: Duration) {
        self.slowest_us.fetch_max(
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the time after which a call counts as stuck; `None` while too few calls were answered. Doubles with each stalled
    /// call of the item, because its text may be the reason.
    pub fn straggler_limit(&self, stalls: u32) -> Option<Duration> {
        if self.answers.load(Ordering::Relaxed) < MIN_ANSWERS {
            return None;
        }
        let slowest = Duration::from_micros(self.slowest_us.load(Ordering::Relaxed));
        let limit = slowest.saturating_mul(FACTOR).max(MIN_LIMIT);
        Some(limit.saturating_mul(1 << stalls.min(10)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_ten_times_the_slowest_and_doubles_with_each_stall() {
        let detector = StragglerDetector::default();
        for _ in 0..19 {
            detector.record_latency(Duration::from_secs(1));
        }
        assert_eq!(detector.straggler_limit(0), None);
        detector.record_latency(Duration::from_millis(300));
        assert_eq!(detector.straggler_limit(0), Some(Duration::from_secs(10)));
        assert_eq!(detector.straggler_limit(2), Some(Duration::from_secs(40)));
        let quick = StragglerDetector::default();
        (0..20).for_each(|_| quick.record_latency(Duration::from_millis(5)));
        assert_eq!(quick.straggler_limit(0), Some(MIN_LIMIT));
    }
}
