//! One input as a line of NDJSON, with the hash that shows whether it has changed since an earlier
//! run.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// One input of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLine {
    /// Position among the inputs, from 0.
    pub index: u64,
    /// [`short_hash`] of `json`.
    pub hash: u64,
    /// The input as JSON, without a line break.
    pub json: Bytes,
}

impl InputLine {
    /// Returns the input with its hash.
    pub fn new(index: u64, json: &str) -> Self {
        Self {
            index,
            hash: short_hash(json.as_bytes()),
            json: Bytes::copy_from_slice(json.as_bytes()),
        }
    }
}

/// Returns the first eight bytes of the SHA-256: enough to detect accidental changes.
pub fn short_hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
