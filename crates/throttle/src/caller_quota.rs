//! The quota and budget of one caller: its request and token buckets, concurrency, part of the
//! waiting room, and dollars per day.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use crate::caller_calls::CallerCalls;
use crate::money::Usd;
use crate::request_bucket::{Rate, RequestBucket};
use crate::token_bucket::TokenBucket;

/// Quota of a caller. `None` means no limit of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// Name of the caller, for display and metrics.
    pub name: String,
    /// Name under which the caller's resources are stored. No other caller ever has it.
    pub owner: String,
    /// Maximum number of first calls per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Maximum number of tokens per minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Maximum number of calls in flight.
    pub max_in_flight: Option<NonZeroU32>,
    /// Maximum number of items that wait.
    pub max_queue: Option<NonZeroU32>,
    /// Maximum cost of its calls in a day (UTC).
    pub budget_per_day: Option<Usd>,
}

/// Waiting items of a caller that has neither `max_queue` nor a limit of requests.
const MAX_QUEUE: usize = 100;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Quota {
    /// Returns the maximum number of waiting items: as configured, else what a minute's quota of
    /// requests serves. `None`: only the common waiting room limits them.
    #[must_use]
    pub fn waiting_room(&self) -> Option<usize> {
        let is_paced = self.requests_per_minute.is_some() || self.tokens_per_minute.is_some();
        let paced = is_paced.then(|| {
            self.requests_per_minute
                .map_or(MAX_QUEUE, |requests| requests.get() as usize)
        });
        self.max_queue.map(|room| room.get() as usize).or(paced)
    }
}

/// Cost of a caller's calls. It is kept without a budget, too, so that a budget set later finds it.
#[derive(Debug)]
struct BudgetSpending {
    /// Cost of the calls that ended today.
    spent: Usd,
    /// Cost reserved for calls in flight, whenever they began.
    reserved: Usd,
    day_ends: Instant,
}

impl BudgetSpending {
    fn new(now: Instant, wall: SystemTime) -> Self {
        Self {
            spent: Usd(0),
            reserved: Usd(0),
            day_ends: now + until_midnight(wall),
        }
    }

    /// Resets the spending at midnight UTC. Reservations are kept.
    #[expect(
        clippy::disallowed_methods,
        reason = "budgets start anew at midnight UTC"
    )]
    fn start_new_day_if_due(&mut self, now: Instant) {
        if now >= self.day_ends {
            *self = Self {
                reserved: self.reserved,
                ..Self::new(now, SystemTime::now())
            };
        }
    }

    /// Returns the cost that is spent or reserved.
    const fn with_reserved(&self) -> Usd {
        self.spent.saturating_add(self.reserved)
    }
}

/// Returns the time until the next midnight, UTC.
fn until_midnight(wall: SystemTime) -> Duration {
    let today = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        % DAY.as_secs();
    DAY.saturating_sub(Duration::from_secs(today))
}

/// Reason why a caller's item cannot go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// A quota of a minute is used up until then.
    Until(Instant),
    /// A call of the caller has to end first.
    OwnCalls,
    /// The budget is used up until then.
    BudgetExhausted(Instant),
}

/// Part of a caller's quota that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// Number of requests: 1, or 0 for a repeated call. A provider's failures are not the caller's.
    pub requests: u8,
    pub tokens: u64,
    pub cost: Usd,
}

/// A caller's quota and what it uses of it.
#[derive(Debug)]
pub struct Caller {
    pub quota: Quota,
    requests: Option<RequestBucket>,
    tokens: Option<TokenBucket>,
    spending: BudgetSpending,
    pub in_flight: CallerCalls,
    /// Number of places that its requests hold: items that wait or are in flight.
    pub admitted: usize,
    /// True if the caller is no longer configured. It may come back.
    pub is_retired: bool,
}

impl Caller {
    pub fn new(quota: Quota, now: Instant, wall: SystemTime) -> Self {
        let mut caller = Self {
            quota: Quota::default(),
            requests: None,
            tokens: None,
            spending: BudgetSpending::new(now, wall),
            in_flight: CallerCalls::default(),
            admitted: 0,
            is_retired: false,
        };
        caller.set_quota(quota, now);
        caller
    }

    /// Replaces the quota. What is unchanged keeps its balance.
    pub fn set_quota(&mut self, quota: Quota, now: Instant) {
        self.is_retired = false;
        if self.quota.requests_per_minute != quota.requests_per_minute {
            self.requests = quota
                .requests_per_minute
                .map(|per_minute| RequestBucket::new(rate(per_minute), 1.0, now));
        }
        if self.quota.tokens_per_minute != quota.tokens_per_minute {
            self.tokens = quota
                .tokens_per_minute
                .map(|per_minute| TokenBucket::new(per_minute, 1.0, now));
        }
        self.quota = quota;
    }

    /// Returns true if the caller is not configured and has nothing in flight or waiting.
    pub const fn is_gone(&self) -> bool {
        self.is_retired && self.admitted == 0
    }

    /// Returns true if its items reserve tokens or dollars.
    pub const fn counts_tokens(&self) -> bool {
        self.tokens.is_some() || self.has_budget()
    }

    /// Returns true if the caller has a daily budget.
    pub const fn has_budget(&self) -> bool {
        self.quota.budget_per_day.is_some()
    }

    /// Returns true if the end of one of its calls may let another go out.
    pub const fn may_be_blocked_by_own_calls(&self) -> bool {
        self.quota.max_in_flight.is_some() || self.tokens.is_some() || self.has_budget()
    }

    /// Returns how many of its items could go out now, as far as its own quota is concerned.
    pub fn available_calls(&mut self, now: Instant) -> usize {
        if self
            .blocked(
                Charge {
                    requests: 1,
                    ..Charge::default()
                },
                now,
            )
            .is_some()
        {
            return 0;
        }
        let limit = self
            .quota
            .max_in_flight
            .map(|limit| (limit.get() as usize).saturating_sub(self.in_flight.count()));
        let requests = self
            .requests
            .as_ref()
            .map(|requests| requests.available(now) as usize);
        limit
            .into_iter()
            .chain(requests)
            .min()
            .unwrap_or(usize::MAX)
    }

    /// Returns how many more items may wait, given that `ready` of them go out at once. `None`: no
    /// limit of its own.
    pub fn free_room(&self, ready: usize) -> Option<usize> {
        let room = self.quota.waiting_room()?;
        Some(room.saturating_add(ready).saturating_sub(self.waiting()))
    }

    /// Returns what keeps the caller's next item from going out, if anything does.
    pub fn blocked(&mut self, charge: Charge, now: Instant) -> Option<Blocked> {
        if let Some(until) = self.budget_exhausted_until(now) {
            return Some(Blocked::BudgetExhausted(until));
        }
        if self
            .quota
            .budget_per_day
            .is_some_and(|per_day| self.spending.with_reserved() >= per_day)
        {
            // Calls in flight may turn out cheaper than their reservation.
            return Some(Blocked::OwnCalls);
        }
        if self
            .quota
            .max_in_flight
            .is_some_and(|limit| self.in_flight.count() >= limit.get() as usize)
        {
            return Some(Blocked::OwnCalls);
        }
        let requests = self
            .requests
            .as_ref()
            .filter(|_| charge.requests > 0)
            .and_then(|requests| requests.available_at(now));
        let tokens = self
            .tokens
            .as_ref()
            .and_then(|tokens| tokens.available_at(charge.tokens, now));
        requests.max(tokens).map(Blocked::Until)
    }

    /// If the budget is used up, returns until when.
    pub fn budget_exhausted_until(&mut self, now: Instant) -> Option<Instant> {
        let per_day = self.quota.budget_per_day?;
        self.spending.start_new_day_if_due(now);
        (self.spending.spent >= per_day).then_some(self.spending.day_ends)
    }

    /// Reserves what a call takes. `blocked` has to be checked before.
    pub fn reserve(&mut self, charge: Charge, now: Instant) {
        if let Some(requests) = self.requests.as_mut().filter(|_| charge.requests > 0) {
            // `blocked` has checked that a request is available.
            let _ = requests.take(now);
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.take(charge.tokens, now);
        }
        self.spending.reserved = self.spending.reserved.saturating_add(charge.cost);
    }

    /// Replaces a reservation by the actual usage.
    pub fn settle(&mut self, reserved: Charge, used: Charge, now: Instant) {
        if let Some(tokens) = &mut self.tokens {
            tokens.settle(reserved.tokens, used.tokens, now);
        }
        self.spending.start_new_day_if_due(now);
        self.spending.reserved = self.spending.reserved.saturating_sub(reserved.cost);
        self.spending.spent = self.spending.spent.saturating_add(used.cost);
    }

    /// Returns the quotas as they stand.
    pub fn quota_status(&self, now: Instant) -> QuotaStatus {
        let requests = self.requests.as_ref().map(|bucket| Window {
            limit: bucket.rate().per_minute.get().into(),
            left: bucket.available(now).into(),
            reset: bucket
                .available_at(now)
                .map_or(Duration::ZERO, |until| until - now),
            debt: u64::from(
                bucket
                    .rate()
                    .burst
                    .get()
                    .saturating_sub(bucket.available(now)),
            ),
        });
        let tokens = self.tokens.as_ref().map(|bucket| Window {
            limit: bucket.per_minute().get().into(),
            left: bucket.available(now),
            reset: bucket
                .available_at(1, now)
                .map_or(Duration::ZERO, |until| until - now),
            debt: bucket.in_use(now),
        });
        let budget = self
            .quota
            .budget_per_day
            .map(|per_day| (per_day, self.spending.with_reserved()));
        QuotaStatus {
            requests,
            tokens,
            budget,
        }
    }
}

/// Returns the rate, with a burst of one second.
fn rate(per_minute: NonZeroU32) -> Rate {
    Rate {
        per_minute,
        burst: NonZeroU32::new(per_minute.get() / 60).unwrap_or(NonZeroU32::MIN),
    }
}

/// A quota as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Limit per minute.
    pub limit: u64,
    /// Amount that could be used now.
    pub left: u64,
    /// Time until something is available again; zero if it is now.
    pub reset: Duration,
    /// Amount missing from a full bucket.
    pub debt: u64,
}

/// A caller's quotas as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaStatus {
    /// Requests of a minute, if they are limited.
    pub requests: Option<Window>,
    /// Tokens of a minute, if they are limited.
    pub tokens: Option<Window>,
    /// Limit of a day, and the part that is spent or reserved.
    pub budget: Option<(Usd, Usd)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PoolId;

    fn quota() -> Quota {
        Quota {
            budget_per_day: Some(Usd(100)),
            ..Quota::default()
        }
    }

    #[test]
    fn a_budget_is_renewed_at_midnight() {
        let start = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(3 * 24 * 3600 - 60);
        let mut caller = Caller::new(quota(), start, wall);
        let charge = Charge {
            requests: 1,
            tokens: 0,
            cost: Usd(100),
        };
        assert_eq!(caller.blocked(charge, start), None);
        caller.reserve(charge, start);
        let in_flight = caller.in_flight.guard(PoolId(0), None, start);
        assert_eq!(
            caller.blocked(charge, start),
            Some(Blocked::OwnCalls),
            "it may come back"
        );
        caller.settle(
            charge,
            Charge {
                requests: 1,
                tokens: 0,
                cost: Usd(40),
            },
            start,
        );
        drop(in_flight);
        assert_eq!(caller.blocked(charge, start), None);
        caller.reserve(charge, start);
        assert_eq!(caller.blocked(charge, start), Some(Blocked::OwnCalls));
        caller.settle(charge, charge, start);
        assert_eq!(
            caller.blocked(charge, start),
            Some(Blocked::BudgetExhausted(start + Duration::from_secs(60)))
        );
        assert_eq!(
            caller.blocked(charge, start + Duration::from_secs(60)),
            None
        );
    }

    #[test]
    fn a_call_in_flight_at_midnight_counts_for_the_day_on_which_it_ends() {
        let start = Instant::now();
        let midnight = start + Duration::from_secs(60);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(3 * 24 * 3600 - 60);
        let mut caller = Caller::new(quota(), start, wall);
        let charge = Charge {
            requests: 1,
            tokens: 0,
            cost: Usd(70),
        };
        caller.reserve(charge, start);
        assert_eq!(caller.blocked(charge, midnight), None);
        caller.reserve(charge, midnight);
        let budget = caller.quota_status(midnight).budget;
        assert_eq!(budget, Some((Usd(100), Usd(140))), "both are reserved");
        caller.settle(charge, charge, midnight);
        let budget = caller.quota_status(midnight).budget;
        assert_eq!(budget, Some((Usd(100), Usd(140))), "spent and reserved");
        caller.settle(
            charge,
            Charge {
                cost: Usd(20),
                ..charge
            },
            midnight,
        );
        assert_eq!(
            caller.quota_status(midnight).budget,
            Some((Usd(100), Usd(90)))
        );
    }

    #[test]
    fn only_first_calls_take_requests_and_a_burst_is_that_of_a_second() {
        let start = Instant::now();
        let quota = Quota {
            requests_per_minute: NonZeroU32::new(60),
            ..Quota::default()
        };
        let mut caller = Caller::new(quota, start, SystemTime::now());
        let repeated = Charge::default();
        caller.reserve(repeated, start);
        let first = Charge {
            requests: 1,
            ..repeated
        };
        assert_eq!(caller.blocked(first, start), None);
        caller.reserve(first, start);
        assert!(caller.blocked(first, start).is_some());
        assert_eq!(caller.available_calls(start), 0);
        assert_eq!(caller.blocked(repeated, start), None);
        let bursts =
            [30, 60, 150].map(|per_minute| rate(NonZeroU32::new(per_minute).unwrap()).burst);
        assert_eq!(bursts.map(NonZeroU32::get), [1, 1, 2]);
    }

    #[test]
    fn a_caller_that_is_not_configured_is_gone_once_its_items_have_ended() {
        let start = Instant::now();
        let mut caller = Caller::new(Quota::default(), start, SystemTime::now());
        assert!(!caller.counts_tokens() && !caller.is_gone());
        caller.is_retired = true;
        caller.admitted = 1;
        assert!(!caller.is_gone());
        caller.admitted = 0;
        assert!(caller.is_gone());
        caller.set_quota(quota(), start);
        assert!(caller.counts_tokens(), "it has a budget");
    }

    #[test]
    fn a_caller_with_a_rate_has_a_waiting_room_of_its_own() {
        let room = |requests, tokens, places| {
            let quota = Quota {
                requests_per_minute: NonZeroU32::new(requests),
                tokens_per_minute: NonZeroU32::new(tokens),
                max_queue: NonZeroU32::new(places),
                ..Quota::default()
            };
            quota.waiting_room()
        };
        assert_eq!(room(0, 0, 0), None);
        assert_eq!(room(30, 0, 0), Some(30), "a minute's");
        assert_eq!(room(0, 5_000, 0), Some(MAX_QUEUE));
        assert_eq!(room(30, 5_000, 0), Some(30));
        assert_eq!(room(30, 5_000, 7), Some(7));
    }

    #[test]
    fn a_quota_that_is_unchanged_keeps_its_balance() {
        let start = Instant::now();
        let quota = |per_minute| Quota {
            requests_per_minute: NonZeroU32::new(per_minute),
            tokens_per_minute: NonZeroU32::new(per_minute),
            ..Quota::default()
        };
        let mut caller = Caller::new(quota(600), start, SystemTime::now());
        let first = Charge {
            requests: 7,
            tokens: 7,
            cost: Usd(0),
        };
        caller.reserve(first, start);
        let left = |caller: &Caller| {
            let status = caller.quota_status(start);
            [status.requests, status.tokens].map(|window| window.map(|window| window.left))
        };
        assert_eq!(left(&caller), [Some(9), Some(3)]);
        caller.set_quota(quota(600), start);
        assert_eq!(left(&caller), [Some(9), Some(3)]);
        caller.set_quota(quota(1_200), start);
        assert_eq!(left(&caller), [Some(20), Some(20)]);
        caller.set_quota(Quota::default(), start);
        assert_eq!(left(&caller), [None, None]);
    }

    #[test]
    fn a_changed_quota_keeps_the_spending() {
        let start = Instant::now();
        let mut caller = Caller::new(quota(), start, SystemTime::now());
        let charge = Charge {
            requests: 1,
            tokens: 0,
            cost: Usd(100),
        };
        caller.reserve(charge, start);
        caller.settle(charge, charge, start);
        caller.set_quota(
            Quota {
                budget_per_day: Some(Usd(150)),
                ..Quota::default()
            },
            start,
        );
        assert_eq!(
            caller.quota_status(start).budget,
            Some((Usd(150), Usd(100)))
        );
        assert!(caller.budget_exhausted_until(start).is_none());
        caller.set_quota(Quota::default(), start);
        assert!(caller.budget_exhausted_until(start).is_none());
        caller.set_quota(quota(), start);
        assert!(caller.budget_exhausted_until(start).is_some());
    }
}
