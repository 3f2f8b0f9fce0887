//! Cache key: digest of everything that an item's result depends on. Equal keys share a result, by cache or single flight.

use sha2::{Digest, Sha256};

/// SHA-256 digest of a request and one of its texts.
pub type CacheKey = [u8; 32];

/// Digest of a request without its texts.
#[derive(Debug, Clone)]
pub struct RequestIdentity(Sha256);

impl RequestIdentity {
    /// Creates the identity of a request without parts.
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds one part, preceded by its length, so that different lists of parts have different digests.
    pub fn add(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Returns the key of an item with this text.
    pub fn key(&self, text: &str) -> CacheKey {
        let mut digest = self.0.clone();
        digest.update(text);
        digest.finalize().into()
    }
}
