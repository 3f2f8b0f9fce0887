//! Retry policy: the table of what follows from a failed call, and nothing else.

use std::time::Duration;

use crate::provider::{ErrorClass, Failure, FailureKind};
use crate::types::{Code, FallbackCondition};
use throttle::{Health, OutageReason};

/// Next step after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Retry after a backoff, until the maximum number of calls; then the fallback.
    Retry,
    /// Rate limit, not a failure: the API key pauses. The item uses another key or the fallback at once, or waits at the front
    /// of its queue. Does not count as a failed call.
    Pause(Option<Duration>),
    /// This server lacks a resource: retry in a moment, for as long as the item may wait. Does not count as a failed call.
    Wait,
    /// Retry at once, in the request format that the provider supports.
    Again,
    /// The API key is unusable, for this model at least: use another key at once, or the fallback. Without either, the item
    /// fails with this code, or waits for the end of the outage.
    OtherKey(Code),
    /// A retry cannot help: the item fails with this code.
    Fail(Code),
}

impl Action {
    /// Returns the action's label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Pause(_) => "pause",
            Self::Wait => "wait",
            Self::Again => "adapt",
            Self::OtherKey(_) => "other_key",
            Self::Fail(_) => "fail",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "columns of the table, independent of each other"
)]
pub struct Consequence {
    pub action: Action,
    /// Effect on the provider's circuit breaker.
    pub health: Health,
    /// True if the provider is overloaded, for the adaptive concurrency.
    pub is_crowded: bool,
    /// True if the provider may have processed and charged the call.
    pub may_be_charged: bool,
    /// Reason of the failure, if other items fail for it too.
    pub outage: Option<OutageReason>,
    /// True if the failure may be due to this item alone.
    pub is_doubtful: bool,
    /// True if the failure may be due to what its caller wrote into the body of the call.
    pub is_callers_own: bool,
}

/// Time that a call is given at least before a missing answer is evidence against the provider, if the provider has no
/// `timeout_ms` of its own. Callers may give their items less time, which says nothing about the provider.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the time that a call is given by the server itself. `configured` is the provider's own timeout.
pub fn patience(configured: Option<Duration>) -> Duration {
    configured.unwrap_or(PATIENCE)
}

/// Returns the evidence of a call that was not answered within `took`. `silence` is the time since the last part of its answer, in which
/// more of it was read; `None`: nothing has arrived. `configured` is the provider's own timeout.
///
/// An answer of which parts arrive may be long, or its client slow: only half of the patience without a part is the provider's failure.
pub fn health_of_timeout(
    took: Duration,
    silence: Option<Duration>,
    configured: Option<Duration>,
) -> Health {
    let patience = patience(configured);
    let unanswered = silence.unwrap_or(took);
    if took >= patience && unanswered >= patience / 2 {
        Health::Timeout { took: unanswered }
    } else {
        Health::Neutral
    }
}

/// Returns the table's row for a failure. The provider's `x-should-retry` header overrides the table's action. `unanswered` is
/// the evidence of a call that was not answered in time.
pub fn consequence(failure: &Failure, unanswered: Health) -> Consequence {
    let row = row(failure, unanswered);
    let action = match (failure.should_retry, row.action) {
        (Some(true), Action::Fail(_)) => Action::Retry,
        (Some(false), Action::Retry) => Action::Fail(Code::UpstreamError),
        (Some(false), Action::Pause(_)) => Action::Fail(Code::UpstreamRateLimited),
        (_, action) => action,
    };
    let is_doubtful = row.outage.is_some_and(OutageReason::is_doubtful)
        || failure.class == ErrorClass::Unaffordable;
    Consequence {
        action,
        is_doubtful,
        ..row
    }
}

fn row(failure: &Failure, unanswered: Health) -> Consequence {
    use Health::{Neutral, Success};
    let row_of = |action, health| Consequence {
        action,
        health,
        is_crowded: false,
        may_be_charged: false,
        outage: None,
        is_doubtful: false,
        is_callers_own: false,
    };
    let unusable_key = |reason| Consequence {
        outage: Some(reason),
        ..row_of(Action::OtherKey(outage_code(reason)), Neutral)
    };
    let overloaded = |action| Consequence {
        is_crowded: true,
        ..row_of(action, Neutral)
    };
    let interrupted = |health| Consequence {
        may_be_charged: true,
        ..row_of(Action::Retry, health)
    };
    match failure.kind {
        FailureKind::Connect => row_of(Action::Retry, Health::Failure),
        FailureKind::Broken => interrupted(Health::Failure),
        FailureKind::NoMemory => interrupted(Neutral),
        FailureKind::Timeout => Consequence {
            is_crowded: unanswered != Neutral,
            ..interrupted(unanswered)
        },
        FailureKind::Adapted => row_of(Action::Again, Success),
        FailureKind::OwnResources => row_of(Action::Wait, Neutral),
        FailureKind::Busy => row_of(Action::Pause(failure.retry_after), Neutral),
        FailureKind::Exhausted => unusable_key(OutageReason::QuotaExhausted),
        FailureKind::UnknownModel => unusable_key(OutageReason::UnknownModel),
        FailureKind::TooLong => row_of(Action::Fail(Code::UpstreamError), Success),
        FailureKind::Unusable => row_of(Action::Fail(Code::UpstreamError), Neutral),
        FailureKind::Status(status) => match status {
            429 => overloaded(Action::Pause(failure.retry_after)),
            503 | 529 if failure.retry_after.is_some() => {
                overloaded(Action::Pause(failure.retry_after))
            }
            503 | 529 => overloaded(Action::Retry),
            401 => unusable_key(OutageReason::KeyRefused),
            403 => unusable_key(OutageReason::AccessDenied),
            408 | 409 => row_of(Action::Retry, Neutral),
            500 | 502 | 504 | 520..=524 => row_of(Action::Retry, Health::Failure),
            404 => Consequence {
                outage: Some(OutageReason::NotFound),
                ..row_of(Action::Fail(Code::UpstreamError), Success)
            },
            // 400, 413, 422 and similar: the same request has the same result.
            0..=499 => row_of(Action::Fail(Code::UpstreamError), Success),
            // The server does not support the request; it is not unhealthy.
            501..=u16::MAX => row_of(Action::Fail(Code::UpstreamError), Neutral),
        },
    }
}

/// Returns the error code of an item that fails because of an outage.
pub const fn outage_code(reason: OutageReason) -> Code {
    match reason {
        OutageReason::KeyRefused | OutageReason::AccessDenied => Code::UpstreamUnauthorized,
        OutageReason::QuotaExhausted => Code::UpstreamRateLimited,
        OutageReason::UnknownModel | OutageReason::NotFound => Code::UpstreamError,
    }
}

/// Returns the condition under which a failed call leads to the fallback.
pub const fn fallback_condition(failure: &Failure) -> FallbackCondition {
    match failure.kind {
        FailureKind::TooLong => FallbackCondition::TooLong,
        FailureKind::UnknownModel => FallbackCondition::UnknownModel,
        FailureKind::Unusable | FailureKind::Status(501 | 505) => FallbackCondition::Rejected,
        FailureKind::Status(401 | 402 | 403 | 408 | 409 | 429 | 500..) => {
            FallbackCondition::Unavailable
        }
        FailureKind::Status(_) => FallbackCondition::Rejected,
        _ => FallbackCondition::Unavailable,
    }
}

#[cfg(test)]
mod tests;
