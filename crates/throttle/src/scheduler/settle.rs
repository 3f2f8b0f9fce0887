//! The end of a call: settles its reservation, and records what it says of the model, the key and the provider.

use std::time::Instant;

use super::denial::Affected;
use super::dispatch::cost_of_turn;
use super::{QueueKey, State};
use crate::breaker::{self, Health};
use crate::caller_calls::CallLimit;
use crate::caller_quota::{Caller, Charge};
use crate::grant::{CallCharge, HeldResources};
use crate::outage::OutageChange;
use crate::provider_limits::call_end::{KeyChange, OtherCallers};
use crate::types::{CallReport, UsageReport};

impl State {
    /// Settles a call that ended. Returns what it has changed.
    pub fn settle(
        &mut self,
        call: &CallCharge,
        held: HeldResources,
        report: &CallReport,
        now: Instant,
    ) -> Settled {
        let (model, caller) = (&call.model, call.caller);
        let reserved = model.charge(call.reserved);
        let used = match report.spent {
            UsageReport::Nothing => Charge::default(),
            UsageReport::Unknown => model.charge(call.unreported_usage()),
            UsageReport::Tokens(usage) => model.charge(usage),
        };
        if let Some(own) = self.callers.get_mut(&caller) {
            own.settle(reserved, used, now);
            if held.caller.is_some() {
                let (limited, is_answered) = (model.limited_id(), report.health == Health::Success);
                (own.in_flight).record_end(model.pool, limited, call.began, is_answered, now);
            }
        }
        let evidence = record_evidence(call, report, now);
        let is_shared = self.has_several_callers();
        let mut change = KeyChange::default();
        if let Some(pool) = self.pools.get_mut(model.pool.0) {
            let is_used_up = pool.waiting() > 0;
            let own = (self.callers.get(&caller)).filter(|own| is_used_up && own.waiting() > 0);
            let others = OtherCallers {
                exist: is_shared,
                are_active: self
                    .slots
                    .uses
                    .active_callers(CallLimit::Provider(model.pool))
                    > 1,
                left: own.map_or(0, |own| {
                    (pool.provider).slots_left_by(&own.in_flight, model.pool, &self.slots.uses)
                }),
            };
            let is_overload = evidence.is_overload;
            change =
                (pool.provider).record_call(call, used.tokens, report, is_overload, others, now);
            if let Some(turn) = call.turn
                && let Some(queue) = pool.queues.get_mut(model.queue)
            {
                let key = QueueKey {
                    request: turn.request,
                    model: model.id,
                    refused: turn.refused,
                };
                let actual = cost_of_turn(used.tokens, pool.provider.max_call_tokens());
                queue.settle(turn.class, caller, key, turn.cost, actual);
            }
            // The slot is free before other items are considered.
            drop(held);
            let outage = report.outage.as_ref();
            let is_key_refused =
                model.is_configured && outage.is_some_and(|outage| outage.reason.is_of_key());
            if change.has_passed_trial || change.outage == Some(OutageChange::Ended) {
                pool.unpark_all();
            }
            if change.has_paused_key || is_key_refused {
                pool.deny_over_budget(Affected::AllModels, now);
            } else if report.pause.is_some() || report.outage.is_some() || evidence.has_opened {
                pool.deny_over_budget(Affected::Model(model), now);
            }
            if (evidence.was_open || change.has_ended_pause)
                && let Some(queue) = pool.queues.get_mut(model.queue)
            {
                queue.unpark_queues(|key| key.model == model.id);
            }
        }
        let own = self.callers.get(&caller);
        if own.is_some_and(Caller::may_be_blocked_by_own_calls) {
            self.unpark_caller(caller);
        }
        self.unpark_awaiting_slots();
        Settled {
            has_opened: evidence.has_opened,
            outage: change.outage,
        }
    }
}

/// Changes that the end of a call has caused.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// True if the circuit breaker of its model has opened.
    pub has_opened: bool,
    /// Beginning or end of an outage.
    pub outage: Option<OutageChange>,
}

/// Result of recording a call's report for its model.
struct Evidence {
    /// True if the circuit breaker was open or half-open.
    was_open: bool,
    /// True if the circuit breaker has opened.
    has_opened: bool,
    /// True if the call is evidence of overload.
    is_overload: bool,
}

/// Records a call's report in its model's token estimator and circuit breaker.
fn record_evidence(call: &CallCharge, report: &CallReport, now: Instant) -> Evidence {
    let mut state = call.model.state();
    if let UsageReport::Tokens(usage) = report.spent
        && call.text_tokens > 0
    {
        (state.estimators).record(call.caller, call.text_tokens, usage);
    }
    let was_open = state.breaker.state(now) != breaker::State::Closed;
    let health = match report.health {
        Health::Success if call.is_success_recorded => Health::Neutral,
        health => state.breaker.discount_short_timeout(health, now),
    };
    let has_opened = state.breaker.record(call.caller, health, call.began, now);
    let is_overload = match (report.health, health) {
        // A timeout shorter than the provider's usual latency is not overload.
        (Health::Timeout { .. }, Health::Neutral) => false,
        (Health::Timeout { .. }, _) => state.breaker.is_slow(now),
        _ => report.is_overload,
    };
    Evidence {
        was_open,
        has_opened,
        is_overload,
    }
}
