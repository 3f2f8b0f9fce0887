//! The limits of one provider key: request and token bucket, and pauses after HTTP 429
//! (`Retry-After`).

use std::time::{Duration, Instant};

use crate::backoff;
use crate::hold::HoldReason;
use crate::outage::Availability;
use crate::request_bucket::RequestBucket;
use crate::token_bucket::TokenBucket;
use crate::types::{KeyQuota, Pause, RemainingQuota};

/// Share of a provider's rate that is used. Without a margin, differing clocks, network jitter and
/// the provider's counting by the minute would cause a few calls too many.
const USED_SHARE: f64 = 0.99;
/// Time from the beginning of a pause to its first probe, for a limit that is lifted early or a header that is wrong. It doubles
/// after each probe.
const FIRST_PAUSE_PROBE: Duration = Duration::from_secs(60);
/// Longest time between two probes of a paused key.
const MAX_PAUSE_PROBE: Duration = Duration::from_secs(600);

/// Shortest pause of a key that was paused before and has not succeeded since.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// A set of keys of one provider, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeySet(u64);

impl KeySet {
    /// Maximum number of keys of a provider.
    pub const MAX: usize = u64::BITS as usize;
    /// The set of all keys.
    pub const ALL: Self = Self(u64::MAX);

    /// Adds a key. An index of `MAX` or more is ignored.
    pub const fn insert(&mut self, key: usize) {
        self.0 |= Self::bit(key);
    }

    const fn bit(key: usize) -> u64 {
        if key < Self::MAX { 1 << key } else { 0 }
    }

    /// Returns true if the key is in the set.
    #[must_use]
    pub const fn contains(self, key: usize) -> bool {
        self.0 & Self::bit(key) != 0
    }
}

/// The limits of one key.
#[derive(Debug)]
pub struct ApiKeyLimits {
    pub requests: Option<RequestBucket>,
    pub tokens: Option<TokenBucket>,
    paused_until: Option<Instant>,
    /// Number of consecutive pauses, and the time of the last.
    pauses: u32,
    paused_at: Option<Instant>,
    /// Time from which a call may go out although the key is paused; `None`: the pause is short.
    pause_probe: Option<Instant>,
    pause_probe_interval: Duration,
    /// Availability of the key with all models.
    pub availability: Availability,
}

impl ApiKeyLimits {
    pub fn new(quota: KeyQuota, now: Instant) -> Self {
        Self {
            requests: quota
                .requests
                .map(|rate| RequestBucket::new(rate, USED_SHARE, now)),
            tokens: quota
                .tokens_per_minute
                .map(|rate| TokenBucket::new(rate, USED_SHARE, now)),
            paused_until: None,
            pauses: 0,
            paused_at: None,
            pause_probe: None,
            pause_probe_interval: FIRST_PAUSE_PROBE,
            availability: Availability::default(),
        }
    }

    /// Pauses the key, as the answer to a call that began at `began` asked.
    pub fn pause(&mut self, pause: Pause, began: Instant, now: Instant) {
        // Calls that began before the last pause report the same overload.
        let is_probe = self.paused_at.is_some_and(|at| at < began);
        if is_probe || self.paused_at.is_none() {
            self.pauses += 1;
            self.paused_at = Some(now);
        }
        let until = match pause {
            // A provider that keeps naming very short pauses gets longer ones.
            Pause::Until(until) if self.pauses > 1 => until.max(now + MIN_PAUSE),
            Pause::Until(until) => until,
            Pause::Unspecified => now + backoff::pause(self.pauses),
        };
        if self.pause_end(now).is_none() {
            (self.pause_probe, self.pause_probe_interval) = (None, FIRST_PAUSE_PROBE);
        }
        self.paused_until = if is_probe {
            Some(until)
        } else {
            self.paused_until.max(Some(until))
        };
        if self.pause_probe.is_none() && until > now + FIRST_PAUSE_PROBE {
            self.schedule_pause_probe(now);
        }
    }

    fn schedule_pause_probe(&mut self, now: Instant) {
        self.pause_probe = Some(now + self.pause_probe_interval);
        self.pause_probe_interval = (self.pause_probe_interval * 2).min(MAX_PAUSE_PROBE);
    }

    fn pause_end(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Returns the end of the current pause, if the key is paused and no probe is due.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.pause_end(now)
            .filter(|_| self.pause_probe.is_none_or(|probe| probe > now))
    }

    /// Records the success of a call that began at `began`: ends the run of pauses, and a pause that the call has probed.
    pub fn record_success(&mut self, began: Instant, now: Instant) {
        self.pauses = 0;
        let is_probe = self.paused_at.is_some_and(|paused_at| began > paused_at);
        if is_probe && self.pause_end(now).is_some() {
            self.paused_until = None;
        }
    }

    /// Returns when a call with this many tokens can go out; `None` means now.
    pub fn available_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let paused_until = self.paused_until(now);
        let waits = [
            paused_until.map(|until| self.pause_probe.map_or(until, |probe| probe.min(until))),
            self.requests
                .as_ref()
                .and_then(|requests| requests.available_at(now)),
            self.tokens
                .as_ref()
                .and_then(|own| own.available_at(tokens, now)),
        ];
        waits.into_iter().flatten().max()
    }

    /// Returns the limit that holds a call with this many tokens the longest; `None` if it can go out now.
    pub fn hold_reason(&self, tokens: u64, now: Instant) -> Option<HoldReason> {
        let requests = self.requests.as_ref();
        let waits = [
            (
                requests.and_then(|requests| requests.available_at(now)),
                HoldReason::Requests,
            ),
            (
                self.tokens
                    .as_ref()
                    .and_then(|own| own.available_at(tokens, now)),
                HoldReason::Tokens,
            ),
            (self.paused_until(now), HoldReason::Pause),
        ];
        let longest = waits
            .into_iter()
            .filter(|(until, _)| until.is_some())
            .max_by_key(|(until, _)| *until);
        longest.map(|(_, reason)| reason)
    }

    /// Takes one request and `tokens` tokens.
    ///
    /// # Errors
    /// The time at which a request is available. Nothing is taken.
    pub fn reserve(&mut self, tokens: u64, now: Instant) -> Result<(), Instant> {
        if let Some(requests) = &mut self.requests {
            requests.take(now)?;
        }
        if let Some(own) = &mut self.tokens {
            own.take(tokens, now);
        }
        if self.pause_end(now).is_some() {
            self.schedule_pause_probe(now);
        }
        Ok(())
    }

    /// Lowers the balances to what the provider's rate limit headers report. Never raises them.
    pub fn apply_remaining(&mut self, remaining: RemainingQuota, now: Instant) {
        if let (Some(tokens), Some(balance)) = (&mut self.tokens, remaining.tokens) {
            tokens.lower_to(balance, now);
        }
        if let (Some(requests), Some(0)) = (&mut self.requests, remaining.requests) {
            requests.empty(now);
        }
    }

    /// Returns how many calls could go out now, as far as requests are concerned.
    pub fn available_requests(&self, now: Instant) -> usize {
        if self.paused_until(now).is_some() {
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
    fn pauses_of_unspecified_length_grow_until_a_call_succeeds() {
        let start = Instant::now();
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        let mut now = start;
        let mut storm = |key: &mut ApiKeyLimits| {
            let (began, refused) = (now, now + Duration::from_millis(1));
            (0..20).for_each(|_| key.pause(Pause::Unspecified, began, refused));
            now = key.paused_until(refused).unwrap();
            now - refused
        };
        let lengths: Vec<_> = (0..6).map(|_| storm(&mut key).as_millis()).collect();
        assert_eq!(lengths, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        key.record_success(start, start);
        assert_eq!(storm(&mut key).as_millis(), 500);
        let until = start + Duration::from_secs(3_600);
        key.pause(Pause::Until(until), start, start);
        assert_eq!(key.paused_until(start), Some(until));
    }

    #[test]
    fn a_long_pause_is_probed_from_time_to_time_and_a_success_ends_it() {
        let start = Instant::now();
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        let until = start + Duration::from_secs(86_400);
        key.pause(Pause::Until(until), start, start);
        let mut now = start;
        for seconds in [60, 120, 240, 480, 600, 600] {
            let next = now + Duration::from_secs(seconds);
            assert_eq!(key.available_at(0, now), Some(next));
            assert_eq!(key.paused_until(now), Some(until));
            assert_eq!(key.available_at(0, next), None);
            key.reserve(0, next).unwrap();
            key.pause(Pause::Until(until), next, next);
            now = next;
        }
        let probe = now + Duration::from_secs(600);
        key.reserve(0, probe).unwrap();
        key.record_success(start, probe);
        assert!(key.paused_until(probe).is_some(), "an earlier call");
        key.record_success(probe, probe);
        assert_eq!(key.available_at(0, probe), None);
    }

    #[test]
    fn a_short_pause_is_not_probed() {
        let start = Instant::now();
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        let until = start + Duration::from_secs(60);
        key.pause(Pause::Until(until), start, start);
        assert_eq!(key.available_at(0, start), Some(until));
    }

    #[test]
    fn a_key_set_contains_what_was_inserted() {
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
