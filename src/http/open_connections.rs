//! Open connections and requests. The number of connections is limited, so that descriptors are left for calls, the store and files, and
//! memory for requests. Connections without a caller's request leave a quarter of their places to new ones, which wait when all are taken. A
//! request that is rejected or needs no key is nobody's, so that nobody without a key keeps the others out. With several callers, one may
//! have as many requests open as there is room for: the same dynamic threshold as for the waiting room.
//!
//! A connection takes one place. One whose request had a large head keeps a large buffer, and therefore takes several.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use throttle::CallerId;

/// Of the places without a caller's request, idle connections leave one in so many free.
const IDLE_LEAVE_ONE_IN: usize = 4;

/// Open connections of the server; cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenConnections(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    /// Number of places, which is the maximum number of connections.
    max: usize,
    /// Number of places of a connection with a large head.
    places_of_large: usize,
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
    /// Places of all connections.
    taken: usize,
    /// Places of the connections that were told to close and are not closed yet.
    leaving: usize,
    /// Places of open requests of which the caller is known.
    requests: usize,
    by_caller: BTreeMap<CallerId, usize>,
}

/// State of an open connection.
#[derive(Debug)]
struct ConnectionState {
    closing: CancellationToken,
    places: usize,
    /// Number of its callers' requests that are open.
    requests: usize,
    /// Its number among the idle connections, if it is one.
    idle: Option<u64>,
    /// True once it has to make room for another one.
    is_leaving: bool,
}

impl OpenConnections {
    /// Creates the registry of at most `max` connections, of which one with a large head counts as `places_of_large`.
    #[must_use]
    pub fn new(max: usize, places_of_large: usize) -> Self {
        let max = max.max(1);
        Self(Arc::new(Registry {
            max,
            places_of_large: places_of_large.clamp(1, max),
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
        state.staying() >= self.0.max && state.idle.is_empty()
    }

    /// Waits until one more connection may be open. If no more than a quarter of the places without a caller's request is free, closes the
    /// connection that has been idle for the longest time.
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
    /// Returns the number of places that are taken once the connections that have to leave have done so.
    const fn staying(&self) -> usize {
        self.taken - self.leaving
    }

    /// Returns the number of places that idle connections leave free, so that new ones need not wait until they have closed: a part of
    /// those without a caller's request.
    const fn spare(&self, max: usize) -> usize {
        max.saturating_sub(self.requests) / IDLE_LEAVE_ONE_IN
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Closes the connections that have been idle the longest, as far as there are any, until `coming` more fit in the `max` places without
    /// those that idle connections leave free.
    fn make_room(&mut self, max: usize, coming: usize) {
        let most = max.saturating_sub(self.spare(max) + coming);
        while self.staying() > most
            && let Some((_, connection)) = self.idle.pop_first()
        {
            if let Some(own) = self.connections.get_mut(&connection) {
                own.idle = None;
                own.is_leaving = true;
                own.closing.cancel();
                self.leaving += own.places;
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

    fn count(&mut self, Counted { caller, places }: Counted) {
        self.requests += places;
        *self.by_caller.entry(caller).or_default() += places;
    }

    fn uncount(&mut self, Counted { caller, places }: Counted) {
        self.requests -= places;
        if let Some(open) = self.by_caller.get_mut(&caller) {
            *open -= places;
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
        state.make_room(registry.max, 1);
        if state.taken >= registry.max {
            return None;
        }
        let number = state.next_number();
        let closing = CancellationToken::new();
        let own = ConnectionState {
            closing: closing.clone(),
            places: 1,
            requests: 0,
            idle: None,
            is_leaving: false,
        };
        state.taken += own.places;
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

    /// Takes the places of a connection with a large head, until the connection is closed. Those that have been idle the longest make
    /// room, which may be this one.
    pub fn set_large(&self) {
        let mut state = self.registry.lock();
        let Some(own) = state.connections.get_mut(&self.number) else {
            return;
        };
        let more = self.registry.places_of_large - own.places;
        own.places += more;
        let is_leaving = own.is_leaving;
        state.taken += more;
        if is_leaving {
            state.leaving += more;
        }
        state.make_room(self.registry.max, 0);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(own) = state.connections.remove(&self.number) {
            state.taken -= own.places;
            if own.is_leaving {
                state.leaving -= own.places;
            }
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
    counted: Mutex<Option<Counted>>,
}

/// Caller for which a request is counted, and the places of its connection at that time.
#[derive(Debug, Clone, Copy)]
struct Counted {
    caller: CallerId,
    places: usize,
}

/// Reason for refusing a request: its caller has as many open as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{open} requests of this caller are open, which is its share of at most {max}")]
pub struct TooManyRequests {
    /// Open requests of the caller, without this one. One with a large head counts as several.
    pub open: usize,
    /// Maximum of all callers together.
    pub max: usize,
}

impl OpenRequest {
    /// Begins a request of a connection, which is nobody's until it is counted for a caller.
    pub fn begin(connection: &Arc<OpenConnection>) -> Self {
        Self(Arc::new(CountedRequest {
            connection: Arc::clone(connection),
            counted: Mutex::default(),
        }))
    }

    /// Counts the request for a caller from now on, in place of the one before. Until its end, its connection is not closed to make room.
    /// With `is_shared`, a caller may have as many open as there is room for.
    ///
    /// # Errors
    /// [`TooManyRequests`]; then nothing has changed.
    pub fn count_for(&self, caller: CallerId, is_shared: bool) -> Result<(), TooManyRequests> {
        let mut counted = self.0.counted();
        let before = *counted;
        if before.is_some_and(|before| before.caller == caller) {
            return Ok(());
        }
        let connection = self.0.connection.number;
        let registry = self.0.registry();
        let mut state = registry.lock();
        let places = match before {
            Some(before) => before.places,
            None => (state.connections.get(&connection)).map_or(1, |own| own.places),
        };
        let open = state.by_caller.get(&caller).copied().unwrap_or_default();
        let others = state.requests - before.map_or(0, |before| before.places);
        if is_shared && open + places > registry.max.saturating_sub(others) {
            let max = registry.max;
            return Err(TooManyRequests { open, max });
        }
        match before {
            Some(before) => state.uncount(before),
            None => state.begin_request(connection),
        }
        let now = Counted { caller, places };
        state.count(now);
        *counted = Some(now);
        Ok(())
    }
}

impl CountedRequest {
    fn registry(&self) -> &Registry {
        &self.connection.registry
    }

    fn counted(&self) -> MutexGuard<'_, Option<Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let Some(counted) = *self.counted() else {
            return;
        };
        let mut state = self.registry().lock();
        state.uncount(counted);
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
        let connections = OpenConnections::new(3, 1);
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
    async fn new_connections_need_not_wait_until_idle_ones_have_closed() {
        let connections = OpenConnections::new(8, 1);
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(connections.admit().now_or_never().unwrap());
        }
        let closing = idle.iter().filter(|open| open.closing().is_cancelled());
        assert_eq!(closing.count(), 2);
        let ninth = connections.admit().now_or_never();
        assert!(ninth.is_none(), "eight are open");
        idle.remove(0);
        assert!(connections.admit().now_or_never().is_some());
    }

    #[tokio::test]
    async fn new_connections_may_use_the_places_that_requests_leave() {
        let connections = OpenConnections::new(8, 1);
        let mut requests = Vec::new();
        for _ in 0..6 {
            requests.push(begin(&connections.admit().await));
        }
        let first = connections.admit().now_or_never().unwrap();
        let second = connections.admit().now_or_never().unwrap();
        assert!(!first.closing().is_cancelled() && !second.closing().is_cancelled());
        assert!(connections.admit().now_or_never().is_none());
        assert!(first.closing().is_cancelled() && !second.closing().is_cancelled());
    }

    #[tokio::test]
    async fn one_idle_connection_is_closed_for_each_new_one() {
        let connections = OpenConnections::new(2, 1);
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
        let connections = OpenConnections::new(2, 1);
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
    async fn a_large_head_takes_the_places_of_several_idle_connections() {
        let connections = OpenConnections::new(6, 4);
        let mut idle = vec![connections.admit().await];
        let requests: Vec<_> = (0..3).map(|_| begin(&idle[0])).collect();
        for _ in 1..5 {
            idle.push(connections.admit().await);
        }
        let large = connections.admit().await;
        large.set_large();
        large.set_large();
        let closed = |connection: &Arc<OpenConnection>| connection.closing().is_cancelled();
        let are_closed: Vec<_> = idle.iter().map(closed).collect();
        assert_eq!(are_closed, [false, true, true, true, false]);
        idle.drain(1..4);
        assert_eq!(connections.0.lock().taken, 6);
        // A request of a caller on it takes as much of the share: three places are not enough.
        let second = OpenRequest::begin(&large);
        assert_eq!(
            second.count_for(BOB, true),
            Err(TooManyRequests { open: 0, max: 6 })
        );
        assert!(connections.admit().now_or_never().is_none());
        assert!(closed(&idle[1]) && !closed(&large));
        idle.pop();
        let last = connections.admit().now_or_never().unwrap();
        last.set_large();
        assert!(closed(&large) && !closed(&last));
        drop((large, second, idle, last, requests));
        let state = connections.0.lock();
        assert_eq!((state.taken, state.leaving, state.requests), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_all_have_requests() {
        let connections = OpenConnections::new(1, 1);
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
        let connections = OpenConnections::new(MAX, 1);
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
