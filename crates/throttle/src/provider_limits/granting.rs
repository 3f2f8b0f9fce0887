//! The grant of a permit by its provider: takes everything that a call needs, with a key that can take it, or names the limit that
//! holds the call.

use std::time::Instant;

use super::ProviderLimits;
use crate::api_key_limits::ApiKeyLimits;
use crate::call_slots::CallSlots;
use crate::caller_calls::CallLimit;
use crate::caller_quota::{Blocked, Caller, Charge};
use crate::grant::{GrantRequest, HeldResources, Refusal};
use crate::hold::HoldReason;
use crate::model_limits::{Model, ModelState};
use crate::permit_request::{Denied, Priority};

impl ProviderLimits {
    /// Returns when the call can go out with a key; `None`: now.
    fn key_available_at(
        (index, key): (usize, &ApiKeyLimits),
        model: &ModelState,
        asked: &GrantRequest<'_>,
        now: Instant,
    ) -> Option<Instant> {
        let paused = model.pauses.available_at(index, asked.caller, now);
        key.available_at(asked.estimate.total(), now).max(paused)
    }

    /// Chooses the key for a call, in turn among those that can take it.
    fn choose_key(
        &self,
        asked: &GrantRequest<'_>,
        model: &ModelState,
        now: Instant,
    ) -> Result<usize, Refusal> {
        let candidates = || self.usable_keys(model, asked.caller, asked.refused, now);
        let available_at = |candidate| Self::key_available_at(candidate, model, asked, now);
        let ready = candidates().filter(|candidate| available_at(*candidate).is_none());
        let is_suspected = |index, key| {
            Self::outages(key, index, model, asked.caller).any(|outage| outage.next_probe > now)
        };
        // Begins after the key that was used last.
        let next = ready.min_by_key(|(index, key)| {
            (is_suspected(*index, key), *index <= self.last_key, *index)
        });
        if let Some((index, _)) = next {
            return Ok(index);
        }
        let earliest = candidates().filter_map(available_at).min();
        let Some(earliest) = earliest else {
            return Err(match self.outage(model, asked.caller, asked.refused, now) {
                Some(outage) => Refusal::Queue(Some(outage.next_probe_of(asked.caller))),
                None => Refusal::Denied(Denied::NoUsableKey),
            });
        };
        let is_paused = |index| {
            let until = model.pauses.blocked_until(index, asked.caller, now);
            until.is_some()
        };
        // Other items may use a key that only this item, or only its model or caller, may not use.
        let is_own = self.keys.iter().enumerate().any(|(index, key)| {
            !key.availability.blocks_all(now)
                && (is_paused(index) || !candidates().any(|(candidate, _)| candidate == index))
        });
        Err(if is_own {
            Refusal::Queue(Some(earliest))
        } else {
            Refusal::Provider(Some(earliest))
        })
    }

    /// Takes everything that a call needs, or nothing. Returns the held resources and the index of
    /// the key. A refusal is recorded as what holds the model's calls.
    pub fn grant(
        &mut self,
        asked: &GrantRequest<'_>,
        caller: Option<&mut Caller>,
        slots: &CallSlots,
        now: Instant,
    ) -> Result<(HeldResources, usize), Refusal> {
        let result = self.try_grant(asked, caller, slots, now);
        if let Err(refusal) = &result
            && let Some(reason) = self.hold_reason(*refusal, asked, slots, now)
        {
            let mut state = asked.model.state();
            state.holds.record(reason, refusal.until(), now);
        }
        result
    }

    /// Returns the limit behind a refusal; `None` if the permit is denied.
    fn hold_reason(
        &self,
        refusal: Refusal,
        asked: &GrantRequest<'_>,
        slots: &CallSlots,
        now: Instant,
    ) -> Option<HoldReason> {
        match refusal {
            Refusal::Denied(_) => None,
            Refusal::Model => Some(HoldReason::ModelConcurrency),
            Refusal::Caller(_) => Some(HoldReason::CallerQuota),
            Refusal::CallerShare => Some(HoldReason::CallerShare),
            Refusal::Queue(_)
                if (asked.model.state().breaker)
                    .check_call(asked.caller, now)
                    .is_err() =>
            {
                Some(HoldReason::Breaker)
            }
            Refusal::Queue(_)
                if self.has_trial && asked.model.state().trial.closed_until(now).is_some() =>
            {
                Some(HoldReason::Trial)
            }
            Refusal::Provider(None) if slots.free() == 0 => Some(HoldReason::Concurrency),
            Refusal::Provider(None) => Some(HoldReason::ProviderConcurrency),
            Refusal::Queue(_) | Refusal::Provider(_) => {
                let tokens = asked.estimate.total();
                let state = asked.model.state();
                let candidates = self.usable_keys(&state, asked.caller, asked.refused, now);
                let waits = candidates.filter_map(|(index, key)| {
                    let until = Self::key_available_at((index, key), &state, asked, now)?;
                    // The model's own pause is what holds the call the longest.
                    let reason = if key.available_at(tokens, now) < Some(until) {
                        Some(HoldReason::ModelPause)
                    } else {
                        key.hold_reason(tokens, now)
                    };
                    Some((until, reason))
                });
                waits.min_by_key(|(until, _)| *until)?.1
            }
        }
    }

    /// Takes everything that a call needs, or nothing. Returns the held resources and the index of
    /// the key.
    fn try_grant(
        &mut self,
        asked: &GrantRequest<'_>,
        caller: Option<&mut Caller>,
        slots: &CallSlots,
        now: Instant,
    ) -> Result<(HeldResources, usize), Refusal> {
        let model = asked.model;
        if let Some(refusal) = self.concurrency_refusal(model, slots, caller.as_deref()) {
            return Err(refusal);
        }
        let mut state = model.state();
        if let Err(until) = state.breaker.check_call(asked.caller, now) {
            state.breaker.record_ask(asked.caller);
            return Err(Refusal::Queue(until));
        }
        if let Some(until) = state.trial.closed_until(now).filter(|_| self.has_trial) {
            return Err(Refusal::Queue(Some(until)));
        }
        let charge = Charge {
            requests: u8::from(asked.priority == Priority::First),
            ..model.charge(asked.estimate)
        };
        let mut caller = caller;
        if let Some(caller) = &mut caller {
            check_quota(caller, charge, now)?;
        }
        let index = self.choose_key(asked, &state, now)?;
        let slot = slots.take().ok_or(Refusal::Provider(None))?;
        if let Some(key) = self.keys.get_mut(index) {
            key.reserve(asked.estimate.total(), now)
                .map_err(|until| Refusal::Provider(Some(until)))?;
            key.availability.record_call(asked.caller, now);
        }
        if let Some(availability) = state.availability.get_mut(&index) {
            availability.record_call(asked.caller, now);
        }
        state.pauses.record_call(index, asked.caller, now);
        state.trial.record_call(now);
        self.last_key = index;
        if asked.is_first_call {
            self.retry_budget.record_first_call(asked.caller, now);
        }
        let held = HeldResources {
            slot,
            caller: caller.map(|caller| {
                caller.reserve(charge, now);
                (caller.in_flight).guard(model.pool, model.limited_id(), now)
            }),
            provider: self.in_flight.guard(),
            model: model.in_flight.guard(),
            probe: state.breaker.probe_guard(),
            yielded_probe: None,
        };
        Ok((held, index))
    }

    /// Returns the refusal if the provider's, the global or the model's concurrency limit is reached, or the caller's share in one
    /// of them.
    fn concurrency_refusal(
        &self,
        model: &Model,
        slots: &CallSlots,
        caller: Option<&Caller>,
    ) -> Option<Refusal> {
        let is_provider_full = self
            .limit()
            .is_some_and(|limit| self.in_flight.count() >= limit);
        if is_provider_full || slots.free() == 0 {
            return Some(Refusal::Provider(None));
        }
        let of_model = model.limits.max_in_flight.map(|limit| {
            let free = limit.saturating_sub(model.in_flight.count());
            (limit, free)
        });
        if of_model.is_some_and(|(_, free)| free == 0) {
            return Some(Refusal::Model);
        }
        let own = &caller?.in_flight;
        let of_model = of_model.map_or(usize::MAX, |(limit, free)| {
            own.available(CallLimit::Model(model.id), limit, free, &slots.uses)
        });
        let available = self.available_slots(own, model.pool, slots);
        (available.min(of_model) == 0).then_some(Refusal::CallerShare)
    }
}

/// Checks that the caller's quota and budget allow a call.
fn check_quota(caller: &mut Caller, charge: Charge, now: Instant) -> Result<(), Refusal> {
    match caller.blocked(charge, now) {
        None => Ok(()),
        Some(Blocked::OwnCalls) => Err(Refusal::Caller(None)),
        Some(Blocked::Until(until)) => Err(Refusal::Caller(Some(until))),
        Some(Blocked::BudgetExhausted(until)) => {
            Err(Refusal::Denied(Denied::BudgetExhausted { until }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::super::test_provider::{ANYONE, Provider, model, pool};
    use super::*;
    use crate::api_key_limits::KeySet;
    use crate::breaker::Health;
    use crate::caller_id::CallerId;
    use crate::model_limits::ModelLimits;
    use crate::outage::OutageReason;
    use crate::request_bucket::Rate;
    use crate::types::{KeyQuota, Pool};

    /// A key that one call uses up for a minute.
    fn one_a_minute() -> KeyQuota {
        let requests = Some(Rate {
            per_minute: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
        });
        KeyQuota {
            requests,
            ..KeyQuota::default()
        }
    }

    #[test]
    fn keys_are_used_in_turn_but_one_under_suspicion_only_when_its_probe_is_due() {
        let mut provider = Provider::with_keys(vec![KeyQuota::default(); 3]);
        let mut keys = |count: usize| -> Vec<_> {
            let keys = (0..count).map(|_| provider.call().unwrap());
            keys.collect()
        };
        assert_eq!(keys(6), [1, 2, 0, 1, 2, 0]);
        let mut provider = Provider::with_keys(vec![KeyQuota::default(); 3]);
        provider.fail(1, OutageReason::AccessDenied);
        assert_eq!([(); 4].map(|()| provider.call().unwrap()), [2, 0, 2, 0]);
        provider.now += Duration::from_secs(1);
        assert_eq!([(); 3].map(|()| provider.call().unwrap()), [1, 2, 0]);
    }

    #[test]
    fn a_call_is_held_by_its_own_keys_if_others_may_use_more_of_them() {
        let is_own = |provider: &mut Provider, refused| {
            let refusal = provider.call_without(refused).unwrap_err();
            assert!(refusal.until().is_some());
            matches!(refusal, Refusal::Queue(_))
        };
        let none = KeySet::default();
        let mut first = none;
        first.insert(0);
        let mut provider = Provider::with_keys(vec![one_a_minute()]);
        provider.call().unwrap();
        assert!(!is_own(&mut provider, none), "used up for all");

        let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
        provider.pause(provider.now + Duration::from_secs(9), false);
        assert!(is_own(&mut provider, none), "the model is paused");

        let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
        provider.pause(provider.now + Duration::from_secs(9), true);
        provider.model = model(2, Some(ModelLimits::default()));
        assert!(!is_own(&mut provider, none), "all models are");

        let two_keys = || Provider::with_keys(vec![KeyQuota::default(), one_a_minute()]);
        let mut provider = two_keys();
        assert_eq!(provider.call_without(first).unwrap(), 1);
        assert!(is_own(&mut provider, first), "one key is refused for it");

        for reason in [OutageReason::KeyRefused, OutageReason::UnknownModel] {
            let mut provider = two_keys();
            provider.fail(0, reason);
            assert_eq!(provider.call().unwrap(), 1);
            assert!(
                is_own(&mut provider, none),
                "of this caller, as far as known"
            );
            provider.fail_of(CallerId(9), 0, reason);
            assert_eq!(is_own(&mut provider, none), !reason.is_of_key());
        }
    }

    #[test]
    fn a_refusal_names_the_limit_that_holds_the_call() {
        let unlimited = || pool(vec![KeyQuota::default()]);
        let mut provider = Provider::new(unlimited());
        provider.slots = CallSlots::new(0);
        assert_eq!(provider.hold(), HoldReason::Concurrency);

        let mut provider = Provider::new(Pool {
            max_in_flight: Some(1),
            ..unlimited()
        });
        provider.call().unwrap();
        assert_eq!(provider.hold(), HoldReason::ProviderConcurrency);

        let mut provider = Provider::with_keys(vec![one_a_minute()]);
        provider.call().unwrap();
        assert_eq!(provider.hold(), HoldReason::Requests);

        let mut provider = Provider::new(unlimited());
        for _ in 0..5 {
            let (mut state, now) = (provider.model.state(), provider.now);
            state.breaker.record(ANYONE, Health::Failure, now, now);
        }
        assert_eq!(provider.hold(), HoldReason::Breaker);

        for (has_trial, reason) in [(true, HoldReason::Trial), (false, HoldReason::ModelPause)] {
            let mut provider = Provider::new(Pool {
                has_trial,
                ..unlimited()
            });
            for _ in 0..4 {
                provider.call().unwrap();
            }
            provider.pause(provider.now + Duration::from_secs(9), false);
            assert_eq!(provider.hold(), reason);
        }
    }
}
