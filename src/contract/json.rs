//! Serialization of the contract's types, all of which have string keys only and therefore cannot fail to serialize.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Appends a value as compact JSON.
pub fn append_json(buffer: &mut BytesMut, value: &impl Serialize) {
    drop(serde_json::to_writer(buffer.writer(), value));
}

/// Returns a value as compact JSON.
#[must_use]
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
