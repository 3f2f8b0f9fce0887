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
pub struct Pace {
    answers: AtomicU64,
    slowest_us: AtomicU64,
}

impl Pace {
    pub fn answered(&self, took: Duration) {
        self.slowest_us.fetch_max(
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// When to give up a call of an item of which so many were given up already: each time later, in case it is the text that
    /// takes long. `None` while too little is known.
    pub fn stalled_after(&self, stalls: u32) -> Option<Duration> {
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
        let pace = Pace::default();
        for _ in 0..19 {
            pace.answered(Duration::from_secs(1));
        }
        assert_eq!(pace.stalled_after(0), None);
        pace.answered(Duration::from_millis(300));
        assert_eq!(pace.stalled_after(0), Some(Duration::from_secs(10)));
        assert_eq!(pace.stalled_after(2), Some(Duration::from_secs(40)));
        let quick = Pace::default();
        (0..20).for_each(|_| quick.answered(Duration::from_millis(5)));
        assert_eq!(quick.stalled_after(0), Some(LEAST));
    }
}
