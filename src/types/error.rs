//! Errors of the API contract: code, detail, and field errors with JSON Pointers. Must not know HTTP statuses; the `http`
//! layer maps them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::error_text::{ErrorDetail, ErrorMessage, ErrorPointer};
use super::json_size::written_size;
use super::shared_value::SharedValue;

/// Machine-readable error code. The OpenAPI document lists when each occurs.
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

    /// Returns the code as written in JSON and in metric labels.
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

/// Validation error of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = FieldError)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the request body, or, where a model's answer was invalid, into that answer.
    #[schema(value_type = String, example = "/schema/properties/age/type")]
    pub pointer: ErrorPointer,
    /// Description of the error.
    #[schema(value_type = String)]
    pub message: ErrorMessage,
}

impl FieldError {
    /// Creates the error of a field, given as a JSON Pointer.
    #[must_use]
    pub fn new(pointer: impl Into<ErrorPointer>, message: impl Into<ErrorMessage>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// Prepends `prefix` to the pointer.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        let pointer = [prefix, &*self.pointer].concat();
        Self::new(pointer, self.message)
    }
}

/// Attempts of a failed item: their number and the answers of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptInfo {
    /// Number of attempts.
    pub attempts: u32,
    /// Text of the last answer.
    pub raw: Option<String>,
    /// Answer with the fewest validation errors, the later of equals. `None`: no answer was JSON.
    pub candidate: Option<SharedValue>,
    /// Model that wrote the candidate, as `provider/model`.
    pub model: Option<Arc<str>>,
}

/// Error that is reported to the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// Machine-readable code.
    pub code: Code,
    /// Sentence with the cause and what to do next.
    pub detail: ErrorDetail,
    /// Errors of single fields; may be empty.
    pub errors: Vec<FieldError>,
    /// Time after which a retry may succeed. `None`: unknown, or a retry is useless.
    pub retry_after: Option<Duration>,
    /// HTTP status of the provider's response. `None`: no provider failed, or it sent no response.
    pub upstream_status: Option<u16>,
    /// Attempts made before the error. `None`: the model was not called.
    pub attempted: Option<Arc<AttemptInfo>>,
}

impl Error {
    /// Creates an error without field errors.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<ErrorDetail>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            upstream_status: None,
            attempted: None,
        }
    }

    /// Creates an error about one field of the request, given as a JSON Pointer.
    #[must_use]
    pub fn with_pointer(
        code: Code,
        pointer: impl Into<ErrorPointer>,
        message: impl Into<ErrorMessage>,
    ) -> Self {
        let field_error = FieldError::new(pointer, message);
        let detail = detail_of(&field_error);
        Self {
            errors: vec![field_error],
            ..Self::new(code, detail)
        }
    }

    /// Creates an `invalid_request` error about one field; shorthand for [`Error::with_pointer`].
    #[must_use]
    pub fn invalid(pointer: impl Into<ErrorPointer>, message: impl Into<ErrorMessage>) -> Self {
        Self::with_pointer(Code::InvalidRequest, pointer, message)
    }

    /// Prepends `prefix` to the pointer of every field error: for a value that is nested in the request.
    #[must_use]
    pub fn with_pointer_prefix(mut self, prefix: &str) -> Self {
        let errors = std::mem::take(&mut self.errors).into_iter();
        self.errors = errors.map(|error| error.with_prefix(prefix)).collect();
        if let [field_error] = self.errors.as_slice() {
            self.detail = detail_of(field_error);
        }
        self
    }

    /// Replaces the field errors.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// Returns the best invalid answer that the model gave.
    #[must_use]
    pub fn candidate(&self) -> Option<&SharedValue> {
        self.attempted.as_ref()?.candidate.as_ref()
    }

    /// Returns the size of the invalid answers that it has as JSON, in bytes, approximately; `None` if that is more than `max`.
    #[must_use]
    pub fn written_size(&self, max: usize) -> Option<usize> {
        let raw = self.attempted.as_ref().and_then(|info| info.raw.as_ref());
        let raw_bytes = raw.map_or(0, String::len);
        let left = max.checked_sub(raw_bytes)?;
        let candidate = self.candidate();
        let bytes = candidate.map_or(Some(0), |value| written_size(&**value, left));
        bytes.map(|bytes| raw_bytes + bytes)
    }

    /// Sets the time after which a retry may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

fn detail_of(error: &FieldError) -> ErrorDetail {
    if error.pointer.is_empty() {
        (*error.message).into()
    } else {
        format!("{}: {}", error.pointer, error.message).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_serializes_as_its_string() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
