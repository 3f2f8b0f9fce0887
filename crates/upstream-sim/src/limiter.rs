//! The limits of one API key: requests and tokens a minute, as a token bucket or as a strict sliding window. Time is an argument.
//! It knows nothing of HTTP, nor of why a call costs what it costs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::ValueEnum;

const MINUTE: Duration = Duration::from_secs(60);
/// A bucket's level is kept in nanoseconds of a minute for each unit, so that no fraction is lost.
const UNIT: i128 = MINUTE.as_nanos() as i128;

/// Algorithm of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// In any time t at most burst + rate × t.
    Bucket,
    /// In no 60 seconds more than what a minute allows; no burst.
    Window,
}

/// One limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub per_minute: u32,
    /// Maximum amount at once: the bucket's size, or for a window the amount of a minute.
    pub burst: u32,
}

/// The limits of a key; `None`: unlimited.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub shape: Shape,
    pub requests: Option<Limit>,
    pub tokens: Option<Limit>,
}

/// Remaining quota of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemainingQuota {
    pub per_minute: u32,
    pub remaining: u64,
    /// The time after which all of it is there again.
    pub reset: Duration,
}

/// A call that was let in, and the tokens that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub tokens: u64,
    place: u64,
}

/// Limit that a call exceeds; of both, the one that takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceededLimit {
    Requests,
    Tokens,
}

/// The state of one key.
#[derive(Debug)]
pub struct Limiter {
    requests: Option<Quota>,
    tokens: Option<Quota>,
}

impl Limiter {
    /// Creates a limiter with its full quota.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let quota = |limit: Limit| match limits.shape {
            Shape::Bucket => Quota::Bucket(Bucket::full(limit, now)),
            Shape::Window => Quota::Window(Window::empty(limit)),
        };
        Self {
            requests: limits.requests.map(quota),
            tokens: limits.tokens.map(quota),
        }
    }

    /// Lets a call in that takes so many tokens.
    ///
    /// # Errors
    /// If it is over a limit: which, and how long it comes too early. Nothing is taken then.
    pub fn admit(
        &mut self,
        now: Instant,
        tokens: u64,
    ) -> Result<Reserved, (ExceededLimit, Duration)> {
        let early = |quota: &mut Option<Quota>, cost| {
            quota
                .as_mut()
                .map_or(Duration::ZERO, |quota| quota.early(now, cost))
        };
        let (requests, of_tokens) = (
            early(&mut self.requests, 1),
            early(&mut self.tokens, tokens),
        );
        if !requests.max(of_tokens).is_zero() {
            let over = if of_tokens > requests {
                ExceededLimit::Tokens
            } else {
                ExceededLimit::Requests
            };
            return Err((over, requests.max(of_tokens)));
        }
        if let Some(requests) = &mut self.requests {
            requests.take(now, 1);
        }
        let place = self
            .tokens
            .as_mut()
            .map_or(0, |quota| quota.take(now, tokens));
        Ok(Reserved { tokens, place })
    }

    /// Settles a call that used so many tokens: gives back the surplus of its reservation, or takes the missing ones even if none
    /// are left.
    pub fn settle(&mut self, now: Instant, reserved: Reserved, used: u64) {
        match &mut self.tokens {
            Some(Quota::Bucket(bucket)) => bucket.settle(now, reserved, used),
            Some(Quota::Window(window)) => window.settle(now, reserved, used),
            None => {}
        }
    }

    /// Returns the remaining requests and tokens. `None`: there is no such limit.
    pub fn remaining(&mut self, now: Instant) -> [Option<RemainingQuota>; 2] {
        [&mut self.requests, &mut self.tokens]
            .map(|quota| quota.as_mut().map(|quota| quota.remaining(now)))
    }
}

#[derive(Debug)]
enum Quota {
    Bucket(Bucket),
    Window(Window),
}

impl Quota {
    /// Returns the time until a call of this cost is allowed.
    fn early(&mut self, now: Instant, cost: u64) -> Duration {
        match self {
            Self::Bucket(bucket) => bucket.early(now, cost),
            Self::Window(window) => window.early(now, cost),
        }
    }

    /// Takes what fits. Returns its place, by which a window finds it again.
    fn take(&mut self, now: Instant, cost: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => {
                bucket.level -= i128::from(cost) * UNIT;
                0
            }
            Self::Window(window) => window.take(now, cost),
        }
    }

    fn remaining(&mut self, now: Instant) -> RemainingQuota {
        match self {
            Self::Bucket(bucket) => bucket.remaining(now),
            Self::Window(window) => window.remaining(now),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    limit: Limit,
    /// Below zero when more was used than was there.
    level: i128,
    filled: Instant,
}

impl Bucket {
    fn full(limit: Limit, now: Instant) -> Self {
        Self {
            limit,
            level: i128::from(limit.burst) * UNIT,
            filled: now,
        }
    }

    fn size(&self) -> i128 {
        i128::from(self.limit.burst) * UNIT
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_nanos() as i128;
        self.level = (self.level + passed * i128::from(self.limit.per_minute)).min(self.size());
        self.filled = self.filled.max(now);
    }

    fn time_for(&self, lacking: i128) -> Duration {
        let nanoseconds = (lacking.max(0) as u128).div_ceil(u128::from(self.limit.per_minute));
        Duration::from_nanos(nanoseconds as u64)
    }

    /// Returns the time until a call is allowed. One larger than the bucket waits for a full bucket, and later calls pay it off.
    fn early(&mut self, now: Instant, cost: u64) -> Duration {
        self.fill(now);
        self.time_for((i128::from(cost) * UNIT).min(self.size()) - self.level)
    }

    fn settle(&mut self, now: Instant, reserved: Reserved, used: u64) {
        self.fill(now);
        self.level =
            (self.level + (i128::from(reserved.tokens) - i128::from(used)) * UNIT).min(self.size());
    }

    fn remaining(&mut self, now: Instant) -> RemainingQuota {
        self.fill(now);
        let remaining = (self.level.max(0) / UNIT) as u64;
        RemainingQuota {
            per_minute: self.limit.per_minute,
            remaining,
            reset: self.time_for(self.size() - self.level),
        }
    }
}

#[derive(Debug)]
struct Window {
    limit: Limit,
    /// Amounts by the time at which they were taken, the oldest first.
    taken: VecDeque<(Instant, u64)>,
    /// The place of the oldest.
    first: u64,
    sum: u64,
}

impl Window {
    const fn empty(limit: Limit) -> Self {
        Self {
            limit,
            taken: VecDeque::new(),
            first: 0,
            sum: 0,
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, cost)) = self
            .taken
            .front()
            .copied()
            .filter(|(at, _)| *at + MINUTE <= now)
        {
            self.taken.pop_front();
            self.first += 1;
            self.sum -= cost;
        }
    }

    /// Returns the time until a call is allowed. A call that is larger than the limit is never
    /// allowed: the time is always a minute.
    fn early(&mut self, now: Instant, cost: u64) -> Duration {
        self.forget(now);
        let limit = u64::from(self.limit.per_minute);
        let mut over = (self.sum + cost).saturating_sub(limit);
        if cost > limit {
            return MINUTE;
        }
        let mut until = now;
        for (at, cost) in &self.taken {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(*cost);
            until = *at + MINUTE;
        }
        until.saturating_duration_since(now)
    }

    fn take(&mut self, now: Instant, cost: u64) -> u64 {
        self.taken.push_back((now, cost));
        self.sum += cost;
        self.first + self.taken.len() as u64 - 1
    }

    fn settle(&mut self, now: Instant, reserved: Reserved, used: u64) {
        let lacked = used.saturating_sub(reserved.tokens);
        if lacked > 0 {
            self.take(now, lacked);
        }
        // What has left the window already needs no giving back.
        let place = reserved
            .place
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some((_, cost)) = place.and_then(|place| self.taken.get_mut(place)) {
            let spare = reserved.tokens.saturating_sub(used).min(*cost);
            *cost -= spare;
            self.sum -= spare;
        }
    }

    fn remaining(&mut self, now: Instant) -> RemainingQuota {
        self.forget(now);
        let reset = self.taken.back().map_or(Duration::ZERO, |(at, _)| {
            (*at + MINUTE).saturating_duration_since(now)
        });
        let remaining = u64::from(self.limit.per_minute).saturating_sub(self.sum);
        RemainingQuota {
            per_minute: self.limit.per_minute,
            remaining,
            reset,
        }
    }
}
