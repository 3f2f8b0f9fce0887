//! Denials: items that would have to wait longer than their wait budget get no permit.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{PoolState, Waiter};
use crate::api_key_limits::KeySet;
use crate::caller_id::CallerId;
use crate::model_limits::Model;
use crate::permit_request::{Denied, WaitBudget};
use crate::provider_limits::ProviderLimits;
use crate::types::RETRY_SOON;

/// Models whose waiting items a call has affected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Affected<'a> {
    /// The model that was called.
    Model(&'a Model),
    /// All models of the provider, because the key that was used is paused or refused.
    AllModels,
}

impl PoolState {
    /// Denies a permit to the affected items that a pause, an outage or an open circuit breaker would keep waiting beyond their
    /// wait budget.
    pub(super) fn deny_over_budget(&mut self, affected: Affected<'_>, now: Instant) {
        let Self { provider, queues } = self;
        // Many queues have the same wait ahead.
        let mut waits = BTreeMap::new();
        for queue in queues {
            let denied = queue.remove_some(
                |_, caller, key, first: &Waiter| {
                    let is_affected = match affected {
                        Affected::Model(model) => model.id == key.model,
                        Affected::AllModels => true,
                    };
                    is_affected.then(|| {
                        let wait = waits.entry((key.model, caller, key.refused));
                        *wait.or_insert_with(|| first.wait_ahead(provider, caller, now))
                    })
                },
                |wait, waiter| wait.denial(waiter.wait_budget, now),
            );
            for (waiter, denied) in denied {
                // The send fails if the item no longer waits, which is fine.
                drop(waiter.answer.send(Err(denied)));
            }
        }
    }
}

impl Waiter {
    fn wait_ahead(&self, provider: &ProviderLimits, caller: CallerId, now: Instant) -> WaitAhead {
        WaitAhead::new(provider, &self.model, caller, self.refused, now)
    }

    /// Returns the denial if the item's wait budget is smaller than the wait ahead.
    pub(super) fn denial_if_over_budget(
        &self,
        provider: &ProviderLimits,
        caller: CallerId,
        now: Instant,
    ) -> Option<Denied> {
        let wait = self.wait_ahead(provider, caller, now);
        wait.denial(self.wait_budget, now)
    }
}

/// Wait ahead of the items of a caller that may use the same keys for the same model.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitAhead {
    /// Time of the next probe of an outage.
    outage: Option<Instant>,
    /// End of the first pause.
    paused: Option<Instant>,
    /// Result of asking the circuit breaker: a call may go out, or the time at which it may, if that is known.
    breaker: Result<(), Option<Instant>>,
}

impl WaitAhead {
    pub(super) fn new(
        provider: &ProviderLimits,
        model: &Model,
        caller: CallerId,
        refused: KeySet,
        now: Instant,
    ) -> Self {
        let state = model.state();
        let outage = provider.outage(&state, caller, refused, now);
        Self {
            outage: outage.map(|outage| outage.next_probe_of(caller)),
            paused: provider.paused_until(&state, caller, refused, now),
            breaker: state.breaker.check_call(caller, now),
        }
    }

    /// Returns the denial of an item whose wait budget is smaller.
    pub(super) fn denial(&self, budget: WaitBudget, now: Instant) -> Option<Denied> {
        if let Some(until) = self.outage.filter(|_| !budget.covers_outage()) {
            return Some(Denied::Outage { until });
        }
        let paused = self.paused;
        if let Some(until) = paused.filter(|until| !budget.covers_pause(now, *until)) {
            return Some(Denied::Paused { until });
        }
        match self.breaker {
            Err(Some(until)) if !budget.covers_open_circuit(now, until) => {
                Some(Denied::CircuitOpen { until })
            }
            Err(None) if budget == WaitBudget::NONE => Some(Denied::CircuitOpen {
                until: now + RETRY_SOON,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_item_is_denied_what_its_budget_does_not_cover() {
        let now = Instant::now();
        let until = now + Duration::from_secs(9);
        let nothing = WaitAhead {
            outage: None,
            paused: None,
            breaker: Ok(()),
        };
        let outage = WaitAhead {
            outage: Some(until),
            ..nothing
        };
        let paused = WaitAhead {
            paused: Some(until),
            ..nothing
        };
        let [open, half_open] = [Some(until), None].map(|until| WaitAhead {
            breaker: Err(until),
            ..nothing
        });
        let soon = now + RETRY_SOON;
        let seconds = Duration::from_secs;
        for (wait, covering, denied) in [
            (
                outage,
                WaitBudget::NONE.through_outages(),
                Denied::Outage { until },
            ),
            (
                paused,
                WaitBudget::new(seconds(9), seconds(0)),
                Denied::Paused { until },
            ),
            (
                open,
                WaitBudget::new(seconds(0), seconds(9)),
                Denied::CircuitOpen { until },
            ),
            (
                half_open,
                WaitBudget::new(seconds(0), seconds(1)),
                Denied::CircuitOpen { until: soon },
            ),
        ] {
            assert_eq!(wait.denial(WaitBudget::NONE, now), Some(denied));
            assert_eq!(wait.denial(covering, now), None);
        }
        assert_eq!(nothing.denial(WaitBudget::NONE, now), None);
    }
}
