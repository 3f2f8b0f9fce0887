//! The retry budget of a provider: bounds retries relative to first calls, so that a provider's
//! failure is not multiplied.

use std::time::{Duration, Instant};

use crate::rolling_window::{RollingWindow, STEP};

/// Retries allowed per first call of the last ten seconds.
const SHARE: f64 = 0.2;
/// Retries that are always allowed in ten seconds.
const FLOOR: u32 = 30;

#[derive(Debug, Clone, Copy, Default)]
struct CallCounts {
    /// Calls that are not retries.
    first: u32,
    retries: u32,
}

/// First calls and retries of the last ten seconds.
#[derive(Debug)]
pub struct RetryBudget(RollingWindow<CallCounts>);

impl RetryBudget {
    pub fn new(now: Instant) -> Self {
        Self(RollingWindow::new(now))
    }

    /// Records a first call, which deposits a share of a retry.
    pub fn record_first_call(&mut self, now: Instant) {
        self.0.current(now).first += 1;
    }

    /// Takes one retry.
    ///
    /// # Errors
    /// The time after which to ask again, if the budget is used up.
    pub fn withdraw(&mut self, now: Instant) -> Result<(), Duration> {
        let (used, allowed) = self.usage(now);
        if used < allowed {
            self.0.current(now).retries += 1;
            return Ok(());
        }
        Err(STEP)
    }

    /// Returns the retries of the last ten seconds, and the limit.
    pub fn usage(&mut self, now: Instant) -> (u32, u32) {
        let (first, retries) = self
            .0
            .recent(now)
            .fold((0_u32, 0_u32), |(first, retries), counts| {
                (first + counts.first, retries + counts.retries)
            });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fifth of a u32"
        )]
        let share = (f64::from(first) * SHARE) as u32;
        (retries, share.saturating_add(FLOOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_limited_to_a_fifth_of_first_calls_and_a_floor() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        for _ in 0..1000 {
            budget.record_first_call(start);
        }
        assert_eq!(
            (0..1000).filter(|_| budget.withdraw(start).is_ok()).count(),
            230
        );
        let almost = start + Duration::from_millis(10_900);
        assert!(budget.withdraw(almost).is_err(), "ten seconds are covered");
        let later = start + Duration::from_secs(11);
        assert_eq!(
            (0..1000).filter(|_| budget.withdraw(later).is_ok()).count(),
            30
        );
    }
}
