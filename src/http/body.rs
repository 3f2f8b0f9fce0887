//! Reading a whole body: bounded in size, in time, and in what all of them take together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use crate::model::{Code, Error};

/// How long a client may send nothing in the middle of a body.
const IDLE: Duration = Duration::from_secs(60);

/// A body in memory, and the room that it takes until this is dropped.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Bytes,
    pub room: OwnedSemaphorePermit,
}

pub fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// `payload_too_large`, `invalid_json` when it breaks off, `overloaded` when all bodies together take too much.
pub async fn read(shared: &Shared, headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Whole, Error> {
    let mut stream = body.into_data_stream();
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut room = take_room(shared, 1)?;
    let mut read = BytesMut::with_capacity(announced.unwrap_or_default().min(max_bytes).min(64 * 1024));
    let mut is_too_large = announced.is_some_and(|announced| announced > max_bytes);
    while !is_too_large {
        let chunk = match tokio::time::timeout(IDLE, stream.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => return Ok(Whole { bytes: read.freeze(), room }),
            Ok(Some(Err(error))) => return Err(broken(read.len(), &error.to_string())),
            Err(_) => return Err(broken(read.len(), "nothing more came for a minute")),
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

fn broken(bytes: usize, why: &str) -> Error {
    Error::new(Code::InvalidJson, format!("the body broke off after {bytes} bytes: {why}"))
}

pub fn too_large(max_bytes: usize) -> Error {
    let detail = format!(
        "the body is larger than {max_bytes} bytes (`server.max_body_bytes`); send the inputs as NDJSON, whose length is not limited"
    );
    Error::new(Code::PayloadTooLarge, detail)
}
