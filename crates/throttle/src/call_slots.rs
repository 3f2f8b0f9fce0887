//! Slots for calls in flight of the whole process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller_calls::LimitUses;

/// Slots for calls in flight of the whole process, and the callers that use each limit of calls in flight.
#[derive(Debug)]
pub struct CallSlots {
    max: usize,
    free: Arc<Semaphore>,
    pub uses: LimitUses,
}

impl CallSlots {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            free: Arc::new(Semaphore::new(max)),
            uses: LimitUses::default(),
        }
    }

    /// Returns the number of all slots.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Returns the number of free slots.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Takes a slot, if one is free. It is free again when the permit is dropped.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}
