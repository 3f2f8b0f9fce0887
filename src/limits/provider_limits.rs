//! A provider: its keys, how many calls it takes at a time, and what may go out to it now.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::adaptive::Adaptive;
use super::api_key_limits::{ApiKeyLimits, KeySet};
use super::breaker;
use super::caller_quota::{Blocked, Caller, Charge};
use super::model_limits::Model;
use super::permit::{CallCharge, Denied, Priority};
use super::raii_counter::{CountGuard, RaiiCounter};
use super::retry_budget::RetryBudget;
use super::token_estimator::TokenEstimate;
use super::{CallReport, Pool};

/// What a call holds until its answer's last byte: each limit counts what is alive of these.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
pub struct HeldResources {
    slot: OwnedSemaphorePermit,
    provider: CountGuard,
    model: CountGuard,
    caller: Option<CountGuard>,
    probe: Option<CountGuard>,
}

/// What a call is about.
#[derive(Debug)]
pub struct GrantRequest<'a> {
    pub model: &'a Arc<Model>,
    pub turn: Priority,
    pub is_first_try: bool,
    pub guess: TokenEstimate,
    pub refused: KeySet,
}

/// Why a call cannot go out now, and what has to change.
#[derive(Debug)]
pub enum Refusal {
    /// The item's model or its keys; `None`: a call has to end.
    Line(Option<Instant>),
    /// All of its model's own places are taken.
    Model,
    /// Its caller's quota; `None`: a call of its own has to end.
    Caller(Option<Instant>),
    /// The provider, or all of them; `None`: a call has to end.
    Everyone(Option<Instant>),
    /// This item will not go out at all.
    Denied(Denied),
}

/// Everything about a provider but who waits for it.
#[derive(Debug)]
pub struct ProviderLimits {
    pub name: String,
    pub keys: Vec<ApiKeyLimits>,
    pub in_flight: RaiiCounter,
    pub max_in_flight: Option<usize>,
    pub adaptive: Option<Adaptive>,
    pub retries: RetryBudget,
    /// The key that was used last.
    last: usize,
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
            retries: RetryBudget::new(now),
            last: 0,
        }
    }

    /// Calls that may be in flight; `None`: as many as the global limit allows.
    pub fn limit(&self) -> Option<usize> {
        let adaptive = self.adaptive.as_ref().map(Adaptive::limit);
        self.max_in_flight.into_iter().chain(adaptive).min()
    }

    /// Whether calls are reserved tokens.
    pub fn counts_tokens(&self) -> bool {
        self.keys.iter().any(|key| key.tokens.is_some())
    }

    /// The most tokens that a call can ever have; `None`: no limit.
    pub fn largest(&self) -> Option<u64> {
        let limits = self.keys.iter().map(|key| {
            key.tokens
                .as_ref()
                .map(|tokens| u64::from(tokens.per_minute().get()))
        });
        limits
            .max_by_key(|limit| limit.unwrap_or(u64::MAX))
            .flatten()
    }

    /// The keys that are worth trying: those that the provider has not refused, or else all.
    fn usable(&self, now: Instant) -> impl Iterator<Item = (usize, &ApiKeyLimits)> {
        let all_closed = self.keys.iter().all(|key| key.is_closed(now));
        self.keys
            .iter()
            .enumerate()
            .filter(move |(_, key)| all_closed || !key.is_closed(now))
    }

    /// When every key that has not refused the item is paused: until the first is not.
    pub fn paused(&self, refused: KeySet, now: Instant) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for (_, key) in self
            .usable(now)
            .filter(|(number, _)| !refused.contains(*number))
        {
            let until = key.paused(now)?;
            earliest = Some(earliest.map_or(until, |earlier| earlier.min(until)));
        }
        earliest
    }

    pub fn is_any_paused(&self, now: Instant) -> bool {
        self.keys.iter().any(|key| key.paused(now).is_some())
    }

    /// How many calls could go out now, as far as its keys and its own limit are concerned.
    pub fn ready(&self, now: Instant) -> usize {
        let keys = self
            .keys
            .iter()
            .fold(0_usize, |sum, key| sum.saturating_add(key.ready(now)));
        self.limit().map_or(keys, |limit| {
            keys.min(limit.saturating_sub(self.in_flight.now()))
        })
    }

    /// The key for a call: each in its turn, of those that can take it.
    fn choose(&self, asked: &GrantRequest<'_>, now: Instant) -> Result<usize, Refusal> {
        let candidates = || {
            self.usable(now)
                .filter(|(number, _)| !asked.refused.contains(*number))
        };
        let ready = candidates().filter(|(_, key)| key.wait(asked.guess.total(), now).is_none());
        // The next after the one used last.
        if let Some((number, _)) = ready.min_by_key(|(number, _)| (*number <= self.last, *number)) {
            return Ok(number);
        }
        match candidates()
            .filter_map(|(_, key)| key.wait(asked.guess.total(), now))
            .min()
        {
            // Others may go out with a key that has refused only this item.
            Some(earliest)
                if self
                    .usable(now)
                    .any(|(number, _)| asked.refused.contains(number)) =>
            {
                Err(Refusal::Line(Some(earliest)))
            }
            Some(earliest) => Err(Refusal::Everyone(Some(earliest))),
            None => Err(Refusal::Denied(Denied::NoUsableKey)),
        }
    }

    /// Takes everything that a call needs, or nothing. `Ok` with what it holds, and the number of its key.
    pub fn grant(
        &mut self,
        asked: &GrantRequest<'_>,
        caller: Option<&mut Caller>,
        slots: &Arc<Semaphore>,
        now: Instant,
    ) -> Result<(HeldResources, usize), Refusal> {
        if self
            .limit()
            .is_some_and(|limit| self.in_flight.now() >= limit)
        {
            return Err(Refusal::Everyone(None));
        }
        if slots.available_permits() == 0 {
            return Err(Refusal::Everyone(None));
        }
        let model = asked.model;
        if model
            .terms
            .max_in_flight
            .is_some_and(|limit| model.in_flight.now() >= limit)
        {
            return Err(Refusal::Model);
        }
        let known = model.known();
        if !known.breaker.lets_through(now) {
            return Err(Refusal::Line(match known.breaker.state(now) {
                breaker::State::Open { until } => Some(until),
                breaker::State::Closed | breaker::State::HalfOpen => None,
            }));
        }
        let charge = Charge {
            requests: u8::from(asked.turn == Priority::First),
            ..charge(model, asked.guess)
        };
        let mut caller = caller;
        if let Some(caller) = &mut caller {
            match caller.blocked(charge, now) {
                None => {}
                Some(Blocked::Own) => return Err(Refusal::Caller(None)),
                Some(Blocked::Until(until)) => return Err(Refusal::Caller(Some(until))),
                Some(Blocked::Broke(until)) => {
                    return Err(Refusal::Denied(Denied::BudgetExhausted { until }));
                }
            }
        }
        let number = self.choose(asked, now)?;
        let slot = Arc::clone(slots)
            .try_acquire_owned()
            .map_err(|_| Refusal::Everyone(None))?;
        if let Some(key) = self.keys.get_mut(number) {
            key.take(asked.guess.total(), now)
                .map_err(|until| Refusal::Everyone(Some(until)))?;
        }
        self.last = number;
        if asked.is_first_try {
            self.retries.first_try(now);
        }
        let own = caller.map(|caller| {
            caller.take(charge, now);
            caller.in_flight.take()
        });
        let (provider, of_model, probe) = (
            self.in_flight.take(),
            model.in_flight.take(),
            known.breaker.probe(),
        );
        Ok((
            HeldResources {
                slot,
                provider,
                model: of_model,
                caller: own,
                probe,
            },
            number,
        ))
    }

    /// What a call's end says about the provider and its key.
    pub fn learn(
        &mut self,
        stake: &CallCharge,
        used: u64,
        report: &CallReport,
        is_crowded: bool,
        now: Instant,
    ) {
        let CallCharge {
            key: number,
            guess,
            began,
            ..
        } = *stake;
        let in_flight = self.in_flight.now();
        if let Some(adaptive) = &mut self.adaptive {
            if is_crowded {
                adaptive.lower(began, in_flight, now);
            } else if report.health == breaker::Health::Success {
                adaptive.raise(in_flight);
            }
        }
        let Some(key) = self.keys.get_mut(number) else {
            return;
        };
        if let Some(tokens) = &mut key.tokens {
            tokens.settle(guess.total(), used, now);
        }
        key.lower(report.remaining, now);
        if let Some(pause) = report.pause {
            key.pause(pause, began, now);
        }
        if report.is_refused {
            key.close(now);
        } else if report.health == breaker::Health::Success {
            key.reopen();
        }
    }
}

/// What a call's tokens are charged to its caller.
pub fn charge(model: &Model, guess: TokenEstimate) -> Charge {
    let usage = crate::types::Usage::new(guess.input, guess.output);
    Charge {
        requests: 0,
        tokens: guess.total(),
        cost: model
            .terms
            .price
            .map(|price| price.cost_of(usage))
            .unwrap_or_default(),
    }
}
