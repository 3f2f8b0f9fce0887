//! Reading of a complete request body, limited in size, in time, and in the memory of all bodies together.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::body_memory::{BodyMemory, kibibytes};
use crate::types::{Code, Error};

/// UTF-8's byte order mark, which some programs write first.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Maximum pause within a body; also the head start before [`MIN_BYTES_PER_S`] applies.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// Minimum upload rate, in bytes per second. Both limits are the defaults of Apache's mod_reqtimeout
/// (<https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html>, read 2026-11).
const MIN_BYTES_PER_S: u32 = 500;

/// Body in memory, with the memory reserved for it.
#[derive(Debug)]
pub struct CompleteBody {
    pub bytes: Bytes,
    /// Reservation of the body's memory, released when dropped.
    pub memory: OwnedSemaphorePermit,
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// `payload_too_large`; `invalid_json` if the upload is interrupted or too slow; `overloaded` if all bodies together take too much
/// memory.
pub async fn read_body(
    body_memory: &BodyMemory,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<CompleteBody, Error> {
    let mut stream = body.into_data_stream();
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut memory = body_memory.reserve(1)?;
    let mut received =
        BytesMut::with_capacity(announced.unwrap_or_default().min(max_bytes).min(64 * 1024));
    let mut is_too_large = announced.is_some_and(|announced| announced > max_bytes);
    let started = Instant::now();
    while !is_too_large {
        let deadline = started + MAX_PAUSE + min_rate_time(received.len());
        let chunk =
            match tokio::time::timeout_at(deadline.min(Instant::now() + MAX_PAUSE), stream.next())
                .await
            {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => {
                    if received.starts_with(BYTE_ORDER_MARK) {
                        received.advance(BYTE_ORDER_MARK.len());
                    }
                    return Ok(CompleteBody {
                        bytes: received.freeze(),
                        memory,
                    });
                }
                Ok(Some(Err(error))) => {
                    return Err(interrupted(received.len(), &innermost_message(&error)));
                }
                Err(_) => return Err(too_slow(received.len())),
            };
        is_too_large = received.len() + chunk.len() > max_bytes;
        let reserved = u32::try_from(memory.num_permits()).unwrap_or(u32::MAX);
        let missing = kibibytes(received.len() + chunk.len()).saturating_sub(reserved);
        if missing > 0 && !is_too_large {
            memory.merge(body_memory.reserve(missing)?);
        }
        received.extend_from_slice(&chunk);
    }
    Err(too_large(max_bytes))
}

/// Returns the time that this many bytes take at the minimum rate.
fn min_rate_time(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64) / MIN_BYTES_PER_S
}

fn too_slow(bytes: usize) -> Error {
    let why = format!(
        "no data for {} s, or less than {MIN_BYTES_PER_S} bytes per second",
        MAX_PAUSE.as_secs()
    );
    interrupted(
        bytes,
        &format!("{why}; upload faster, or send smaller requests"),
    )
}

/// Returns the message of the innermost source, which is hyper's.
fn innermost_message(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), innermost_message)
}

fn interrupted(bytes: usize, why: &str) -> Error {
    Error::new(
        Code::InvalidJson,
        format!("the upload was interrupted after {bytes} bytes: {why}"),
    )
}

fn too_large(max_bytes: usize) -> Error {
    let detail = format!(
        "the body exceeds {max_bytes} bytes (`server.max_body_bytes`); send inputs as NDJSON, whose length is not limited"
    );
    Error::new(Code::PayloadTooLarge, detail)
}
