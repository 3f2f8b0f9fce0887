//! The limits of one provider: its keys and its concurrency, and how much of them is available now.

pub mod call_end;
mod granting;
#[cfg(test)]
mod test_provider;

use std::time::Instant;

use crate::adaptive::Adaptive;
use crate::api_key_limits::{ApiKeyLimits, KeySet};
use crate::call_slots::CallSlots;
use crate::caller_calls::{CallLimit, CallerCalls, LimitUses};
use crate::caller_id::CallerId;
use crate::model_limits::ModelState;
use crate::outage::Outage;
use crate::raii_counter::RaiiCounter;
use crate::retry_budget::RetryBudget;
use crate::types::{Pool, PoolId};

/// The limits of a provider, without its queues.
#[derive(Debug)]
pub struct ProviderLimits {
    pub name: String,
    pub keys: Vec<ApiKeyLimits>,
    pub in_flight: RaiiCounter,
    pub max_in_flight: Option<usize>,
    pub adaptive: Option<Adaptive>,
    pub retry_budget: RetryBudget,
    /// True if few calls go out to a model until the first one was answered.
    has_trial: bool,
    /// Index of the key that was used last.
    last_key: usize,
}

impl ProviderLimits {
    pub fn new(pool: Pool, max_concurrency: usize, now: Instant) -> Self {
        let cap = pool
            .max_in_flight
            .unwrap_or(max_concurrency)
            .min(max_concurrency);
        let keys: Vec<_> = pool
            .keys
            .into_iter()
            .take(KeySet::MAX)
            .map(|quota| ApiKeyLimits::new(quota, now))
            .collect();
        Self {
            name: pool.name,
            keys,
            in_flight: RaiiCounter::default(),
            max_in_flight: pool.max_in_flight,
            adaptive: pool.is_adaptive.then(|| Adaptive::new(cap)),
            retry_budget: RetryBudget::default(),
            has_trial: pool.has_trial,
            last_key: 0,
        }
    }

    /// Returns the maximum number of calls in flight; `None` if only the global limit holds.
    pub fn limit(&self) -> Option<usize> {
        let adaptive = self.adaptive.as_ref().map(Adaptive::limit);
        self.max_in_flight.into_iter().chain(adaptive).min()
    }

    /// Returns true if calls reserve tokens.
    pub fn counts_tokens(&self) -> bool {
        self.keys.iter().any(|key| key.tokens.is_some())
    }

    /// Returns the largest number of tokens that a call can ever reserve; `None` if there is no
    /// limit.
    pub fn max_call_tokens(&self) -> Option<u64> {
        let limits = self.keys.iter().map(|key| {
            key.tokens
                .as_ref()
                .map(|tokens| u64::from(tokens.per_minute().get()))
        });
        limits
            .max_by_key(|limit| limit.unwrap_or(u64::MAX))
            .flatten()
    }

    /// Returns the outages of a key that hold for a caller: with all models, and with one.
    fn outages<'a>(
        key: &'a ApiKeyLimits,
        index: usize,
        model: &'a ModelState,
        caller: CallerId,
    ) -> impl Iterator<Item = &'a Outage> {
        let with_model = model.availability.get(&index);
        let both = [Some(&key.availability), with_model].into_iter().flatten();
        both.filter_map(move |availability| availability.outage(caller))
    }

    /// Returns the keys that a call of the caller to the model may use: those that no outage blocks, and that the provider has not refused
    /// for the item.
    fn usable_keys<'a>(
        &'a self,
        model: &'a ModelState,
        caller: CallerId,
        refused: KeySet,
        now: Instant,
    ) -> impl Iterator<Item = (usize, &'a ApiKeyLimits)> {
        self.keys.iter().enumerate().filter(move |(index, key)| {
            !refused.contains(*index)
                && !Self::outages(key, *index, model, caller)
                    .any(|outage| outage.blocks(caller, now))
        })
    }

    /// If outages keep the caller from every key that the provider has not refused for the item, returns the outage that is probed first.
    pub fn outage<'a>(
        &'a self,
        model: &'a ModelState,
        caller: CallerId,
        refused: KeySet,
        now: Instant,
    ) -> Option<&'a Outage> {
        let mut first: Option<&Outage> = None;
        for (index, key) in self.keys.iter().enumerate() {
            if refused.contains(index) {
                continue;
            }
            let blocking = Self::outages(key, index, model, caller)
                .filter(|outage| outage.blocks(caller, now))
                .max_by_key(|outage| outage.next_probe_of(caller))?;
            first = first
                .filter(|first| first.next_probe_of(caller) <= blocking.next_probe_of(caller))
                .or(Some(blocking));
        }
        first
    }

    /// If every usable key is paused, returns when the first one is not.
    pub fn paused_until(
        &self,
        model: &ModelState,
        caller: CallerId,
        refused: KeySet,
        now: Instant,
    ) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for (index, key) in self.usable_keys(model, caller, refused, now) {
            let of_model = model.pauses.blocked_until(index, caller, now);
            let until = key.paused_until(now).max(of_model)?;
            earliest = Some(earliest.map_or(until, |earlier| earlier.min(until)));
        }
        earliest
    }

    /// Returns how many calls could go out now, as far as keys and concurrency are concerned.
    pub fn available_calls(&self, now: Instant) -> usize {
        let keys = self.keys.iter().fold(0_usize, |sum, key| {
            sum.saturating_add(key.available_requests(now))
        });
        self.limit().map_or(keys, |limit| {
            keys.min(limit.saturating_sub(self.in_flight.count()))
        })
    }

    /// Returns how many calls of a caller could go out to this provider, whose identifier is `id`, as far as its share in the calls
    /// in flight is concerned.
    pub fn available_slots(&self, calls: &CallerCalls, id: PoolId, slots: &CallSlots) -> usize {
        let (max, free) = (slots.max(), slots.free());
        let available = calls.available(CallLimit::Process, max, free, &slots.uses);
        let own = self.own_slots(calls, id, &slots.uses);
        own.map_or(available, |own| available.min(own.available))
    }

    /// Returns how many free slots of the provider's own limit a caller may not take.
    pub fn slots_left_by(&self, calls: &CallerCalls, id: PoolId, uses: &LimitUses) -> usize {
        let own = self.own_slots(calls, id, uses);
        own.map_or(0, |own| own.free - own.available)
    }

    /// Returns the free slots of the provider's own limit, if it has one, and how many of them the caller may take.
    fn own_slots(&self, calls: &CallerCalls, id: PoolId, uses: &LimitUses) -> Option<OwnSlots> {
        let limit = self.limit()?;
        let free = limit.saturating_sub(self.in_flight.count());
        let available = calls.available(CallLimit::Provider(id), limit, free, uses);
        Some(OwnSlots { free, available })
    }
}

/// Free slots of a provider's own limit, and how many of them a caller may take.
struct OwnSlots {
    free: usize,
    available: usize,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::test_provider::{ANYONE, Provider, pool};
    use super::*;
    use crate::outage::OutageReason;
    use crate::request_bucket::Rate;
    use crate::types::KeyQuota;

    #[test]
    fn slots_that_a_caller_leaves_to_others_are_counted() {
        let mut calls = CallerCalls::default();
        let mut provider = Provider::new(Pool {
            is_adaptive: true,
            ..pool(vec![KeyQuota::default()])
        });
        calls.leaves_slots = true;
        let (id, uses) = (PoolId(0), LimitUses::default());
        for in_flight in 0..3 {
            let left = provider.limits.slots_left_by(&calls, id, &uses);
            assert_eq!(left, 6, "{in_flight}");
            provider.call().unwrap();
        }
    }

    #[test]
    fn what_could_go_out_is_what_keys_and_concurrency_leave() {
        let two_at_once = KeyQuota {
            requests: Some(Rate {
                per_minute: NonZeroU32::MIN,
                burst: NonZeroU32::MIN.saturating_add(1),
            }),
            ..KeyQuota::default()
        };
        let keys = vec![two_at_once; 2];
        let provider = Provider::with_keys(keys.clone());
        assert_eq!(provider.limits.available_calls(provider.now), 4);
        let mut provider = Provider::new(Pool {
            max_in_flight: Some(3),
            ..pool(keys)
        });
        assert_eq!(provider.limits.available_calls(provider.now), 3);
        provider.call().unwrap();
        assert_eq!(provider.limits.available_calls(provider.now), 2);
        assert!(!provider.limits.counts_tokens());
    }

    #[test]
    fn of_several_outages_the_one_that_is_probed_first_is_named() {
        for order in [[0, 1], [1, 0]] {
            let mut provider = Provider::with_keys(vec![KeyQuota::default(); 2]);
            let first_probe = provider.now + Duration::from_secs(1);
            for key in order {
                provider.fail(key, OutageReason::KeyRefused);
                provider.now += Duration::from_millis(1);
            }
            let (state, now) = (provider.model.state(), provider.now);
            let none = KeySet::default();
            let outage = provider.limits.outage(&state, ANYONE, none, now);
            assert_eq!(outage.unwrap().next_probe, first_probe);
        }
    }
}
