//! What one caller may use: its own buckets, its own share of the slots, its own part of the waiting room, and its budget.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use super::bucket::{Bucket, Rate};
use super::count::Count;
use super::tokens::Tokens;
use crate::model::Usd;

/// What a caller may use. `None`: as much as there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// Its name, for `/v1/limits` and the metrics.
    pub name: String,
    pub requests_per_minute: Option<NonZeroU32>,
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Calls in flight.
    pub max_in_flight: Option<NonZeroU32>,
    /// Items that may wait for their turn.
    pub max_queue: Option<NonZeroU32>,
    /// What its calls may cost in a day (UTC).
    pub budget_per_day: Option<Usd>,
}

/// Waiting items of a caller whose quota has no number of its own for them, and none of requests.
const MAX_QUEUE: usize = 100;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Quota {
    /// Whether it limits anything.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        *self != Self { name: self.name.clone(), ..Self::default() }
    }

    /// Items that may wait: as said, else what a minute's quota of requests could serve. `None`: as many as there is room for.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        let is_paced = self.requests_per_minute.is_some() || self.tokens_per_minute.is_some();
        let paced = is_paced.then(|| self.requests_per_minute.map_or(MAX_QUEUE, |requests| requests.get() as usize));
        self.max_queue.map(|room| room.get() as usize).or(paced)
    }
}

/// What a day's calls have cost so far; known of every caller, so that a budget may come and go.
#[derive(Debug)]
struct Day {
    /// Reserved for calls in flight, too.
    spent: Usd,
    ends: Instant,
}

impl Day {
    fn new(now: Instant, wall: SystemTime) -> Self {
        Self { spent: Usd(0), ends: now + until_midnight(wall) }
    }

    fn pass(&mut self, now: Instant, wall: impl Fn() -> SystemTime) {
        if now >= self.ends {
            *self = Self::new(now, wall());
        }
    }
}

/// The time to the next midnight, UTC.
fn until_midnight(wall: SystemTime) -> Duration {
    let today = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() % DAY.as_secs();
    DAY.saturating_sub(Duration::from_secs(today))
}

/// Why a caller's item cannot go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Until(Instant),
    /// A call of its own has to end first.
    Own,
    /// The budget is used up until then.
    Broke(Instant),
}

/// What a call takes of its caller's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// 1, or 0 for a call that is made again: a provider's failures are not its caller's.
    pub requests: u8,
    pub tokens: u64,
    pub cost: Usd,
}

#[derive(Debug)]
pub struct Caller {
    pub quota: Quota,
    requests: Option<Bucket>,
    tokens: Option<Tokens>,
    today: Day,
    pub in_flight: Count,
    /// What its admitted requests may have under way together.
    pub admitted: usize,
    /// Whether it is configured now. Who no longer is keeps its quota for the requests that it still has.
    pub is_listed: bool,
}

impl Caller {
    pub fn new(quota: Quota, now: Instant, wall: SystemTime) -> Self {
        let mut caller = Self {
            quota: Quota::default(),
            requests: None,
            tokens: None,
            today: Day::new(now, wall),
            in_flight: Count::default(),
            admitted: 0,
            is_listed: false,
        };
        caller.set(quota, now);
        caller
    }

    /// Another quota; what is not changed keeps its balance.
    pub fn set(&mut self, quota: Quota, now: Instant) {
        if self.quota.requests_per_minute != quota.requests_per_minute {
            self.requests = quota.requests_per_minute.map(|per_minute| Bucket::new(rate(per_minute), 1.0, now));
        }
        if self.quota.tokens_per_minute != quota.tokens_per_minute {
            self.tokens = quota.tokens_per_minute.map(|per_minute| Tokens::new(per_minute, 1.0, now));
        }
        self.quota = quota;
    }

    /// Whether an item may be reserved tokens or dollars.
    pub const fn counts_tokens(&self) -> bool {
        self.tokens.is_some() || self.has_budget()
    }

    pub const fn has_budget(&self) -> bool {
        self.quota.budget_per_day.is_some()
    }

    /// Whether the end of one of its calls may let another go out.
    pub const fn waits_for_its_own(&self) -> bool {
        self.quota.max_in_flight.is_some() || self.has_budget()
    }

    /// Room for so many more waiting items; `None`: no limit of its own.
    pub fn room(&self, now: Instant) -> Option<usize> {
        let waiting = self.admitted.saturating_sub(self.in_flight.now());
        let ready = self.requests.as_ref().map_or(0, |requests| usize::from(requests.wait(now).is_none()));
        self.quota.room().map(|room| (room + ready).saturating_sub(waiting))
    }

    /// What keeps the next item from going out, if anything does.
    pub fn hold(&mut self, charge: Charge, now: Instant) -> Option<Hold> {
        if self.quota.max_in_flight.is_some_and(|limit| self.in_flight.now() >= limit.get() as usize) {
            return Some(Hold::Own);
        }
        self.today.pass(now, SystemTime::now);
        if self.quota.budget_per_day.is_some_and(|per_day| self.today.spent >= per_day) {
            // What is in flight may turn out cheaper than what is reserved for it.
            return Some(if self.in_flight.now() > 0 { Hold::Own } else { Hold::Broke(self.today.ends) });
        }
        let requests = self.requests.as_ref().filter(|_| charge.requests > 0).and_then(|requests| requests.wait(now));
        let tokens = self.tokens.as_ref().and_then(|tokens| tokens.wait(charge.tokens, now));
        requests.max(tokens).map(Hold::Until)
    }

    /// When the budget is used up: until when.
    pub fn broke(&mut self, now: Instant) -> Option<Instant> {
        match self.hold(Charge::default(), now) {
            Some(Hold::Broke(until)) => Some(until),
            _ => None,
        }
    }

    pub fn take(&mut self, charge: Charge, now: Instant) {
        if let Some(requests) = self.requests.as_mut().filter(|_| charge.requests > 0) {
            // `hold` has seen that there is one.
            let _ = requests.take(now);
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.take(charge.tokens, now);
        }
        self.today.spent = self.today.spent.saturating_add(charge.cost);
    }

    pub fn settle(&mut self, reserved: Charge, used: Charge, now: Instant) {
        if let Some(tokens) = &mut self.tokens {
            tokens.settle(reserved.tokens, used.tokens, now);
        }
        self.today.spent = self.today.spent.saturating_sub(reserved.cost).saturating_add(used.cost);
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let requests = self.requests.as_ref().map(|bucket| Window {
            limit: bucket.rate().per_minute.get().into(),
            left: bucket.available(now).into(),
            reset: bucket.wait(now).map_or(Duration::ZERO, |until| until - now),
            debt: u64::from(bucket.rate().burst.get().saturating_sub(bucket.available(now))),
        });
        let tokens = self.tokens.as_ref().map(|bucket| Window {
            limit: bucket.per_minute().get().into(),
            left: bucket.available(now),
            reset: bucket.wait(1, now).map_or(Duration::ZERO, |until| until - now),
            debt: bucket.in_use(now),
        });
        let budget = self.quota.budget_per_day.map(|per_day| (per_day, self.today.spent));
        Standing { requests, tokens, budget }
    }
}

/// A second's worth may go out at once.
fn rate(per_minute: NonZeroU32) -> Rate {
    Rate { per_minute, burst: NonZeroU32::new(per_minute.get() / 60).unwrap_or(NonZeroU32::MIN) }
}

/// A quota as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Of a minute.
    pub limit: u64,
    /// What could go out now.
    pub left: u64,
    /// When there is something again; zero when there is.
    pub reset: Duration,
    /// What is missing from a full bucket.
    pub debt: u64,
}

/// How a caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub requests: Option<Window>,
    pub tokens: Option<Window>,
    /// Of a day, and what of it is spent or reserved.
    pub budget: Option<(Usd, Usd)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Quota {
        Quota { budget_per_day: Some(Usd(100)), ..Quota::default() }
    }

    #[test]
    fn a_budget_ends_at_midnight() {
        let start = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(3 * 24 * 3600 - 60);
        let mut caller = Caller::new(quota(), start, wall);
        let charge = Charge { requests: 1, tokens: 0, cost: Usd(100) };
        assert_eq!(caller.hold(charge, start), None);
        caller.take(charge, start);
        let flying = caller.in_flight.take();
        assert_eq!(caller.hold(charge, start), Some(Hold::Own), "it may come back");
        caller.settle(charge, Charge { requests: 1, tokens: 0, cost: Usd(40) }, start);
        drop(flying);
        assert_eq!(caller.hold(charge, start), None);
        caller.take(charge, start);
        assert_eq!(caller.hold(charge, start), Some(Hold::Broke(start + Duration::from_secs(60))));
        assert_eq!(caller.hold(charge, start + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_changed_quota_keeps_what_was_spent() {
        let start = Instant::now();
        let mut caller = Caller::new(quota(), start, SystemTime::now());
        caller.take(Charge { requests: 1, tokens: 0, cost: Usd(100) }, start);
        caller.set(Quota::default(), start);
        caller.set(Quota { budget_per_day: Some(Usd(150)), ..Quota::default() }, start);
        assert_eq!(caller.standing(start).budget, Some((Usd(150), Usd(100))));
        assert!(caller.broke(start).is_none());
        caller.set(quota(), start);
        assert!(caller.broke(start).is_some());
    }
}
