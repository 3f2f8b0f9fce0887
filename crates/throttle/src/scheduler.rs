//! The scheduler: the state of all limits behind one lock. Decides which waiting item gets the next
//! permit. Time is an argument throughout.

mod admit;
mod denial;
mod dispatch;
pub mod enqueue;
mod probe;
pub mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::api_key_limits::KeySet;
use crate::call_slots::CallSlots;
use crate::caller_calls::LimitUses;
use crate::caller_id::CallerId;
use crate::caller_quota::{Caller, Quota};
use crate::fair_queue::{Class, Queue, Ticket};
use crate::grant::GrantedCall;
use crate::model_limits::{Model, ModelLimits};
use crate::model_table::ModelTable;
use crate::observer::Observer;
use crate::permit_request::{Denied, Priority, WaitBudget};
use crate::provider_limits::ProviderLimits;
use crate::types::{Config, Pool, PoolId, RequestId};

/// Minimum time between two counts of the callers that use each limit of calls in flight.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

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

/// An item that waits for its permit.
#[derive(Debug)]
pub struct Waiter {
    class: Class,
    request: RequestId,
    model: Arc<Model>,
    priority: Priority,
    is_first_call: bool,
    wait_budget: WaitBudget,
    text_tokens: u64,
    max_output: Option<u32>,
    refused: KeySet,
    /// Passed to the permit, so that the admission can count its calls in flight.
    in_flight: Weak<()>,
    answer: oneshot::Sender<Result<Box<GrantedCall>, Denied>>,
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

/// The state of all limits.
#[derive(Debug)]
pub struct State {
    pub config: Config,
    slots: CallSlots,
    pub pools: Vec<PoolState>,
    pub callers: BTreeMap<CallerId, Caller>,
    pub models: ModelTable,
    wakes: BTreeSet<(Instant, Wake)>,
    /// Callers that leave the free slots to others, parked until a call ends or the callers are counted again.
    awaiting_slots: BTreeSet<CallerId>,
    /// Time of the last count of the callers that use each limit.
    counted_at: Option<Instant>,
    /// All queues, as the index of the provider and the index of the queue there.
    queues: Vec<(usize, usize)>,
    /// Index of the queue that is offered the next free slot.
    turn: usize,
    /// Number of places that all admitted requests hold: items that wait or are in flight.
    admitted: usize,
    requests: RequestId,
    model_ids: u64,
    /// Granted calls whose receiver is gone, to be ended outside the lock.
    unclaimed: Vec<GrantedCall>,
    observer: Arc<dyn Observer>,
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
            slots: CallSlots::new(config.max_concurrency),
            pools: pools.into_iter().map(pool).collect(),
            callers: BTreeMap::new(),
            models: ModelTable::default(),
            wakes: BTreeSet::new(),
            awaiting_slots: BTreeSet::new(),
            counted_at: None,
            queues,
            turn: 0,
            admitted: 0,
            requests: 0,
            model_ids: 0,
            unclaimed: Vec::new(),
            observer,
        }
    }

    /// Returns the number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.slots.max() - self.slots.free()
    }

    /// Returns the number of items that wait.
    pub fn queued(&self) -> usize {
        self.admitted.saturating_sub(self.in_flight())
    }

    /// Returns the model of this name, shared by all requests for it. `limits` is what the configuration says of the model;
    /// `None`: it is not configured, and has no metrics of its own.
    pub fn model(
        &mut self,
        pool: PoolId,
        name: &str,
        limits: Option<ModelLimits>,
        now: Instant,
    ) -> Arc<Model> {
        if let Some(known) = self.models.find(pool, name) {
            return known;
        }
        self.model_ids += 1;
        let provider = self
            .pools
            .get(pool.0)
            .map_or("", |pool| pool.provider.name.as_str());
        let label_name = if limits.is_some() { name } else { "(other)" };
        let label = format!("{provider}/{label_name}");
        let queue = if limits.is_some_and(|limits| limits.max_in_flight.is_some()) {
            self.add_queue(pool)
        } else {
            0
        };
        let model = Arc::new(Model::new(
            self.model_ids,
            name.to_owned(),
            pool,
            queue,
            limits,
            self.observer.model(&label),
        ));
        self.models.add(&model, now);
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
                .set_quota(quota, now);
            self.unpark_caller(id);
        }
        let is_shared = self.has_several_callers();
        for caller in self.callers.values_mut() {
            // The slots of a caller with a limit of its own were divided by the operator.
            caller.in_flight.leaves_slots = is_shared && caller.quota.max_in_flight.is_none();
        }
        self.unpark_awaiting_slots();
    }

    /// Counts the callers that use each limit of calls in flight, ten times a second at most.
    fn count_uses(&mut self, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < COUNT_INTERVAL;
        if self.counted_at.is_some_and(is_recent) {
            return;
        }
        self.counted_at = Some(now);
        let callers = self.callers.values_mut();
        self.slots.uses = LimitUses::count(callers.map(|caller| &mut caller.in_flight), now);
        self.unpark_awaiting_slots();
    }

    /// Makes the probes of all outages of a provider due.
    pub fn probe_outages(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get_mut(id.0) else {
            return;
        };
        for key in &mut pool.provider.keys {
            key.availability.probe_now(now);
        }
        // The items that wait for a probe are parked until its time.
        pool.unpark_all();
        for model in self.models.iter().filter(|model| model.pool == id) {
            let mut state = model.state();
            for availability in state.availability.values_mut() {
                availability.probe_now(now);
            }
        }
    }

    /// Returns true if some limit counts tokens, so that prompts have to be estimated.
    pub fn counts_tokens(&self, caller: CallerId) -> bool {
        self.pools.iter().any(|pool| pool.provider.counts_tokens())
            || self.callers.get(&caller).is_some_and(Caller::counts_tokens)
    }

    /// Unparks a caller in all queues.
    fn unpark_caller(&mut self, caller: CallerId) {
        for queue in self.pools.iter_mut().flat_map(|pool| &mut pool.queues) {
            queue.unpark_caller(caller);
        }
    }

    /// Unparks the callers that left the free slots to others.
    fn unpark_awaiting_slots(&mut self) {
        for caller in std::mem::take(&mut self.awaiting_slots) {
            self.unpark_caller(caller);
        }
    }

    /// Takes the granted calls that could not be delivered. The caller ends them outside the lock.
    pub fn take_unclaimed(&mut self) -> Vec<GrantedCall> {
        std::mem::take(&mut self.unclaimed)
    }
}

impl PoolState {
    /// Returns true if all waiting items are parked.
    fn is_idle(&self) -> bool {
        self.queues.iter().all(Waiters::is_idle)
    }

    /// Unparks the items of all models: the provider may be available to them again.
    fn unpark_all(&mut self) {
        for queue in &mut self.queues {
            queue.unpark_queues(|_| true);
        }
    }

    /// Returns the models with waiting items and their numbers; a model may occur several times.
    pub fn waiting_by_model(&self) -> impl Iterator<Item = (&Arc<Model>, usize)> {
        let heads = self.queues.iter().flat_map(Queue::heads);
        heads.map(|(_, count, waiter)| (&waiter.model, count))
    }

    /// Returns the number of items that wait for this provider.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(Waiters::len).sum()
    }
}
