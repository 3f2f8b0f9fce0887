//! Snapshots of every limit, for display and metrics.

mod of_state;

use std::time::Duration;

use crate::money::Usd;
use crate::outage::OutageReport;

/// One limit as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSnapshot {
    /// Unit that it counts.
    pub kind: LimitKind,
    /// Provider, key, model or caller that it belongs to; `None`: the whole process.
    pub scope: Option<String>,
    /// The limit; `None`: unlimited.
    pub limit: Option<u64>,
    /// Amount in use.
    pub in_use: u64,
    /// Amount that could be used now; `None`: unlimited.
    pub available: Option<u64>,
    /// Items that wait for it.
    pub waiting: u64,
}

/// Kind of a limit: the unit that it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Calls in flight.
    Concurrency,
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Items that wait.
    Queue,
    /// Bytes of memory held by requests.
    MemoryBytes,
}

/// Circuit breaker of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// Label of the model, `provider/model`.
    pub model: String,
    /// Current state.
    pub state: BreakerState,
    /// Time until a probe is let through; set while the breaker is open.
    pub retry_in: Option<Duration>,
    /// True if the configuration names the model. Only such models have metrics of their own.
    pub is_configured: bool,
}

/// State of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go out.
    Closed,
    /// No call goes out.
    Open,
    /// A few probes go out.
    HalfOpen,
}

/// Outage of a provider's key, or of a key with one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageSnapshot {
    /// Name of the provider.
    pub provider: String,
    /// Number of the key, from 1; `None`: the provider has one key or none.
    pub key: Option<usize>,
    /// Name of the model at the provider; `None`: the outage holds for all models.
    pub model: Option<String>,
    /// False if a caller has made up the model's name.
    pub is_configured: bool,
    /// Reason, and message of the provider.
    pub report: OutageReport,
    /// Time since its beginning.
    pub lasted: Duration,
    /// Time until a probe is let through.
    pub retry_in: Duration,
}

/// Budget of a caller for the current day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetSnapshot {
    /// Name of the caller.
    pub name: String,
    /// Maximum of a day.
    pub limit: Usd,
    /// Amount spent or reserved.
    pub spent: Usd,
}

/// Retry budget of a provider over the last ten seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudgetSnapshot {
    /// Name of the provider.
    pub provider: String,
    /// Retries made.
    pub used: u32,
    /// Retries allowed.
    pub limit: u32,
}
