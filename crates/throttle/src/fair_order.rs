//! One level of the fair queue: start-time fair queueing of keys, by the cost of what each was served.
//!
//! Each key carries the virtual time at which its next item starts. The key with the smallest start is first, except that
//! every other turn belongs to a fresh key, and more turns while fresh keys were served less than the others by their costs.

use std::collections::{BTreeMap, BTreeSet};

/// Position of a key in the order.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// Virtual start time of its next item; `None` if the key is fresh.
    start: Option<u64>,
    arrival: u64,
    /// True if the key is skipped.
    is_parked: bool,
}

/// Keys in the order of their turns.
#[derive(Debug)]
pub struct FairOrder<K> {
    /// Fresh keys by arrival.
    fresh: BTreeMap<u64, K>,
    /// Other keys by virtual start time and arrival.
    backlog: BTreeSet<(u64, u64, K)>,
    /// Position of every key, parked ones included.
    positions: BTreeMap<K, Position>,
    /// Keys that left with a debt: the virtual time at which their next item would start.
    debt_until: BTreeMap<K, u64>,
    /// The same debts, by that time.
    debts: BTreeSet<(u64, K)>,
    virtual_now: u64,
    /// Typical cost of an item, as a running average.
    typical_cost: u64,
    arrivals: u64,
    last_was_fresh: bool,
    /// Virtual time of the fresh keys and of the others, as two flows: the start of the last turn.
    flow_now: u64,
    /// Start of the next turn of fresh keys.
    fresh_start: u64,
    /// Start of the next turn of the others.
    backlog_start: u64,
}

impl<K> Default for FairOrder<K> {
    fn default() -> Self {
        Self {
            fresh: BTreeMap::new(),
            backlog: BTreeSet::new(),
            positions: BTreeMap::new(),
            debt_until: BTreeMap::new(),
            debts: BTreeSet::new(),
            virtual_now: 0,
            typical_cost: 1,
            arrivals: 0,
            last_was_fresh: false,
            flow_now: 0,
            fresh_start: 0,
            backlog_start: 0,
        }
    }
}

impl<K: Copy + Ord> FairOrder<K> {
    /// Adds `key`, unless it is present. A fresh key with a debt above the typical cost of an item joins the backlog.
    pub fn enter(&mut self, key: K, is_fresh: bool) {
        if self.positions.contains_key(&key) {
            return;
        }
        let mut start = self.virtual_now;
        if let Some(until) = self.debt_until.remove(&key) {
            self.debts.remove(&(until, key));
            start = start.max(until);
        }
        let is_fresh = is_fresh && start - self.virtual_now <= self.typical_cost;
        self.append(key, (!is_fresh).then_some(start));
    }

    /// Returns the key whose turn it is; `None` if there is no key, or all keys are parked.
    #[must_use]
    pub fn first(&self) -> Option<K> {
        let fresh = self.fresh.first_key_value().map(|(_, key)| *key);
        let backlog = self.backlog.first().map(|(_, _, key)| *key);
        let is_ahead = self.fresh_start.max(self.flow_now) >= self.backlog_start.max(self.flow_now);
        if self.last_was_fresh && is_ahead {
            backlog.or(fresh)
        } else {
            fresh.or(backlog)
        }
    }

    /// Charges `key` for an item of this cost.
    pub fn charge(&mut self, key: K, cost: u64) {
        let Some(old) = self.positions.get(&key).copied() else {
            return;
        };
        let start = old.start.unwrap_or(self.virtual_now);
        self.unlist(key, old);
        self.append(key, Some(start.saturating_add(cost)));
        self.last_was_fresh = old.start.is_none();
        let flow = if self.last_was_fresh {
            &mut self.fresh_start
        } else {
            &mut self.backlog_start
        };
        self.flow_now = self.flow_now.max(*flow);
        *flow = self.flow_now.saturating_add(cost);
        self.virtual_now = self.virtual_now.max(start);
        self.typical_cost = (self.typical_cost.saturating_mul(15).saturating_add(cost) / 16).max(1);
        self.forget_paid_debts();
    }

    /// Replaces the cost that `key` was charged for an earlier turn by the actual one. What it was charged too much brings its next
    /// turn forward, up to that of the others, and no further: it may not have waited meanwhile.
    pub fn settle(&mut self, key: K, charged: u64, actual: u64) {
        let is_present = self.positions.contains_key(&key);
        self.enter(key, false);
        if let Some(position) = self.remove(key) {
            let old = position.start.unwrap_or(self.virtual_now);
            let start = old.max(self.virtual_now).saturating_add(actual);
            let start = start.saturating_sub(charged).max(self.virtual_now);
            let is_fresh =
                position.start.is_none() && start - self.virtual_now <= self.typical_cost;
            self.insert(
                key,
                Position {
                    start: (!is_fresh).then_some(start),
                    ..position
                },
            );
        }
        if !is_present {
            self.leave(key);
        }
    }

    /// Removes `key`, which has no more items. Usage beyond its turn is remembered as a debt until the other keys have caught
    /// up.
    pub fn leave(&mut self, key: K) {
        if let Some(Position {
            start: Some(start), ..
        }) = self.remove(key)
            && start > self.virtual_now
        {
            self.debt_until.insert(key, start);
            self.debts.insert((start, key));
        }
    }

    /// Skips `key` until it is unparked.
    pub fn park(&mut self, key: K) {
        if let Some(position) = self.remove(key) {
            let is_parked = true;
            self.insert(
                key,
                Position {
                    is_parked,
                    ..position
                },
            );
        }
    }

    /// Restores the position of a parked key, minus the credit that it could not have used while parked.
    pub fn unpark(&mut self, key: K) {
        let Some(position) = self.positions.get(&key).copied() else {
            return;
        };
        if position.is_parked {
            let start = position.start.map(|start| start.max(self.virtual_now));
            self.insert(
                key,
                Position {
                    start,
                    is_parked: false,
                    ..position
                },
            );
        }
    }

    /// Returns the parked keys. O(n) in the number of keys.
    pub fn parked(&self) -> impl Iterator<Item = K> {
        self.positions
            .iter()
            .filter(|(_, position)| position.is_parked)
            .map(|(key, _)| *key)
    }

    #[cfg(test)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Inserts `key` behind all keys of the same start.
    fn append(&mut self, key: K, start: Option<u64>) {
        self.arrivals += 1;
        self.insert(
            key,
            Position {
                start,
                arrival: self.arrivals,
                is_parked: false,
            },
        );
    }

    fn insert(&mut self, key: K, position: Position) {
        self.list(key, position);
        self.positions.insert(key, position);
    }

    fn remove(&mut self, key: K) -> Option<Position> {
        let position = self.positions.remove(&key)?;
        self.unlist(key, position);
        Some(position)
    }

    /// Adds a key to those that have a turn, unless it is parked.
    fn list(&mut self, key: K, position: Position) {
        match (position.is_parked, position.start) {
            (true, _) => {}
            (false, None) => drop(self.fresh.insert(position.arrival, key)),
            (false, Some(start)) => drop(self.backlog.insert((start, position.arrival, key))),
        }
    }

    /// Removes a key from those that have a turn.
    fn unlist(&mut self, key: K, position: Position) {
        match (position.is_parked, position.start) {
            (true, _) => {}
            (false, None) => drop(self.fresh.remove(&position.arrival)),
            (false, Some(start)) => drop(self.backlog.remove(&(start, position.arrival, key))),
        }
    }

    fn forget_paid_debts(&mut self) {
        while let Some((until, key)) = self.debts.first().copied()
            && until <= self.virtual_now
        {
            self.debts.remove(&(until, key));
            self.debt_until.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gains_no_credit_while_it_is_parked() {
        let mut order = FairOrder::default();
        for key in ["parked", "served"] {
            order.enter(key, false);
        }
        order.park("parked");
        for _ in 0..10 {
            assert_eq!(order.first(), Some("served"));
            order.charge("served", 100);
        }
        order.unpark("parked");
        let turns = [(); 4].map(|()| {
            let key = order.first().unwrap();
            order.charge(key, 100);
            key
        });
        assert_eq!(turns, ["parked", "served", "parked", "served"]);
    }

    #[test]
    fn an_expensive_backlog_leaves_half_of_the_costs_to_fresh_keys() {
        let mut order = FairOrder::default();
        order.enter(0, false);
        let mut served = [0_u64, 0];
        let mut singles = 1..;
        for _ in 0..1_000 {
            // A fresh key always waits: each has one item.
            let single = singles.next().unwrap();
            order.enter(single, true);
            let key = order.first().unwrap();
            let is_single = key != 0;
            let cost = if is_single { 10 } else { 500 };
            order.charge(key, cost);
            served[usize::from(is_single)] += cost;
            if is_single {
                order.leave(key);
            }
        }
        let [backlog, fresh] = served;
        assert!(fresh.abs_diff(backlog) <= 500, "{fresh} of {backlog}");
    }

    #[test]
    fn turns_follow_the_actual_costs_once_they_are_known() {
        let mut order = FairOrder::default();
        let costs = BTreeMap::from([("long", 300), ("short", 10)]);
        for key in costs.keys() {
            order.enter(*key, false);
        }
        let mut served = BTreeMap::from([("long", 0), ("short", 0)]);
        for _ in 0..620 {
            let key = order.first().unwrap();
            order.charge(key, 100);
            order.settle(key, 100, costs[key]);
            *served.get_mut(key).unwrap() += costs[key];
        }
        let [long, short] = ["long", "short"].map(|key| served[key]);
        assert!(long.abs_diff(short) <= 400, "{long} and {short}");
    }

    #[test]
    fn an_actual_cost_gives_no_credit_and_keeps_a_key_parked_fresh_or_away() {
        let mut order = FairOrder::default();
        for key in ["parked", "waiting"] {
            order.enter(key, false);
            order.charge(key, 100);
        }
        order.park("parked");
        for key in ["parked", "waiting"] {
            order.settle(key, 100, 0);
            order.settle(key, 100, 0);
        }
        assert_eq!(order.first(), Some("waiting"));
        order.enter("fresh", true);
        order.settle("fresh", 100, 0);
        assert_eq!(order.fresh.len(), 1);
        order.settle("fresh", 100, 10_000);
        assert!(order.fresh.is_empty(), "a debt above a typical cost");
        order.settle("gone", 0, 500);
        assert_eq!(order.positions.len(), 3);
        assert_eq!(order.debt_until.get("gone"), Some(&500));
        order.settle("gone", 500, 100);
        assert_eq!(order.debt_until.get("gone"), Some(&100));
        order.settle("gone", 500, 100);
        assert!(order.debt_until.is_empty() && order.debts.is_empty());
        order.unpark("parked");
        let turns = [(); 4].map(|()| {
            let key = order.first().unwrap();
            order.charge(key, 100);
            key
        });
        assert_eq!(turns, ["parked", "waiting", "parked", "waiting"]);
    }

    #[test]
    fn a_fresh_key_stays_fresh_with_a_debt_below_a_typical_cost() {
        let mut order = FairOrder::default();
        order.enter("backlog", false);
        for _ in 0..100 {
            order.charge("backlog", 100);
        }
        order.enter("fresh", true);
        order.settle("fresh", 10, 50);
        assert_eq!(order.fresh.len(), 1);
    }

    #[test]
    fn a_debt_is_remembered_until_the_other_keys_have_caught_up() {
        for (served, is_paid) in [(50, false), (100, true)] {
            let mut order = FairOrder::default();
            order.enter("waiting", false);
            order.enter("left", true);
            order.charge("left", 100);
            order.leave("left");
            order.charge("waiting", served);
            order.charge("waiting", 1);
            assert_eq!(order.debt_until.is_empty(), is_paid);
            assert_eq!(order.debts.is_empty(), is_paid);
            order.enter("left", true);
            let is_first = order.first() == Some("left");
            assert_eq!(is_first, is_paid, "{served}");
        }
    }
}
