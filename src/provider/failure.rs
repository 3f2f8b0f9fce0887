//! Failed call to a provider: its kind, detail, and the headers that matter for a retry.

use std::time::Duration;

use throttle::RemainingQuota;

/// Failed call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    pub kind: FailureKind,
    /// Status and message of the provider, or the transport error, with the address. API keys and
    /// header values are redacted.
    pub detail: String,
    /// Wait that the provider asked for; `None`: no `retry-after`.
    pub retry_after: Option<Duration>,
    /// Value of the `x-should-retry` header; `None`: absent.
    pub should_retry: Option<bool>,
    /// Quota of the API key after the call, from the rate limit headers.
    pub remaining_quota: RemainingQuota,
}

/// Kind of a failure. The retry policy of the extraction layer maps each one to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// DNS, connect or TLS error: nothing was sent.
    Connect,
    /// The connection broke after the request was sent, or the response could not be decoded.
    Broken,
    /// The call timed out.
    Timeout,
    /// An HTTP status other than 200.
    Status(u16),
    /// The API key's quota or credit is exhausted; waiting does not help.
    Exhausted,
    /// The provider does not know the model, or not with this API key.
    UnknownModel,
    /// The provider does not support a feature of the request, which the next call omits.
    Adapted,
    /// The queue of the built-in model is full.
    Busy,
    /// The input exceeds the model's context, or a minute's token quota.
    TooLong,
    /// The provider cannot be called with the current configuration.
    Unusable,
}

impl Failure {
    /// Returns a failure without `retry-after`, `x-should-retry` and rate limit headers.
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            retry_after: None,
            should_retry: None,
            remaining_quota: RemainingQuota::default(),
        }
    }

    /// Returns the failure with `Broken` instead of a status: for an error in a 200 response, which
    /// has no status of its own.
    #[must_use]
    pub fn into_broken(self) -> Self {
        let kind = if matches!(self.kind, FailureKind::Status(_)) {
            FailureKind::Broken
        } else {
            self.kind
        };
        Self { kind, ..self }
    }

    /// Returns the provider's HTTP status, or `None` if the failure is not a status.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.kind {
            FailureKind::Status(status) => Some(status),
            _ => None,
        }
    }
}
