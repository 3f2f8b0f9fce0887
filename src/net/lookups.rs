//! Lookups of names: off the workers, each name once at a time, and few at a time for one caller.
//!
//! The system's resolver keeps a thread for as long as a name's servers take, also when nobody waits for the answer any more. The
//! threads are shared by the whole process, and a caller may name hosts of its own whose servers never answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;

use super::guard::{NotPublic, Reach};
use throttle::{CallerId, FairPermit, FairSemaphore};

/// Maximum number of concurrent lookups of a client. One caller has as many as are free: half of them, if it is the only one.
const MAX_LOOKUPS: usize = 16;
/// Maximum time of a lookup that only checks a name, with the wait for its turn.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses of a name, or why there are none.
type Answer = io::Result<Vec<SocketAddr>>;
/// Receiver of an answer, for each call that waits for it.
type Awaited = watch::Receiver<Option<Answer>>;
/// Caller, and the name that it looks up. The callers have lookups of their own: from the time that one takes, none learns which
/// names the others look up.
type Key = (CallerId, String);

tokio::task_local! {
    /// Caller on whose behalf the current task makes a call. reqwest asks its resolver within that task, by no more than the name.
    static CALLER: CallerId;
}

/// Runs a call on behalf of a caller, which has the call's lookup among its own.
pub(super) async fn on_behalf_of<F: Future>(caller: CallerId, call: F) -> F::Output {
    CALLER.scope(caller, call).await
}

/// Resolver of a client: returns the addresses of a name that are within its reach.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    reach: Reach,
    lookups: Arc<Lookups>,
}

impl Resolver {
    /// Creates a resolver that asks the system.
    pub fn new(reach: Reach) -> Self {
        Self::with_source(reach, ask_system)
    }

    /// Creates a resolver that asks `source`, which may block.
    pub fn with_source(
        reach: Reach,
        source: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let lookups = Lookups {
            source: Box::new(source),
            turns: FairSemaphore::leaving_room(MAX_LOOKUPS),
            under_way: Mutex::default(),
        };
        Self {
            reach,
            lookups: Arc::new(lookups),
        }
    }

    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Rejects a URL whose host is an IP address out of reach, or a name that has only such addresses. A name without an
    /// address, or without an answer in time, passes, because its lookup may succeed later; each call checks the addresses again.
    ///
    /// # Errors
    /// [`NotPublic`] with the address or the name.
    pub async fn check(&self, caller: CallerId, url: &Url) -> Result<(), NotPublic> {
        self.reach.check(url)?;
        let Some(url::Host::Domain(name)) = url.host().filter(|_| self.reach == Reach::Public)
        else {
            return Ok(());
        };
        let lookup = Arc::clone(&self.lookups).look_up(caller, name);
        match tokio::time::timeout(CHECK_TIMEOUT, lookup).await {
            Ok(Ok(addresses)) => self.reach.filter(name, addresses).map(drop),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (self.reach, Arc::clone(&self.lookups));
        // A provider's address is the operator's, so its lookups have no other owner than the client.
        let caller = CALLER.try_with(|caller| *caller).unwrap_or_default();
        Box::pin(async move {
            let found = lookups.look_up(caller, name.as_str()).await?;
            let addresses: Addrs = Box::new(reach.filter(name.as_str(), found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// Returns the addresses of a name by the system's resolver, which blocks.
fn ask_system(name: &str) -> Answer {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// Lookups of a client.
struct Lookups {
    source: Box<dyn Fn(&str) -> Answer + Send + Sync>,
    turns: FairSemaphore,
    /// Lookups that keep a thread now, also those for which nobody waits any more.
    under_way: Mutex<BTreeMap<Key, Awaited>>,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = self.under_way().len();
        f.debug_struct("Lookups")
            .field("under_way", &under_way)
            .finish_non_exhaustive()
    }
}

impl Lookups {
    /// Returns the addresses of a name, by the caller's lookup of it that is under way or by a new one.
    ///
    /// # Errors
    /// If the name has no address, or the lookup failed.
    ///
    /// # Cancel safety
    /// A lookup that has begun goes on to its end, and later calls join it until then.
    async fn look_up(self: Arc<Self>, caller: CallerId, name: &str) -> Answer {
        let key = (caller, name.to_owned());
        let joined = self.under_way().get(&key).cloned();
        let mut awaited = if let Some(awaited) = joined {
            awaited
        } else {
            let turn = self.turns.acquire(caller, 1).await;
            self.join_or_begin(key, turn)
        };
        match awaited.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(addresses))) => Ok(addresses.clone()),
            Ok(Some(Err(error))) => Err(same_error(error)),
            Ok(None) | Err(_) => Err(io::Error::other("the lookup of the name was aborted")),
        }
    }

    /// Joins the lookup that has begun while this one waited for its turn, or begins one.
    fn join_or_begin(self: Arc<Self>, key: Key, turn: FairPermit) -> Awaited {
        let mut under_way = self.under_way();
        if let Some(awaited) = under_way.get(&key) {
            return awaited.clone();
        }
        let (answer, awaited) = watch::channel(None);
        under_way.insert(key.clone(), awaited.clone());
        drop(under_way);
        let lookup = Lookup {
            lookups: self,
            key,
            answer,
            found: None,
            _turn: turn,
        };
        drop(tokio::task::spawn_blocking(move || lookup.run()));
        awaited
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<Key, Awaited>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lookup that keeps a thread, and its caller's turn, until this is dropped.
struct Lookup {
    lookups: Arc<Lookups>,
    key: Key,
    answer: watch::Sender<Option<Answer>>,
    found: Option<Answer>,
    _turn: FairPermit,
}

impl Lookup {
    fn run(mut self) {
        self.found = Some((self.lookups.source)(&self.key.1));
    }
}

/// Ends the lookup, also after a panic, or without a thread at shutdown. No call joins it once there is an answer.
impl Drop for Lookup {
    fn drop(&mut self) {
        self.lookups.under_way().remove(&self.key);
        self.answer.send_replace(self.found.take());
    }
}

/// Returns a copy of an error, which keeps the system's code.
fn same_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests;
