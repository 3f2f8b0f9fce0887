//! Memory limit of request bodies: a semaphore over the bytes that all complete bodies take together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::{Code, Error};

/// Memory for request bodies, counted in KiB, because a semaphore's permits are limited to 32 bits per call.
#[derive(Debug)]
pub struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// Creates a memory limit of this many bytes, rounded up to KiB.
    pub fn new(max_bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(kibibytes(max_bytes) as usize)))
    }

    /// Reserves memory until the permit is dropped.
    ///
    /// # Errors
    /// `overloaded` if all bodies together would exceed the limit.
    pub fn reserve(&self, kibibytes: u32) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.0)
            .try_acquire_many_owned(kibibytes)
            .map_err(|_| {
                let detail = "request bodies in memory have reached `limits.max_queue_bytes`; \
                              retry in 1 s, or send NDJSON, which is streamed";
                Error::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1))
            })
    }
}

/// Returns a size in KiB, rounded up.
pub fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
