//! Open connections and requests. The number of connections is limited, so that descriptors are left for calls, the store and files. At
//! the limit, connections without a request make room for new ones, which wait if there are none. With several callers, one may have as
//! many requests open as there is room for: the same dynamic threshold as for the waiting room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use throttle::CallerId;

/// Open connections of the server; cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenConnections(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    max: usize,
    /// A permit for each connection that may be opened.
    free: Arc<Semaphore>,
    /// Notified when a connection becomes idle.
    becomes_idle: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Connections without a request, in the order in which they became idle.
    idle: BTreeMap<u64, CancellationToken>,
    /// Number of the connection that became idle last.
    last_idle: u64,
    /// Open requests of which the caller is known.
    requests: usize,
    by_caller: BTreeMap<CallerId, usize>,
}

impl OpenConnections {
    /// Creates the registry of at most `max` connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Registry {
            max,
            free: Arc::new(Semaphore::new(max)),
            becomes_idle: Notify::new(),
            state: Mutex::default(),
        }))
    }

    /// Returns the maximum number of connections.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Returns true if a new connection has to wait for the end of a request.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.free.available_permits() == 0 && self.0.lock().idle.is_empty()
    }

    /// Waits until one more connection may be open. At the maximum, closes the connection that has been idle for the longest time.
    ///
    /// # Cancel safety
    /// Dropping the future takes no place.
    pub async fn admit(&self) -> Arc<OpenConnection> {
        let registry = &self.0;
        loop {
            if let Ok(place) = Arc::clone(&registry.free).try_acquire_owned() {
                return OpenConnection::new(Arc::clone(registry), place);
            }
            let place = Arc::clone(&registry.free).acquire_owned();
            let longest_idle = registry.lock().idle.pop_first();
            if let Some((_, closing)) = longest_idle {
                closing.cancel();
                // Its place, which it leaves at once.
                if let Ok(place) = place.await {
                    return OpenConnection::new(Arc::clone(registry), place);
                }
                continue;
            }
            tokio::select! {
                Ok(place) = place => return OpenConnection::new(Arc::clone(registry), place),
                () = registry.becomes_idle.notified() => {}
            }
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection, which holds its place until this is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    registry: Arc<Registry>,
    closing: CancellationToken,
    uses: Mutex<Uses>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Uses {
    /// Number of uses: its request, and the sending of its response.
    count: usize,
    /// Its number among the idle connections, if it is one.
    idle: Option<u64>,
}

impl OpenConnection {
    fn new(registry: Arc<Registry>, place: OwnedSemaphorePermit) -> Arc<Self> {
        let connection = Arc::new(Self {
            registry,
            closing: CancellationToken::new(),
            uses: Mutex::default(),
            _place: place,
        });
        // It is idle until the head of its first request is complete.
        drop(connection.begin_use());
        connection
    }

    /// Returns the token that is cancelled to close the connection at once.
    pub const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Begins a use of the connection, during which it is not idle.
    pub fn begin_use(self: &Arc<Self>) -> InUse {
        let mut uses = self.uses();
        uses.count += 1;
        if let Some(number) = uses.idle.take() {
            self.registry.lock().idle.remove(&number);
        }
        InUse(Arc::clone(self))
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(number) = self.uses().idle {
            self.registry.lock().idle.remove(&number);
        }
    }
}

/// Use of a connection, until this is dropped.
#[derive(Debug)]
pub struct InUse(Arc<OpenConnection>);

impl Drop for InUse {
    fn drop(&mut self) {
        let connection = &self.0;
        let mut uses = connection.uses();
        uses.count -= 1;
        if uses.count > 0 {
            return;
        }
        let mut state = connection.registry.lock();
        state.last_idle += 1;
        let number = state.last_idle;
        state.idle.insert(number, connection.closing.clone());
        uses.idle = Some(number);
        connection.registry.becomes_idle.notify_one();
    }
}

/// Open request of a connection, until its response has been handed to the connection; among the request's extensions.
#[derive(Debug, Clone)]
pub struct OpenRequest(Arc<CountedRequest>);

#[derive(Debug)]
struct CountedRequest {
    connection: InUse,
    /// Caller for which it is counted.
    caller: Mutex<Option<CallerId>>,
}

/// Reason for refusing a request: its caller has as many open as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{open} requests of this caller are open, which is its share of at most {max}")]
pub struct TooManyRequests {
    /// Open requests of the caller, without this one.
    pub open: usize,
    /// Maximum of all callers together.
    pub max: usize,
}

impl OpenRequest {
    /// Begins a request of a connection.
    pub fn begin(connection: &Arc<OpenConnection>) -> Self {
        Self(Arc::new(CountedRequest {
            connection: connection.begin_use(),
            caller: Mutex::default(),
        }))
    }

    /// Counts the request for a caller from now on, in place of the one before. With `is_shared`, a caller may have as many open as there
    /// is room for.
    ///
    /// # Errors
    /// [`TooManyRequests`]; then nothing has changed.
    pub fn count_for(&self, caller: CallerId, is_shared: bool) -> Result<(), TooManyRequests> {
        let mut counted_for = self.0.caller();
        if *counted_for == Some(caller) {
            return Ok(());
        }
        let registry = self.0.registry();
        let mut state = registry.lock();
        let open = state.by_caller.get(&caller).copied().unwrap_or_default();
        let counted = state.requests - usize::from(counted_for.is_some());
        if is_shared && open >= registry.max.saturating_sub(counted) {
            let max = registry.max;
            return Err(TooManyRequests { open, max });
        }
        state.uncount(*counted_for);
        state.count(caller);
        *counted_for = Some(caller);
        Ok(())
    }
}

impl CountedRequest {
    fn registry(&self) -> &Registry {
        &self.connection.0.registry
    }

    fn caller(&self) -> MutexGuard<'_, Option<CallerId>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let caller = *self.caller();
        self.registry().lock().uncount(caller);
    }
}

impl State {
    fn count(&mut self, caller: CallerId) {
        self.requests += 1;
        *self.by_caller.entry(caller).or_default() += 1;
    }

    fn uncount(&mut self, caller: Option<CallerId>) {
        let Some(caller) = caller else {
            return;
        };
        self.requests -= 1;
        if let Some(open) = self.by_caller.get_mut(&caller) {
            *open -= 1;
            if *open == 0 {
                self.by_caller.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    #[tokio::test]
    async fn the_connection_that_is_idle_the_longest_makes_room_for_a_new_one() {
        let connections = OpenConnections::new(3);
        let first = connections.admit().await;
        let second = connections.admit().await;
        let third = connections.admit().await;
        // The first one was used in between.
        drop(first.begin_use());
        let used = third.begin_use();
        let closing = second.closing().clone();
        let closed = tokio::spawn(async move {
            closing.cancelled().await;
            drop(second);
        });
        let _fourth = connections.admit().await;
        closed.await.unwrap();
        assert!(!first.closing().is_cancelled() && !third.closing().is_cancelled());
        assert!(!connections.is_full());
        let _used = first.begin_use();
        drop(used);
        assert_eq!(connections.0.lock().idle.len(), 2);
        drop(third);
        assert_eq!(connections.0.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_all_have_requests() {
        let connections = OpenConnections::new(1);
        let only = connections.admit().await;
        let request = OpenRequest::begin(&only);
        assert!(connections.is_full());
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.admit().await }
        });
        tokio::task::yield_now().await;
        assert!(!only.closing().is_cancelled() && !waiting.is_finished());
        drop(request);
        only.closing().cancelled().await;
        drop(only);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn one_of_several_callers_leaves_room_for_the_requests_of_others() {
        const MAX: usize = 100;
        let connections = OpenConnections::new(MAX);
        let mut open = Vec::new();
        let mut begin_all = |caller, is_shared| {
            let before = open.len();
            for _ in 0..=MAX {
                let place = Arc::clone(&connections.0.free).try_acquire_owned();
                let connection = OpenConnection::new(Arc::clone(&connections.0), place.unwrap());
                let request = OpenRequest::begin(&connection);
                match request.count_for(caller, is_shared) {
                    Ok(()) => open.push(request),
                    Err(refused) => {
                        assert_eq!(refused.open, open.len() - before);
                        break;
                    }
                }
            }
            open.len() - before
        };
        assert_eq!(begin_all(ALICE, true), 50);
        assert_eq!(begin_all(BOB, true), 25);
        // A stream of a signed link is counted for the job's caller.
        let request = open.last().unwrap();
        assert!(request.count_for(ALICE, true).is_err());
        assert_eq!(connections.0.lock().by_caller[&BOB], 25);
        open.drain(..20);
        let request = open.last().unwrap();
        request.count_for(ALICE, true).unwrap();
        assert_eq!(connections.0.lock().by_caller[&BOB], 24);
        open.clear();
        assert!(connections.0.lock().by_caller.is_empty());
        assert_eq!(connections.0.lock().requests, 0);
        assert_eq!(connections.0.free.available_permits(), MAX);
    }
}
