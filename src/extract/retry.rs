//! What follows from a failed call: the retry table, and nothing else.

use std::time::Duration;

use crate::model::Code;
use crate::provider::{Failure, FailureKind};

/// What to do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try again after a backoff, while there are tries left.
    Retry,
    /// Load, not a failure: the key pauses, and the item goes to the front of its queue and loses no try.
    Pause(Option<Duration>),
    /// Ask again at once, in the other form that the provider takes.
    Again,
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
            Self::Fail(_) => "fail",
        }
    }
}

/// The table. The provider's own word (`x-should-retry`) is obeyed over it.
pub fn action(failure: &Failure) -> Action {
    let action = by_kind(failure);
    match (failure.should_retry, action) {
        (Some(true), Action::Fail(_)) => Action::Retry,
        (Some(false), Action::Retry) => Action::Fail(Code::UpstreamError),
        (Some(false), Action::Pause(_)) => Action::Fail(Code::UpstreamRateLimited),
        (_, action) => action,
    }
}

fn by_kind(failure: &Failure) -> Action {
    match failure.kind {
        FailureKind::Connect | FailureKind::Broken => Action::Retry,
        FailureKind::Adapted => Action::Again,
        FailureKind::Busy => Action::Pause(failure.retry_after),
        FailureKind::Exhausted => Action::Fail(Code::UpstreamRateLimited),
        FailureKind::TooLong | FailureKind::Unusable => Action::Fail(Code::UpstreamError),
        FailureKind::Status(status) => match status {
            429 => Action::Pause(failure.retry_after),
            503 | 529 if failure.retry_after.is_some() => Action::Pause(failure.retry_after),
            401 | 403 => Action::Fail(Code::UpstreamUnauthorized),
            408 | 409 | 500 | 502..=504 | 520..=524 | 529 => Action::Retry,
            // 400, 404, 413, 422 and their kin: the same question gets the same answer.
            // 501, 505 to 519 and all above say that the server cannot, not that it is in trouble.
            0..=499 | 501..=u16::MAX => Action::Fail(Code::UpstreamError),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let seconds = Some(Duration::from_secs(2));
        let unauthorized = Action::Fail(Code::UpstreamUnauthorized);
        let failed = Action::Fail(Code::UpstreamError);
        for (status, asked, expected) in [
            (429, seconds, Action::Pause(seconds)),
            (429, None, Action::Pause(None)),
            (503, seconds, Action::Pause(seconds)),
            (503, None, Action::Retry),
            (529, None, Action::Retry),
            (408, None, Action::Retry),
            (409, None, Action::Retry),
            (500, seconds, Action::Retry),
            (502, None, Action::Retry),
            (504, None, Action::Retry),
            (522, None, Action::Retry),
            (401, None, unauthorized),
            (403, None, unauthorized),
            (301, None, failed),
            (400, None, failed),
            (404, seconds, failed),
            (413, None, failed),
            (422, None, failed),
            (501, None, failed),
        ] {
            let failure = Failure { retry_after: asked, ..Failure::new(FailureKind::Status(status), "") };
            assert_eq!(action(&failure), expected, "{status}");
        }
    }

    #[test]
    fn the_providers_own_word_is_obeyed() {
        let said = |kind, should_retry| action(&Failure { should_retry: Some(should_retry), ..Failure::new(kind, "") });
        assert_eq!(said(FailureKind::Status(400), true), Action::Retry);
        assert_eq!(said(FailureKind::Status(500), false), Action::Fail(Code::UpstreamError));
        assert_eq!(said(FailureKind::Status(429), true), Action::Pause(None));
    }
}
