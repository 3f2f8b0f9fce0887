//! The fair queue: decides whose turn it is.
//!
//! Three levels, each served by cost: direct requests and jobs (by weight), within them callers,
//! within a caller its requests (per model). Each level is start-time fair queueing: a key carries
//! the virtual time at which its next item starts, and the smallest goes first.
//!
//! A newcomer with a single item is *fresh* and goes before the backlog every other turn, and more often if the turns of the backlog cost
//! more. So a single request beside twenty batches waits for one slot more than alone, and a stream of newcomers does not starve the
//! backlog. A caller whose recent usage far exceeds the typical item cost does not count as new.
//!
//! An item that cannot go out for a reason of its caller_queue (its caller's quota, its model's circuit
//! breaker) is *parked* until that may have changed. It keeps its turn and costs nothing meanwhile.
//! Operations are O(log n) in the number of waiting callers and requests, except where noted.

use std::collections::{BTreeMap, VecDeque};

use crate::fair_order::FairOrder;

/// Class of a request: direct requests have a client that waits, jobs run by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A client waits for the answer.
    Direct,
    /// A job, which outlives its client's connection.
    Job,
}

/// Turns of direct requests for each turn of a job, while both wait.
const DIRECT_TURNS: u64 = 4;

impl Class {
    /// Returns the share of the turns between the classes that an item of this cost takes.
    const fn charge(self, cost: u64) -> u64 {
        match self {
            Self::Direct => cost,
            Self::Job => cost.saturating_mul(DIRECT_TURNS),
        }
    }
}

/// Position of a waiting item, to remove it from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket<C, K> {
    pub class: Class,
    pub caller: C,
    pub key: K,
    /// Unique number of the item.
    number: u64,
}

/// End of a request's queue at which an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueEnd {
    /// The only item of its request.
    Single,
    /// One of many items: at the back.
    Back,
    /// An item that was at the front before, and has to be called again: at the front.
    Front,
}

/// Decision about the item whose turn it is.
#[derive(Debug)]
pub enum Decision<R> {
    /// The item goes out with this result, and is charged this cost.
    Serve(R, u64),
    /// The item leaves the queue with this result, without a turn.
    Reject(R),
    /// The item's queue is parked.
    ParkQueue,
    /// All queues of the item's caller are parked.
    ParkCaller,
    /// Nothing can go out now.
    Stop,
}

/// The queues of one caller, with the order of their turns.
#[derive(Debug)]
struct CallerQueue<K, T> {
    order: FairOrder<K>,
    queues: BTreeMap<K, VecDeque<(u64, T)>>,
}

/// The callers of one class, with the order of their turns.
#[derive(Debug)]
struct ClassQueue<C, K, T> {
    order: FairOrder<C>,
    callers: BTreeMap<C, CallerQueue<K, T>>,
}

impl<C, K, T> Default for ClassQueue<C, K, T> {
    fn default() -> Self {
        Self {
            order: FairOrder::default(),
            callers: BTreeMap::new(),
        }
    }
}

impl<C: Copy + Ord, K: Copy + Ord, T> ClassQueue<C, K, T> {
    fn push(&mut self, caller: C, key: K, end: QueueEnd, item: (u64, T)) {
        let is_fresh = end == QueueEnd::Single;
        self.order.enter(caller, is_fresh);
        let caller_queue = self.callers.entry(caller).or_insert_with(|| CallerQueue {
            order: FairOrder::default(),
            queues: BTreeMap::new(),
        });
        let is_new = !caller_queue.queues.contains_key(&key);
        caller_queue.order.enter(key, is_fresh);
        let waiting = caller_queue.queues.entry(key).or_default();
        match end {
            QueueEnd::Single | QueueEnd::Back => waiting.push_back(item),
            QueueEnd::Front => waiting.push_front(item),
        }
        if is_new {
            // The caller may be parked because all of its other queues are.
            self.order.unpark(caller);
        }
    }

    /// Removes items from a queue. Empty queues and callers are removed as well.
    fn remove_with<O>(
        &mut self,
        caller: C,
        key: K,
        remove: impl FnOnce(&mut VecDeque<(u64, T)>) -> O,
    ) -> Option<O> {
        let caller_queue = self.callers.get_mut(&caller)?;
        let waiting = caller_queue.queues.get_mut(&key)?;
        let removed = remove(waiting);
        if waiting.is_empty() {
            caller_queue.queues.remove(&key);
            caller_queue.order.leave(key);
        }
        if caller_queue.queues.is_empty() {
            self.callers.remove(&caller);
            self.order.leave(caller);
        }
        Some(removed)
    }

    /// Returns the queue whose turn it is. Parks callers whose queues are all parked.
    fn next_queue(&mut self) -> Option<(C, K)> {
        loop {
            let caller = self.order.first()?;
            match self
                .callers
                .get(&caller)
                .and_then(|caller_queue| caller_queue.order.first())
            {
                Some(key) => return Some((caller, key)),
                None => self.order.park(caller),
            }
        }
    }

    fn charge(&mut self, caller: C, key: K, cost: u64) {
        if let Some(caller_queue) = self.callers.get_mut(&caller) {
            caller_queue.order.charge(key, cost);
            self.order.charge(caller, cost);
        }
    }
}

/// A queue of items `T`, by caller `C` and queue key `K`.
#[derive(Debug)]
pub struct Queue<C, K, T> {
    order: FairOrder<Class>,
    direct: ClassQueue<C, K, T>,
    jobs: ClassQueue<C, K, T>,
    /// Number of the ticket that was issued last.
    last_ticket: u64,
    len: usize,
}

impl<C, K, T> Default for Queue<C, K, T> {
    fn default() -> Self {
        Self {
            order: FairOrder::default(),
            direct: ClassQueue::default(),
            jobs: ClassQueue::default(),
            last_ticket: 0,
            len: 0,
        }
    }
}

impl<C: Copy + Ord, K: Copy + Ord, T> Queue<C, K, T> {
    /// Returns the number of waiting items, parked ones included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if all waiting items are parked.
    pub fn is_idle(&self) -> bool {
        self.order.first().is_none()
    }

    const fn class(&mut self, class: Class) -> &mut ClassQueue<C, K, T> {
        match class {
            Class::Direct => &mut self.direct,
            Class::Job => &mut self.jobs,
        }
    }

    /// Adds an item at an end of its queue. Returns its position.
    pub fn push(
        &mut self,
        class: Class,
        caller: C,
        key: K,
        end: QueueEnd,
        item: T,
    ) -> Ticket<C, K> {
        self.last_ticket += 1;
        self.len += 1;
        let number = self.last_ticket;
        self.order.enter(class, false);
        self.order.unpark(class);
        self.class(class).push(caller, key, end, (number, item));
        Ticket {
            class,
            caller,
            key,
            number,
        }
    }

    /// Offers items in the order of their turns until one is served or rejected. Returns `None` if no item can go out now.
    pub fn next<R>(&mut self, mut offer: impl FnMut(C, &T) -> Decision<R>) -> Option<(T, R)> {
        loop {
            let class = self.order.first()?;
            let queue = self.class(class);
            let Some((caller, key)) = queue.next_queue() else {
                self.order.park(class);
                continue;
            };
            let caller_queue = queue.callers.get_mut(&caller)?;
            let (_, item) = caller_queue.queues.get(&key)?.front()?;
            let (result, cost) = match offer(caller, item) {
                Decision::Serve(result, cost) => (result, Some(cost)),
                Decision::Reject(result) => (result, None),
                Decision::ParkQueue => {
                    caller_queue.order.park(key);
                    continue;
                }
                Decision::ParkCaller => {
                    queue.order.park(caller);
                    continue;
                }
                Decision::Stop => return None,
            };
            if let Some(cost) = cost {
                queue.charge(caller, key, cost);
                self.order.charge(class, class.charge(cost));
            }
            let (_, item) = self
                .class(class)
                .remove_with(caller, key, VecDeque::pop_front)??;
            self.note_removed(class, 1);
            return Some((item, result));
        }
    }

    /// Replaces the cost that a turn was charged by the actual one. While nobody waits, there are no debts.
    pub fn settle(&mut self, class: Class, caller: C, key: K, charged: u64, actual: u64) {
        if self.len == 0 {
            return;
        }
        (self.order).settle(class, class.charge(charged), class.charge(actual));
        let queue = self.class(class);
        queue.order.settle(caller, charged, actual);
        if let Some(caller_queue) = queue.callers.get_mut(&caller) {
            caller_queue.order.settle(key, charged, actual);
        }
    }

    /// Subtracts items that have left from the count.
    fn note_removed(&mut self, class: Class, count: usize) {
        self.len -= count;
        if self.class(class).callers.is_empty() {
            self.order.leave(class);
        }
        if self.len == 0 {
            // Nobody waits, so no debt is left to pay.
            (self.order, self.direct, self.jobs) = Default::default();
        }
    }

    /// Removes an item that no longer waits. Returns `None` if it was already taken.
    pub fn remove(&mut self, ticket: Ticket<C, K>) -> Option<T> {
        let remove = |waiting: &mut VecDeque<(u64, T)>| {
            let index = waiting
                .iter()
                .position(|(number, _)| *number == ticket.number)?;
            waiting.remove(index)
        };
        let (_, item) =
            self.class(ticket.class)
                .remove_with(ticket.caller, ticket.key, remove)??;
        self.note_removed(ticket.class, 1);
        Some(item)
    }

    /// Removes all items of a range of a caller's queues.
    pub fn remove_all(
        &mut self,
        class: Class,
        caller: C,
        keys: impl std::ops::RangeBounds<K>,
    ) -> Vec<T> {
        let queue = self.class(class);
        let Some(caller_queue) = queue.callers.get(&caller) else {
            return Vec::new();
        };
        let keys: Vec<_> = caller_queue
            .queues
            .range(keys)
            .map(|(key, _)| *key)
            .collect();
        let waiting = keys
            .into_iter()
            .filter_map(|key| queue.remove_with(caller, key, std::mem::take));
        let items: Vec<_> = waiting.flatten().map(|(_, item)| item).collect();
        if !items.is_empty() {
            self.note_removed(class, items.len());
        }
        items
    }

    /// Unparks a caller.
    pub fn unpark_caller(&mut self, caller: C) {
        for class in [Class::Direct, Class::Job] {
            self.class(class).order.unpark(caller);
            self.order.unpark(class);
        }
    }

    /// Unparks the queues that `selects` returns true for. O(n) in the number of queues.
    pub fn unpark_queues(&mut self, selects: impl Fn(K) -> bool) {
        for class in [Class::Direct, Class::Job] {
            let queue = self.class(class);
            for (caller, caller_queue) in &mut queue.callers {
                let parked: Vec<_> = caller_queue
                    .order
                    .parked()
                    .filter(|key| selects(*key))
                    .collect();
                if !parked.is_empty() {
                    for key in parked {
                        caller_queue.order.unpark(key);
                    }
                    queue.order.unpark(*caller);
                }
            }
            self.order.unpark(class);
        }
    }

    /// Returns each queue's key, its number of waiting items, and its first item. O(n) in the number of queues.
    pub fn heads(&self) -> impl Iterator<Item = (K, usize, &T)> {
        let callers = [&self.direct, &self.jobs]
            .into_iter()
            .flat_map(|queue| queue.callers.values());
        let queues = callers.flat_map(|caller| &caller.queues);
        queues.filter_map(|(key, waiting)| {
            waiting.front().map(|(_, item)| (*key, waiting.len(), item))
        })
    }

    /// Removes items of some queues. `select` is called for each queue, with its first item, and returns what `remove` needs to know
    /// of it, or `None` to pass over the queue; `remove` is called for each item of the others, and returns the result of one that
    /// leaves. O(n) in the number of queues, and of the items of those that are selected.
    pub fn remove_some<S, R>(
        &mut self,
        mut select: impl FnMut(Class, C, K, &T) -> Option<S>,
        mut remove: impl FnMut(&S, &T) -> Option<R>,
    ) -> Vec<(T, R)> {
        let mut all_removed = Vec::new();
        for class in [Class::Direct, Class::Job] {
            let queue = self.class(class);
            let mut results = Vec::new();
            for (caller, caller_queue) in &queue.callers {
                for (key, waiting) in &caller_queue.queues {
                    let first = waiting.front().map(|(_, item)| item);
                    let Some(known) = first.and_then(|item| select(class, *caller, *key, item))
                    else {
                        continue;
                    };
                    let of_items: Vec<_> = waiting
                        .iter()
                        .filter_map(|(number, item)| Some((*number, remove(&known, item)?)))
                        .collect();
                    if !of_items.is_empty() {
                        results.push((*caller, *key, of_items));
                    }
                }
            }
            let before = all_removed.len();
            for (caller, key, of_items) in results {
                let mut of_items = of_items.into_iter().peekable();
                let removed = queue.remove_with(caller, key, |waiting| {
                    let (mut stay, mut removed) = (VecDeque::new(), Vec::new());
                    for (number, item) in waiting.drain(..) {
                        match of_items.next_if(|(of, _)| *of == number) {
                            Some((_, result)) => removed.push((item, result)),
                            None => stay.push_back((number, item)),
                        }
                    }
                    *waiting = stay;
                    removed
                });
                all_removed.extend(removed.into_iter().flatten());
            }
            if all_removed.len() > before {
                self.note_removed(class, all_removed.len() - before);
            }
        }
        all_removed
    }
}

#[cfg(test)]
mod tests;
