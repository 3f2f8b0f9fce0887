//! Failed call to a provider: its kind, detail, and the headers that matter for a retry.

use std::time::Duration;

use throttle::RemainingQuota;

use super::error_table::ErrorClass;

/// Failed call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    pub kind: FailureKind,
    /// Meaning of the provider's error, by its code and words.
    pub class: ErrorClass,
    /// HTTP status of the provider's response, or the one that its error code stands for; `None`: no response.
    pub http_status: Option<u16>,
    /// Status and message of the provider, or the transport error, with the address. API keys and
    /// header values are redacted.
    pub detail: String,
    /// Wait that the provider asked for; `None`: no `retry-after`.
    pub retry_after: Option<Duration>,
    /// True if the provider says that its rate limit is the key's, with all models.
    pub limits_key: bool,
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
    /// An HTTP status that is not a success.
    Status(u16),
    /// The API key's quota or credit is exhausted; waiting does not help.
    Exhausted,
    /// The provider does not know the model, or not with this API key.
    UnknownModel,
    /// The provider does not support a feature of the request, which the next call omits.
    Adapted,
    /// This server lacks sockets, file descriptors or memory for the call.
    OwnResources,
    /// There is no memory for the rest of the answer.
    NoMemory,
    /// The queue of the built-in model is full.
    Busy,
    /// The input exceeds the model's context, or a minute's token quota.
    TooLong,
    /// The provider cannot be called with the current configuration.
    Unusable,
}

impl FailureKind {
    /// Returns the name for logs and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken_response",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Exhausted => "quota_exhausted",
            Self::UnknownModel => "unknown_model",
            Self::Adapted => "unsupported_feature",
            Self::OwnResources | Self::NoMemory => "server_resources",
            Self::Busy => "busy",
            Self::TooLong => "too_long",
            Self::Unusable => "unusable",
        }
    }
}

impl Failure {
    /// Returns a failure without `retry-after`, `x-should-retry` and rate limit headers.
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            class: ErrorClass::Status,
            http_status: None,
            detail: detail.into(),
            retry_after: None,
            limits_key: false,
            should_retry: None,
            remaining_quota: RemainingQuota::default(),
        }
    }

    /// Returns the provider's HTTP status, or `None` if there was no response.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match (self.http_status, self.kind) {
            (Some(status), _) | (None, FailureKind::Status(status)) => Some(status),
            (None, _) => None,
        }
    }
}
