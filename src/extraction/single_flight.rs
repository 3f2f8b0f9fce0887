//! Single flight: of identical items in flight at the same time, one leads and calls the provider; the others share its outcome.
//!
//! Each item keeps its own position in the queue until one leads, so that none waits behind another request's queue. If the
//! leader is cancelled (its client disconnected), the others continue, and one of them leads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::cache_key::CacheKey;
use super::request_class::RequestClass;
use crate::types::{Code, Error, Success};

/// Outcome of the leader's extraction.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedOutcome {
    pub result: Result<Success, Error>,
    /// Class of the leader's request, which decides how soon it gives up.
    pub class: RequestClass,
}

impl SharedOutcome {
    /// Returns true if the outcome is also that of an equal item of this class. An item that would have tried more often or waited
    /// longer does not take over a failure to get an answer.
    pub fn holds_for(&self, class: RequestClass) -> bool {
        let Err(error) = &self.result else {
            return true;
        };
        // The same request has the same result, however often it is sent.
        let is_permanent = matches!(error.upstream_status, Some(400..=499))
            && !matches!(error.upstream_status, Some(408 | 409 | 429));
        let gave_up = !is_permanent
            && matches!(
                error.code,
                Code::UpstreamError | Code::UpstreamRateLimited | Code::Overloaded | Code::Timeout
            );
        !gave_up || class <= self.class
    }
}

type Flights = Mutex<HashMap<CacheKey, Weak<Flight>>>;

/// Groups of identical items in flight, by cache key.
#[derive(Debug, Default)]
pub struct SingleFlight(Arc<Flights>);

#[derive(Debug)]
enum State {
    /// No item leads yet.
    Open,
    Led,
    Completed(Arc<SharedOutcome>),
}

/// Group of identical items.
#[derive(Debug)]
struct Flight {
    key: CacheKey,
    flights: Arc<Flights>,
    state: Mutex<State>,
    changed: Notify,
}

/// Membership of one item in its group.
#[derive(Debug)]
pub struct Ticket(Arc<Flight>);

/// Right to extract for the group. Dropping it without completing it opens the group to another leader.
#[derive(Debug)]
pub struct Leader(Option<Arc<Flight>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SingleFlight {
    /// Joins the group of a key, or forms it.
    pub fn join(&self, key: CacheKey) -> Ticket {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&key).and_then(Weak::upgrade) {
            return Ticket(flight);
        }
        let flight = Arc::new(Flight {
            key,
            flights: Arc::clone(&self.0),
            state: Mutex::new(State::Open),
            changed: Notify::new(),
        });
        flights.insert(key, Arc::downgrade(&flight));
        Ticket(flight)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // The key may belong to a newer group.
        if flights
            .get(&self.key)
            .is_some_and(|flight| flight.strong_count() == 0)
        {
            flights.remove(&self.key);
        }
    }
}

impl Ticket {
    /// Makes this item the leader. Returns `None` if another item leads or has completed.
    pub fn lead(&self) -> Option<Leader> {
        let mut state = lock(&self.0.state);
        if !matches!(*state, State::Open) {
            return None;
        }
        *state = State::Led;
        drop(state);
        self.0.changed.notify_waiters();
        Some(Leader(Some(Arc::clone(&self.0))))
    }

    /// Waits until another item leads.
    pub async fn led(&self) {
        self.wait_for(|state| (!matches!(state, State::Open)).then_some(()))
            .await;
    }

    /// Waits for the leader's outcome. Returns `None` if the leader was cancelled: the group is open again.
    pub async fn outcome(&self) -> Option<Arc<SharedOutcome>> {
        self.wait_for(|state| match state {
            State::Open => Some(None),
            State::Led => None,
            State::Completed(outcome) => Some(Some(Arc::clone(outcome))),
        })
        .await
    }

    async fn wait_for<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Registered before the check, so that no change is missed.
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(value) = ready(&lock(&self.0.state)) {
                return value;
            }
            changed.await;
        }
    }
}

impl Leader {
    /// Completes the group with the leader's outcome. An outcome that is not shareable (the caller's own quota) opens the group
    /// to another leader instead.
    pub fn complete(
        mut self,
        result: &Result<Success, Error>,
        class: RequestClass,
        is_shareable: bool,
    ) {
        if !is_shareable {
            return;
        }
        let Some(flight) = self.0.take() else { return };
        // Items that join from now on form a new group.
        lock(&flight.flights).remove(&flight.key);
        // More references than this one and the leader's own ticket: there are other items.
        if Arc::strong_count(&flight) > 2 {
            *lock(&flight.state) = State::Completed(Arc::new(SharedOutcome {
                result: result.clone(),
                class,
            }));
            flight.changed.notify_waiters();
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            *lock(&flight.state) = State::Open;
            flight.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
