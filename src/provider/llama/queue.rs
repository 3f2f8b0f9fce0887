//! Bounded queue between callers and the preparing thread of the built-in model.
//!
//! Unlike a channel, a full queue first removes jobs whose caller has gone, so that cancelled
//! requests free their places at once. It must not know what a job is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Job whose caller may have gone.
pub trait Abandoned {
    /// Returns true if the caller no longer waits for the answer.
    fn is_abandoned(&self) -> bool;
}

/// Error of [`Queue::push`].
#[derive(Debug, PartialEq, Eq)]
pub enum PushError {
    /// Every place is taken by a caller that still waits.
    Full,
    /// The queue is closed: the model has stopped.
    Closed,
}

/// Result of [`Queue::pop`].
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// First job of the queue.
    Job(T),
    /// No job: [`Queue::wake`] was called, or the deadline has passed.
    Woken,
    /// The queue is closed.
    Closed,
}

/// Bounded first-in-first-out queue.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

struct State<T> {
    jobs: VecDeque<T>,
    open: bool,
    is_woken: bool,
}

impl<T: Abandoned> Queue<T> {
    /// Creates a queue for at most `capacity` jobs, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let state = State {
            jobs: VecDeque::new(),
            open: true,
            is_woken: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Adds a job at the end; never blocks.
    ///
    /// # Errors
    /// If the queue is full or closed.
    pub fn push(&self, job: T) -> Result<(), PushError> {
        let mut state = self.lock();
        if !state.open {
            return Err(PushError::Closed);
        }
        if state.jobs.len() >= self.capacity {
            state.jobs.retain(|waiting| !waiting.is_abandoned());
        }
        if state.jobs.len() >= self.capacity {
            return Err(PushError::Full);
        }
        state.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Removes and returns the first job; waits until there is one, [`wake`](Self::wake) is called, or the deadline, if there is one, has
    /// passed.
    pub fn pop(&self, deadline: Option<Instant>) -> Popped<T> {
        let mut state = self.lock();
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !state.open {
                return Popped::Closed;
            }
            if std::mem::take(&mut state.is_woken) || left.is_some_and(|left| left.is_zero()) {
                return Popped::Woken;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Popped::Job(job);
            }
            state = match left {
                None => self.changed.wait(state),
                Some(left) => (self.changed.wait_timeout(state, left))
                    .map(|(state, _)| state)
                    .map_err(|poisoned| PoisonError::new(poisoned.into_inner().0)),
            }
            .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the wait for a job, this one or the next.
    pub fn wake(&self) {
        self.lock().is_woken = true;
        self.changed.notify_all();
    }

    /// Closes the queue and drops its jobs.
    pub fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let waiting = std::mem::take(&mut state.jobs);
        self.changed.notify_all();
        drop(state);
        drop(waiting);
    }

    /// Locks the state. No code under the lock can leave it inconsistent, so a poisoned lock is
    /// used.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_full_queue_removes_abandoned_jobs() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(QueuedRequest(true)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        assert_eq!(queue.push(QueuedRequest(false)), Err(PushError::Full));
    }

    #[test]
    fn a_closed_queue_accepts_and_returns_nothing() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        queue.close();
        assert!(matches!(queue.pop(None), Popped::Closed));
        assert_eq!(queue.push(QueuedRequest(false)), Err(PushError::Closed));
    }

    #[test]
    fn a_wait_ends_with_a_job_a_wake_or_the_deadline() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(QueuedRequest(false)), Ok(()));
        queue.wake();
        assert!(matches!(queue.pop(None), Popped::Woken));
        assert!(matches!(queue.pop(None), Popped::Job(_)));
        assert!(matches!(queue.pop(Some(Instant::now())), Popped::Woken));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.pop(None));
            queue.wake();
            assert!(matches!(waiting.join().unwrap(), Popped::Woken));
        });
    }
}
