//! One key of a provider: its buckets, and what the provider has said about it.

use std::time::{Duration, Instant};

use crate::backoff;
use crate::request_bucket::RequestBucket;
use crate::token_bucket::TokenBucket;
use crate::types::{KeyQuota, Pause, RemainingQuota};

/// The share of a provider's rate that is used: clocks, the network's jitter and counting by the minute at the other end would
/// else make a call now and then one too many.
const HELD_BACK: f64 = 0.99;
/// How long a key that its provider has refused is passed over while there are others.
const CLOSED: Duration = Duration::from_secs(60);

/// The shortest pause of a key that was refused before and has answered nothing since.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// Keys of one provider, as a set of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeySet(u64);

impl KeySet {
    /// The most keys of a provider.
    pub const MAX: usize = u64::BITS as usize;
    pub const ALL: Self = Self(u64::MAX);

    pub const fn insert(&mut self, key: usize) {
        self.0 |= Self::bit(key);
    }

    const fn bit(key: usize) -> u64 {
        if key < Self::MAX { 1 << key } else { 0 }
    }

    #[must_use]
    pub const fn contains(self, key: usize) -> bool {
        self.0 & Self::bit(key) != 0
    }
}

#[derive(Debug)]
pub struct ApiKeyLimits {
    pub requests: Option<RequestBucket>,
    pub tokens: Option<TokenBucket>,
    paused_until: Option<Instant>,
    /// How often in a row it was paused, and when last.
    pauses: u32,
    paused_at: Option<Instant>,
    closed_until: Option<Instant>,
}

impl ApiKeyLimits {
    pub fn new(quota: KeyQuota, now: Instant) -> Self {
        Self {
            requests: quota
                .requests
                .map(|rate| RequestBucket::new(rate, HELD_BACK, now)),
            tokens: quota
                .tokens_per_minute
                .map(|rate| TokenBucket::new(rate, HELD_BACK, now)),
            paused_until: None,
            pauses: 0,
            paused_at: None,
            closed_until: None,
        }
    }

    /// The answer to a call that went out at `began` asks for a pause.
    pub fn pause(&mut self, pause: Pause, began: Instant, now: Instant) {
        // Those that went out before the last pause tell of the same.
        if self.paused_at.is_none_or(|at| at < began) {
            self.pauses += 1;
            self.paused_at = Some(now);
        }
        let until = match pause {
            // Who says so again and again, and always only for a moment, is not taken at its word.
            Pause::Until(until) if self.pauses > 1 => until.max(now + LEAST_PAUSE),
            Pause::Until(until) => until,
            Pause::Unspecified => now + backoff::pause(self.pauses),
        };
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub fn paused(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    pub fn close(&mut self, now: Instant) {
        self.closed_until = Some(now + CLOSED);
    }

    pub fn is_closed(&self, now: Instant) -> bool {
        self.closed_until.is_some_and(|until| until > now)
    }

    /// It has answered.
    pub const fn reopen(&mut self) {
        self.closed_until = None;
        self.pauses = 0;
    }

    /// `None`: a call of so many tokens can go out now. Else the moment at which it can.
    pub fn wait(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let waits = [
            self.paused(now),
            self.requests
                .as_ref()
                .and_then(|requests| requests.wait(now)),
            self.tokens.as_ref().and_then(|own| own.wait(tokens, now)),
        ];
        waits.into_iter().flatten().max()
    }

    /// Takes one request and so many tokens.
    ///
    /// # Errors
    /// When the request is not there: the moment at which it is. Nothing is taken.
    pub fn take(&mut self, tokens: u64, now: Instant) -> Result<(), Instant> {
        if let Some(requests) = &mut self.requests {
            requests.take(now)?;
        }
        if let Some(own) = &mut self.tokens {
            own.take(tokens, now);
        }
        Ok(())
    }

    /// What the provider's headers say is left; it only ever lowers the balance.
    pub fn lower(&mut self, remaining: RemainingQuota, now: Instant) {
        if let (Some(tokens), Some(left)) = (&mut self.tokens, remaining.tokens) {
            tokens.lower_to(left, now);
        }
        if let (Some(requests), Some(0)) = (&mut self.requests, remaining.requests) {
            requests.empty(now);
        }
    }

    /// How many calls could go out now, as far as requests are concerned.
    pub fn ready(&self, now: Instant) -> usize {
        if self.paused(now).is_some() {
            return 0;
        }
        self.requests
            .as_ref()
            .map_or(usize::MAX, |requests| requests.available(now) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_no_said_length_grow_until_something_is_answered() {
        let start = Instant::now();
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        let mut now = start;
        let mut storm = |key: &mut ApiKeyLimits| {
            let (began, refused) = (now, now + Duration::from_millis(1));
            (0..20).for_each(|_| key.pause(Pause::Unspecified, began, refused));
            now = key.paused(refused).unwrap();
            now - refused
        };
        let lengths: Vec<_> = (0..6).map(|_| storm(&mut key).as_millis()).collect();
        assert_eq!(lengths, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        key.reopen();
        assert_eq!(storm(&mut key).as_millis(), 500);
        let until = start + Duration::from_secs(3_600);
        key.pause(Pause::Until(until), start, start);
        assert_eq!(key.paused(start), Some(until));
    }

    #[test]
    fn a_set_of_keys() {
        let mut keys = KeySet::default();
        keys.insert(0);
        keys.insert(63);
        assert_eq!(
            (0..70)
                .filter(|key| keys.contains(*key))
                .collect::<Vec<_>>(),
            [0, 63]
        );
    }
}
