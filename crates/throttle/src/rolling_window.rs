//! Rolling window: sums over at least the last ten seconds, in steps of one second.

use std::time::{Duration, Instant};

/// Number of steps: the current second, which has only begun, and the ten before it. With fewer, less than ten seconds would be
/// covered.
const STEPS: usize = 11;
/// Length of a step.
pub const STEP: Duration = Duration::from_secs(1);

/// Sum of `T` over the last ten to eleven seconds. Time is an argument.
#[derive(Debug)]
pub struct RollingWindow<T> {
    start: Instant,
    step: u64,
    sums: [T; STEPS],
}

impl<T: Copy + Default> RollingWindow<T> {
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            step: 0,
            sums: [T::default(); STEPS],
        }
    }

    /// Returns the sum of the current second, to be added to.
    pub fn current(&mut self, now: Instant) -> &mut T {
        self.advance(now);
        let [newest, ..] = &mut self.sums;
        newest
    }

    /// Returns the sums of the last ten seconds, the newest first.
    pub fn recent(&mut self, now: Instant) -> impl Iterator<Item = T> {
        self.advance(now);
        self.sums.into_iter()
    }

    /// Sets all sums to zero.
    pub fn clear(&mut self) {
        self.sums = [T::default(); STEPS];
    }

    /// Drops the steps that ended more than ten seconds ago.
    fn advance(&mut self, now: Instant) {
        let step = now.saturating_duration_since(self.start).as_secs();
        let passed = usize::try_from(step.saturating_sub(self.step))
            .unwrap_or(STEPS)
            .min(STEPS);
        self.step = self.step.max(step);
        for _ in 0..passed {
            self.sums.rotate_right(1);
            let [newest, ..] = &mut self.sums;
            *newest = T::default();
        }
    }
}
