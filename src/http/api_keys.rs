//! API keys: SHA-256 digests, the caller of each, and the comparison in constant time.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use throttle::CallerId;

/// SHA-256 digest of a key.
type KeyDigest = [u8; 32];

/// Accepted API keys, as digests, with the caller of each. Replaceable while the server runs.
#[derive(Debug, Default)]
pub struct ApiKeys(RwLock<Vec<(KeyDigest, CallerId)>>);

impl ApiKeys {
    /// Replaces all keys. An empty list turns authentication off.
    pub fn set(&self, keys: Vec<(KeyDigest, CallerId)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Returns true if no keys are configured, so that requests need none.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Returns the caller of a key, or `None` for an unknown one. Compares with every key, in constant time.
    pub fn caller(&self, key: &str) -> Option<CallerId> {
        let digest: KeyDigest = Sha256::digest(key).into();
        self.entries().iter().fold(None, |found, (known, caller)| {
            if bool::from(known.ct_eq(&digest)) {
                Some(*caller)
            } else {
                found
            }
        })
    }

    fn entries(&self) -> RwLockReadGuard<'_, Vec<(KeyDigest, CallerId)>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
