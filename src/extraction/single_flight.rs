//! Single flight: of identical items that are under way at the same time, one is called, and the others take its result.
//!
//! Each keeps its own place in line meanwhile, and whoever's turn comes first is called: so nobody waits behind another
//! request's queue. When the one that is called leaves (its client went away), the others go on as if it had never been.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::types::{Error, Success};

/// What makes items identical: a digest.
pub type Key = [u8; 32];

/// How the one that was called has ended.
pub type SharedOutcome = Result<Success, Error>;

type Boards = Mutex<HashMap<Key, Weak<Flight>>>;

/// The items under way that may have an identical one.
#[derive(Debug, Default)]
pub struct SingleFlight(Arc<Boards>);

#[derive(Debug)]
enum State {
    Waiting,
    Flying,
    Landed(Arc<SharedOutcome>),
}

#[derive(Debug)]
struct Flight {
    key: Key,
    boards: Arc<Boards>,
    state: Mutex<State>,
    changed: Notify,
}

/// One item's part in a flight.
#[derive(Debug)]
pub struct Ticket(Arc<Flight>);

/// The part of the one that is called. Dropping it without landing leaves the flight to the others.
#[derive(Debug)]
pub struct Leader(Option<Arc<Flight>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SingleFlight {
    pub fn join(&self, key: Key) -> Ticket {
        let mut boards = lock(&self.0);
        if let Some(flight) = boards.get(&key).and_then(Weak::upgrade) {
            return Ticket(flight);
        }
        let boards_again = Arc::clone(&self.0);
        let flight = Arc::new(Flight {
            key,
            boards: boards_again,
            state: Mutex::new(State::Waiting),
            changed: Notify::new(),
        });
        boards.insert(key, Arc::downgrade(&flight));
        Ticket(flight)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut boards = lock(&self.boards);
        // Another flight may have the key by now.
        if boards
            .get(&self.key)
            .is_some_and(|flight| flight.strong_count() == 0)
        {
            boards.remove(&self.key);
        }
    }
}

impl Ticket {
    /// This item is the one that is called; `None`: another one is, or was.
    pub fn lead(&self) -> Option<Leader> {
        let mut state = lock(&self.0.state);
        if !matches!(*state, State::Waiting) {
            return None;
        }
        *state = State::Flying;
        drop(state);
        self.0.changed.notify_waiters();
        Some(Leader(Some(Arc::clone(&self.0))))
    }

    /// Waits until another one is called.
    pub async fn led(&self) {
        self.wait_for(|state| (!matches!(state, State::Waiting)).then_some(()))
            .await;
    }

    /// Waits for the end of the one that is called; `None`: it left, and the flight is open again.
    pub async fn outcome(&self) -> Option<Arc<SharedOutcome>> {
        self.wait_for(|state| match state {
            State::Waiting => Some(None),
            State::Flying => None,
            State::Landed(landed) => Some(Some(Arc::clone(landed))),
        })
        .await
    }

    async fn wait_for<T>(&self, seen: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that no change is missed.
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(seen) = seen(&lock(&self.0.state)) {
                return seen;
            }
            changed.await;
        }
    }
}

impl Leader {
    /// Ends the flight with this for the others, if there are any. What is only this item's own business (its caller's quota) is
    /// not theirs.
    pub fn complete(mut self, landed: &SharedOutcome, is_theirs: bool) {
        if !is_theirs {
            // Dropped, it leaves the flight to them.
            return;
        }
        let Some(flight) = self.0.take() else { return };
        // Whoever comes from now on begins anew.
        lock(&flight.boards).remove(&flight.key);
        // This one's seat, and this.
        if Arc::strong_count(&flight) > 2 {
            *lock(&flight.state) = State::Landed(Arc::new(landed.clone()));
            flight.changed.notify_waiters();
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            *lock(&flight.state) = State::Waiting;
            flight.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: Key = [7; 32];

    fn success() -> Success {
        Success {
            data: json!(1),
            model: "m".into(),
            repairs: Vec::new(),
            cached: false,
        }
    }

    #[tokio::test]
    async fn one_is_called_and_the_others_have_its_result() {
        let flights = SingleFlight::default();
        let (first, second) = (flights.join(KEY), flights.join(KEY));
        let flying = second.lead().unwrap();
        assert!(first.lead().is_none());
        first.led().await;
        let waiting = tokio::spawn(async move { first.outcome().await });
        tokio::task::yield_now().await;
        flying.complete(&Ok(success()), true);
        assert_eq!(*waiting.await.unwrap().unwrap(), Ok(success()));
        drop(second);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn when_the_one_that_is_called_leaves_another_takes_its_place() {
        let flights = SingleFlight::default();
        let (first, second) = (flights.join(KEY), flights.join(KEY));
        let flying = first.lead().unwrap();
        drop((flying, first));
        assert!(second.outcome().await.is_none());
        let flying = second.lead().unwrap();
        flying.complete(&Ok(success()), true);
        drop(second);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn an_end_that_is_not_theirs_leaves_the_flight_to_the_others() {
        let flights = SingleFlight::default();
        let (first, second) = (flights.join(KEY), flights.join(KEY));
        let broke = Error::new(crate::types::Code::QuotaExceeded, "its own business");
        first.lead().unwrap().complete(&Err(broke), false);
        assert!(second.outcome().await.is_none());
        assert!(second.lead().is_some());
    }

    #[tokio::test]
    async fn whoever_comes_after_the_landing_begins_anew() {
        let flights = SingleFlight::default();
        let first = flights.join(KEY);
        first.lead().unwrap().complete(&Ok(success()), true);
        let second = flights.join(KEY);
        assert!(second.lead().is_some());
        drop(first);
        assert_eq!(flights.len(), 1, "it is the second's");
    }
}
