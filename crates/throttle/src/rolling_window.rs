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

    /// Returns the sum of the last ten seconds, all callers together.
    pub fn sum(&mut self, now: Instant) -> T {
        let callers = self.totals(now).map(|(_, own)| own);
        callers.fold(T::default(), Add::add)
    }

    /// Returns the caller with the largest `count` in the last ten seconds, the first of several, and its sum; `None` if no caller has one.
    pub fn largest(&mut self, now: Instant, count: impl Fn(T) -> u32) -> Option<(CallerId, T)> {
        let mut largest = None;
        for (caller, own) in self.totals(now) {
            let most = largest.map_or(0, |(_, most)| count(most));
            if count(own) > most {
                largest = Some((caller, own));
            }
        }
        largest
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
            let total = windows.sum(now);
            assert_eq!(u64::from(total), (number + 1).min(110), "eleven seconds");
            assert!(windows.0.len() <= 111, "{}", windows.0.len());
        }
        windows.clear();
        assert_eq!(windows.totals(start).count(), 0);
    }

    #[test]
    fn the_largest_sum_is_the_first_of_several_and_not_zero() {
        let now = Instant::now();
        let mut windows = CallerWindows::<u32>::default();
        let largest = |windows: &mut CallerWindows<u32>| windows.largest(now, |own| own);
        assert_eq!(largest(&mut windows), None);
        *windows.current(CallerId(1), now) = 0;
        assert_eq!(largest(&mut windows), None);
        for (caller, sum) in [(2, 1), (3, 7), (4, 7), (5, 2)] {
            *windows.current(CallerId(caller), now) = sum;
        }
        assert_eq!(largest(&mut windows), Some((CallerId(3), 7)));
        assert_eq!(windows.sum(now), 17);
    }
}
