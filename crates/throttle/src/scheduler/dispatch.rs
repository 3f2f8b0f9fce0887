//! Dispatch: gives free slots and tokens to the waiting items whose turn it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{PoolState, State, Waiter, Wake};
use crate::caller_id::CallerId;
use crate::fair_queue::Decision;
use crate::grant::{CallCharge, GrantRequest, GrantedCall, HeldResources, Refusal, Turn};
use crate::permit_request::Denied;
use crate::types::PoolId;

/// Time after which the callers that use each limit are counted again, while one leaves free slots to others.
const RECOUNT_DELAY: Duration = Duration::from_secs(1);

/// Decision about a waiting item: what it holds, or why it is denied.
type Offer = Decision<Result<(HeldResources, CallCharge), Denied>>;

/// Times and events after which waiting items may go out.
struct WakeTimes<'a> {
    /// Times of single callers and models.
    parked: &'a mut BTreeSet<(Instant, Wake)>,
    /// Callers that leave the free slots to others.
    awaiting_slots: &'a mut BTreeSet<CallerId>,
    /// Earliest time at which a whole provider has something to give.
    earliest: &'a mut Option<Instant>,
}

impl State {
    /// Grants every permit that can be granted now, one queue after the other. Returns when to run again, if time alone will
    /// free something.
    pub fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        self.count_uses(now);
        self.unpark_due(now);
        let mut earliest = None;
        // Ends when a whole round over the queues has granted nothing.
        let mut unserved = 0;
        while unserved < self.queues.len() {
            let turn = self.turn % self.queues.len();
            self.turn = turn + 1;
            if self.serve_queue(turn, &mut earliest, now) {
                unserved = 0;
            } else {
                unserved += 1;
            }
        }
        let first_wake = self.wakes.first().map(|(time, _)| *time);
        let recount = (!self.awaiting_slots.is_empty()).then_some(now + RECOUNT_DELAY);
        earliest.into_iter().chain(first_wake).chain(recount).min()
    }

    /// Returns true if a caller has items that wait for its share of the slots.
    #[cfg(test)]
    pub fn has_callers_that_await_slots(&self) -> bool {
        !self.awaiting_slots.is_empty()
    }

    /// Resolves the next item of a queue that can go out. Returns false if there is none.
    fn serve_queue(&mut self, turn: usize, earliest: &mut Option<Instant>, now: Instant) -> bool {
        let Some((pool, index)) = self.queues.get(turn).copied() else {
            return false;
        };
        let Some(PoolState { provider, queues }) = self.pools.get_mut(pool) else {
            return false;
        };
        let Some(queue) = queues.get_mut(index).filter(|queue| !queue.is_idle()) else {
            return false;
        };
        let (callers, slots) = (&mut self.callers, &self.slots);
        let mut times = WakeTimes {
            parked: &mut self.wakes,
            awaiting_slots: &mut self.awaiting_slots,
            earliest,
        };
        let counts_tokens = provider.counts_tokens();
        let max_call_tokens = provider.max_call_tokens();
        let served = queue.next(|caller, waiter| {
            let request = waiter.grant_request(caller, max_call_tokens.unwrap_or(u64::MAX));
            let granted = provider.grant(&request, callers.get_mut(&caller), slots, now);
            let (held, key) = match granted {
                Ok(granted) => granted,
                Err(refusal) => {
                    let is_wait = matches!(refusal, Refusal::Queue(_) | Refusal::Provider(_));
                    let denied =
                        is_wait.then(|| waiter.denial_if_over_budget(provider, caller, now));
                    if let Some(denied) = denied.flatten() {
                        return Decision::Reject(Err(denied));
                    }
                    return times.decide(refusal, PoolId(pool), caller, waiter);
                }
            };
            let turn = counts_tokens
                .then(|| waiter.turn(cost_of_turn(request.estimate.total(), max_call_tokens)));
            let charge = CallCharge {
                turn,
                ..CallCharge::new(key, &request, waiter.text_tokens, now)
            };
            let cost = turn.map_or(1, |turn| turn.cost);
            Decision::Serve(Ok((held, charge)), cost)
        });
        let Some((waiter, served)) = served else {
            return false;
        };
        let in_flight = waiter.in_flight.upgrade().unwrap_or_default();
        let answer = served.map(|(held, charge)| GrantedCall::new(held, charge, in_flight));
        if let Err(Ok(call)) = waiter.answer.send(answer) {
            self.unclaimed.push(*call);
        }
        true
    }

    /// Unparks the callers and models whose time has come.
    fn unpark_due(&mut self, now: Instant) {
        while let Some((time, wake)) = self.wakes.first().copied()
            && time <= now
        {
            self.wakes.pop_first();
            match wake {
                Wake::Caller(caller) => self.unpark_caller(caller),
                Wake::Model(pool, model) => {
                    for queue in self
                        .pools
                        .get_mut(pool.0)
                        .into_iter()
                        .flat_map(|pool| &mut pool.queues)
                    {
                        queue.unpark_queues(|key| key.model == model);
                    }
                }
            }
        }
    }
}

impl WakeTimes<'_> {
    /// Returns what happens to an item that was refused, and remembers when that may change.
    fn decide(
        &mut self,
        refusal: Refusal,
        pool: PoolId,
        caller: CallerId,
        waiter: &Waiter,
    ) -> Offer {
        match refusal {
            Refusal::Denied(denied) => Decision::Reject(Err(denied)),
            Refusal::Model => Decision::Stop,
            Refusal::Queue(until) => {
                let wake = Wake::Model(pool, waiter.model.id);
                self.parked.extend(until.map(|until| (until, wake)));
                Decision::ParkQueue
            }
            Refusal::Caller(until) => {
                let wake = Wake::Caller(caller);
                self.parked.extend(until.map(|until| (until, wake)));
                Decision::ParkCaller
            }
            Refusal::CallerShare => {
                self.awaiting_slots.insert(caller);
                Decision::ParkCaller
            }
            Refusal::Provider(until) => {
                *self.earliest = self.earliest.iter().copied().chain(until).min();
                Decision::Stop
            }
        }
    }
}

/// Returns the cost of a turn of a call that takes this many tokens: at most `max_call_tokens`, a minute's worth, whatever the provider
/// reports. One absurd number would otherwise stop a caller, or all direct requests, for thousands of turns.
pub(super) fn cost_of_turn(tokens: u64, max_call_tokens: Option<u64>) -> u64 {
    tokens.min(max_call_tokens.unwrap_or(u64::MAX)).max(1)
}

impl Waiter {
    const fn turn(&self, cost: u64) -> Turn {
        Turn {
            class: self.class,
            request: self.request,
            refused: self.refused,
            cost,
        }
    }

    /// Returns the request for its permit. Uses the current estimate, which may be better than the one at entry.
    fn grant_request(&self, caller: CallerId, max_call_tokens: u64) -> GrantRequest<'_> {
        let estimate = (self.model).estimate(caller, self.text_tokens, self.max_output);
        GrantRequest {
            model: &self.model,
            caller,
            priority: self.priority,
            is_first_call: self.is_first_call,
            estimate: estimate.at_most(max_call_tokens),
            refused: self.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_costs_a_minute_of_tokens_at_most() {
        let costs = [0, 7, 5_000, u64::MAX].map(|tokens| cost_of_turn(tokens, Some(1_000)));
        assert_eq!(costs, [1, 7, 1_000, 1_000]);
        assert_eq!(cost_of_turn(5_000, None), 5_000);
    }
}
