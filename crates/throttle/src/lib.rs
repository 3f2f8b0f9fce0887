//! Decides who may call a provider, and when: the global semaphore, the request and token buckets of each provider key, the
//! quotas of each caller, the circuit breaker of each model, and the fair queue in front of all of them.
//!
//! A call takes everything that it needs **together**, at the moment that it goes out. Holding a slot while waiting for a token
//! would keep the slot from a provider that could use it. Holding a token while waiting for a slot would pile tokens up behind
//! a slow provider, and burst over the rate later.
//!
//! Everything held is counted by RAII guards, so that nothing leaks: a [`Permit`] that is dropped at any moment returns all of it.
//!
//! | module | contents |
//! |---|---|
//! | `limits` | [`Limits`], the public entry |
//! | `admission` | [`Admission`] of a request, [`PendingPermit`]: its places in the queue |
//! | `permit_request`, `grant`, `permit` | [`PermitRequest`], what it is granted or denied, and the [`Permit`] |
//! | `scheduler` | the state: admission, queueing, dispatch, denials, settlement |
//! | `fair_queue` | start-time fair queueing over classes, callers and requests |
//! | `fair_order` | [`FairOrder`]: one level of it, for other queues |
//! | `fair_semaphore` | [`FairSemaphore`]: permits that go to the callers in turn |
//! | `provider_limits`, `api_key_limits`, `model_limits`, `caller_quota` | limits of providers, keys, models and callers |
//! | `model_table` | the models that are known |
//! | `call_slots` | the slots for calls in flight of the process |
//! | `caller_calls`, `call_times` | calls in flight of a caller, how long they take, and the slots that it leaves to others |
//! | `request_bucket`, `token_bucket`, `token_estimator` | rate limits of requests and tokens |
//! | `received_text` | [`ReceivedText`]: what has arrived of an answer |
//! | `caller_id` | [`CallerId`]: whose requests share limits |
//! | `breaker`, `adaptive`, `retry_budget`, `backoff` | circuit breaker, adaptive concurrency, retry budget, backoff |
//! | `memory`, `memory_pool` | [`MemoryLedger`]: the memory budget, with a share for each caller; [`MemoryPool`]: a request's small things |
//! | `hold` | which limit keeps the waiting calls of a model |
//! | `snapshot` | every limit as it stands, for display and metrics |
//! | `pause`, `model_pauses` | pauses after HTTP 429: of a key with one model, or with all; for one caller whose own fields may be the reason |
//! | `outage` | keys and models that fail every call alike, and their probes |
//! | `trial` | the first calls to a model |
//! | `observer` | events for metrics and logs |
//!
//! The crate knows nothing of wire formats, schemas or HTTP: a [`Pool`] is a name with quotas.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::too_many_lines,
        reason = "tests spawn tasks, read the clock and hold long tables"
    )
)]

mod adaptive;
mod admission;
mod api_key_limits;
pub mod backoff;
mod breaker;
mod call_slots;
mod call_times;
mod caller_calls;
mod caller_id;
mod caller_quota;
mod fair_order;
mod fair_queue;
mod fair_semaphore;
mod grant;
mod hold;
mod limits;
mod memory;
mod memory_pool;
mod model_limits;
mod model_pauses;
mod model_table;
mod money;
mod observer;
mod outage;
mod pause;
mod permit;
mod permit_request;
mod provider_limits;
mod raii_counter;
mod received_text;
mod request_bucket;
mod retry_budget;
mod rolling_window;
mod scheduler;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod timer;
mod token_bucket;
mod token_estimator;
mod trial;
mod types;

pub use admission::{Admission, PendingPermit};
pub use api_key_limits::KeySet;
pub use breaker::Health;
pub use caller_id::CallerId;
pub use caller_quota::{Quota, QuotaStatus, Window};
pub use fair_order::FairOrder;
pub use fair_queue::Class;
pub use fair_semaphore::{FairPermit, FairSemaphore};
pub use hold::{Hold, HoldReason, HoldSnapshot};
pub use limits::Limits;
pub use memory::{MemoryLedger, MemoryReservation, MemorySnapshot, MemoryUse, NoMemory};
pub use memory_pool::{MemoryPool, PooledMemory};
pub use model_limits::{Model, ModelLimits};
pub use money::{Price, Usd};
pub use observer::{Ignore, ModelObserver, Observer};
pub use outage::{OutageChange, OutageReason, OutageReport};
pub use permit::Permit;
pub use permit_request::{Denied, PermitRequest, Priority, WaitBudget};
pub use received_text::ReceivedText;
pub use request_bucket::Rate;
pub use snapshot::{
    BreakerSnapshot, BreakerState, BudgetSnapshot, LimitKind, LimitSnapshot, OutageSnapshot,
    RetryBudgetSnapshot,
};
pub use token_estimator::estimate_tokens;
pub use types::RETRY_SOON;
pub use types::{
    AdmissionRequest, CallReport, Config, KeyQuota, Pause, Pool, PoolId, Refused, RemainingQuota,
    TokenUsage, UsageReport,
};
