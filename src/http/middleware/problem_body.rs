//! Problem bodies (RFC 9457) of all error responses, including those of axum's router.

use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::super::chat;
use super::super::chat::error::ErrorShape;
use super::super::problem::{self, ApiError, FailureUsage};
use super::request_id::RequestId;
use crate::types::{Code, Error};

/// Returns the response with a problem as its body if it is an error of a handler or of the router; else unchanged.
///
/// `unknown_path` is the detail of the error for a path of OpenAI's API without a route.
pub fn add(
    mut response: Response,
    request_id: &RequestId,
    shape: ErrorShape,
    unknown_path: Option<String>,
) -> Response {
    if let Some(ApiError(error)) = response.extensions_mut().remove::<ApiError>() {
        let usage = response.extensions_mut().remove::<FailureUsage>();
        return respond(&error, request_id, None, usage, shape);
    }
    match routing_error(&response) {
        Some(mut error) => {
            if error.code == Code::NotFound
                && let Some(detail) = unknown_path
            {
                error.detail = detail;
            }
            let allow = response.headers().get(ALLOW);
            respond(&error, request_id, allow, None, shape)
        }
        None => response,
    }
}

fn respond(
    error: &Error,
    request_id: &RequestId,
    allow: Option<&HeaderValue>,
    usage: Option<FailureUsage>,
    shape: ErrorShape,
) -> Response {
    if shape == ErrorShape::Problem {
        return problem::respond(error, &request_id.0, allow, usage);
    }
    let usage = usage.map(|FailureUsage(usage)| usage);
    chat::error::respond(error, &request_id.0, allow, usage, shape)
}

fn routing_error(response: &Response) -> Option<Error> {
    let has_body = response.headers().contains_key(CONTENT_TYPE);
    let (code, detail) = match response.status() {
        StatusCode::NOT_FOUND if !has_body => (
            Code::NotFound,
            "no route for this path; see /docs for all routes",
        ),
        // axum rejects a path parameter that is not UTF-8.
        StatusCode::BAD_REQUEST => (
            Code::NotFound,
            "no route for this path: it is not valid UTF-8",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            Code::MethodNotAllowed,
            "this path does not support the request's method; the `Allow` header lists the supported ones",
        ),
        _ => return None,
    };
    Some(Error::new(code, detail))
}
