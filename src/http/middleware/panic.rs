//! Panics of handlers: turned into the problem `internal` (500), and logged with the request's ID.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use super::super::problem::ApiError;
use super::request_id::RequestId;
use crate::types::{Code, Error};

/// Marker of a response that stands for a panic; among the response's extensions.
#[derive(Debug, Clone, Copy)]
struct Panicked;

/// Returns the response of a handler that panicked. The panic hook has logged the message.
pub fn response(_payload: Box<dyn Any + Send>) -> Response {
    let error = Error::new(
        Code::Internal,
        "the server failed to process the request because of a bug; search its log for the request ID",
    );
    let mut response = ApiError::from(error).into_response();
    response.extensions_mut().insert(Panicked);
    response
}

/// Logs the request if its handler panicked.
pub fn log(response: &Response, request_id: &RequestId) {
    if response.extensions().get::<Panicked>().is_some() {
        tracing::error!(request_id = %request_id.0, "a request handler panicked; this is a bug");
    }
}
