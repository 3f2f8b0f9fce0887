//! Who may call a provider, and when: the global semaphore, the buckets of requests and of tokens of each provider key, the
//! quotas of each caller, the breaker of each model, and the fair queue in front of all of them.
//!
//! A call takes everything that it needs **together**, at the moment that it goes out. Holding a slot while waiting for a token
//! would keep it from a provider that could use it; holding a token while waiting for a slot would pile tokens up behind a slow
//! upstream and then burst over the rate.
//!
//! What is held is counted by what is alive, so that nothing can leak: a [`Permit`] dropped at any moment gives back all of it.
//!
//! Knows nothing of wire formats, schemas or HTTP: a [`Pool`] is a name with quotas.

mod adaptive;
mod admission;
mod api_key_limits;
pub mod backoff;
mod breaker;
mod caller_quota;
mod fair_queue;
mod model_limits;
mod permit;
mod provider_limits;
mod raii_counter;
mod request_bucket;
mod retry_budget;
mod rolling_window;
mod scheduler;
mod snapshot;
mod timer;
mod token_bucket;
mod token_estimator;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use admission::{Admission, Refused};
pub use api_key_limits::KeySet;
pub use breaker::Health;
pub use caller_quota::{Quota, QuotaStatus, Window};
pub use fair_queue::Class;
pub use model_limits::{Model, ModelLimits};
pub use permit::{Denied, PendingPermit, Permit, PermitRequest, Priority, WaitBudget};
pub use request_bucket::Rate;
pub use snapshot::{BreakerSnapshot, BreakerState, LimitKind, LimitSnapshot, RetryBudgetSnapshot};
pub use token_estimator::estimate_tokens as guess_tokens;

use crate::telemetry;
use crate::types::Usage;
use permit::CallCharge;
use provider_limits::HeldResources;
use scheduler::State;

/// The limits of the whole process.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Calls in flight, all callers and providers together.
    pub max_concurrency: usize,
    /// Items that may wait for their turn.
    pub max_queue: usize,
}

/// What one provider key allows. `None`: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyQuota {
    pub requests: Option<Rate>,
    pub tokens_per_minute: Option<NonZeroU32>,
}

/// What a provider allows.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The provider's name, for `/v1/limits` and the metrics.
    pub name: String,
    /// One for each key, or for the calls without one: at least one, at most [`KeySet::MAX`].
    pub keys: Vec<KeyQuota>,
    /// Calls in flight, all keys together; `None`: as many as the global limit allows.
    pub max_in_flight: Option<usize>,
    /// Whether to make fewer calls at a time when the provider says that there are too many.
    pub is_adaptive: bool,
}

/// Which pool a call goes to: its place in the list given to [`Limits::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub usize);

/// Whose work it is: the first level of the fair queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CallerId(pub u64);

/// A request that wants to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionRequest {
    pub class: Class,
    /// Where its calls go at first.
    pub pool: PoolId,
    /// Items that it would have under way at a time, at least 1.
    pub items: usize,
    /// Whether it has but one item.
    pub is_single: bool,
    /// Whether the cost of each of its calls will be known.
    pub has_price: bool,
}

/// What a call has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageReport {
    /// It was refused, or never sent: what was reserved comes back.
    Nothing,
    /// It may have been worked for, and charged: what was reserved stays taken.
    Unknown,
    Tokens(Usage),
}

/// What a provider's headers say is left of its own limits. `None`: they do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemainingQuota {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

/// For how long a provider wants no call with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    Until(Instant),
    /// It did not say: a while, which is longer each time that it says so again and nothing was answered meanwhile.
    Unsaid,
}

/// What became of a call, as far as limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallReport {
    pub health: Health,
    /// The provider has too much to do.
    pub is_crowded: bool,
    pub spent: UsageReport,
    /// The provider wants no call with this key for now.
    pub pause: Option<Pause>,
    /// The provider does not take this key, or its quota is used up for good.
    pub is_refused: bool,
    pub remaining: RemainingQuota,
}

impl CallReport {
    /// One that used nothing and says no more than this.
    #[must_use]
    pub const fn new(health: Health) -> Self {
        let remaining = RemainingQuota {
            requests: None,
            tokens: None,
        };
        Self {
            health,
            is_crowded: false,
            spent: UsageReport::Nothing,
            pause: None,
            is_refused: false,
            remaining,
        }
    }
}

/// Takes the place in the queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    alarm: timer::Timer,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out every permit that can go out now, and sets the alarm for the next.
    fn dispatch(self: &Arc<Self>) {
        self.change(|_, _| ());
    }

    /// Changes something, then gives out what can go out by it.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let (changed, next, unclaimed) = {
            let mut state = self.lock();
            let now = Instant::now();
            let changed = change(&mut state, now);
            (changed, state.dispatch(now, self), state.take_unclaimed())
        };
        if let Some(next) = next {
            self.alarm.set(next);
        }
        // Each gives its slot to the next in line.
        drop(unclaimed);
        changed
    }

    fn finish(
        self: &Arc<Self>,
        stake: &CallCharge,
        holds: Option<HeldResources>,
        report: &CallReport,
    ) {
        let has_opened = self.change(|state, now| state.finish(stake, holds, report, now));
        if has_opened {
            let model = self.lock().name_of(&stake.model);
            tracing::warn!(
                model,
                "the model fails all the time; it is left alone for a while"
            );
            telemetry::breaker_opened(&model);
        }
    }
}

impl Limits {
    /// Starts the alarm's thread, which ends with the last clone.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(config: Config, pools: Vec<Pool>) -> std::io::Result<Self> {
        let state = State::new(config, pools, Instant::now());
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            alarm: timer::Timer::default(),
        });
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

    /// The model of this name at a provider: the same one for everybody who asks it. The `terms` are those of the first.
    #[must_use]
    pub fn model(&self, pool: PoolId, name: &str, terms: ModelLimits) -> Arc<Model> {
        self.0.lock().model(pool, name, terms, Instant::now())
    }

    /// Sets who may call and how much each may use. Balances of those who stay are kept.
    pub fn set_callers(&self, callers: Vec<(CallerId, Quota)>) {
        self.0
            .change(|state, now| state.set_callers(callers, now, SystemTime::now()));
    }

    /// Under what name a caller's things are kept; empty where there are no callers.
    #[must_use]
    pub fn owner(&self, caller: CallerId) -> String {
        self.0
            .lock()
            .callers
            .get(&caller)
            .map(|caller| caller.quota.owner.clone())
            .unwrap_or_default()
    }

    /// The caller whose things are kept under this name, if it may call now.
    #[must_use]
    pub fn caller_of(&self, owner: &str) -> Option<CallerId> {
        if owner.is_empty() {
            return Some(CallerId::default());
        }
        let state = self.0.lock();
        let found = state
            .callers
            .iter()
            .find(|(_, caller)| caller.quota.owner == owner && !caller.is_retired);
        found.map(|(id, _)| *id)
    }

    /// A place in the queue for a request, as large as there is room for.
    ///
    /// Decided once; the items of an admitted request are never refused for want of room.
    ///
    /// # Errors
    /// [`Refused`] when there is no room for a single item.
    pub fn admit(&self, caller: CallerId, load: &AdmissionRequest) -> Result<Admission, Refused> {
        let mut state = self.0.lock();
        let admitted = state.admit(caller, load, Instant::now())?;
        let counts_tokens = state.counts_tokens(caller);
        drop(state);
        Ok(Admission::new(
            Arc::clone(&self.0),
            load,
            caller,
            admitted,
            counts_tokens,
        ))
    }

    /// Counts a retry of a failed call, if the provider's retry budget has room for one.
    ///
    /// # Errors
    /// How long until it is worth asking again.
    pub fn retry(&self, pool: PoolId) -> Result<(), Duration> {
        self.0
            .lock()
            .pools
            .get_mut(pool.0)
            .map_or(Ok(()), |pool| pool.provider.retries.retry(Instant::now()))
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
