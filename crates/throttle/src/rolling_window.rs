//! Rolling windows: sums over at least the last ten seconds, in steps of one second, for each caller.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;

/// Number of steps: the current second, which has only begun, and the ten before it. With fewer, less than ten seconds would be
/// covered.
const STEPS: usize = 11;
/// Length of a step.
pub const STEP: Duration = Duration::from_secs(1);

/// Sum of `T` over the last ten to eleven seconds. Time is an argument.
#[derive(Debug)]
struct RollingWindow<T> {
    start: Instant,
    step: u64,
    sums: [T; STEPS],
}

impl<T: Copy + Default + Add<Output = T>> RollingWindow<T> {
    fn new(start: Instant) -> Self {
        Self {
            start,
            step: 0,
            sums: [T::default(); STEPS],
        }
    }

    /// Returns the sum of the current second, to be added to.
    fn current(&mut self, now: Instant) -> &mut T {
        self.advance(now);
        let [newest, ..] = &mut self.sums;
        newest
    }

    /// Returns the sum of the last ten seconds.
    fn total(&mut self, now: Instant) -> T {
        self.advance(now);
        self.sums.into_iter().fold(T::default(), Add::add)
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

/// Sums of `T` of the callers that have been active in the last ten to eleven seconds; others are forgotten when a caller is added.
/// Time is an argument.
#[derive(Debug, Default)]
pub struct CallerWindows<T>(BTreeMap<CallerId, RollingWindow<T>>);

impl<T: Copy + Default + PartialEq + Add<Output = T>> CallerWindows<T> {
    /// Returns a caller's sum of the current second, to be added to.
    pub fn current(&mut self, caller: CallerId, now: Instant) -> &mut T {
        if !self.0.contains_key(&caller) {
            self.0.retain(|_, own| own.total(now) != T::default());
        }
        let own = self.0.entry(caller);
        own.or_insert_with(|| RollingWindow::new(now)).current(now)
    }

    /// Returns each caller's sum of the last ten seconds. It may be zero.
    pub fn totals(&mut self, now: Instant) -> impl Iterator<Item = (CallerId, T)> {
        let callers = self.0.iter_mut();
        callers.map(move |(caller, own)| (*caller, own.total(now)))
    }

    /// Sets all sums to zero.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_have_been_idle_for_ten_seconds_are_forgotten() {
        let start = Instant::now();
        let mut windows = CallerWindows::<u32>::default();
        for number in 0..1_000 {
            let now = start + Duration::from_millis(100 * number);
            *windows.current(CallerId(number), now) += 1;
            let total: u32 = windows.totals(now).map(|(_, own)| own).sum();
            assert_eq!(u64::from(total), (number + 1).min(110), "eleven seconds");
            assert!(windows.0.len() <= 111, "{}", windows.0.len());
        }
        windows.clear();
        assert_eq!(windows.totals(start).count(), 0);
    }
}
