//! The waiting room before the built-in model: a bounded queue between callers and the preparing thread.
//!
//! It exists because a caller that has gone away must give back its place at once, which the channels at hand do not do:
//! a full room first turns out those who no longer wait. It must not know what a job is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the room has to know of a job.
pub trait Abandoned {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// Every place is taken by a caller who still waits.
    Full,
    /// The model has stopped; no job will ever be taken again.
    Closed,
}

/// A bounded first-in-first-out queue.
pub struct Queue<T> {
    room: Mutex<Room<T>>,
    changed: Condvar,
    places: usize,
}

struct Room<T> {
    jobs: VecDeque<T>,
    open: bool,
}

impl<T: Abandoned> Queue<T> {
    /// An empty room with that many places, one at least.
    pub fn new(places: usize) -> Self {
        let places = places.max(1);
        let room = Room {
            jobs: VecDeque::new(),
            open: true,
        };
        Self {
            room: Mutex::new(room),
            changed: Condvar::new(),
            places,
        }
    }

    /// Puts a job at the end; never blocks.
    ///
    /// # Errors
    /// [`Refused`], when no place is free or the room is closed.
    pub fn push(&self, job: T) -> Result<(), QueueFull> {
        let mut room = self.lock();
        if !room.open {
            return Err(QueueFull::Closed);
        }
        if room.jobs.len() >= self.places {
            room.jobs.retain(|waiting| !waiting.is_abandoned());
        }
        if room.jobs.len() >= self.places {
            return Err(QueueFull::Full);
        }
        room.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the first job, waiting for one. `None` when the room is closed.
    pub fn pop(&self) -> Option<T> {
        let mut room = self.lock();
        loop {
            if !room.open {
                return None;
            }
            if let Some(job) = room.jobs.pop_front() {
                return Some(job);
            }
            room = self
                .changed
                .wait(room)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Closes the room and drops who still waits in it.
    pub fn close(&self) {
        let mut room = self.lock();
        room.open = false;
        let waiting = std::mem::take(&mut room.jobs);
        self.changed.notify_all();
        drop(room);
        drop(waiting);
    }

    /// Nothing that runs under the lock can leave it half done, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Room<T>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct QueuedRequest(bool);

    impl Abandoned for QueuedRequest {
        fn is_abandoned(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn a_full_room_turns_out_the_abandoned_first() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(QueuedRequest(true)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Err(QueueFull::Full));
    }

    #[test]
    fn a_closed_room_takes_and_gives_nothing() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        queue.close();
        assert!(queue.pop().is_none());
        assert_eq!(queue.push(QueuedRequest(false)), Err(QueueFull::Closed));
    }
}
