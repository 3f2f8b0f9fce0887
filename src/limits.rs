//! Who may call a provider, and when: the global semaphore, a requests bucket for each provider key, and the
//! fair queue in front of both.
//!
//! A call takes its slot and its bucket token **together**, at the moment that it goes out. Holding a slot while
//! waiting for a token would keep it from a provider that could use it; holding a token while waiting for a slot
//! would pile tokens up behind a slow upstream and then burst over the rate.
//!
//! Knows nothing of providers, schemas or HTTP: a [`Pool`] is a name with a quota.

mod admission;
mod alarm;
pub mod backoff;
mod bucket;
mod fair;
mod permit;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use admission::{Lane, Overloaded};
pub use bucket::Rate;
pub use permit::{Denied, InLine, Patience, Permit, Turn};
use state::State;

/// The limits of the whole process.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Calls in flight, all callers and providers together.
    pub max_concurrency: usize,
    /// Items that may wait for their turn.
    pub max_queue: usize,
}

/// What one provider key allows.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The provider's name, for `/v1/limits` and the metrics.
    pub name: String,
    /// `None`: unlimited.
    pub rate: Option<Rate>,
    /// Calls in flight on this key; `None`: as many as the global limit allows.
    pub max_in_flight: Option<usize>,
}

/// Which pool a call goes to: its place in the list given to [`Limits::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolId(pub usize);

/// Whose work it is: the first level of the fair queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CallerId(pub u64);

/// Takes the place in the queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    alarm: alarm::Alarm,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out every permit that can go out now, and sets the alarm for the next.
    fn dispatch(self: &Arc<Self>) {
        let (next, unclaimed) = {
            let mut state = self.lock();
            (state.dispatch(Instant::now(), self), state.take_unclaimed())
        };
        if let Some(next) = next {
            self.alarm.set(next);
        }
        // Each gives its slot to the next in line.
        drop(unclaimed);
    }
}

/// One limit as it stands, for `/v1/limits` and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub kind: Kind,
    /// The pool that it belongs to; `None`: the whole process.
    pub scope: Option<String>,
    /// `None`: unlimited.
    pub limit: Option<u64>,
    pub in_use: u64,
    /// `None`: unlimited.
    pub available: Option<u64>,
    pub waiting: u64,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Concurrency,
    RequestsPerMinute,
    Queue,
}

impl Limits {
    /// Starts the alarm's thread, which ends with the last clone.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(config: Config, pools: Vec<Pool>) -> std::io::Result<Self> {
        let state = State::new(config, pools, Instant::now());
        let shared = Arc::new(Shared { config, state: Mutex::new(state), alarm: alarm::Alarm::default() });
        let ringing = Arc::downgrade(&shared);
        shared.alarm.start(move || match ringing.upgrade() {
            Some(shared) => {
                shared.dispatch();
                true
            }
            None => false,
        })?;
        Ok(Self(shared))
    }

    /// A place in the queue for a request of `wanted` items at a time, as far as there is room.
    ///
    /// Decided once; the items of an admitted request are never refused for want of room.
    ///
    /// # Errors
    /// [`Overloaded`] when there is no room for a single item.
    pub fn admit(&self, caller: CallerId, pool: PoolId, wanted: usize) -> Result<Lane, Overloaded> {
        let (request, window) = self.0.lock().admit(pool, wanted.max(1), Instant::now())?;
        Ok(Lane::new(Arc::clone(&self.0), caller, request, window))
    }

    /// No call of this pool goes out before `until`: the provider has said so. The calls in flight are left alone.
    pub fn pause(&self, pool: PoolId, until: Instant) {
        self.0.lock().pause(pool, until, Instant::now());
        self.0.dispatch();
    }

    /// Every limit as it stands now.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        self.0.lock().readings(Instant::now())
    }

    /// The most calls in flight.
    #[must_use]
    pub fn max_concurrency(&self) -> usize {
        self.0.config.max_concurrency
    }
}

/// How long to wait before the same is worth trying again, when nothing better is known.
const RETRY_SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
