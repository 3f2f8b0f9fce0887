//! Problem bodies (RFC 9457) of all error responses, including those of axum's router.

use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::super::chat;
use super::super::chat::error::ErrorShape;
use super::super::problem::{self, ApiError, FailureUsage};
use super::super::response_memory::ReservedMemory;
use super::super::unknown_path;
use super::request_id::RequestId;
use crate::extraction::error_writing_piece;
use crate::long_work::Piece;
use crate::types::{Code, Error};
use throttle::CallerId;

/// Returns the piece of long work that writing the body of a handler's error is; `None` if it is short.
pub fn piece(response: &Response, caller: CallerId) -> Option<Piece> {
    let ApiError(error) = response.extensions().get()?;
    error_writing_piece(error, caller)
}

/// Returns the response with a problem as its body if it is an error of a handler or of the router; else unchanged.
///
/// `method` and `path` are those of the request, and `route` is the path with parameters in braces.
pub fn add(
    mut response: Response,
    request_id: &RequestId,
    shape: ErrorShape,
    method: &Method,
    path: &str,
    route: Option<&str>,
) -> Response {
    if let Some(ApiError(error)) = response.extensions_mut().remove::<ApiError>() {
        let usage = response.extensions_mut().remove::<FailureUsage>();
        let memory = response.extensions_mut().remove::<ReservedMemory>();
        let response = respond(&error, request_id, None, usage, shape);
        return ReservedMemory::hold(memory, response);
    }
    match routing_error(&response) {
        Some(mut error) => {
            let allow = response.headers().get(ALLOW);
            match error.code {
                Code::NotFound if shape != ErrorShape::Problem => {
                    error.detail = chat::error::unknown_path(path).into();
                }
                Code::NotFound => error.detail = unknown_path::detail(path).into(),
                _ => error.detail = unknown_path::wrong_method(method.as_str(), route).into(),
            }
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
        StatusCode::NOT_FOUND if !has_body => (Code::NotFound, "no route for this path"),
        // axum rejects a path parameter that is not UTF-8.
        StatusCode::BAD_REQUEST => (Code::NotFound, "no route for this path"),
        StatusCode::METHOD_NOT_ALLOWED => (
            Code::MethodNotAllowed,
            "this path does not support the request's method",
        ),
        _ => return None,
    };
    Some(Error::new(code, detail))
}
