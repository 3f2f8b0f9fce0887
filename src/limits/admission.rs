//! Whether a request is let in: decided once, before its first item.

use std::sync::Arc;
use std::time::Duration;

use super::state::RequestId;
use super::{CallerId, Shared};

/// The waiting room is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} items are waiting and {max_queue} may")]
pub struct Overloaded {
    pub waiting: usize,
    pub max_queue: usize,
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// One admitted request's place among the others. Dropping it gives the place back.
#[derive(Debug)]
pub struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: CallerId,
    pub(super) request: RequestId,
    /// Every permit holds one of these.
    pub(super) flying: Arc<()>,
    window: usize,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, caller: CallerId, request: RequestId, window: usize) -> Self {
        Self { shared, caller, request, flying: Arc::new(()), window }
    }

    /// How many items of the request may be under way (waiting or in flight) at a time, at least 1.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// The request's calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        Arc::strong_count(&self.flying) - 1
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.lock().leave(self.window);
    }
}
