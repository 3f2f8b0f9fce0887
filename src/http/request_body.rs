//! Reading a whole body: bounded in size, in time, and in what all of them take together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Shared;
use crate::types::{Code, Error};

/// How long a client may send nothing in the middle of a body; and how long one that sends too slowly may go on.
const PATIENCE: Duration = Duration::from_secs(20);
/// What comes more slowly than this, in bytes a second, is not waited for. Both as in Apache's mod_reqtimeout by default
/// (<https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html>, read 2026-11).
const SLOWEST: u32 = 500;

/// A body in memory, and the room that it takes until this is dropped.
#[derive(Debug)]
pub struct CompleteBody {
    pub bytes: Bytes,
    pub room: OwnedSemaphorePermit,
}

pub fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// `payload_too_large`, `invalid_json` when it breaks off or trickles, `overloaded` when all bodies together take too much.
pub async fn read(
    shared: &Shared,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<CompleteBody, Error> {
    let mut stream = body.into_data_stream();
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut room = take_room(shared, 1)?;
    let mut read =
        BytesMut::with_capacity(announced.unwrap_or_default().min(max_bytes).min(64 * 1024));
    let mut is_too_large = announced.is_some_and(|announced| announced > max_bytes);
    let begun = Instant::now();
    while !is_too_large {
        let until = begun + PATIENCE + worth(read.len());
        let chunk = match tokio::time::timeout_at(
            until.min(Instant::now() + PATIENCE),
            stream.next(),
        )
        .await
        {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => {
                return Ok(CompleteBody {
                    bytes: read.freeze(),
                    room,
                });
            }
            Ok(Some(Err(error))) => return Err(broken(read.len(), &innermost(&error))),
            Err(_) => return Err(too_slow(read.len())),
        };
        is_too_large = read.len() + chunk.len() > max_bytes;
        let taken = u32::try_from(room.num_permits()).unwrap_or(u32::MAX);
        let missing = kibibytes(read.len() + chunk.len()).saturating_sub(taken);
        if missing > 0 && !is_too_large {
            room.merge(take_room(shared, missing)?);
        }
        read.extend_from_slice(&chunk);
    }
    Err(too_large(max_bytes))
}

fn take_room(shared: &Shared, kibibytes: u32) -> Result<OwnedSemaphorePermit, Error> {
    Arc::clone(&shared.room).try_acquire_many_owned(kibibytes).map_err(|_| {
        let detail = "the requests in memory take all of `limits.max_queue_bytes`; try again in a moment, or send NDJSON, which is not held";
        Error::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1))
    })
}

/// The time that so many bytes may take.
fn worth(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64) / SLOWEST
}

fn too_slow(bytes: usize) -> Error {
    let why = format!(
        "nothing came for {} s, or less than {SLOWEST} bytes a second did",
        PATIENCE.as_secs()
    );
    broken(
        bytes,
        &format!("{why}; send it faster, or in smaller requests"),
    )
}

/// What hyper says of it, below what axum says.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

fn broken(bytes: usize, why: &str) -> Error {
    Error::new(
        Code::InvalidJson,
        format!("the body broke off after {bytes} bytes: {why}"),
    )
}

pub fn too_large(max_bytes: usize) -> Error {
    let detail = format!(
        "the body is larger than {max_bytes} bytes (`server.max_body_bytes`); send the inputs as NDJSON, whose length is not limited"
    );
    Error::new(Code::PayloadTooLarge, detail)
}
