//! What follows from a failed call: the retry table, and nothing else.

use std::time::Duration;

use crate::provider::{Failure, FailureKind};
use crate::types::Code;
use throttle::Health;

/// What to do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try again after a backoff, while there are tries left; then the next model.
    Retry,
    /// Load, not a failure: the key pauses, and the item goes to another one at once, or to the next model, or to the front of its
    /// queue. It loses no try.
    Pause(Option<Duration>),
    /// Ask again at once, in the other form that the provider takes.
    Again,
    /// The key is of no use: another one at once, then the next model; without any, the item fails with this.
    OtherKey(Code),
    /// It will not get better: the item fails with this.
    Fail(Code),
}

impl Action {
    /// As a metric's label.
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
    /// What it says of the provider's health, for the breaker.
    pub health: Health,
    /// Whether the provider has too much to do, for the adaptive concurrency.
    pub is_crowded: bool,
    /// Whether the provider may have worked for it, and charged it.
    pub may_be_charged: bool,
    /// Whether the key is of no use for any other item either.
    pub is_key_refused: bool,
}

/// The table. The provider's own word (`x-should-retry`) is obeyed over it. `took` is how long the call lasted.
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
    let plain = |action, health| Consequence {
        action,
        health,
        is_crowded: false,
        may_be_charged: false,
        is_key_refused: false,
    };
    let useless = |code| Consequence {
        is_key_refused: true,
        ..plain(Action::OtherKey(code), Neutral)
    };
    let crowded = |action| Consequence {
        is_crowded: true,
        ..plain(action, Neutral)
    };
    let lost = |health| Consequence {
        may_be_charged: true,
        ..plain(Action::Retry, health)
    };
    match failure.kind {
        FailureKind::Connect => plain(Action::Retry, Health::Failure),
        FailureKind::Broken => lost(Health::Failure),
        FailureKind::Timeout => Consequence {
            is_crowded: true,
            ..lost(Health::Timeout {
                took,
                is_own: false,
            })
        },
        FailureKind::Adapted => plain(Action::Again, Success),
        FailureKind::Busy => plain(Action::Pause(failure.retry_after), Neutral),
        FailureKind::Exhausted => useless(Code::UpstreamRateLimited),
        FailureKind::TooLong => plain(Action::Fail(Code::UpstreamError), Success),
        FailureKind::Unusable => plain(Action::Fail(Code::UpstreamError), Neutral),
        FailureKind::Status(status) => match status {
            429 => crowded(Action::Pause(failure.retry_after)),
            503 | 529 if failure.retry_after.is_some() => {
                crowded(Action::Pause(failure.retry_after))
            }
            503 | 529 => crowded(Action::Retry),
            401 | 403 => useless(Code::UpstreamUnauthorized),
            408 | 409 => plain(Action::Retry, Neutral),
            500 | 502 | 504 | 520..=524 => plain(Action::Retry, Health::Failure),
            // 400, 404, 413, 422 and their kin: the same question gets the same answer.
            0..=499 => plain(Action::Fail(Code::UpstreamError), Success),
            // They say that the server cannot, not that it is in trouble.
            501..=u16::MAX => plain(Action::Fail(Code::UpstreamError), Neutral),
        },
    }
}

#[cfg(test)]
mod tests;
