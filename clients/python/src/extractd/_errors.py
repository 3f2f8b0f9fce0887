"""Exceptions: one class per error code of the server, under a few bases to catch."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ._types import Problem


class ExtractdError(Exception):
    """Base of all exceptions of this package."""


class ConnectionBroken(ExtractdError):
    """The server could not be reached, or the response ended before its last event."""


class ApiError(ExtractdError):
    """Problem reported by the server, as the response or as the error of one item."""

    def __init__(self, problem: Problem) -> None:
        fields = "".join(f"\n  {error.pointer}: {error.message}" for error in problem.errors or ())
        super().__init__(f"{problem.code.value}: {problem.detail}{fields}")
        self.problem = problem

    @property
    def code(self) -> str:
        """Machine-readable error code."""
        return self.problem.code.value

    @property
    def status(self) -> int:
        """HTTP status; for an item, the status that a single extraction would have returned."""
        return int(self.problem.status)

    @property
    def request_id(self) -> str:
        """ID of the request, as in the server's log."""
        return self.problem.request_id

    @property
    def retry_after(self) -> float | None:
        """Minimum delay before the request is sent again, in seconds."""
        wait = self.problem.retry_after_ms
        return None if wait is None else wait / 1000


class BadRequestError(ApiError):
    """Request that must be changed before it is sent again."""


class InvalidJsonError(BadRequestError): ...


class InvalidRequestError(BadRequestError): ...


class InvalidSchemaError(BadRequestError): ...


class PayloadTooLargeError(BadRequestError): ...


class UnsupportedMediaTypeError(BadRequestError): ...


class MethodNotAllowedError(BadRequestError): ...


class IdempotencyMismatchError(BadRequestError): ...


class AuthenticationError(ApiError):
    """No API key, or an unknown one."""


class ForbiddenError(ApiError): ...


class NotFoundError(ApiError): ...


class GoneError(ApiError): ...


class ConflictError(ApiError): ...


class TryLaterError(ApiError):
    """Request that may succeed unchanged after `retry_after`."""


class QuotaExceededError(TryLaterError): ...


class OverloadedError(TryLaterError): ...


class ShuttingDownError(TryLaterError): ...


class ModelError(ApiError):
    """Failure of the model or its provider."""

    @property
    def attempts(self) -> int | None:
        """Number of attempts made."""
        return self.problem.attempts

    @property
    def raw(self) -> str | None:
        """Text of the model's last answer."""
        return self.problem.raw

    @property
    def candidate(self) -> Any:
        """Best invalid answer that parsed as JSON."""
        return self.problem.candidate


class ExtractionFailedError(ModelError):
    """No attempt's answer was valid."""


class ModelRefusedError(ModelError): ...


class OutputTruncatedError(ModelError): ...


class UpstreamError(ModelError): ...


class UpstreamRateLimitedError(UpstreamError): ...


class UpstreamUnauthorizedError(UpstreamError): ...


class ExtractionTimeoutError(ModelError): ...


class InternalError(ApiError): ...


class InvalidResultError(ExtractdError):
    """Item that ended as `invalid`, because `on_failure="best"` was set."""

    def __init__(self, candidate: Any, errors: list[str]) -> None:
        super().__init__("the best answer is invalid: " + "; ".join(errors))
        self.candidate = candidate
        self.errors = errors


class CancelledItemError(ExtractdError):
    """Item that was cancelled with its batch or job."""


_BY_CODE: dict[str, type[ApiError]] = {
    "invalid_json": InvalidJsonError,
    "invalid_request": InvalidRequestError,
    "invalid_schema": InvalidSchemaError,
    "unauthorized": AuthenticationError,
    "forbidden": ForbiddenError,
    "not_found": NotFoundError,
    "gone": GoneError,
    "method_not_allowed": MethodNotAllowedError,
    "conflict": ConflictError,
    "idempotency_mismatch": IdempotencyMismatchError,
    "payload_too_large": PayloadTooLargeError,
    "unsupported_media_type": UnsupportedMediaTypeError,
    "quota_exceeded": QuotaExceededError,
    "overloaded": OverloadedError,
    "extraction_failed": ExtractionFailedError,
    "model_refused": ModelRefusedError,
    "output_truncated": OutputTruncatedError,
    "upstream_error": UpstreamError,
    "upstream_rate_limited": UpstreamRateLimitedError,
    "upstream_unauthorized": UpstreamUnauthorizedError,
    "timeout": ExtractionTimeoutError,
    "shutting_down": ShuttingDownError,
    "internal": InternalError,
}


def error_of(problem: Problem) -> ApiError:
    """Returns the exception for a problem."""
    return _BY_CODE.get(problem.code.value, ApiError)(problem)


def error_of_response(status: int, body: bytes) -> ExtractdError:
    """Returns the exception for an error response, also for one that a proxy wrote."""
    try:
        return error_of(Problem.model_validate_json(body))
    except ValidationError:
        text = body[:200].decode(errors="replace")
        return ConnectionBroken(f"HTTP status {status} without a problem from extractd: {text!r}")
