//! The scheduler: the state of all limits behind one lock. Decides which waiting item gets the next
//! permit. Time is an argument throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use tokio::sync::{Semaphore, oneshot};

use crate::api_key_limits::KeySet;
use crate::breaker::{self, Health};
use crate::caller_quota::{Caller, Charge, Quota};
use crate::fair_queue::{Class, Decision, Queue, QueueEnd, Ticket};
use crate::model_limits::{MAX_LABELS, Model, ModelLimits};
use crate::observer::Observer;
use crate::permit::{CallCharge, Denied, Permit, PermitRequest, Priority, Settle, WaitBudget};
use crate::provider_limits::{GrantRequest, HeldResources, ProviderLimits, Refusal, charge};
use crate::token_estimator::TokenEstimate;
use crate::types::{
    AdmissionRequest, CallReport, CallerId, Config, Pool, PoolId, RETRY_SOON, Refused, RequestId,
    UsageReport,
};

/// Key of a queue: the items of a request that wait for the same model and may use the same
/// provider keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    pub request: RequestId,
    pub model: u64,
    pub refused: KeySet,
}

/// Position of a waiting item, to remove it from the queue.
pub type QueueTicket = Ticket<CallerId, QueueKey>;

/// Maximum number of models that are remembered without being in use. Callers may name any model.
const MAX_MODELS: usize = 1000;

#[derive(Debug)]
pub struct Waiter {
    model: Arc<Model>,
    priority: Priority,
    is_first_call: bool,
    wait_budget: WaitBudget,
    text_tokens: u64,
    max_output: Option<u32>,
    refused: KeySet,
    /// Passed to the permit, so that the admission can count its calls in flight.
    in_flight_token: Weak<()>,
    answer: oneshot::Sender<Result<Permit, Denied>>,
}

type Waiters = Queue<CallerId, QueueKey, Waiter>;

impl Waiter {
    /// Denies the permit because the request rejected its unstarted items.
    pub fn reject(self) {
        // The send fails if the item no longer waits, which is fine.
        drop(self.answer.send(Err(Denied::Cancelled)));
    }
}

/// A provider's limits and the queues in front of it.
#[derive(Debug)]
pub struct PoolState {
    pub provider: ProviderLimits,
    /// The first queue belongs to models without a limit of their own. Each further one belongs to
    /// one model.
    queues: Vec<Waiters>,
}

/// A caller or model whose parked items may go out at a known time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Caller(CallerId),
    Model(PoolId, u64),
}

#[derive(Debug)]
pub struct State {
    pub config: Config,
    slots: Arc<Semaphore>,
    pub pools: Vec<PoolState>,
    pub callers: BTreeMap<CallerId, Caller>,
    pub models: BTreeMap<(PoolId, String), Arc<Model>>,
    wakes: BTreeSet<(Instant, Wake)>,
    /// All queues, as the index of the provider and the index of the queue there.
    queues: Vec<(usize, usize)>,
    /// Index of the queue that is offered the next free slot.
    turn: usize,
    /// Sum of the windows of all admitted requests.
    admitted: usize,
    requests: RequestId,
    model_ids: u64,
    /// Permits whose receiver is gone, to be dropped outside the lock.
    unclaimed: Vec<Permit>,
    observer: Arc<dyn Observer>,
}

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
    Granted(HeldResources, CallCharge),
    Waiting(QueueTicket, oneshot::Receiver<Result<Permit, Denied>>),
    Denied(Denied),
}

impl State {
    pub fn new(
        config: Config,
        pools: Vec<Pool>,
        observer: Arc<dyn Observer>,
        now: Instant,
    ) -> Self {
        let pool = |pool| PoolState {
            provider: ProviderLimits::new(pool, config.max_concurrency, now),
            queues: vec![Waiters::default()],
        };
        let queues = (0..pools.len()).map(|pool| (pool, 0)).collect();
        Self {
            config,
            slots: Arc::new(Semaphore::new(config.max_concurrency)),
            pools: pools.into_iter().map(pool).collect(),
            callers: BTreeMap::new(),
            models: BTreeMap::new(),
            wakes: BTreeSet::new(),
            queues,
            turn: 0,
            admitted: 0,
            requests: 0,
            model_ids: 0,
            unclaimed: Vec::new(),
            observer,
        }
    }

    pub fn in_flight(&self) -> usize {
        self.config.max_concurrency - self.slots.available_permits()
    }

    /// Returns the number of items that are admitted and not in flight.
    pub fn queued(&self) -> usize {
        self.admitted.saturating_sub(self.in_flight())
    }

    /// Returns the model of this name, shared by all requests for it.
    pub fn model(
        &mut self,
        pool: PoolId,
        name: &str,
        limits: ModelLimits,
        now: Instant,
    ) -> Arc<Model> {
        if let Some(known) = self.models.get(&(pool, name.to_owned())) {
            return Arc::clone(known);
        }
        if self.models.len() >= MAX_MODELS {
            self.models.retain(|_, model| Arc::strong_count(model) > 1);
        }
        self.model_ids += 1;
        let provider = self
            .pools
            .get(pool.0)
            .map_or("", |pool| pool.provider.name.as_str());
        let known = if self.model_ids <= MAX_LABELS {
            name
        } else {
            "(other)"
        };
        let label = format!("{provider}/{known}");
        let queue = if limits.max_in_flight.is_some() {
            self.add_queue(pool)
        } else {
            0
        };
        let model = Arc::new(Model::new(
            self.model_ids,
            pool,
            queue,
            limits,
            self.observer.model(&label),
            now,
        ));
        if self.models.len() < MAX_MODELS {
            self.models
                .insert((pool, name.to_owned()), Arc::clone(&model));
        }
        model
    }

    /// Adds a queue for a model with a limit of its own. Only configured models have one.
    fn add_queue(&mut self, pool: PoolId) -> usize {
        let Some(state) = self.pools.get_mut(pool.0) else {
            return 0;
        };
        state.queues.push(Waiters::default());
        let queue = state.queues.len() - 1;
        self.queues.push((pool.0, queue));
        queue
    }

    /// Replaces the callers and their quotas. A caller that was removed keeps its quota for its
    /// items in flight, and its spending of the day. The map stays small: it only ever holds
    /// callers that were configured.
    pub fn set_callers(&mut self, callers: Vec<(CallerId, Quota)>, now: Instant, wall: SystemTime) {
        for caller in self.callers.values_mut() {
            caller.is_retired = true;
        }
        for (id, quota) in callers {
            self.callers
                .entry(id)
                .or_insert_with(|| Caller::new(Quota::default(), now, wall))
                .set(quota, now);
            self.unpark_caller(id);
        }
    }

    /// Admits a request, with as large a part of its wanted window as there is room for.
    pub fn admit(
        &mut self,
        caller: CallerId,
        load: &AdmissionRequest,
        now: Instant,
    ) -> Result<(RequestId, usize), Refused> {
        let AdmissionRequest {
            pool,
            items: wanted,
            has_price,
            ..
        } = *load;
        // Items that are parked leave free slots to others.
        let ready = self.pools.get(pool.0).map_or(0, |pool| {
            if pool.is_idle() {
                pool.provider.ready(now)
            } else {
                0
            }
        });
        let mut ready = ready.min(self.slots.available_permits());
        let mut own_room = usize::MAX;
        if let Some(own) = self.callers.get_mut(&caller) {
            if own.has_budget() && !has_price {
                return Err(Refused::NoPrice);
            }
            if let Some(until) = own.budget_exhausted_until(now) {
                return Err(Refused::BudgetExhausted {
                    retry_after: until - now,
                });
            }
            ready = ready.min(own.ready(now));
            own_room = own.room(ready).unwrap_or(usize::MAX);
        }
        let waiting = self.queued();
        let room = (self.config.max_queue + ready).saturating_sub(waiting);
        if room == 0 {
            return Err(Refused::Overloaded {
                waiting,
                max_queue: self.config.max_queue,
                retry_after: RETRY_SOON,
            });
        }
        if own_room == 0 {
            let standing = self
                .callers
                .get(&caller)
                .map(|own| own.quota_status(now))
                .unwrap_or_default();
            let resets = [standing.requests, standing.tokens]
                .into_iter()
                .flatten()
                .map(|window| window.reset);
            return Err(Refused::QuotaUsedUp {
                retry_after: resets.max().unwrap_or_default().max(RETRY_SOON),
            });
        }
        let window = wanted.min(room).min(own_room);
        self.admitted += window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted += window;
        }
        self.requests += 1;
        Ok((self.requests, window))
    }

    /// Returns the window of a request that ended.
    pub fn release_window(&mut self, caller: CallerId, window: usize) {
        self.admitted -= window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted -= window;
        }
    }

    /// Returns true if some limit counts tokens, so that prompts have to be estimated.
    pub fn counts_tokens(&self, caller: CallerId) -> bool {
        self.pools.iter().any(|pool| pool.provider.counts_tokens())
            || self.callers.get(&caller).is_some_and(Caller::counts_tokens)
    }

    /// Grants a permit, queues the item, or denies the permit.
    pub fn enter(
        &mut self,
        admitted: RequestHandle<'_>,
        request: &PermitRequest<'_>,
        now: Instant,
    ) -> EnterResult {
        let (model, caller) = (request.model, admitted.caller);
        let Some(pool) = self.pools.get_mut(model.pool.0) else {
            return EnterResult::Denied(Denied::NoUsableKey);
        };
        let largest = pool.provider.largest();
        // Use the estimate from the request, not the learned average: otherwise one oversized
        // answer would reject all later requests.
        let needed = request
            .text_tokens
            .saturating_add(request.max_output.unwrap_or_default().into());
        if let Some(allowed) = largest.filter(|allowed| needed > *allowed) {
            return EnterResult::Denied(Denied::TooLarge { needed, allowed });
        }
        let estimate = model
            .estimate(request.text_tokens, request.max_output)
            .at_most(largest.unwrap_or(u64::MAX));
        let PoolState { provider, queues } = pool;
        let Some(queue) = queues.get_mut(model.queue) else {
            return EnterResult::Denied(Denied::NoUsableKey);
        };
        if queue.is_idle() {
            let asked = GrantRequest {
                model,
                priority: request.priority,
                is_first_call: request.is_first_call,
                estimate,
                refused: request.refused,
            };
            match provider.grant(&asked, self.callers.get_mut(&caller), &self.slots, now) {
                Ok((held, key)) => {
                    let call = CallCharge {
                        key,
                        model: Arc::clone(model),
                        caller,
                        reserved: estimate,
                        text_tokens: request.text_tokens,
                        began: now,
                    };
                    return EnterResult::Granted(held, call);
                }
                Err(Refusal::Denied(denied)) => return EnterResult::Denied(denied),
                Err(_) => {}
            }
        }
        if let Some(denied) =
            denial_if_over_budget(provider, model, request.wait_budget, request.refused, now)
        {
            return EnterResult::Denied(denied);
        }
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            model: Arc::clone(model),
            priority: request.priority,
            is_first_call: request.is_first_call,
            wait_budget: request.wait_budget,
            text_tokens: request.text_tokens,
            max_output: request.max_output,
            refused: request.refused,
            in_flight_token: Arc::downgrade(admitted.in_flight),
            answer,
        };
        let entry = match request.priority {
            Priority::Requeued => QueueEnd::Front,
            Priority::First if admitted.is_single => QueueEnd::Single,
            Priority::First => QueueEnd::Back,
        };
        let of_model = QueueKey {
            request: admitted.id,
            model: model.id,
            refused: request.refused,
        };
        EnterResult::Waiting(
            queue.push(admitted.class, caller, of_model, entry, waiter),
            answered,
        )
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
        let lines = first..=QueueKey {
            request,
            model: u64::MAX,
            refused: KeySet::ALL,
        };
        let queues = self.pools.iter_mut().flat_map(|pool| &mut pool.queues);
        queues
            .flat_map(|queue| queue.remove_all(class, caller, lines.clone()))
            .collect()
    }

    /// Removes the items of a request that were not called yet.
    pub fn remove_unstarted(
        &mut self,
        class: Class,
        caller: CallerId,
        request: RequestId,
    ) -> Vec<Waiter> {
        let mut left = Vec::new();
        for queue in self.pools.iter_mut().flat_map(|pool| &mut pool.queues) {
            let is_its = |ticket: &QueueTicket| {
                ticket.class == class && ticket.caller == caller && ticket.line.request == request
            };
            let first = queue
                .iter()
                .filter(|(ticket, waiter)| is_its(ticket) && waiter.priority == Priority::First);
            let tickets: Vec<_> = first.map(|(ticket, _)| ticket).collect();
            left.extend(
                tickets
                    .into_iter()
                    .filter_map(|ticket| queue.remove(ticket)),
            );
        }
        left
    }

    /// Settles a call that ended. Returns true if its model's circuit breaker has opened.
    pub fn settle(
        &mut self,
        call: &CallCharge,
        held: Option<HeldResources>,
        report: &CallReport,
        now: Instant,
    ) -> bool {
        let CallCharge {
            model,
            caller,
            reserved,
            text_tokens,
            began,
            ..
        } = call;
        let used = match report.spent {
            UsageReport::Nothing => Charge::default(),
            UsageReport::Unknown => charge(model, *reserved),
            UsageReport::Tokens(usage) => charge(
                model,
                TokenEstimate {
                    input: usage.input,
                    output: usage.output,
                },
            ),
        };
        if let Some(own) = self.callers.get_mut(caller) {
            own.settle(charge(model, *reserved), used, now);
        }
        let (opened, may_change, is_overload) = {
            let mut state = model.state();
            if let UsageReport::Tokens(usage) = report.spent
                && *text_tokens > 0
            {
                state
                    .estimate
                    .learn(*text_tokens, usage.input, usage.output);
            }
            let was_closed = state.breaker.state(now) == breaker::State::Closed;
            let health = state.breaker.discount_short_timeout(report.health, now);
            let opened = state.breaker.record(health, *began, now);
            let is_overload = match (report.health, health) {
                // A timeout shorter than the provider's usual latency is not overload.
                (Health::Timeout { .. }, Health::Neutral) => false,
                (Health::Timeout { .. }, _) => state.breaker.is_slow(now),
                _ => report.is_overload,
            };
            (opened, !was_closed, is_overload)
        };
        if let Some(pool) = self.pools.get_mut(model.pool.0) {
            pool.provider
                .learn(call, used.tokens, report, is_overload, now);
            // The slot is free before other items are considered.
            drop(held);
            let may_be_paused =
                (report.pause.is_some() || report.is_refused) && pool.provider.is_any_paused(now);
            if may_be_paused || opened {
                pool.deny_over_budget(now);
            }
            if may_change && let Some(queue) = pool.queues.get_mut(model.queue) {
                queue.unpark_lines(|line| line.model == model.id);
            }
        }
        if self
            .callers
            .get(caller)
            .is_some_and(Caller::has_waiting_items)
        {
            self.unpark_caller(*caller);
        }
        opened
    }

    /// Grants every permit that can be granted now, one queue after the other. Returns when to run
    /// again, if time alone will free something.
    pub fn dispatch(&mut self, now: Instant, owner: &Arc<dyn Settle>) -> Option<Instant> {
        self.wake(now);
        let mut next = None::<Instant>;
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |earlier| earlier.min(at)));
        let mut idle = 0;
        while idle < self.queues.len() {
            let turn = self.turn % self.queues.len();
            self.turn = turn + 1;
            idle += 1;
            let Some((at, number)) = self.queues.get(turn).copied() else {
                break;
            };
            let Some(PoolState { provider, queues }) = self.pools.get_mut(at) else {
                break;
            };
            let Some(queue) = queues.get_mut(number).filter(|queue| !queue.is_idle()) else {
                continue;
            };
            let (callers, wakes, slots) = (&mut self.callers, &mut self.wakes, &self.slots);
            let (counts_tokens, largest) = (
                provider.counts_tokens(),
                provider.largest().unwrap_or(u64::MAX),
            );
            let served = queue.next(|caller, waiter| {
                // Uses the current estimate, which may be better than the one at entry.
                let estimate = waiter
                    .model
                    .estimate(waiter.text_tokens, waiter.max_output)
                    .at_most(largest);
                let Waiter {
                    model,
                    text_tokens,
                    priority,
                    is_first_call,
                    refused,
                    ..
                } = waiter;
                let asked = GrantRequest {
                    model,
                    priority: *priority,
                    is_first_call: *is_first_call,
                    estimate,
                    refused: *refused,
                };
                let granted = provider.grant(&asked, callers.get_mut(&caller), slots, now);
                if let Err(Refusal::Line(_) | Refusal::Everyone(_)) = &granted
                    && let Some(denied) =
                        denial_if_over_budget(provider, model, waiter.wait_budget, *refused, now)
                {
                    return Decision::Reject(Err(denied));
                }
                match granted {
                    Ok((held, key)) => {
                        let cost = if counts_tokens {
                            estimate.total().max(1)
                        } else {
                            1
                        };
                        let call = CallCharge {
                            key,
                            model: Arc::clone(model),
                            caller,
                            reserved: estimate,
                            text_tokens: *text_tokens,
                            began: now,
                        };
                        Decision::Take(Ok((held, call)), cost)
                    }
                    Err(Refusal::Denied(denied)) => Decision::Reject(Err(denied)),
                    Err(Refusal::Model) => Decision::Stop,
                    Err(Refusal::Line(until)) => {
                        wakes.extend(
                            until.map(|until| (until, Wake::Model(PoolId(at), waiter.model.id))),
                        );
                        Decision::ParkLine
                    }
                    Err(Refusal::Caller(until)) => {
                        wakes.extend(until.map(|until| (until, Wake::Caller(caller))));
                        Decision::ParkCaller
                    }
                    Err(Refusal::Everyone(until)) => {
                        until.into_iter().for_each(&mut sooner);
                        Decision::Stop
                    }
                }
            });
            let Some((waiter, served)) = served else {
                continue;
            };
            idle = 0;
            let in_flight_token = waiter.in_flight_token.upgrade().unwrap_or_default();
            let answer = served
                .map(|(held, call)| Permit::new(held, call, in_flight_token, Arc::clone(owner)));
            if let Err(Ok(permit)) = waiter.answer.send(answer) {
                self.unclaimed.push(permit);
            }
        }
        if let Some((at, _)) = self.wakes.first() {
            sooner(*at);
        }
        next
    }

    /// Unparks the callers and models whose time has come.
    fn wake(&mut self, now: Instant) {
        while let Some((_, wake)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
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
                        queue.unpark_lines(|line| line.model == model);
                    }
                }
            }
        }
    }

    fn unpark_caller(&mut self, caller: CallerId) {
        for queue in self.pools.iter_mut().flat_map(|pool| &mut pool.queues) {
            queue.unpark_caller(caller);
        }
    }

    /// Takes the permits that could not be delivered. The caller drops them outside the lock.
    pub fn take_unclaimed(&mut self) -> Vec<Permit> {
        std::mem::take(&mut self.unclaimed)
    }
}

impl PoolState {
    /// Returns true if all waiting items are parked.
    fn is_idle(&self) -> bool {
        self.queues.iter().all(Waiters::is_idle)
    }

    /// Returns the number of items that wait for this provider.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(Waiters::len).sum()
    }

    /// Denies a permit to items that a pause or an open circuit breaker would keep waiting beyond
    /// their wait budget.
    fn deny_over_budget(&mut self, now: Instant) {
        let Self { provider, queues } = self;
        for queue in queues {
            let denied = queue.iter().filter_map(|(ticket, waiter)| {
                let denied = denial_if_over_budget(
                    provider,
                    &waiter.model,
                    waiter.wait_budget,
                    waiter.refused,
                    now,
                )?;
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

/// Returns the denial for an item whose wait budget is smaller than the wait ahead.
fn denial_if_over_budget(
    provider: &ProviderLimits,
    model: &Model,
    wait_budget: WaitBudget,
    refused: KeySet,
    now: Instant,
) -> Option<Denied> {
    if let Some(until) = provider
        .paused(refused, now)
        .filter(|until| !wait_budget.covers_pause(now, *until))
    {
        return Some(Denied::Paused { until });
    }
    let breaker = &model.state().breaker;
    match breaker.state(now) {
        breaker::State::Open { until } if !wait_budget.covers_open_circuit(now, until) => {
            Some(Denied::CircuitOpen { until })
        }
        breaker::State::HalfOpen
            if wait_budget == WaitBudget::NONE && !breaker.lets_through(now) =>
        {
            Some(Denied::CircuitOpen {
                until: now + RETRY_SOON,
            })
        }
        _ => None,
    }
}
