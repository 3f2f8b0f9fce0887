//! The types that the parts of this crate share: identifiers, quotas, requests for admission, and reports of calls.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::breaker::Health;
use crate::fair_queue::Class;
use crate::outage::OutageReport;
use crate::request_bucket::Rate;

/// Limits of the whole process.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Maximum number of calls in flight, all callers and providers together.
    pub max_concurrency: usize,
    /// Maximum number of items that wait: the size of the waiting room.
    pub max_queue: usize,
    /// Memory that all requests together may hold, in bytes.
    pub max_memory_bytes: usize,
    /// Part of the memory that request bodies may take, in bytes.
    pub max_body_memory_bytes: usize,
}

/// Rate limits of one provider key. `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyQuota {
    /// Requests per minute, with the burst.
    pub requests: Option<Rate>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<NonZeroU32>,
}

/// Limits of one provider.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Name of the provider, for snapshots.
    pub name: String,
    /// Quota of each key, or of calls without a key: between one and `KeySet::MAX` entries.
    pub keys: Vec<KeyQuota>,
    /// Maximum number of calls in flight, all keys together. `None`: the global limit.
    pub max_in_flight: Option<usize>,
    /// True if the number of calls in flight is lowered while the provider reports overload.
    pub is_adaptive: bool,
    /// True if few calls go out to a model until the first one was answered.
    pub has_trial: bool,
}

/// Index of a provider in the list given to `Limits::new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub usize);

/// Identifier of an admitted request, a single or a batch.
pub type RequestId = u64;

/// A request that asks for admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionRequest {
    /// Direct request or job.
    pub class: Class,
    /// Provider of its first target.
    pub pool: PoolId,
    /// Maximum number of items that may wait or be in flight at a time, at least 1.
    pub window: usize,
    /// True if the request has exactly one item, which exists and takes its place at once.
    pub is_single: bool,
    /// True if every target has a price, so that the cost of each call is known.
    pub has_price: bool,
}

/// Reason for refusing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The waiting room is full.
    #[error("{waiting} items are waiting, and the limit is {max_queue}")]
    Overloaded {
        /// Items that wait.
        waiting: usize,
        /// Size of the waiting room.
        max_queue: usize,
        /// Time after which a repeated request is worthwhile.
        retry_after: Duration,
    },
    /// The caller's own part of the waiting room is full.
    #[error("the caller's own waiting room is full")]
    QuotaUsedUp {
        /// Time until the caller's quota has something again.
        retry_after: Duration,
    },
    /// The caller has as many items waiting as there is room left for all callers.
    #[error("{waiting} items of this caller are waiting, which is its share")]
    ShareUsedUp {
        /// Items of the caller that wait.
        waiting: usize,
        /// Time after which a repeated request is worthwhile.
        retry_after: Duration,
    },
    /// The caller's budget is used up until midnight UTC.
    #[error("the caller's budget for today is used up")]
    BudgetExhausted {
        /// Time until midnight UTC.
        retry_after: Duration,
    },
    /// The caller has a budget, and the cost of a call is not known.
    #[error("the caller has a budget, and the price of the model is not configured")]
    NoPrice,
}

/// Model tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl TokenUsage {
    /// Returns at most `max` tokens in total; the output is cut first.
    #[must_use]
    pub fn at_most(self, max: u64) -> Self {
        let input = self.input.min(max);
        Self {
            input,
            output: self.output.min(max - input),
        }
    }

    /// Returns the sum of input and output tokens.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Usage of a call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageReport {
    /// The call was refused or never sent: the reservation is returned.
    Nothing,
    /// The provider may have worked for it and charged it: the reservation stays taken, and more if more of an answer has arrived.
    Unknown,
    /// The usage that the provider reported.
    Tokens(TokenUsage),
}

/// Quota that a provider's rate limit headers report as remaining. `None`: not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemainingQuota {
    /// Remaining requests.
    pub requests: Option<u64>,
    /// Remaining tokens.
    pub tokens: Option<u64>,
}

/// Time for which a provider wants no call with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until the moment that the provider named.
    Until(Instant),
    /// The provider named no time. The pause grows with each further one until a call succeeds.
    Unspecified,
}

/// Result of a call, as far as limits are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// Evidence for the circuit breaker.
    pub health: Health,
    /// True if the provider is overloaded, for adaptive concurrency.
    pub is_overload: bool,
    /// Usage to settle the reservation with.
    pub spent: UsageReport,
    /// Pause of the key with the model, if the provider asked for one.
    pub pause: Option<Pause>,
    /// True if the provider says that the pause is the key's, with all models.
    pub pauses_key: bool,
    /// True if the call had fields of its caller's own, which may be the reason of what is reported: it says little about the calls
    /// of others.
    pub is_callers_own: bool,
    /// Reason of the failure, if other calls with the key or the model fail for it too.
    pub outage: Option<OutageReport>,
    /// Quota that the rate limit headers report as remaining.
    pub remaining: RemainingQuota,
}

impl CallReport {
    /// Returns a report of a call that used nothing, with this evidence and nothing else.
    #[must_use]
    pub const fn new(health: Health) -> Self {
        let remaining = RemainingQuota {
            requests: None,
            tokens: None,
        };
        Self {
            health,
            is_overload: false,
            spent: UsageReport::Nothing,
            pause: None,
            pauses_key: false,
            is_callers_own: false,
            outage: None,
            remaining,
        }
    }

    /// Returns the report of a cancelled call. Cancellation is neutral for the provider's health.
    #[must_use]
    pub fn cancelled(was_sent: bool) -> Self {
        let spent = if was_sent {
            UsageReport::Unknown
        } else {
            UsageReport::Nothing
        };
        Self {
            spent,
            ..Self::new(Health::Neutral)
        }
    }
}

/// Time to wait before a repetition is worthwhile, if nothing better is known.
pub const RETRY_SOON: Duration = Duration::from_secs(1);
