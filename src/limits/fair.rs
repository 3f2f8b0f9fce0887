//! The fair queue: whose turn it is.
//!
//! Start-time fair queueing on two levels: callers, and within a caller its requests. Each entry carries the virtual
//! time at which its next item starts; the smallest goes first, equal ones in the order that they came. Who comes back
//! after a pause starts at the current virtual time, so that idleness earns nothing, and a single item beside a batch
//! of 100,000 is next but one. Every operation is O(log n) in the number of waiting callers and requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The cost of one item in virtual time.
const COST: u64 = 1;

/// Keys in the order of their turn.
#[derive(Debug)]
struct Turns<K> {
    order: BTreeSet<(u64, u64, K)>,
    places: BTreeMap<K, (u64, u64)>,
    now: u64,
    arrivals: u64,
}

impl<K: Copy + Ord> Default for Turns<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), places: BTreeMap::new(), now: 0, arrivals: 0 }
    }
}

impl<K: Copy + Ord> Turns<K> {
    /// Puts `key` in line, unless it is there.
    fn enter(&mut self, key: K) {
        if !self.places.contains_key(&key) {
            self.place(key, self.now);
        }
    }

    fn place(&mut self, key: K, start: u64) {
        self.arrivals += 1;
        self.places.insert(key, (start, self.arrivals));
        self.order.insert((start, self.arrivals, key));
    }

    fn first(&self) -> Option<K> {
        self.order.first().map(|(_, _, key)| *key)
    }

    fn leave(&mut self, key: K) -> Option<u64> {
        let (start, arrival) = self.places.remove(&key)?;
        self.order.remove(&(start, arrival, key));
        Some(start)
    }

    /// `key` was served; it stays in line while it has more.
    fn serve(&mut self, key: K, has_more: bool) {
        if let Some(start) = self.leave(key) {
            self.now = self.now.max(start);
            if has_more {
                self.place(key, start + COST);
            }
        }
    }
}

/// Where an item waits, to take it out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket<C, R> {
    pub caller: C,
    pub request: R,
    number: u64,
}

/// At which end of its own request's line an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Back,
    /// It was at the front already, and the provider sent it back.
    Front,
}

#[derive(Debug)]
struct Caller<R, T> {
    turns: Turns<R>,
    lines: BTreeMap<R, VecDeque<(u64, T)>>,
}

/// Waiting items of type `T`, of requests `R`, of callers `C`.
#[derive(Debug)]
pub struct Queue<C, R, T> {
    turns: Turns<C>,
    callers: BTreeMap<C, Caller<R, T>>,
    tickets: u64,
    len: usize,
}

impl<C: Copy + Ord, R: Copy + Ord, T> Default for Queue<C, R, T> {
    fn default() -> Self {
        Self { turns: Turns::default(), callers: BTreeMap::new(), tickets: 0, len: 0 }
    }
}

impl<C: Copy + Ord, R: Copy + Ord, T> Queue<C, R, T> {
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, caller: C, request: R, place: Place, item: T) -> Ticket<C, R> {
        self.tickets += 1;
        self.len += 1;
        let number = self.tickets;
        self.turns.enter(caller);
        let own = self.callers.entry(caller).or_insert_with(|| Caller { turns: Turns::default(), lines: BTreeMap::new() });
        own.turns.enter(request);
        let line = own.lines.entry(request).or_default();
        match place {
            Place::Back => line.push_back((number, item)),
            Place::Front => line.push_front((number, item)),
        }
        Ticket { caller, request, number }
    }

    /// Takes out the item whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let caller = self.turns.first()?;
        let own = self.callers.get_mut(&caller)?;
        let request = own.turns.first()?;
        let line = own.lines.get_mut(&request)?;
        let (_, item) = line.pop_front()?;
        let more = !line.is_empty();
        own.turns.serve(request, more);
        if !more {
            own.lines.remove(&request);
        }
        self.turns.serve(caller, !own.lines.is_empty());
        self.forget_if_idle(caller);
        self.len -= 1;
        Some(item)
    }

    /// Takes out an item that no longer waits; `None` if its turn has come already.
    pub fn remove(&mut self, ticket: Ticket<C, R>) -> Option<T> {
        let own = self.callers.get_mut(&ticket.caller)?;
        let line = own.lines.get_mut(&ticket.request)?;
        let at = line.iter().position(|(number, _)| *number == ticket.number)?;
        let (_, item) = line.remove(at)?;
        if line.is_empty() {
            own.lines.remove(&ticket.request);
            own.turns.leave(ticket.request);
        }
        if own.lines.is_empty() {
            self.turns.leave(ticket.caller);
        }
        self.forget_if_idle(ticket.caller);
        self.len -= 1;
        Some(item)
    }

    /// Takes out every item of a request.
    pub fn remove_all(&mut self, caller: C, request: R) -> Vec<T> {
        let Some(own) = self.callers.get_mut(&caller) else { return Vec::new() };
        let line = own.lines.remove(&request).unwrap_or_default();
        own.turns.leave(request);
        if own.lines.is_empty() {
            self.turns.leave(caller);
        }
        self.forget_if_idle(caller);
        self.len -= line.len();
        line.into_iter().map(|(_, item)| item).collect()
    }

    /// Every waiting item, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket<C, R>, &T)> {
        self.callers.iter().flat_map(|(caller, own)| {
            own.lines.iter().flat_map(|(request, line)| {
                line.iter().map(|(number, item)| (Ticket { caller: *caller, request: *request, number: *number }, item))
            })
        })
    }

    fn forget_if_idle(&mut self, caller: C) {
        if self.callers.get(&caller).is_some_and(|own| own.lines.is_empty()) {
            self.callers.remove(&caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    type Numbers = Queue<u8, u8, u32>;

    fn drain(queue: &mut Numbers) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn a_single_beside_a_batch_is_next() {
        let mut queue = Numbers::default();
        for n in 0..100 {
            queue.push(1, 1, Place::Back, n);
        }
        assert_eq!([queue.pop(), queue.pop()], [Some(0), Some(1)]);
        queue.push(1, 2, Place::Back, 900);
        queue.push(2, 3, Place::Back, 901);
        let next: Vec<_> = drain(&mut queue).into_iter().take(4).collect();
        assert!(next.contains(&900) && next.contains(&901), "{next:?}");
    }

    #[test]
    fn callers_share_alike_however_many_requests_they_have() {
        let mut queue = Numbers::default();
        for request in 0..10 {
            for n in 0..10 {
                queue.push(1, request, Place::Back, 100 + n);
            }
        }
        for n in 0..20 {
            queue.push(2, 99, Place::Back, n);
        }
        let first: Vec<_> = (0..40).filter_map(|_| queue.pop()).collect();
        assert_eq!(first.iter().filter(|n| **n < 100).count(), 20);
    }

    #[test]
    fn what_was_sent_back_is_the_first_of_its_request() {
        let mut queue = Numbers::default();
        queue.push(1, 1, Place::Back, 1);
        queue.push(1, 1, Place::Front, 0);
        assert_eq!(drain(&mut queue), [0, 1]);
    }

    proptest! {
        /// Whatever comes and goes: nothing is lost, nothing comes twice, a request's items keep their order, and of
        /// two requests that wait all the time none is served twice more often than the other within a caller.
        #[test]
        fn nothing_is_lost_and_order_is_kept(steps in prop::collection::vec((0_u8..5, 0_u8..4, 0_u8..4), 1..400)) {
            let mut queue = Numbers::default();
            let mut waiting = HashMap::new();
            let mut tickets = Vec::new();
            for (n, (step, caller, request)) in (0_u32..).zip(steps) {
                match step {
                    0 | 1 => {
                        tickets.push((queue.push(caller, request, Place::Back, n), n));
                        waiting.insert(n, (caller, request));
                    }
                    2 => {
                        let popped = queue.pop();
                        prop_assert_eq!(popped.is_none(), waiting.is_empty());
                        if let Some(popped) = popped {
                            let line = waiting.remove(&popped).unwrap();
                            prop_assert!(waiting.iter().all(|(other, its)| *its != line || *other > popped));
                        }
                    }
                    3 => {
                        let line = (caller, request);
                        let before = waiting.len();
                        waiting.retain(|_, its| *its != line);
                        prop_assert_eq!(queue.remove_all(caller, request).len(), before - waiting.len());
                    }
                    _ => if let Some((ticket, n)) = tickets.pop() {
                        prop_assert_eq!(queue.remove(ticket).is_some(), waiting.remove(&n).is_some());
                    },
                }
                prop_assert_eq!(queue.len(), waiting.len());
            }
            prop_assert_eq!(drain(&mut queue).len(), waiting.len());
            prop_assert!(queue.callers.is_empty() && queue.turns.places.is_empty() && queue.turns.order.is_empty());
        }

        /// Backlogged requests are served within one item of each other, at every moment.
        #[test]
        fn backlogged_requests_share_alike(requests in 2_u8..8, rounds in 1_usize..50) {
            let mut queue = Numbers::default();
            for request in 0..requests {
                for _ in 0..100 {
                    queue.push(0, request, Place::Back, request.into());
                }
            }
            let mut served = vec![0_usize; requests.into()];
            for _ in 0..rounds {
                served[queue.pop().unwrap() as usize] += 1;
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{:?}", served);
            }
        }
    }
}
