//! Errors of requests and responses for which there is no memory, or no buffer.

use crate::types::{Code, Error};
use throttle::{NoMemory, RETRY_SOON};

/// Returns the error of a response for which there is no memory.
pub fn no_response_memory(refused: &NoMemory) -> Error {
    let detail = format!(
        "{refused} (`limits.max_memory_bytes`); read or close the responses that are open, and retry in 1 s"
    );
    Error::new(Code::Overloaded, detail).retry_after(RETRY_SOON)
}

/// Returns the error of a request for which there is no memory.
pub fn no_memory(refused: &NoMemory) -> Error {
    match refused {
        NoMemory::TooLarge { .. } => Error::new(
            Code::PayloadTooLarge,
            format!(
                "the request is too large: {refused} (`limits.max_memory_bytes`, `limits.max_queue_bytes`); send fewer values at a time, \
                 or send the inputs as NDJSON, which is streamed"
            ),
        ),
        NoMemory::Full | NoMemory::ShareUsedUp => Error::new(
            Code::Overloaded,
            format!(
                "{refused} (`limits.max_memory_bytes`, `limits.max_queue_bytes`); retry in 1 s, or send NDJSON, which is streamed"
            ),
        )
        .retry_after(RETRY_SOON),
    }
}

/// Returns the error of a batch that is too large for an ordered response.
pub fn too_large_to_buffer() -> Error {
    let detail = "the batch exceeds `limits.max_ordered_bytes`, the maximum for an ordered response; \
                  request a stream instead (`\"stream\": true`, or `Accept: application/x-ndjson`)";
    Error::new(Code::PayloadTooLarge, detail)
}
