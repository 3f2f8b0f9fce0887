//! Registered schemas as they are kept: hash, size and time, and the text of their files.

use std::io::{Error, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::compiled::MAX_TEXT_BYTES;

/// Source of a registered schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// File of the configured folder; cannot be changed over HTTP.
    Folder,
    /// Stored over HTTP.
    Api,
}

/// Registered schema, without its text.
#[derive(Debug, Clone)]
pub struct Entry {
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    /// Length of the text, in bytes.
    pub bytes: usize,
    /// Time of the last change; for a file of the folder its modification time.
    pub updated_at: SystemTime,
    /// Source of the schema.
    pub source: Source,
    /// Size of its earlier versions together, in bytes.
    pub(super) version_bytes: u64,
    /// True if the file survives a power failure, as far as is known.
    pub(super) is_synced: bool,
}

impl Entry {
    pub(super) fn new(text: &str, updated_at: SystemTime, source: Source) -> Self {
        Self {
            hash: hash_of(text),
            bytes: text.len(),
            updated_at,
            source,
            version_bytes: 0,
            is_synced: true,
        }
    }
}

/// Returns the SHA-256 of a text, in hexadecimal.
pub(super) fn hash_of(text: &str) -> String {
    crate::types::hexadecimal(&Sha256::digest(text))
}

/// Reads the text of a schema's file. Fails with `InvalidData` if it can be none.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let invalid = |reason: &str| Err(Error::new(ErrorKind::InvalidData, reason));
    // A pipe would be read for ever.
    if !std::fs::metadata(path)?.is_file() {
        return invalid("it is not a file");
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_TEXT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_TEXT_BYTES {
        return invalid("it is longer than a schema may be");
    }
    String::from_utf8(bytes).or_else(|_| invalid("it is not UTF-8"))
}
