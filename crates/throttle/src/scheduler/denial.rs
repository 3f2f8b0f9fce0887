//! Denials: items that would have to wait longer than their wait budget get no permit.

use std::time::Instant;

use super::{PoolState, Waiter};
use crate::api_key_limits::KeySet;
use crate::model_limits::Model;
use crate::permit_request::{Denied, WaitBudget};
use crate::provider_limits::ProviderLimits;
use crate::types::{CallerId, RETRY_SOON};

impl PoolState {
    /// Denies a permit to items that a pause or an open circuit breaker would keep waiting beyond
    /// their wait budget.
    pub(super) fn deny_over_budget(&mut self, now: Instant) {
        let Self { provider, queues } = self;
        for queue in queues {
            let denied = queue.iter().filter_map(|(ticket, waiter)| {
                let denied = waiter.denial_if_over_budget(provider, ticket.caller, now)?;
                Some((ticket, denied))
            });
            let denied: Vec<_> = denied.collect();
            for (ticket, denied) in denied {
                if let Some(waiter) = queue.remove(ticket) {
                    // The send fails if the item no longer waits, which is fine.
                    drop(waiter.answer.send(Err(denied)));
                }
            }
        }
    }
}

impl Waiter {
    /// Returns the denial if the item's wait budget is smaller than the wait ahead.
    pub(super) fn denial_if_over_budget(
        &self,
        provider: &ProviderLimits,
        caller: CallerId,
        now: Instant,
    ) -> Option<Denied> {
        let (model, budget) = (&self.model, self.wait_budget);
        denial_if_over_budget(provider, model, caller, budget, self.refused, now)
    }
}

/// Returns the denial for an item whose wait budget is smaller than the wait ahead.
pub(super) fn denial_if_over_budget(
    provider: &ProviderLimits,
    model: &Model,
    caller: CallerId,
    wait_budget: WaitBudget,
    refused: KeySet,
    now: Instant,
) -> Option<Denied> {
    let state = model.state();
    if let Some(outage) = provider
        .outage(&state, refused, now)
        .filter(|_| !wait_budget.covers_outage())
    {
        return Some(Denied::Outage {
            until: outage.next_probe,
        });
    }
    if let Some(until) = provider
        .paused_until(&state, refused, now)
        .filter(|until| !wait_budget.covers_pause(now, *until))
    {
        return Some(Denied::Paused { until });
    }
    match state.breaker.check_call(caller, now) {
        Err(Some(until)) if !wait_budget.covers_open_circuit(now, until) => {
            Some(Denied::CircuitOpen { until })
        }
        Err(None) if wait_budget == WaitBudget::NONE => Some(Denied::CircuitOpen {
            until: now + RETRY_SOON,
        }),
        _ => None,
    }
}
