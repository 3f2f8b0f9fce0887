//! Retry policy: the table of what follows from a failed call, and nothing else.

use std::time::Duration;

use crate::provider::{Failure, FailureKind};
use crate::types::Code;
use throttle::Health;

/// Next step after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Retry after a backoff, until the maximum number of calls; then the fallback.
    Retry,
    /// Rate limit, not a failure: the API key pauses. The item uses another key or the fallback at once, or waits at the front
    /// of its queue. Does not count as a failed call.
    Pause(Option<Duration>),
    /// Retry at once, in the request format that the provider supports.
    Again,
    /// The API key is unusable: use another key at once, or the fallback. Without either, the item fails with this code.
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
            Self::Again => "adapt",
            Self::OtherKey(_) => "other_key",
            Self::Fail(_) => "fail",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consequence {
    pub action: Action,
    /// Effect on the provider's circuit breaker.
    pub health: Health,
    /// True if the provider is overloaded, for the adaptive concurrency.
    pub is_crowded: bool,
    /// True if the provider may have processed and charged the call.
    pub may_be_charged: bool,
    /// True if the API key is unusable for all items.
    pub is_key_refused: bool,
}

/// Returns the table's row for a failure. The provider's `x-should-retry` header overrides the table's action. `took` is the
/// duration of the call.
pub fn consequence(failure: &Failure, took: Duration) -> Consequence {
    let row = row(failure, took);
    let action = match (failure.should_retry, row.action) {
        (Some(true), Action::Fail(_)) => Action::Retry,
        (Some(false), Action::Retry) => Action::Fail(Code::UpstreamError),
        (Some(false), Action::Pause(_)) => Action::Fail(Code::UpstreamRateLimited),
        (_, action) => action,
    };
    Consequence { action, ..row }
}

fn row(failure: &Failure, took: Duration) -> Consequence {
    use Health::{Neutral, Success};
    let row_of = |action, health| Consequence {
        action,
        health,
        is_crowded: false,
        may_be_charged: false,
        is_key_refused: false,
    };
    let unusable_key = |code| Consequence {
        is_key_refused: true,
        ..row_of(Action::OtherKey(code), Neutral)
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
        FailureKind::Timeout => Consequence {
            is_crowded: true,
            ..interrupted(Health::Timeout {
                took,
                is_own: false,
            })
        },
        FailureKind::Adapted => row_of(Action::Again, Success),
        FailureKind::Busy => row_of(Action::Pause(failure.retry_after), Neutral),
        FailureKind::Exhausted => unusable_key(Code::UpstreamRateLimited),
        FailureKind::TooLong => row_of(Action::Fail(Code::UpstreamError), Success),
        FailureKind::Unusable => row_of(Action::Fail(Code::UpstreamError), Neutral),
        FailureKind::Status(status) => match status {
            429 => overloaded(Action::Pause(failure.retry_after)),
            503 | 529 if failure.retry_after.is_some() => {
                overloaded(Action::Pause(failure.retry_after))
            }
            503 | 529 => overloaded(Action::Retry),
            401 | 403 => unusable_key(Code::UpstreamUnauthorized),
            408 | 409 => row_of(Action::Retry, Neutral),
            500 | 502 | 504 | 520..=524 => row_of(Action::Retry, Health::Failure),
            // 400, 404, 413, 422 and similar: the same request has the same result.
            0..=499 => row_of(Action::Fail(Code::UpstreamError), Success),
            // The server does not support the request; it is not unhealthy.
            501..=u16::MAX => row_of(Action::Fail(Code::UpstreamError), Neutral),
        },
    }
}

#[cfg(test)]
mod tests;
