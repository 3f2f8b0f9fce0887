/** Errors: `ApiError` carries the server's problem; its subclasses are groups of error codes. */

import type { components } from "./schema.js";

/** Problem as the server sends it (RFC 9457). */
export type Problem = components["schemas"]["Problem"];
/** Machine-readable error code. */
export type Code = Problem["code"];

/** Base of all errors of this package. */
export class ExtractdError extends Error {
  override name = "ExtractdError";
}

/** The server could not be reached, or the response ended before its last event. */
export class ConnectionBroken extends ExtractdError {
  override name = "ConnectionBroken";
}

/** Data that the caller's own schema rejects, although it is valid against its JSON Schema. */
export class InvalidDataError extends ExtractdError {
  override name = "InvalidDataError";
  constructor(
    readonly data: unknown,
    readonly issues: readonly { readonly message: string }[],
  ) {
    super(`the schema rejects the data: ${issues.map((issue) => issue.message).join("; ")}`);
  }
}

/** Item that ended as `invalid`, because `on_failure: "best"` was set. */
export class InvalidResultError extends ExtractdError {
  override name = "InvalidResultError";
  constructor(
    readonly candidate: unknown,
    readonly errors: components["schemas"]["FieldError"][],
  ) {
    super(`the best answer is invalid: ${errors.map((error) => `${error.pointer}: ${error.message}`).join("; ")}`);
  }
}

/** Item that was cancelled with its batch or job. */
export class CancelledItemError extends ExtractdError {
  override name = "CancelledItemError";
}

/** Problem reported by the server, as the response or as the error of one item. */
export class ApiError extends ExtractdError {
  override name = "ApiError";
  constructor(readonly problem: Problem) {
    const fields = (problem.errors ?? []).map((error) => `\n  ${error.pointer}: ${error.message}`);
    super(`${problem.code}: ${problem.detail}${fields.join("")}`);
  }

  /** Machine-readable error code. */
  get code(): Code {
    return this.problem.code;
  }

  /** HTTP status; for an item, the status that a single extraction would have returned. */
  get status(): number {
    return this.problem.status;
  }

  /** Minimum delay before the request is sent again, in milliseconds. */
  get retryAfterMs(): number | undefined {
    return this.problem.retry_after_ms ?? undefined;
  }
}

/** Request that must be changed before it is sent again. */
export class BadRequestError extends ApiError {
  override name = "BadRequestError";
}
/** No API key, or an unknown one. */
export class AuthenticationError extends ApiError {
  override name = "AuthenticationError";
}
export class ForbiddenError extends ApiError {
  override name = "ForbiddenError";
}
export class NotFoundError extends ApiError {
  override name = "NotFoundError";
}
export class ConflictError extends ApiError {
  override name = "ConflictError";
}
/** Request that may succeed unchanged after `retryAfterMs`. */
export class TryLaterError extends ApiError {
  override name = "TryLaterError";
}
/** Failure of the model or its provider. */
export class ModelError extends ApiError {
  override name = "ModelError";
}
/** No attempt's answer was valid. */
export class ExtractionFailedError extends ModelError {
  override name = "ExtractionFailedError";
}
export class ModelRefusedError extends ModelError {
  override name = "ModelRefusedError";
}
export class OutputTruncatedError extends ModelError {
  override name = "OutputTruncatedError";
}
export class UpstreamError extends ModelError {
  override name = "UpstreamError";
}
export class ExtractionTimeoutError extends ModelError {
  override name = "ExtractionTimeoutError";
}
export class InternalError extends ApiError {
  override name = "InternalError";
}

const BY_CODE: Record<Code, new (problem: Problem) => ApiError> = {
  invalid_json: BadRequestError,
  invalid_request: BadRequestError,
  invalid_schema: BadRequestError,
  method_not_allowed: BadRequestError,
  idempotency_mismatch: BadRequestError,
  payload_too_large: BadRequestError,
  unsupported_media_type: BadRequestError,
  unauthorized: AuthenticationError,
  forbidden: ForbiddenError,
  not_found: NotFoundError,
  gone: NotFoundError,
  conflict: ConflictError,
  quota_exceeded: TryLaterError,
  overloaded: TryLaterError,
  shutting_down: TryLaterError,
  extraction_failed: ExtractionFailedError,
  model_refused: ModelRefusedError,
  output_truncated: OutputTruncatedError,
  upstream_error: UpstreamError,
  upstream_rate_limited: UpstreamError,
  upstream_unauthorized: UpstreamError,
  timeout: ExtractionTimeoutError,
  internal: InternalError,
};

/** Returns the error for a problem. */
export function errorOf(problem: Problem): ApiError {
  return new (BY_CODE[problem.code] ?? ApiError)(problem);
}

/** Returns the error for an error response, also for one that a proxy wrote. */
export async function errorOfResponse(response: Response): Promise<ExtractdError> {
  const text = await response.text().catch(() => "");
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    return errorOf(JSON.parse(text) as Problem);
  }
  return new ConnectionBroken(
    `HTTP status ${response.status} without a problem from extractd: ${JSON.stringify(text.slice(0, 200))}`,
  );
}
