//! The limits of one provider: its keys, its concurrency, and what it grants now.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::adaptive::Adaptive;
use crate::api_key_limits::{ApiKeyLimits, KeySet};
use crate::breaker;
use crate::caller_quota::{Blocked, Caller, Charge};
use crate::grant::{CallCharge, GrantRequest, HeldResources, Refusal};
use crate::hold::HoldReason;
use crate::model_limits::{Model, ModelState};
use crate::outage::{Availability, FailedCaller, Outage, OutageChange, OutageReason};
use crate::permit_request::{Denied, Priority};
use crate::raii_counter::RaiiCounter;
use crate::retry_budget::RetryBudget;
use crate::types::{CallReport, Pool};

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

    /// Returns the outages of a key: with all models, and with one.
    fn outages<'a>(
        key: &'a ApiKeyLimits,
        index: usize,
        model: &'a ModelState,
    ) -> impl Iterator<Item = &'a Outage> {
        let with_model = model.availability.get(&index);
        [
            key.availability.outage(),
            with_model.and_then(Availability::outage),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns the keys that a call to the model may use: those that no outage blocks, and that the provider has not refused
    /// for the item.
    fn usable_keys<'a>(
        &'a self,
        model: &'a ModelState,
        refused: KeySet,
        now: Instant,
    ) -> impl Iterator<Item = (usize, &'a ApiKeyLimits)> {
        self.keys.iter().enumerate().filter(move |(index, key)| {
            !refused.contains(*index)
                && !Self::outages(key, *index, model).any(|outage| outage.blocks(now))
        })
    }

    /// If outages block every key that the provider has not refused for the item, returns the outage that is probed first.
    pub fn outage<'a>(
        &'a self,
        model: &'a ModelState,
        refused: KeySet,
        now: Instant,
    ) -> Option<&'a Outage> {
        let mut first: Option<&Outage> = None;
        for (index, key) in self.keys.iter().enumerate() {
            if refused.contains(index) {
                continue;
            }
            let blocking = Self::outages(key, index, model)
                .filter(|outage| outage.blocks(now))
                .max_by_key(|outage| outage.next_probe)?;
            first = first
                .filter(|first| first.next_probe <= blocking.next_probe)
                .or(Some(blocking));
        }
        first
    }

    /// If every usable key is paused, returns when the first one is not.
    pub fn paused_until(
        &self,
        model: &ModelState,
        refused: KeySet,
        now: Instant,
    ) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for (index, key) in self.usable_keys(model, refused, now) {
            let of_model = model.pauses.get(&index);
            let of_model = of_model.and_then(|pause| pause.blocked_until(now));
            let until = key.paused_until(now).max(of_model)?;
            earliest = Some(earliest.map_or(until, |earlier| earlier.min(until)));
        }
        earliest
    }

    /// Returns when a call to the model can go out with a key; `None`: now.
    fn key_available_at(
        (index, key): (usize, &ApiKeyLimits),
        model: &ModelState,
        tokens: u64,
        now: Instant,
    ) -> Option<Instant> {
        let paused = model.pauses.get(&index);
        let paused = paused.and_then(|pause| pause.available_at(now));
        key.available_at(tokens, now).max(paused)
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

    /// Chooses the key for a call, in turn among those that can take it.
    fn choose_key(
        &self,
        asked: &GrantRequest<'_>,
        model: &ModelState,
        now: Instant,
    ) -> Result<usize, Refusal> {
        let candidates = || self.usable_keys(model, asked.refused, now);
        let tokens = asked.estimate.total();
        let available_at = |candidate| Self::key_available_at(candidate, model, tokens, now);
        let ready = candidates().filter(|candidate| available_at(*candidate).is_none());
        let is_suspected =
            |index, key| Self::outages(key, index, model).any(|outage| outage.next_probe > now);
        // Begins after the key that was used last.
        let next = ready.min_by_key(|(index, key)| {
            (is_suspected(*index, key), *index <= self.last_key, *index)
        });
        if let Some((index, _)) = next {
            return Ok(index);
        }
        let earliest = candidates().filter_map(available_at).min();
        let Some(earliest) = earliest else {
            return Err(match self.outage(model, asked.refused, now) {
                Some(outage) => Refusal::Queue(Some(outage.next_probe)),
                None => Refusal::Denied(Denied::NoUsableKey),
            });
        };
        let is_paused = |index: usize| {
            let pause = model.pauses.get(&index);
            pause.is_some_and(|pause| pause.blocked_until(now).is_some())
        };
        // Other items may use a key that only this item, or only its model, may not use.
        let is_own = self.keys.iter().enumerate().any(|(index, key)| {
            let is_blocked = |outage: &Outage| outage.blocks(now);
            !key.availability.outage().is_some_and(is_blocked)
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
        slots: &Arc<Semaphore>,
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
        slots: &Semaphore,
        now: Instant,
    ) -> Option<HoldReason> {
        match refusal {
            Refusal::Denied(_) => None,
            Refusal::Model => Some(HoldReason::ModelConcurrency),
            Refusal::Caller(_) => Some(HoldReason::CallerQuota),
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
            Refusal::Provider(None) if slots.available_permits() == 0 => {
                Some(HoldReason::Concurrency)
            }
            Refusal::Provider(None) => Some(HoldReason::ProviderConcurrency),
            Refusal::Queue(_) | Refusal::Provider(_) => {
                let tokens = asked.estimate.total();
                let state = asked.model.state();
                let candidates = self.usable_keys(&state, asked.refused, now);
                let waits = candidates.filter_map(|(index, key)| {
                    let until = Self::key_available_at((index, key), &state, tokens, now)?;
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
        slots: &Arc<Semaphore>,
        now: Instant,
    ) -> Result<(HeldResources, usize), Refusal> {
        let model = asked.model;
        if let Some(refusal) = self.concurrency_refusal(model, slots) {
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
        let slot = Arc::clone(slots)
            .try_acquire_owned()
            .map_err(|_| Refusal::Provider(None))?;
        if let Some(key) = self.keys.get_mut(index) {
            key.reserve(asked.estimate.total(), now)
                .map_err(|until| Refusal::Provider(Some(until)))?;
            key.availability.record_call(now);
        }
        if let Some(availability) = state.availability.get_mut(&index) {
            availability.record_call(now);
        }
        if let Some(pause) = state.pauses.get_mut(&index) {
            pause.record_call(now);
        }
        state.trial.record_call(now);
        self.last_key = index;
        if asked.is_first_call {
            self.retry_budget.record_first_call(asked.caller, now);
        }
        let held = HeldResources {
            slot,
            caller: caller.map(|caller| {
                caller.reserve(charge, now);
                caller.in_flight.guard()
            }),
            provider: self.in_flight.guard(),
            model: model.in_flight.guard(),
            probe: state.breaker.probe_guard(),
        };
        Ok((held, index))
    }

    /// Returns the refusal if the provider's, the global or the model's concurrency limit is reached.
    fn concurrency_refusal(&self, model: &Model, slots: &Semaphore) -> Option<Refusal> {
        let is_provider_full = self
            .limit()
            .is_some_and(|limit| self.in_flight.count() >= limit);
        if is_provider_full || slots.available_permits() == 0 {
            return Some(Refusal::Provider(None));
        }
        let is_model_full = model
            .limits
            .max_in_flight
            .is_some_and(|limit| model.in_flight.count() >= limit);
        is_model_full.then_some(Refusal::Model)
    }

    /// Records a call's report for the provider and the key.
    pub fn record_call(
        &mut self,
        call: &CallCharge,
        used: u64,
        report: &CallReport,
        is_overload: bool,
        now: Instant,
    ) -> KeyChange {
        let CallCharge {
            key: index,
            reserved,
            began,
            ..
        } = *call;
        let in_flight = self.in_flight.count();
        let is_of_provider = call.model.is_configured || report.pauses_key;
        if let Some(adaptive) = &mut self.adaptive {
            // A limit of a model that a caller has made up is no overload of the provider.
            if is_overload && is_of_provider {
                adaptive.decrease(began, in_flight, now);
            } else if report.health == breaker::Health::Success {
                adaptive.increase(in_flight);
            }
        }
        let Some(key) = self.keys.get_mut(index) else {
            return KeyChange::default();
        };
        if let Some(tokens) = &mut key.tokens {
            tokens.settle(reserved.total(), used, now);
        }
        if is_of_provider {
            key.apply_remaining(report.remaining, now);
        }
        let key_paused_until = key.paused_until(now);
        if let Some(pause) = report.pause {
            let mut model = call.model.state();
            let own = model.pauses.entry(index).or_default();
            let until = own.begin(pause, began, now);
            key.record_refusal(call.model.id, until, began, now);
            if report.pauses_key {
                key.pause(pause, began, now);
            }
        }
        let has_paused_key = key.paused_until(now) > key_paused_until;
        KeyChange {
            has_paused_key,
            ..record_availability(key, call, report, now)
        }
    }
}

/// Effects of a call on other calls with its key.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyChange {
    pub outage: Option<OutageChange>,
    /// True if the trial of the model is over.
    pub has_passed_trial: bool,
    /// True if the key is paused with all models, for longer than before.
    pub has_paused_key: bool,
    /// True if a pause of the model with the key has ended early.
    pub has_ended_pause: bool,
}

/// Records what a call proves of its key, and of the key with the model.
fn record_availability(
    key: &mut ApiKeyLimits,
    call: &CallCharge,
    report: &CallReport,
    now: Instant,
) -> KeyChange {
    let mut model = call.model.state();
    if let Some(outage) = &report.outage {
        let by = FailedCaller {
            caller: call.caller,
            is_alone: !model.breaker.has_other_callers(call.caller, now),
        };
        if outage.reason.is_of_key() {
            return KeyChange {
                outage: (key.availability).record_failure(outage, by, call.began, now),
                ..KeyChange::default()
            };
        }
        let with_model = model.availability.entry(call.key).or_default();
        let own = with_model.record_failure(outage, by, call.began, now);
        // The key itself is accepted.
        let proves_key = matches!(
            outage.reason,
            OutageReason::QuotaExhausted | OutageReason::UnknownModel
        );
        let of_key = proves_key.then(|| key.availability.record_success(call.began));
        return KeyChange {
            outage: own.or(of_key.flatten()),
            ..KeyChange::default()
        };
    }
    if report.health != breaker::Health::Success {
        return KeyChange::default();
    }
    key.record_success(call.model.id, call.began, now);
    let pause = model.pauses.get_mut(&call.key);
    let has_ended_pause = pause.is_some_and(|pause| pause.record_success(call.began, now));
    let with_model = model.availability.get_mut(&call.key);
    let own = with_model.and_then(|own| own.record_success(call.began));
    KeyChange {
        outage: key.availability.record_success(call.began).or(own),
        has_passed_trial: model.trial.pass(),
        has_paused_key: false,
        has_ended_pause,
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
mod tests;
