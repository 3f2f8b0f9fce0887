//! `Server-Timing` header: time in the queue, time in calls to the provider, and total time.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::contract::millis;
use crate::types::Timing;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Adds the header. Queue and upstream times are present if the handler left a [`Timing`] among the response's extensions.
pub fn add_header(response: &mut Response, elapsed: Duration) {
    let total = millis(elapsed);
    let text = match response.extensions().get::<Timing>() {
        Some(timing) => {
            let (queue, upstream) = (millis(timing.queued), millis(timing.upstream));
            format!("queue;dur={queue}, upstream;dur={upstream}, total;dur={total}")
        }
        None => format!("total;dur={total}"),
    };
    let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert(SERVER_TIMING, value);
}
