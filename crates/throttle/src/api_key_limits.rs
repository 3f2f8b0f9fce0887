//! The limits of one provider key: request and token bucket, and pauses after HTTP 429
//! (`Retry-After`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::hold::HoldReason;
use crate::outage::Availability;
use crate::pause::PauseState;
use crate::request_bucket::RequestBucket;
use crate::token_bucket::TokenBucket;
use crate::types::{KeyQuota, Pause, RemainingQuota};

/// Share of a provider's rate that is used. Without a margin, differing clocks, network jitter and
/// the provider's counting by the minute would cause a few calls too many.
const USED_SHARE: f64 = 0.99;
/// Time from the beginning of a pause that was concluded from the refusal of two models to its first probe: the provider did not
/// say that it is the key's.
const CONCLUDED_PAUSE_PROBE: Duration = Duration::from_secs(10);
/// Time for which the answer of another model proves that a limit is not the key's.
const PROOF_AGE: Duration = Duration::from_secs(600);
/// Time for which what another model answers shows whether an overload is the provider's.
const PROVIDER_AGE: Duration = Duration::from_secs(10);
/// Maximum number of models whose latest calls are remembered for a key.
const MAX_MODELS: usize = 100;

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
    /// Pause of the key with all models.
    pause: PauseState,
    /// Ends of the pauses of single models with the key, by the model's number.
    refused: BTreeMap<u64, Instant>,
    /// Times of the latest answers of models with the key, by the model's number.
    answered: BTreeMap<u64, Instant>,
    /// The same of models that are configured.
    configured_answered: BTreeMap<u64, Instant>,
    /// Times of the latest rejections by overload of models with the key, by the model's number.
    overloaded: BTreeMap<u64, Instant>,
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
            pause: PauseState::default(),
            refused: BTreeMap::new(),
            answered: BTreeMap::new(),
            configured_answered: BTreeMap::new(),
            overloaded: BTreeMap::new(),
            availability: Availability::default(),
        }
    }

    /// Pauses the key with all models, because the provider says that the limit is the key's.
    pub fn pause(&mut self, pause: Pause, began: Instant, now: Instant) {
        self.pause.begin(pause, began, now);
    }

    /// Records that a model is paused with the key until `until`. Pauses the key if another model is paused too, and no third one
    /// answers: then the limit is probably the key's.
    pub fn record_refusal(&mut self, model: u64, until: Instant, began: Instant, now: Instant) {
        self.refused.retain(|_, end| *end > now);
        self.answered
            .retain(|_, time| now.saturating_duration_since(*time) < PROOF_AGE);
        if self.refused.len() < MAX_MODELS {
            self.refused.insert(model, until);
        }
        let has_proof = || {
            self.answered
                .keys()
                .any(|model| !self.refused.contains_key(model))
        };
        if self.refused.len() > 1 && !has_proof() {
            self.pause
                .begin_with_probe(Pause::Until(until), CONCLUDED_PAUSE_PROBE, began, now);
        }
    }

    /// Records that a call to a model was rejected by overload. Returns true if this is probably the model's alone: in the last ten seconds,
    /// another configured model was answered with the key, and none but this one was rejected.
    pub fn record_overload(&mut self, model: u64, now: Instant) -> bool {
        let is_recent = |time: &Instant| now.saturating_duration_since(*time) < PROVIDER_AGE;
        self.overloaded.retain(|_, time| is_recent(time));
        if self.overloaded.len() < MAX_MODELS {
            self.overloaded.insert(model, now);
        }
        let mut answered = (self.configured_answered.iter()).filter(|(id, _)| **id != model);
        answered.any(|(_, time)| is_recent(time)) && self.overloaded.keys().all(|id| *id == model)
    }

    /// Returns the end of the current pause of the key, if it is paused and no probe is due.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.pause.blocked_until(now)
    }

    /// Records that a configured model was answered with the key.
    pub fn record_configured_answer(&mut self, model: u64, now: Instant) {
        if self.configured_answered.len() < MAX_MODELS
            || self.configured_answered.contains_key(&model)
        {
            self.configured_answered.insert(model, now);
        }
    }

    /// Records the success of a call that began at `began`: ends the run of pauses, and a pause that the call has probed.
    pub fn record_success(&mut self, model: u64, began: Instant, now: Instant) {
        self.pause.record_success(began, now);
        self.refused.remove(&model);
        if self.answered.len() < MAX_MODELS || self.answered.contains_key(&model) {
            self.answered.insert(model, now);
        }
    }

    /// Returns when a call with this many tokens can go out; `None` means now.
    pub fn available_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let waits = [
            self.pause.available_at(now),
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
        self.pause.record_call(now);
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
    use crate::request_bucket::Rate;

    #[test]
    fn the_limit_that_holds_a_call_the_longest_is_named() {
        let start = Instant::now();
        let quota = KeyQuota {
            tokens_per_minute: std::num::NonZeroU32::new(6_000),
            ..KeyQuota::default()
        };
        let mut key = ApiKeyLimits::new(quota, start);
        assert_eq!(key.hold_reason(1_000, start), None);
        key.reserve(6_000, start).unwrap();
        assert_eq!(key.hold_reason(1_000, start), Some(HoldReason::Tokens));
        let end = start + Duration::from_secs(3_600);
        key.pause(Pause::Until(end), start, start);
        assert_eq!(key.hold_reason(1_000, start), Some(HoldReason::Pause));
    }

    #[test]
    fn two_refused_models_pause_the_key_unless_a_third_one_answers() {
        let start = Instant::now();
        let until = start + Duration::from_secs(3_600);
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        key.record_refusal(1, until, start, start);
        key.record_refusal(1, until, start, start);
        assert_eq!(key.paused_until(start), None, "one model alone");
        key.record_refusal(2, until, start, start);
        assert_eq!(key.paused_until(start), Some(until));
        let probe = start + CONCLUDED_PAUSE_PROBE;
        assert_eq!(key.available_at(0, start), Some(probe));

        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        key.record_success(3, start, start);
        key.record_refusal(1, until, start, start);
        key.record_refusal(2, until, start, start);
        assert_eq!(key.paused_until(start), None, "the third one answers");
        key.record_refusal(3, until, start, start);
        assert_eq!(key.paused_until(start), Some(until));
    }

    #[test]
    fn a_model_that_is_rejected_alone_beside_one_that_answers_has_limits_of_its_own() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        assert!(!key.record_overload(1, start), "none answers");
        key.record_configured_answer(1, start);
        assert!(!key.record_overload(1, start), "itself");
        key.record_configured_answer(2, start);
        assert!(key.record_overload(1, at(9)) && !key.record_overload(1, at(10)));
        key.record_configured_answer(2, at(10));
        assert!(key.record_overload(1, at(10)));
        assert!(!key.record_overload(2, at(11)), "both are");
        assert!(!key.record_overload(1, at(12)));
        key.record_configured_answer(2, at(20));
        assert!(!key.record_overload(1, at(20)) && key.record_overload(1, at(21)));
    }

    #[test]
    fn refusals_count_until_their_pauses_end_and_answers_for_ten_minutes() {
        let start = Instant::now();
        let [before, ten_minutes, until] =
            [599, 600, 1_200].map(|seconds| start + Duration::from_secs(seconds));
        for (now, is_paused) in [(before, true), (ten_minutes, false)] {
            let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
            key.record_refusal(1, ten_minutes, start, start);
            key.record_refusal(2, until, now, now);
            assert_eq!(key.paused_until(now).is_some(), is_paused);
        }
        for (now, is_paused) in [(before, false), (ten_minutes, true)] {
            let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
            key.record_success(3, start, start);
            key.record_refusal(1, until, now, now);
            key.record_refusal(2, until, now, now);
            assert_eq!(key.paused_until(now).is_some(), is_paused);
        }
    }

    #[test]
    fn what_the_provider_reports_as_remaining_lowers_the_balances() {
        let start = Instant::now();
        let ten = |per_second: u32| std::num::NonZeroU32::new(per_second * 10).unwrap();
        let rate = Rate {
            per_minute: ten(60),
            burst: ten(1),
        };
        let quota = KeyQuota {
            requests: Some(rate),
            tokens_per_minute: Some(ten(600)),
        };
        let mut key = ApiKeyLimits::new(quota, start);
        let remaining = |requests, tokens| RemainingQuota {
            requests: Some(requests),
            tokens: Some(tokens),
        };
        key.apply_remaining(remaining(1, 1_000), start);
        assert_eq!(key.available_requests(start), 10, "not used up");
        assert_eq!(key.available_at(90, start), None, "it has more than that");
        key.apply_remaining(remaining(1, 50), start);
        assert_eq!(key.hold_reason(90, start), Some(HoldReason::Tokens));
        key.apply_remaining(remaining(0, 50), start);
        assert_eq!(key.available_requests(start), 0);
        assert_eq!(key.hold_reason(50, start), Some(HoldReason::Requests));
    }

    #[test]
    fn what_is_remembered_of_models_is_bounded() {
        let start = Instant::now();
        let until = start + Duration::from_secs(3_600);
        let mut key = ApiKeyLimits::new(KeyQuota::default(), start);
        for model in 0..10_000 {
            key.record_success(model, start, start);
            key.record_refusal(model, until, start, start);
            key.record_overload(model, start);
        }
        let lengths = [&key.refused, &key.answered, &key.overloaded].map(BTreeMap::len);
        assert!(lengths.iter().all(|length| *length <= MAX_MODELS));
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
