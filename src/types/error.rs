//! Why something failed, in the contract's words. Which HTTP status that is, only the `http` layer knows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// What went wrong, as a caller's program tells one case from another. The contract lists when each occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    InvalidJson,
    InvalidRequest,
    InvalidSchema,
    Unauthorized,
    Forbidden,
    NotFound,
    Gone,
    MethodNotAllowed,
    Conflict,
    IdempotencyMismatch,
    PayloadTooLarge,
    UnsupportedMediaType,
    QuotaExceeded,
    Overloaded,
    ExtractionFailed,
    ModelRefused,
    OutputTruncated,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnauthorized,
    Timeout,
    ShuttingDown,
    Internal,
}

impl Code {
    /// Every code, in the contract's order.
    pub const ALL: [Self; 23] = [
        Self::InvalidJson,
        Self::InvalidRequest,
        Self::InvalidSchema,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Gone,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::IdempotencyMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::QuotaExceeded,
        Self::Overloaded,
        Self::ExtractionFailed,
        Self::ModelRefused,
        Self::OutputTruncated,
        Self::UpstreamError,
        Self::UpstreamRateLimited,
        Self::UpstreamUnauthorized,
        Self::Timeout,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The code as it is written in JSON, and as the value of a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidSchema => "invalid_schema",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Overloaded => "overloaded",
            Self::ExtractionFailed => "extraction_failed",
            Self::ModelRefused => "model_refused",
            Self::OutputTruncated => "output_truncated",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamRateLimited => "upstream_rate_limited",
            Self::UpstreamUnauthorized => "upstream_unauthorized",
            Self::Timeout => "timeout",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = FieldError)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the request body, or, where a model's answer was invalid, into that answer.
    #[schema(example = "/schema/properties/age/type")]
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// What the model was asked and said before an item failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptInfo {
    /// How often the model was asked.
    pub attempts: u32,
    /// The last answer's text.
    pub raw: Option<String>,
    /// The nearest answer as JSON, where one parsed: the one with the fewest faults, the later of two with as many.
    pub candidate: Option<Value>,
    /// Which model wrote the candidate, as `provider/model`.
    pub model: Option<Arc<str>>,
}

/// A failure that a caller gets to see.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    pub code: Code,
    /// One sentence that says what is wrong and what to do.
    pub detail: String,
    /// Each single fault; may be empty.
    pub errors: Vec<FieldError>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// The provider's HTTP status, where a provider failed.
    pub upstream_status: Option<u16>,
    /// For the failures that come after the model was asked.
    pub attempted: Option<Box<AttemptInfo>>,
}

impl Error {
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            upstream_status: None,
            attempted: None,
        }
    }

    /// An error about one place in the request, given as a JSON Pointer.
    #[must_use]
    pub fn with_pointer(
        code: Code,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let fault = FieldError {
            pointer: pointer.into(),
            message: message.into(),
        };
        let detail = said(&fault);
        Self {
            errors: vec![fault],
            ..Self::new(code, detail)
        }
    }

    /// The request has a wrong field; shorthand for [`Error::at`] with `invalid_request`.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::with_pointer(Code::InvalidRequest, pointer, message)
    }

    /// The same error about something that stands at `prefix` of the request instead of at its root.
    #[must_use]
    pub fn with_pointer_prefix(mut self, prefix: &str) -> Self {
        for fault in &mut self.errors {
            fault.pointer.insert_str(0, prefix);
        }
        if let [fault] = self.errors.as_slice() {
            self.detail = said(fault);
        }
        self
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

fn said(fault: &FieldError) -> String {
    if fault.pointer.is_empty() {
        fault.message.clone()
    } else {
        format!("{}: {}", fault.pointer, fault.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}

/// Appends one step to a JSON Pointer, escaped as RFC 6901 section 3 says.
#[must_use]
pub fn pointer(base: &str, step: &str) -> String {
    format!("{base}/{}", step.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_the_same_in_json_and_in_metrics() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_pointer_step_is_escaped() {
        assert_eq!(pointer("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
