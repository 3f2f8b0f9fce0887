//! The retry budget of a provider: bounds retries relative to first calls, so that a provider's
//! failure is not multiplied. Each caller has a share that its own first calls make, and callers share the floor.

use std::ops::Add;
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;
use crate::rolling_window::{CallerWindows, STEP};

/// Retries allowed per first call of the last ten seconds.
const SHARE: f64 = 0.2;
/// Retries that are always allowed in ten seconds, all callers together.
const FLOOR: u32 = 30;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CallCounts {
    /// Calls that are not retries.
    first: u32,
    retries: u32,
}

impl Add for CallCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            first: self.first + other.first,
            retries: self.retries + other.retries,
        }
    }
}

impl CallCounts {
    /// Returns the retries that the first calls allow.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fifth of a u32"
    )]
    fn share(self) -> u32 {
        (f64::from(self.first) * SHARE) as u32
    }

    /// Returns the retries that the floor has allowed.
    fn beyond_share(self) -> u32 {
        self.retries.saturating_sub(self.share())
    }
}

/// First calls and retries of the last ten seconds, by caller.
#[derive(Debug, Default)]
pub struct RetryBudget(CallerWindows<CallCounts>);

impl RetryBudget {
    /// Records a first call, which deposits a share of a retry for its caller.
    pub fn record_first_call(&mut self, caller: CallerId, now: Instant) {
        self.0.current(caller, now).first += 1;
    }

    /// Takes one retry: of the caller's own share, or of the floor. With `is_shared`, a caller may take as much of the floor as is
    /// left, so that there is always something for another caller.
    ///
    /// # Errors
    /// The time after which to ask again, if the budget is used up.
    pub fn withdraw(
        &mut self,
        caller: CallerId,
        is_shared: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        let (mut own, mut floor_used) = (CallCounts::default(), 0);
        for (id, counts) in self.0.totals(now) {
            floor_used += counts.beyond_share();
            if id == caller {
                own = counts;
            }
        }
        let taken = if is_shared { own.beyond_share() } else { 0 };
        if own.retries < own.share() || taken < FLOOR.saturating_sub(floor_used) {
            self.0.current(caller, now).retries += 1;
            return Ok(());
        }
        Err(STEP)
    }

    /// Returns the retries of the last ten seconds, and the limit, all callers together.
    pub fn usage(&mut self, now: Instant) -> (u32, u32) {
        let callers = self.0.totals(now).map(|(_, counts)| counts);
        callers.fold((0, FLOOR), |(used, limit), counts| {
            (used + counts.retries, limit + counts.share())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    /// Takes as many retries as there are for a caller.
    fn withdraw_all(
        budget: &mut RetryBudget,
        caller: CallerId,
        is_shared: bool,
        now: Instant,
    ) -> usize {
        let attempts = 0..1000;
        let taken = attempts.filter(|_| budget.withdraw(caller, is_shared, now).is_ok());
        taken.count()
    }

    #[test]
    fn retries_are_limited_to_a_fifth_of_first_calls_and_a_floor() {
        let start = Instant::now();
        let mut budget = RetryBudget::default();
        for _ in 0..1000 {
            budget.record_first_call(ALICE, start);
        }
        assert_eq!(withdraw_all(&mut budget, ALICE, false, start), 230);
        assert_eq!(budget.usage(start), (230, 230));
        let almost = start + Duration::from_millis(10_900);
        assert!(
            budget.withdraw(ALICE, false, almost).is_err(),
            "ten seconds are covered"
        );
        let later = start + Duration::from_secs(11);
        assert_eq!(withdraw_all(&mut budget, ALICE, false, later), 30);
        for _ in 0..1000 {
            budget.record_first_call(BOB, later);
        }
        let taken = withdraw_all(&mut budget, BOB, false, later);
        assert_eq!(taken, 200, "the floor is used up");
    }

    #[test]
    fn a_callers_retries_leave_the_others_their_own_shares_and_a_part_of_the_floor() {
        let now = Instant::now();
        let mut budget = RetryBudget::default();
        for _ in 0..1000 {
            budget.record_first_call(ALICE, now);
        }
        assert_eq!(withdraw_all(&mut budget, ALICE, true, now), 200 + 15);
        for _ in 0..100 {
            budget.record_first_call(BOB, now);
        }
        // The half of what is left of the floor, rounded up.
        assert_eq!(withdraw_all(&mut budget, BOB, true, now), 20 + 8);
        assert_eq!(withdraw_all(&mut budget, ALICE, true, now), 0);
        assert_eq!(budget.usage(now), (243, 250));
    }
}
