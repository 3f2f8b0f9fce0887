//! Queue of the writes that wait: their owners take turns, by the bytes that each has written, and the writes of one owner keep their
//! order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use rusqlite::Connection;
use throttle::FairOrder;

use super::queries;
use crate::jobs::store::JobKey;

/// Bytes that the smallest write costs its owner: a page of the file.
const MIN_COST: usize = 4096;
/// Maximum number of jobs whose caller is remembered, at a few tens of bytes each. Others are looked up in the store.
const MAX_KNOWN_JOBS: usize = 10_000;

/// Owner of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOwner {
    /// Caller of this name.
    Caller(String),
    /// Caller of this job.
    Job(JobKey),
    /// Removals of all callers' jobs: each step holds one of few turns, which the writes of its caller must not prolong.
    Removals,
    /// The process itself, for which the scheduler waits.
    Process,
}

impl From<JobKey> for WriteOwner {
    fn from(job: JobKey) -> Self {
        Self::Job(job)
    }
}

/// Place of an owner among the turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Process,
    Removals,
    /// Hash of the caller's name. Two callers of the same hash would share their turns.
    Caller(u64),
}

/// Waiting writes.
#[derive(Debug)]
pub struct WriteQueue<W> {
    order: FairOrder<Place>,
    /// Writes of each owner that has any, with their sizes.
    waiting: BTreeMap<Place, VecDeque<(usize, W)>>,
    names: RandomState,
    /// Places of the callers of some jobs.
    callers: HashMap<JobKey, Place>,
}

impl<W> Default for WriteQueue<W> {
    fn default() -> Self {
        Self {
            order: FairOrder::default(),
            waiting: BTreeMap::new(),
            names: RandomState::new(),
            callers: HashMap::new(),
        }
    }
}

impl<W> WriteQueue<W> {
    /// Adds a write of about `bytes`. The caller of an unknown job is read from the store.
    pub fn push(&mut self, connection: &Connection, owner: &WriteOwner, bytes: usize, write: W) {
        let place = self.place_of(connection, owner);
        self.order.enter(place, false);
        let own = self.waiting.entry(place).or_default();
        own.push_back((bytes, write));
    }

    /// Takes the write whose turn it is. Returns `None` if no write waits, or if that one has more than `max_bytes`.
    pub fn pop(&mut self, max_bytes: usize) -> Option<W> {
        let place = self.order.first()?;
        let own = self.waiting.get_mut(&place)?;
        let (bytes, write) = own.pop_front_if(|(bytes, _)| *bytes <= max_bytes)?;
        self.order.charge(place, bytes.max(MIN_COST) as u64);
        if own.is_empty() {
            self.waiting.remove(&place);
            self.order.leave(place);
        }
        Some(write)
    }

    /// Takes all writes.
    pub fn drain(&mut self) -> impl Iterator<Item = W> {
        self.order = FairOrder::default();
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().flatten().map(|(_, write)| write)
    }

    fn place_of(&mut self, connection: &Connection, owner: &WriteOwner) -> Place {
        match owner {
            WriteOwner::Caller(name) => self.place_of_name(name),
            WriteOwner::Job(job) => self.place_of_job(connection, *job),
            WriteOwner::Removals => Place::Removals,
            WriteOwner::Process => Place::Process,
        }
    }

    fn place_of_name(&self, name: &str) -> Place {
        Place::Caller(self.names.hash_one(name))
    }

    fn place_of_job(&mut self, connection: &Connection, job: JobKey) -> Place {
        if let Some(place) = self.callers.get(&job) {
            return *place;
        }
        // A removed job has nothing to write, and a failed read is followed by a failed write.
        let Ok(Some(name)) = queries::caller(connection, job) else {
            return Place::Process;
        };
        let place = self.place_of_name(&name);
        if self.callers.len() >= MAX_KNOWN_JOBS {
            self.callers.clear();
        }
        self.callers.insert(job, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 10 * MIN_COST;

    struct Test {
        queue: WriteQueue<&'static str>,
        connection: Connection,
    }

    impl Test {
        fn new() -> Self {
            Self {
                queue: WriteQueue::default(),
                connection: Connection::open_in_memory().unwrap(),
            }
        }

        fn push(&mut self, caller: &str, bytes: usize, write: &'static str) {
            let owner = WriteOwner::Caller(caller.to_owned());
            self.push_of(&owner, bytes, write);
        }

        fn push_of(&mut self, owner: &WriteOwner, bytes: usize, write: &'static str) {
            self.queue.push(&self.connection, owner, bytes, write);
        }

        fn pop_all(&mut self) -> Vec<&'static str> {
            std::iter::from_fn(|| self.queue.pop(usize::MAX)).collect()
        }
    }

    #[test]
    fn many_writes_of_one_owner_leave_turns_to_the_others() {
        let mut test = Test::new();
        for write in ["a1", "a2", "a3", "a4"] {
            test.push("ann", LARGE, write);
        }
        assert_eq!(test.queue.pop(usize::MAX), Some("a1"));
        test.push("bob", 0, "b1");
        test.push("bob", 0, "b2");
        test.push_of(&WriteOwner::Process, 0, "p");
        test.push_of(&WriteOwner::Removals, 0, "r");
        let turns = test.pop_all();
        assert_eq!(turns[4..], ["a2", "a3", "a4"], "{turns:?}");
        let of_bob: Vec<_> = turns.iter().filter(|turn| turn.starts_with('b')).collect();
        assert_eq!(of_bob, [&"b1", &"b2"], "an owner's writes keep their order");
    }

    #[test]
    fn small_writes_cost_their_owner_something() {
        let mut test = Test::new();
        test.push("ann", LARGE, "a1");
        test.push("ann", LARGE, "a2");
        for _ in 0..15 {
            test.push("bob", 0, "b");
        }
        let turns = test.pop_all();
        let second = turns.iter().position(|turn| *turn == "a2").unwrap();
        assert!((10..=12).contains(&second), "{turns:?}");
    }

    #[test]
    fn a_write_that_does_not_fit_waits_for_its_turn() {
        let mut test = Test::new();
        test.push("ann", LARGE, "a1");
        test.push("ann", 0, "a2");
        assert_eq!(test.queue.pop(LARGE - 1), None);
        assert_eq!(test.pop_all(), ["a1", "a2"]);
        test.push("ann", 0, "a3");
        test.push("bob", 0, "b1");
        assert_eq!(test.queue.drain().count(), 2);
        assert_eq!(test.pop_all(), [""; 0]);
    }
}
