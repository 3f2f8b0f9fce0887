//! The fair queue: decides whose turn it is.
//!
//! Three levels, each served by cost: direct requests and jobs (by weight), within them callers,
//! within a caller its requests (per model). Each level is start-time fair queueing: a key carries
//! the virtual time at which its next item starts, and the smallest goes first.
//!
//! A newcomer with a single item is *fresh* and goes before the backlog every other turn. So a
//! single request beside twenty batches waits for one slot more than alone, and a stream of
//! newcomers does not starve the backlog. A caller whose recent usage far exceeds the typical item
//! cost does not count as new.
//!
//! An item that cannot go out for a reason of its own (its caller's quota, its model's circuit
//! breaker) is *parked* until that may have changed. It keeps its turn and costs nothing meanwhile.
//! Operations are O(log n) in the number of waiting callers and requests, except where noted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Class of a request: direct requests have a client that waits, jobs run by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Direct,
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

/// Entry of a key in the round robin.
#[derive(Debug, Clone, Copy)]
struct RoundRobinEntry {
    /// Virtual start time of its next item; `None` if it is fresh.
    start: Option<u64>,
    arrival: u64,
    /// True if the key is skipped.
    is_parked: bool,
}

/// Keys in the order of their turns.
#[derive(Debug)]
struct RoundRobin<K> {
    fresh: BTreeMap<u64, K>,
    backlog: BTreeSet<(u64, u64, K)>,
    places: BTreeMap<K, RoundRobinEntry>,
    /// Keys that left with a debt: the virtual time at which their next item would start.
    owing: BTreeMap<K, u64>,
    debts: BTreeSet<(u64, K)>,
    now: u64,
    /// Typical cost of an item, as a running average.
    typical: u64,
    arrivals: u64,
    last_was_fresh: bool,
}

impl<K> Default for RoundRobin<K> {
    fn default() -> Self {
        Self {
            fresh: BTreeMap::new(),
            backlog: BTreeSet::new(),
            places: BTreeMap::new(),
            owing: BTreeMap::new(),
            debts: BTreeSet::new(),
            now: 0,
            typical: 1,
            arrivals: 0,
            last_was_fresh: false,
        }
    }
}

impl<K: Copy + Ord> RoundRobin<K> {
    /// Adds `key`, unless it is present.
    fn enter(&mut self, key: K, is_fresh: bool) {
        if self.places.contains_key(&key) {
            return;
        }
        self.arrivals += 1;
        let mut start = self.now;
        if let Some(until) = self.owing.remove(&key) {
            self.debts.remove(&(until, key));
            start = start.max(until);
        }
        let is_fresh = is_fresh && start - self.now <= self.typical;
        self.place(
            key,
            RoundRobinEntry {
                start: (!is_fresh).then_some(start),
                arrival: self.arrivals,
                is_parked: false,
            },
        );
    }

    fn place(&mut self, key: K, place: RoundRobinEntry) {
        match place {
            RoundRobinEntry {
                is_parked: true, ..
            } => {}
            RoundRobinEntry {
                start: None,
                arrival,
                ..
            } => drop(self.fresh.insert(arrival, key)),
            RoundRobinEntry {
                start: Some(start),
                arrival,
                ..
            } => drop(self.backlog.insert((start, arrival, key))),
        }
        self.places.insert(key, place);
    }

    /// Returns the key whose turn it is; `None` if the round robin is empty or all keys are parked.
    fn first(&self) -> Option<K> {
        let fresh = self.fresh.first_key_value().map(|(_, key)| *key);
        let backlog = self.backlog.first().map(|(_, _, key)| *key);
        if self.last_was_fresh {
            backlog.or(fresh)
        } else {
            fresh.or(backlog)
        }
    }

    fn remove(&mut self, key: K) -> Option<RoundRobinEntry> {
        let place = self.places.remove(&key)?;
        match place {
            RoundRobinEntry {
                is_parked: true, ..
            } => {}
            RoundRobinEntry {
                start: None,
                arrival,
                ..
            } => drop(self.fresh.remove(&arrival)),
            RoundRobinEntry {
                start: Some(start),
                arrival,
                ..
            } => drop(self.backlog.remove(&(start, arrival, key))),
        }
        Some(place)
    }

    /// Removes `key`, which has no more items. A usage beyond its turn is remembered until the
    /// others have caught up.
    fn leave(&mut self, key: K) {
        if let Some(RoundRobinEntry {
            start: Some(start), ..
        }) = self.remove(key)
            && start > self.now
        {
            self.owing.insert(key, start);
            self.debts.insert((start, key));
        }
    }

    /// Charges `key` for an item of this cost.
    fn serve(&mut self, key: K, cost: u64) {
        let Some(RoundRobinEntry { start, .. }) = self.remove(key) else {
            return;
        };
        self.last_was_fresh = start.is_none();
        self.now = self.now.max(start.unwrap_or(self.now));
        self.typical = (self.typical.saturating_mul(15).saturating_add(cost) / 16).max(1);
        while let Some((until, paid)) = self
            .debts
            .first()
            .copied()
            .filter(|(until, _)| *until <= self.now)
        {
            self.debts.remove(&(until, paid));
            self.owing.remove(&paid);
        }
        self.arrivals += 1;
        let start = start.unwrap_or(self.now).saturating_add(cost);
        self.place(
            key,
            RoundRobinEntry {
                start: Some(start),
                arrival: self.arrivals,
                is_parked: false,
            },
        );
    }

    fn park(&mut self, key: K) {
        if let Some(place) = self.remove(key) {
            self.places.insert(
                key,
                RoundRobinEntry {
                    is_parked: true,
                    ..place
                },
            );
        }
    }

    /// Restores its position in the queue, minus the credit it could not have used while parked.
    fn unpark(&mut self, key: K) {
        if let Some(place) = self
            .places
            .get(&key)
            .copied()
            .filter(|place| place.is_parked)
        {
            self.place(
                key,
                RoundRobinEntry {
                    start: place.start.map(|start| start.max(self.now)),
                    is_parked: false,
                    ..place
                },
            );
        }
    }

    fn parked(&self) -> impl Iterator<Item = K> {
        self.places
            .iter()
            .filter(|(_, place)| place.is_parked)
            .map(|(key, _)| *key)
    }
}

/// Position of a waiting item, to remove it from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket<C, L> {
    pub class: Class,
    pub caller: C,
    pub line: L,
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
    Take(R, u64),
    /// The item leaves the queue with this result, without a turn.
    Reject(R),
    /// The item's queue is parked.
    ParkLine,
    /// All queues of the item's caller are parked.
    ParkCaller,
    /// Nothing can go out now.
    Stop,
}

#[derive(Debug)]
struct CallerQueue<L, T> {
    turns: RoundRobin<L>,
    lines: BTreeMap<L, VecDeque<(u64, T)>>,
}

#[derive(Debug)]
struct ClassQueue<C, L, T> {
    turns: RoundRobin<C>,
    callers: BTreeMap<C, CallerQueue<L, T>>,
}

impl<C, L, T> Default for ClassQueue<C, L, T> {
    fn default() -> Self {
        Self {
            turns: RoundRobin::default(),
            callers: BTreeMap::new(),
        }
    }
}

impl<C: Copy + Ord, L: Copy + Ord, T> ClassQueue<C, L, T> {
    fn push(&mut self, caller: C, line: L, entry: QueueEnd, item: (u64, T)) {
        let is_fresh = entry == QueueEnd::Single;
        self.turns.enter(caller, is_fresh);
        let own = self.callers.entry(caller).or_insert_with(|| CallerQueue {
            turns: RoundRobin::default(),
            lines: BTreeMap::new(),
        });
        let is_new = !own.lines.contains_key(&line);
        own.turns.enter(line, is_fresh);
        let waiting = own.lines.entry(line).or_default();
        match entry {
            QueueEnd::Single | QueueEnd::Back => waiting.push_back(item),
            QueueEnd::Front => waiting.push_front(item),
        }
        if is_new {
            // The caller may be parked because all of its other queues are.
            self.turns.unpark(caller);
        }
    }

    /// Removes items from a queue. Empty queues and callers are removed as well.
    fn take<O>(
        &mut self,
        caller: C,
        line: L,
        take: impl FnOnce(&mut VecDeque<(u64, T)>) -> O,
    ) -> Option<O> {
        let own = self.callers.get_mut(&caller)?;
        let waiting = own.lines.get_mut(&line)?;
        let taken = take(waiting);
        if waiting.is_empty() {
            own.lines.remove(&line);
            own.turns.leave(line);
        }
        if own.lines.is_empty() {
            self.callers.remove(&caller);
            self.turns.leave(caller);
        }
        Some(taken)
    }

    /// Returns the queue whose turn it is. Parks callers whose queues are all parked.
    fn first(&mut self) -> Option<(C, L)> {
        loop {
            let caller = self.turns.first()?;
            match self.callers.get(&caller).and_then(|own| own.turns.first()) {
                Some(line) => return Some((caller, line)),
                None => self.turns.park(caller),
            }
        }
    }

    fn charge(&mut self, caller: C, line: L, cost: u64) {
        if let Some(own) = self.callers.get_mut(&caller) {
            own.turns.serve(line, cost);
            self.turns.serve(caller, cost);
        }
    }
}

/// A queue of items `T`, by caller `C` and queue key `L`.
#[derive(Debug)]
pub struct Queue<C, L, T> {
    turns: RoundRobin<Class>,
    direct: ClassQueue<C, L, T>,
    jobs: ClassQueue<C, L, T>,
    tickets: u64,
    len: usize,
}

impl<C, L, T> Default for Queue<C, L, T> {
    fn default() -> Self {
        Self {
            turns: RoundRobin::default(),
            direct: ClassQueue::default(),
            jobs: ClassQueue::default(),
            tickets: 0,
            len: 0,
        }
    }
}

impl<C: Copy + Ord, L: Copy + Ord, T> Queue<C, L, T> {
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if all waiting items are parked.
    pub fn is_idle(&self) -> bool {
        self.turns.first().is_none()
    }

    const fn class(&mut self, class: Class) -> &mut ClassQueue<C, L, T> {
        match class {
            Class::Direct => &mut self.direct,
            Class::Job => &mut self.jobs,
        }
    }

    pub fn push(
        &mut self,
        class: Class,
        caller: C,
        line: L,
        entry: QueueEnd,
        item: T,
    ) -> Ticket<C, L> {
        self.tickets += 1;
        self.len += 1;
        let number = self.tickets;
        self.turns.enter(class, false);
        self.turns.unpark(class);
        self.class(class).push(caller, line, entry, (number, item));
        Ticket {
            class,
            caller,
            line,
            number,
        }
    }

    /// Offers items in the order of their turns until one is taken or rejected. Returns `None` if
    /// no item can go out now.
    pub fn next<R>(&mut self, mut offer: impl FnMut(C, &T) -> Decision<R>) -> Option<(T, R)> {
        loop {
            let class = self.turns.first()?;
            let queue = self.class(class);
            let Some((caller, line)) = queue.first() else {
                self.turns.park(class);
                continue;
            };
            let own = queue.callers.get_mut(&caller)?;
            let (_, item) = own.lines.get(&line)?.front()?;
            let (result, cost) = match offer(caller, item) {
                Decision::Take(result, cost) => (result, Some(cost)),
                Decision::Reject(result) => (result, None),
                Decision::ParkLine => {
                    own.turns.park(line);
                    continue;
                }
                Decision::ParkCaller => {
                    queue.turns.park(caller);
                    continue;
                }
                Decision::Stop => return None,
            };
            if let Some(cost) = cost {
                queue.charge(caller, line, cost);
                self.turns.serve(class, class.charge(cost));
            }
            let (_, item) = self
                .class(class)
                .take(caller, line, VecDeque::pop_front)??;
            self.forget(class, 1);
            return Some((item, result));
        }
    }

    /// Subtracts items that have left from the count.
    fn forget(&mut self, class: Class, count: usize) {
        self.len -= count;
        if self.class(class).callers.is_empty() {
            self.turns.leave(class);
        }
        if self.len == 0 {
            // Nobody waits, so no debt is left to pay.
            (self.turns, self.direct, self.jobs) = Default::default();
        }
    }

    /// Removes an item that no longer waits. Returns `None` if it was already taken.
    pub fn remove(&mut self, ticket: Ticket<C, L>) -> Option<T> {
        let out = |waiting: &mut VecDeque<(u64, T)>| {
            let at = waiting
                .iter()
                .position(|(number, _)| *number == ticket.number)?;
            waiting.remove(at)
        };
        let (_, item) = self
            .class(ticket.class)
            .take(ticket.caller, ticket.line, out)??;
        self.forget(ticket.class, 1);
        Some(item)
    }

    /// Removes all items of a range of a caller's queues.
    pub fn remove_all(
        &mut self,
        class: Class,
        caller: C,
        lines: impl std::ops::RangeBounds<L>,
    ) -> Vec<T> {
        let queue = self.class(class);
        let Some(own) = queue.callers.get(&caller) else {
            return Vec::new();
        };
        let lines: Vec<_> = own.lines.range(lines).map(|(line, _)| *line).collect();
        let waiting = lines
            .into_iter()
            .filter_map(|line| queue.take(caller, line, std::mem::take));
        let items: Vec<_> = waiting.flatten().map(|(_, item)| item).collect();
        if !items.is_empty() {
            self.forget(class, items.len());
        }
        items
    }

    /// Unparks a caller.
    pub fn unpark_caller(&mut self, caller: C) {
        for class in [Class::Direct, Class::Job] {
            self.class(class).turns.unpark(caller);
            self.turns.unpark(class);
        }
    }

    /// Unparks the queues that `may` selects. O(n) in the number of queues.
    pub fn unpark_lines(&mut self, may: impl Fn(L) -> bool) {
        for class in [Class::Direct, Class::Job] {
            let queue = self.class(class);
            for (caller, own) in &mut queue.callers {
                let parked: Vec<_> = own.turns.parked().filter(|line| may(*line)).collect();
                if !parked.is_empty() {
                    for line in parked {
                        own.turns.unpark(line);
                    }
                    queue.turns.unpark(*caller);
                }
            }
            self.turns.unpark(class);
        }
    }

    /// Returns all waiting items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket<C, L>, &T)> {
        let classes = [(Class::Direct, &self.direct), (Class::Job, &self.jobs)].into_iter();
        let callers = classes.flat_map(|(class, queue)| {
            queue
                .callers
                .iter()
                .map(move |(caller, own)| (class, *caller, own))
        });
        let lines = callers.flat_map(|(class, caller, own)| {
            own.lines.iter().map(move |line| (class, caller, line))
        });
        lines.flat_map(|(class, caller, (line, waiting))| {
            waiting.iter().map(move |(number, item)| {
                (
                    Ticket {
                        class,
                        caller,
                        line: *line,
                        number: *number,
                    },
                    item,
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    type Numbers = Queue<u8, u8, u32>;

    fn push(queue: &mut Numbers, caller: u8, line: u8, item: u32) -> Ticket<u8, u8> {
        queue.push(Class::Direct, caller, line, QueueEnd::Back, item)
    }

    fn push_single(queue: &mut Numbers, caller: u8, line: u8, item: u32) {
        queue.push(Class::Direct, caller, line, QueueEnd::Single, item);
    }

    fn pop(queue: &mut Numbers) -> Option<u32> {
        queue
            .next(|_, _| Decision::Take((), 1))
            .map(|(item, ())| item)
    }

    fn drain(queue: &mut Numbers) -> Vec<u32> {
        std::iter::from_fn(|| pop(queue)).collect()
    }

    #[test]
    fn a_single_beside_twenty_batches_is_next_or_next_but_one() {
        for served in 0..100 {
            for own_key in [false, true] {
                let mut queue = Numbers::default();
                for batch in 0..20 {
                    for _ in 0..10 {
                        push(&mut queue, 1, batch, 0);
                    }
                }
                for _ in 0..served {
                    pop(&mut queue);
                }
                push_single(&mut queue, if own_key { 2 } else { 1 }, 99, 1);
                let next: Vec<_> = drain(&mut queue).into_iter().take(2).collect();
                assert!(next.contains(&1), "after {served}");
            }
        }
    }

    #[test]
    fn dear_singles_one_after_the_other_get_no_more_than_their_share() {
        let mut queue = Numbers::default();
        for _ in 0..5_000 {
            push(&mut queue, 1, 1, 100);
        }
        let (mut single, mut batch) = (0, 0);
        for request in 0..=255 {
            push_single(&mut queue, 2, request, 10_000);
            while let Some((cost, ())) = queue.next(|_, item| Decision::Take((), u64::from(*item)))
            {
                *(if cost == 100 { &mut batch } else { &mut single }) += cost;
                if cost == 10_000 || batch > 400_000 {
                    break;
                }
            }
        }
        assert!(
            single <= batch + 20_000,
            "{single} of the singles, {batch} of the batch"
        );
    }

    #[test]
    fn what_was_parked_keeps_its_turn() {
        let mut queue = Numbers::default();
        for caller in [3, 1, 2] {
            push_single(&mut queue, caller, caller, caller.into());
        }
        assert!(queue.next(|_, _| Decision::<()>::ParkLine).is_none());
        queue.unpark_lines(|_| true);
        assert_eq!(drain(&mut queue), [3, 1, 2]);
    }

    #[test]
    fn newcomers_do_not_starve_who_waits() {
        let mut queue = Numbers::default();
        for n in 0..50 {
            push(&mut queue, 1, 1, n);
        }
        let mut served = 0;
        for single in 0..100_u8 {
            push_single(&mut queue, 1, 2 + single, 1000);
            push_single(&mut queue, 1, 102 + single, 1000);
            served += usize::from(pop(&mut queue) < Some(1000));
        }
        assert!(served >= 49, "{served} of the batch in 100 turns");
    }

    #[test]
    fn callers_share_alike_however_many_requests_they_have() {
        let mut queue = Numbers::default();
        for request in 0..10 {
            for n in 0..10 {
                push(&mut queue, 1, request, 100 + n);
            }
        }
        for n in 0..20 {
            push(&mut queue, 2, 99, n);
        }
        let first: Vec<_> = (0..40).filter_map(|_| pop(&mut queue)).collect();
        assert_eq!(first.iter().filter(|n| **n < 100).count(), 20);
    }

    #[test]
    fn who_has_only_one_item_waiting_at_a_time_shares_alike() {
        let mut queue = Numbers::default();
        let mut served = [0; 11];
        for _ in 0..500 {
            push(&mut queue, 1, 10, 10);
        }
        for narrow in 0..10 {
            push(&mut queue, 1, narrow, narrow.into());
        }
        for _ in 0..330 {
            let line = pop(&mut queue).unwrap();
            served[line as usize] += 1;
            if let Some(narrow) = u8::try_from(line).ok().filter(|line| *line < 10) {
                push(&mut queue, 1, narrow, line);
            }
        }
        assert!(
            served.iter().all(|times| (29..=31).contains(times)),
            "{served:?}"
        );
    }

    #[test]
    fn direct_requests_go_before_jobs_in_a_ratio_and_neither_starves() {
        let mut queue = Numbers::default();
        for _ in 0..100 {
            queue.push(Class::Direct, 1, 1, QueueEnd::Back, 0);
            queue.push(Class::Job, 1, 2, QueueEnd::Back, 1);
        }
        let jobs = (0..100).filter(|_| pop(&mut queue) == Some(1)).count();
        assert!((19..=21).contains(&jobs), "{jobs} of 100 turns");
    }

    #[test]
    fn what_was_sent_back_is_the_first_of_its_request() {
        let mut queue = Numbers::default();
        push(&mut queue, 1, 1, 1);
        queue.push(Class::Direct, 1, 1, QueueEnd::Front, 0);
        assert_eq!(drain(&mut queue), [0, 1]);
    }

    #[test]
    fn what_is_parked_holds_up_nobody_and_comes_back() {
        let mut queue = Numbers::default();
        for caller in [1, 2] {
            for line in [10, 20] {
                push(
                    &mut queue,
                    caller,
                    line,
                    u32::from(caller) * 100 + u32::from(line),
                );
            }
        }
        let offer = |caller: u8, item: &u32| match (caller, *item) {
            (1, _) => Decision::ParkCaller,
            (_, 220) => Decision::ParkLine,
            _ => Decision::Take((), 1),
        };
        assert_eq!(queue.next(offer).map(|(item, ())| item), Some(210));
        assert!(queue.next(offer).is_none() && queue.is_idle());
        assert_eq!(queue.len(), 3);
        queue.unpark_caller(1);
        assert_eq!(
            [pop(&mut queue), pop(&mut queue), pop(&mut queue)],
            [Some(110), Some(120), None]
        );
        queue.unpark_lines(|line| line == 20);
        assert_eq!([pop(&mut queue), pop(&mut queue)], [Some(220), None]);
        assert!(queue.len() == 0 && queue.turns.places.is_empty());
    }

    #[test]
    fn a_newcomer_of_a_caller_with_parked_lines_is_seen() {
        let mut queue = Numbers::default();
        push(&mut queue, 1, 1, 1);
        assert!(queue.next(|_, _| Decision::<()>::ParkLine).is_none());
        push(&mut queue, 1, 2, 2);
        assert_eq!(pop(&mut queue), Some(2));
    }

    proptest! {
        /// Whatever comes and goes, is parked and comes back: nothing is lost, nothing comes twice, and a line keeps its order.
        #[test]
        fn nothing_is_lost_and_order_is_kept(steps in prop::collection::vec((0_u8..9, 0_u8..4, 0_u8..4, 1_u64..50), 1..400)) {
            let mut queue = Numbers::default();
            let mut waiting = HashMap::new();
            let mut tickets = Vec::new();
            for (n, (step, caller, line, cost)) in (0_u32..).zip(steps) {
                let class = if caller < 3 { Class::Direct } else { Class::Job };
                match step {
                    0..=2 => {
                        tickets.push((queue.push(class, caller, line, QueueEnd::Back, n), n));
                        waiting.insert(n, (caller, line));
                    }
                    3 | 4 => {
                        let mut offered = 0;
                        let popped = queue.next(|_, _| {
                            offered += 1;
                            match (step, offered % 3) {
                                (3, _) | (_, 0) => Decision::Take((), cost),
                                (_, 1) => Decision::ParkLine,
                                _ => Decision::ParkCaller,
                            }
                        });
                        if let Some((popped, ())) = popped {
                            let line = waiting.remove(&popped).unwrap();
                            prop_assert!(waiting.iter().all(|(other, its)| *its != line || *other > popped));
                        }
                    }
                    5 => {
                        let before = waiting.len();
                        waiting.retain(|_, its| *its != (caller, line));
                        prop_assert_eq!(queue.remove_all(class, caller, line..=line).len(), before - waiting.len());
                    }
                    6 => queue.unpark_caller(caller),
                    7 => queue.unpark_lines(|its| its == line),
                    _ => if let Some((ticket, n)) = tickets.pop() {
                        prop_assert_eq!(queue.remove(ticket).is_some(), waiting.remove(&n).is_some());
                    },
                }
                prop_assert_eq!(queue.len(), waiting.len());
                prop_assert_eq!(queue.iter().count(), waiting.len());
            }
            for caller in 0..4 {
                queue.unpark_caller(caller);
            }
            queue.unpark_lines(|_| true);
            prop_assert_eq!(drain(&mut queue).len(), waiting.len());
            prop_assert!(queue.direct.callers.is_empty() && queue.jobs.callers.is_empty());
            prop_assert!(queue.turns.places.is_empty() && queue.direct.turns.places.is_empty() && queue.jobs.turns.places.is_empty());
        }

        /// What backlogged requests were served, counted in cost, is never further apart than the dearest item.
        #[test]
        fn backlogged_requests_share_alike_by_cost(costs in prop::collection::vec(1_u64..100, 2..8), rounds in 1_usize..200) {
            let mut queue = Numbers::default();
            for request in 0..costs.len() {
                for _ in 0..rounds {
                    push(&mut queue, 0, u8::try_from(request).unwrap(), u32::try_from(request).unwrap());
                }
            }
            let mut served = vec![0_u64; costs.len()];
            for _ in 0..rounds {
                let (request, ()) = queue.next(|_, item| Decision::Take((), costs[*item as usize])).unwrap();
                served[request as usize] += costs[request as usize];
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 2 * costs.iter().max().unwrap(), "{:?}", served);
            }
        }

        /// However much waits, a newcomer is the next or the next but one.
        #[test]
        fn a_newcomer_waits_for_one_turn(lines in prop::collection::vec((0_u8..5, 0_u8..20, 1_usize..5), 1..60), served in 0_usize..100) {
            let mut queue = Numbers::default();
            for (caller, line, items) in lines {
                for _ in 0..items {
                    push(&mut queue, caller, line, 0);
                }
            }
            for _ in 0..served {
                pop(&mut queue);
            }
            push_single(&mut queue, 9, 99, 1);
            let next: Vec<_> = (0..2).filter_map(|_| pop(&mut queue)).collect();
            prop_assert!(next.contains(&1));
        }
    }
}
