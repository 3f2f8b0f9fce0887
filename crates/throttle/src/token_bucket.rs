//! The token bucket (tokens per minute) of one key: a call's estimate is reserved when it goes out,
//! and settled with the answer's usage.
//!
//! The balance may become negative: the deficit flows in before the next call. governor can neither
//! do that nor refund.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Seconds whose tokens may go out at once. OpenAI may enforce a minute's limit by the second
/// (<https://platform.openai.com/docs/guides/rate-limits>, read 2026-11). A smaller burst would
/// waste what texts of different lengths leave.
const BURST_S: f64 = 1.0;

/// Longest wait, however large the deficit.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A bucket of model tokens.
#[derive(Debug)]
pub struct TokenBucket {
    per_minute: NonZeroU32,
    per_second: f64,
    burst: f64,
    balance: f64,
    updated_at: Instant,
}

impl TokenBucket {
    /// Creates a full bucket. `pace` is the share of the rate at which it fills.
    pub fn new(per_minute: NonZeroU32, pace: f64, now: Instant) -> Self {
        let per_second = f64::from(per_minute.get()) * pace / 60.0;
        let burst = (per_second * BURST_S).max(1.0);
        Self {
            per_minute,
            per_second,
            burst,
            balance: burst,
            updated_at: now,
        }
    }

    pub const fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Returns the balance at a time, with what has flowed in since the last update.
    fn balance(&self, now: Instant) -> f64 {
        let filled = now.saturating_duration_since(self.updated_at).as_secs_f64() * self.per_second;
        (self.balance + filled).min(self.burst)
    }

    /// Returns when a call that needs `needed` tokens can go out; `None` means now.
    ///
    /// A call goes out once the bucket holds what it needs, or is full. The rest becomes a deficit.
    pub fn available_at(&self, needed: u64, now: Instant) -> Option<Instant> {
        let missing = as_float(needed).min(self.burst) - self.balance(now);
        // Less than a nanosecond's worth is rounding.
        (missing > self.per_second * 1e-9)
            .then(|| now + Duration::from_secs_f64(missing / self.per_second).min(MAX_WAIT))
    }

    /// Takes tokens. The balance may become negative.
    pub fn take(&mut self, tokens: u64, now: Instant) {
        self.balance = self.balance(now) - as_float(tokens);
        self.updated_at = now;
    }

    /// Replaces a reservation by the actual usage, of at most a minute's worth.
    pub fn settle(&mut self, reserved: u64, used: u64, now: Instant) {
        let used = used.min(self.per_minute.get().into());
        self.balance = (self.balance(now) + as_float(reserved) - as_float(used)).min(self.burst);
        self.updated_at = now;
    }

    /// Lowers the balance to what the provider reports as remaining.
    pub fn lower_to(&mut self, remaining: u64, now: Instant) {
        self.balance = self.balance(now).min(as_float(remaining));
        self.updated_at = now;
    }

    /// Returns the tokens that could be used now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and at most a u32's"
    )]
    pub fn available(&self, now: Instant) -> u64 {
        self.balance(now).max(0.0) as u64
    }

    /// Returns the tokens missing from a full bucket, including a deficit.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates"
    )]
    pub fn in_use(&self, now: Instant) -> u64 {
        (self.burst - self.balance(now)).max(0.0) as u64
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "tokens of one call are far fewer than 2^53"
)]
const fn as_float(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the counts are small"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a sequence of calls (used, reserved, latency). Returns what was used and how long it
    /// took.
    fn run(
        bucket: &mut TokenBucket,
        start: Instant,
        calls: &[(u64, u64, u64)],
    ) -> Vec<(Instant, u64)> {
        let (mut now, mut went, mut flying) =
            (start, Vec::new(), Vec::<(Instant, u64, u64)>::new());
        for (used, reserved, latency_ms) in calls {
            while let Some(until) = bucket.available_at(*reserved, now) {
                let settled = flying
                    .iter()
                    .map(|(at, ..)| *at)
                    .min()
                    .filter(|at| *at < until);
                now = settled.unwrap_or(until);
                flying.retain(|(at, reserved, used)| {
                    if *at <= now {
                        bucket.settle(*reserved, *used, now);
                    }
                    *at > now
                });
            }
            bucket.take(*reserved, now);
            went.push((now, *used));
            flying.push((now + Duration::from_millis(*latency_ms), *reserved, *used));
        }
        went
    }

    proptest! {
        /// With correct estimates: in any time t at most burst + rate × t, plus the one call that
        /// makes the balance negative.
        #[test]
        fn the_full_rate_is_used_and_never_exceeded(
            per_minute in 5_000_u32..10_000_000,
            calls in prop::collection::vec((1_u64..5_000, 0_u64..3_000), 20..300),
        ) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(NonZeroU32::new(per_minute).unwrap(), 1.0, start);
            let (burst, rate) = (bucket.burst, bucket.per_second);
            let calls: Vec<_> = calls.into_iter().map(|(used, latency)| (used, used, latency)).collect();
            let went = run(&mut bucket, start, &calls);
            for from in (0..went.len()).step_by(7) {
                let mut used = 0.0;
                for (at, tokens) in &went[from..] {
                    let allowed = burst + rate * (*at - went[from].0).as_secs_f64();
                    prop_assert!(used <= allowed + 5_000.0 + 1.0, "{used} of {allowed}");
                    used += *tokens as f64;
                }
            }
            let last = went.last().unwrap();
            let used: u64 = went.iter().map(|(_, tokens)| tokens).sum();
            prop_assert!(used as f64 >= rate * (last.0 - start).as_secs_f64());
        }

        /// Whatever the estimates are worth, their errors are made up for.
        #[test]
        fn wrong_estimates_are_corrected_later(
            per_minute in 6_000_u32..1_000_000,
            calls in prop::collection::vec((1_u64..1_000, 0.1_f64..5.0), 200..400),
        ) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(NonZeroU32::new(per_minute).unwrap(), 1.0, start);
            let rate = bucket.per_second;
            let calls: Vec<_> = calls.into_iter().map(|(used, wrong)| (used, (used as f64 * wrong).ceil() as u64, 100)).collect();
            let went = run(&mut bucket, start, &calls);
            let elapsed = (went.last().unwrap().0 - start).as_secs_f64();
            let used: u64 = went.iter().map(|(_, tokens)| tokens).sum();
            // Errors of calls in flight are not made up for yet: 100 ms of the rate at ten times
            // the estimate, and the last call.
            let open = rate * 0.1 * 10.0 + 10_000.0;
            prop_assert!((used as f64) <= bucket.burst + rate * elapsed + open);
            prop_assert!(used as f64 + open >= rate * elapsed);
        }
    }

    #[test]
    fn a_deficit_is_paid_first_and_unused_tokens_are_refunded() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(NonZeroU32::new(60_000).unwrap(), 1.0, start);
        assert_eq!(bucket.available_at(2_000, start), None);
        bucket.take(2_000, start);
        // 1,000 were available: the deficit is 1,000, and 1,000 have to be available again.
        assert_eq!(
            bucket.available_at(2_000, start),
            Some(start + Duration::from_secs(2))
        );
        bucket.settle(2_000, 100, start);
        assert_eq!((bucket.available(start), bucket.in_use(start)), (900, 100));
        bucket.lower_to(7, start);
        assert_eq!(bucket.available(start), 7);
        bucket.lower_to(9_000, start);
        assert_eq!(bucket.available(start), 7, "only ever lower");
    }
}
