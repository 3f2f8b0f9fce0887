//! Waiting for a permit: grants it at once, queues the item, or denies it; and leaving the queue.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::denial::WaitAhead;
use super::{PoolState, QueueKey, QueueTicket, State, Waiter, Waiters};
use crate::api_key_limits::KeySet;
use crate::caller_id::CallerId;
use crate::fair_queue::{Class, QueueEnd};
use crate::grant::{CallCharge, GrantRequest, GrantedCall, Refusal};
use crate::model_limits::Model;
use crate::permit_request::{Denied, PermitRequest, Priority};
use crate::types::RequestId;

/// The admitted request that an item belongs to.
#[derive(Debug, Clone, Copy)]
pub struct RequestHandle<'a> {
    pub class: Class,
    pub caller: CallerId,
    pub id: RequestId,
    /// True if the request has exactly one item.
    pub is_single: bool,
    /// Held once by every permit of the request.
    pub in_flight: &'a Arc<()>,
}

/// Result of entering the queue.
pub enum EnterResult {
    Granted(Box<GrantedCall>),
    Waiting(
        QueueTicket,
        oneshot::Receiver<Result<Box<GrantedCall>, Denied>>,
    ),
    Denied(Denied),
}

impl State {
    /// Grants a permit, queues the item, or denies the permit.
    pub fn request_permit(
        &mut self,
        admitted: RequestHandle<'_>,
        request: &PermitRequest<'_>,
        now: Instant,
    ) -> EnterResult {
        let (model, caller) = (request.model, admitted.caller);
        let Some(PoolState { provider, queues }) = self.pools.get_mut(model.pool.0) else {
            return EnterResult::Denied(Denied::NoUsableKey);
        };
        let Some(queue) = queues.get_mut(model.queue) else {
            return EnterResult::Denied(Denied::NoUsableKey);
        };
        let max_call_tokens = provider.max_call_tokens().unwrap_or(u64::MAX);
        if let Some(denied) = request.denial_if_too_large(max_call_tokens) {
            return EnterResult::Denied(denied);
        }
        if queue.is_idle() {
            let grant_request = GrantRequest {
                model,
                caller,
                priority: request.priority,
                is_first_call: request.is_first_call,
                estimate: model
                    .estimate(caller, request.text_tokens, request.max_output)
                    .at_most(max_call_tokens),
                refused: request.refused,
            };
            let own = self.callers.get_mut(&caller);
            match provider.grant(&grant_request, own, &self.slots, now) {
                Ok((held, key)) => {
                    let charge = CallCharge::new(key, &grant_request, request.text_tokens, now);
                    let in_flight = Arc::clone(admitted.in_flight);
                    return EnterResult::Granted(GrantedCall::new(held, charge, in_flight));
                }
                Err(Refusal::Denied(denied)) => return EnterResult::Denied(denied),
                Err(_) => {}
            }
        }
        model.state().breaker.record_ask(caller);
        let wait = WaitAhead::new(provider, model, caller, request.refused, now);
        match wait.denial(request.wait_budget, now) {
            Some(denied) => EnterResult::Denied(denied),
            None => enqueue(queue, admitted, request),
        }
    }

    /// Removes an item from the queue. Returns false if it was already granted or denied.
    pub fn stop_waiting(&mut self, model: &Model, ticket: QueueTicket) -> bool {
        self.queue(model)
            .is_some_and(|queue| queue.remove(ticket).is_some())
    }

    fn queue(&mut self, model: &Model) -> Option<&mut Waiters> {
        self.pools
            .get_mut(model.pool.0)?
            .queues
            .get_mut(model.queue)
    }

    /// Removes all items of a request from the queues.
    pub fn remove_request(
        &mut self,
        class: Class,
        caller: CallerId,
        request: RequestId,
    ) -> Vec<Waiter> {
        let first = QueueKey {
            request,
            model: 0,
            refused: KeySet::default(),
        };
        let keys = first..=QueueKey {
            request,
            model: u64::MAX,
            refused: KeySet::ALL,
        };
        let queues = self.pools.iter_mut().flat_map(|pool| &mut pool.queues);
        queues
            .flat_map(|queue| queue.remove_all(class, caller, keys.clone()))
            .collect()
    }

    /// Removes the items of a request that were not called yet.
    pub fn remove_unstarted(
        &mut self,
        class: Class,
        caller: CallerId,
        request: RequestId,
    ) -> Vec<Waiter> {
        let owner = (class, caller, request);
        let queues = self.pools.iter_mut().flat_map(|pool| &mut pool.queues);
        let removed = queues.flat_map(|queue| {
            queue.remove_some(
                |class, caller, key, _| ((class, caller, key.request) == owner).then_some(()),
                |(), waiter| (waiter.priority == Priority::First).then_some(()),
            )
        });
        removed.map(|(waiter, ())| waiter).collect()
    }
}

impl PermitRequest<'_> {
    /// Returns the denial of a call that needs more tokens than a key may use in a minute.
    ///
    /// Uses the estimate from the request, not the learned average: otherwise one oversized answer would reject all later
    /// requests.
    fn denial_if_too_large(&self, allowed: u64) -> Option<Denied> {
        let max_output = u64::from(self.max_output.unwrap_or_default());
        let needed = self.text_tokens.saturating_add(max_output);
        (needed > allowed).then_some(Denied::TooLarge { needed, allowed })
    }
}

/// Adds an item to the queue.
fn enqueue(
    queue: &mut Waiters,
    admitted: RequestHandle<'_>,
    request: &PermitRequest<'_>,
) -> EnterResult {
    let (answer, answered) = oneshot::channel();
    let waiter = Waiter {
        class: admitted.class,
        request: admitted.id,
        model: Arc::clone(request.model),
        priority: request.priority,
        is_first_call: request.is_first_call,
        wait_budget: request.wait_budget,
        text_tokens: request.text_tokens,
        max_output: request.max_output,
        refused: request.refused,
        in_flight: Arc::downgrade(admitted.in_flight),
        answer,
    };
    let end = match request.priority {
        Priority::Requeued => QueueEnd::Front,
        Priority::First if admitted.is_single => QueueEnd::Single,
        Priority::First => QueueEnd::Back,
    };
    let key = QueueKey {
        request: admitted.id,
        model: request.model.id,
        refused: request.refused,
    };
    let ticket = queue.push(admitted.class, admitted.caller, key, end, waiter);
    EnterResult::Waiting(ticket, answered)
}
