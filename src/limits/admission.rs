//! Whether a request is let in: decided once, before its first item.

use std::sync::Arc;
use std::time::Duration;

use super::fair_queue::Class;
use super::scheduler::RequestId;
use super::{AdmissionRequest, CallerId, Shared};

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{waiting} items are waiting and {max_queue} may")]
    Overloaded {
        waiting: usize,
        max_queue: usize,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    #[error("as many of this caller's items are waiting as may")]
    QuotaUsedUp { retry_after: Duration },
    #[error("the caller's budget for today is used up")]
    Broke { retry_after: Duration },
    #[error("the caller has a budget, and what the model costs is not known")]
    NoPrice,
}

/// One admitted request's place among the others. Dropping it gives the place back.
#[derive(Debug)]
pub struct Admission {
    pub(super) shared: Arc<Shared>,
    pub(super) class: Class,
    pub(super) caller: CallerId,
    pub(super) request: RequestId,
    /// Every permit holds one of these.
    pub(super) flying: Arc<()>,
    counts_tokens: bool,
    is_single: bool,
    window: usize,
}

impl Admission {
    pub(super) fn new(
        shared: Arc<Shared>,
        load: &AdmissionRequest,
        caller: CallerId,
        (request, window): (RequestId, usize),
        counts_tokens: bool,
    ) -> Self {
        let AdmissionRequest {
            class, is_single, ..
        } = *load;
        Self {
            shared,
            class,
            caller,
            request,
            flying: Arc::new(()),
            counts_tokens,
            is_single,
            window,
        }
    }

    /// Whether the request has but one item.
    pub(super) const fn is_single(&self) -> bool {
        self.is_single
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

    /// Whether some limit counts tokens, so that they are worth guessing.
    #[must_use]
    pub const fn counts_tokens(&self) -> bool {
        self.counts_tokens
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.lock().release_window(self.caller, self.window);
    }
}
