//! Open connections and requests. The number of connections is limited, so that descriptors are left for calls, the store and files, and
//! memory for requests. At the limit, connections without a caller's request make room for new ones, which wait if there are none. A
//! request that is rejected or needs no key is nobody's, so that nobody without a key keeps the others out. With several callers, one may
//! have as many requests open as there is room for: the same dynamic threshold as for the waiting room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use throttle::CallerId;

/// Open connections of the server; cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenConnections(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    /// Maximum number of connections.
    max: usize,
    /// Notified when a connection is closed or becomes idle.
    changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: BTreeMap<u64, ConnectionState>,
    /// Connections without a caller's request, in the order in which they were opened or their last such request ended. The time of
    /// other requests does not count: a client that reads a response slowly would stay for as long as it likes.
    idle: BTreeMap<u64, u64>,
    /// Number that was given last, to a connection or to one that became idle.
    last_number: u64,
    /// Number of connections that are told to close, and have not left yet.
    leaving: usize,
    /// Open requests of which the caller is known.
    requests: usize,
    by_caller: BTreeMap<CallerId, usize>,
}

/// State of an open connection.
#[derive(Debug)]
struct ConnectionState {
    closing: CancellationToken,
    /// Number of its callers' requests that are open.
    requests: usize,
    /// Its number among the idle connections, if it is one.
    idle: Option<u64>,
    /// True once it has to make room for another one.
    is_leaving: bool,
}

impl OpenConnections {
    /// Creates the registry of at most `max` connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Registry {
            max: max.max(1),
            changed: Notify::new(),
            state: Mutex::default(),
        }))
    }

    /// Returns the maximum number of connections.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Returns true if a new connection has to wait for the end of a caller's request.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let state = self.0.lock();
        state.taken() >= self.0.max && state.idle.is_empty()
    }

    /// Waits until one more connection may be open. At the maximum, closes the connection that has been idle for the longest time.
    ///
    /// # Cancel safety
    /// Dropping the future takes no place.
    pub async fn admit(&self) -> Arc<OpenConnection> {
        let registry = &self.0;
        loop {
            if let Some(connection) = OpenConnection::try_new(registry) {
                return connection;
            }
            registry.changed.notified().await;
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the number of connections that are open once those that have to leave have done so.
    fn taken(&self) -> usize {
        self.connections.len() - self.leaving
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Closes the connections that have been idle the longest until at most `max` are open, as far as there are any.
    fn make_room(&mut self, max: usize) {
        while self.taken() > max
            && let Some((_, connection)) = self.idle.pop_first()
        {
            if let Some(own) = self.connections.get_mut(&connection) {
                own.idle = None;
                own.is_leaving = true;
                own.closing.cancel();
                self.leaving += 1;
            }
        }
    }

    /// Makes a connection idle, as the last one to be closed, unless it is leaving.
    fn set_idle(&mut self, connection: u64) {
        let number = self.next_number();
        if let Some(own) = self.connections.get_mut(&connection)
            && !own.is_leaving
        {
            own.idle = Some(number);
            self.idle.insert(number, connection);
        }
    }

    /// Begins a caller's request, during which the connection is not idle.
    fn begin_request(&mut self, connection: u64) {
        if let Some(own) = self.connections.get_mut(&connection) {
            own.requests += 1;
            if let Some(number) = own.idle.take() {
                self.idle.remove(&number);
            }
        }
    }

    fn end_request(&mut self, connection: u64) {
        if let Some(own) = self.connections.get_mut(&connection) {
            own.requests -= 1;
            if own.requests == 0 {
                self.set_idle(connection);
            }
        }
    }

    fn count(&mut self, caller: CallerId) {
        self.requests += 1;
        *self.by_caller.entry(caller).or_default() += 1;
    }

    fn uncount(&mut self, caller: CallerId) {
        self.requests -= 1;
        if let Some(open) = self.by_caller.get_mut(&caller) {
            *open -= 1;
            if *open == 0 {
                self.by_caller.remove(&caller);
            }
        }
    }
}

/// An open connection, which holds its place until this is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    registry: Arc<Registry>,
    number: u64,
    closing: CancellationToken,
}

impl OpenConnection {
    /// Opens a connection if there is room for it; otherwise makes room. It is idle until its first request is a caller's.
    fn try_new(registry: &Arc<Registry>) -> Option<Arc<Self>> {
        let mut state = registry.lock();
        if state.connections.len() >= registry.max {
            state.make_room(registry.max - 1);
            return None;
        }
        let number = state.next_number();
        let closing = CancellationToken::new();
        let own = ConnectionState {
            closing: closing.clone(),
            requests: 0,
            idle: None,
            is_leaving: false,
        };
        state.connections.insert(number, own);
        state.set_idle(number);
        Some(Arc::new(Self {
            registry: Arc::clone(registry),
            number,
            closing,
        }))
    }

    /// Returns the token that is cancelled to close the connection at once.
    pub const fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(own) = state.connections.remove(&self.number) {
            state.leaving -= usize::from(own.is_leaving);
            if let Some(number) = own.idle {
                state.idle.remove(&number);
            }
        }
        drop(state);
        self.registry.changed.notify_one();
    }
}

/// Open request of a connection, until its response has been sent; among the request's extensions.
#[derive(Debug, Clone)]
pub struct OpenRequest(Arc<CountedRequest>);

#[derive(Debug)]
struct CountedRequest {
    connection: Arc<OpenConnection>,
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
    /// Begins a request of a connection, which is nobody's until it is counted for a caller.
    pub fn begin(connection: &Arc<OpenConnection>) -> Self {
        Self(Arc::new(CountedRequest {
            connection: Arc::clone(connection),
            caller: Mutex::default(),
        }))
    }

    /// Counts the request for a caller from now on, in place of the one before. Until its end, its connection is not closed to make room.
    /// With `is_shared`, a caller may have as many open as there is room for.
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
        match *counted_for {
            Some(before) => state.uncount(before),
            None => state.begin_request(self.0.connection.number),
        }
        state.count(caller);
        *counted_for = Some(caller);
        Ok(())
    }
}

impl CountedRequest {
    fn registry(&self) -> &Registry {
        &self.connection.registry
    }

    fn caller(&self) -> MutexGuard<'_, Option<CallerId>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let Some(caller) = *self.caller() else {
            return;
        };
        let mut state = self.registry().lock();
        state.uncount(caller);
        state.end_request(self.connection.number);
        drop(state);
        self.registry().changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    fn begin(connection: &Arc<OpenConnection>) -> OpenRequest {
        let request = OpenRequest::begin(connection);
        request.count_for(ALICE, false).unwrap();
        request
    }

    /// Leaves as soon as it has to.
    fn leaving(connection: Arc<OpenConnection>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            connection.closing().cancelled().await;
            drop(connection);
        })
    }

    #[tokio::test]
    async fn the_connection_that_is_idle_the_longest_makes_room_for_a_new_one() {
        let connections = OpenConnections::new(3);
        let first = connections.admit().await;
        let second = connections.admit().await;
        let third = connections.admit().await;
        // The first one was used in between.
        drop(begin(&first));
        let used = begin(&third);
        let closed = leaving(second);
        let _fourth = connections.admit().await;
        closed.await.unwrap();
        assert!(!first.closing().is_cancelled() && !third.closing().is_cancelled());
        assert!(!connections.is_full());
        let _used = begin(&first);
        drop(used);
        assert_eq!(connections.0.lock().idle.len(), 2);
        drop(third);
        assert_eq!(connections.0.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn one_idle_connection_is_closed_for_each_new_one() {
        let connections = OpenConnections::new(2);
        let first = connections.admit().await;
        let second = connections.admit().await;
        let mut waiting = pin!(connections.admit());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(first.closing().is_cancelled());
        // The end of another's request lets the new one look again; the first one has not left yet.
        drop(begin(&second));
        assert!(waiting.as_mut().now_or_never().is_none());
        // A request that came too late does not keep it.
        drop(begin(&first));
        drop(first);
        assert!(waiting.now_or_never().is_some());
        assert!(!second.closing().is_cancelled());
        assert_eq!(connections.0.lock().leaving, 0);
    }

    #[tokio::test]
    async fn a_request_of_nobody_keeps_no_place() {
        let connections = OpenConnections::new(2);
        let first = connections.admit().await;
        let second = connections.admit().await;
        drop(OpenRequest::begin(&first));
        let request = OpenRequest::begin(&first);
        assert!(!connections.is_full());
        assert!(connections.admit().now_or_never().is_none());
        assert!(first.closing().is_cancelled() && !second.closing().is_cancelled());
        drop((first, request));
        connections.admit().await;
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_all_have_requests() {
        let connections = OpenConnections::new(1);
        let only = connections.admit().await;
        let request = begin(&only);
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
                let connection = OpenConnection::try_new(&connections.0).unwrap();
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
        assert!(connections.0.lock().connections.is_empty());
    }
}
