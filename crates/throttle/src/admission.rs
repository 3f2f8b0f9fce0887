//! An admitted request, and its places in the queue.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::caller_id::CallerId;
use crate::fair_queue::Class;
use crate::grant::GrantedCall;
use crate::model_limits::Model;
use crate::permit::Permit;
use crate::permit_request::{Denied, PermitRequest};
use crate::scheduler::enqueue::{EnterResult, RequestHandle};
use crate::scheduler::{QueueTicket, Waiter};
use crate::shared::Shared;
use crate::types::{AdmissionRequest, PoolId, RequestId};

/// An admitted request. Dropping it returns its places to the waiting room.
#[derive(Debug)]
pub struct Admission {
    shared: Arc<Shared>,
    class: Class,
    caller: CallerId,
    request: RequestId,
    /// Held once by every permit of the request.
    in_flight: Arc<()>,
    counts_tokens: bool,
    is_single: bool,
    window: usize,
    pool: PoolId,
    /// Number of places held: items that wait or are in flight.
    places: AtomicUsize,
}

impl Admission {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asked: &AdmissionRequest,
        caller: CallerId,
        request: RequestId,
        counts_tokens: bool,
    ) -> Self {
        Self {
            shared,
            class: asked.class,
            caller,
            request,
            in_flight: Arc::new(()),
            counts_tokens,
            is_single: asked.is_single,
            window: asked.window,
            pool: asked.pool,
            places: AtomicUsize::new(usize::from(asked.is_single)),
        }
    }

    /// Returns the caller of the request.
    #[must_use]
    pub const fn caller(&self) -> CallerId {
        self.caller
    }

    /// Returns the maximum number of items that may wait or be in flight at a time, at least 1.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Makes sure that there are places for `items` items, one more than before. The first item always has one. Returns false
    /// if the waiting room, or the caller's part of it, is full; then one of the request's items has to end first.
    #[must_use]
    pub fn reserve_place(&self, items: usize) -> bool {
        let places = self.places.load(Ordering::Relaxed);
        if items <= places {
            return true;
        }
        let is_first = places == 0;
        let taken =
            (self.shared.lock()).take_place(self.caller, self.pool, is_first, Instant::now());
        if taken {
            self.places.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Returns the places of all but `items` items.
    pub fn release_places_above(&self, items: usize) {
        let places = self.places.load(Ordering::Relaxed);
        if let Some(surplus) = places.checked_sub(items).filter(|surplus| *surplus > 0) {
            self.places.store(items, Ordering::Relaxed);
            self.shared.lock().release_places(self.caller, surplus);
        }
    }

    /// Returns the number of the request's calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        Arc::strong_count(&self.in_flight) - 1
    }

    /// Returns true if some limit counts tokens, so that estimating them is worthwhile.
    #[must_use]
    pub const fn counts_tokens(&self) -> bool {
        self.counts_tokens
    }

    /// Takes a retry of the caller from the retry budget of a provider.
    ///
    /// # Errors
    /// The time after which to ask again, if the budget is used up.
    pub fn withdraw_retry(&self, pool: PoolId) -> Result<(), Duration> {
        let mut state = self.shared.lock();
        let is_shared = state.has_several_callers();
        state.pools.get_mut(pool.0).map_or(Ok(()), |pool| {
            let budget = &mut pool.provider.retry_budget;
            budget.withdraw(self.caller, is_shared, Instant::now())
        })
    }

    /// Enters the queue for everything that a call needs; the future resolves when it is this item's turn. Items that enter
    /// one after the other have their turns in that order.
    #[must_use = "dropping it leaves the queue"]
    pub fn enter(&self, asked: &PermitRequest<'_>) -> PendingPermit {
        let shared = Arc::clone(&self.shared);
        let request = RequestHandle {
            class: self.class,
            caller: self.caller,
            id: self.request,
            is_single: self.is_single,
            in_flight: &self.in_flight,
        };
        let entered = shared.lock().request_permit(request, asked, Instant::now());
        let state = match entered {
            EnterResult::Granted(call) => {
                QueueState::Resolved(Some(Ok(Permit::new(call, Arc::clone(&shared)))))
            }
            EnterResult::Denied(denied) => QueueState::Resolved(Some(Err(denied))),
            EnterResult::Waiting(ticket, answered) => {
                shared.dispatch();
                QueueState::Waiting(ticket, answered)
            }
        };
        PendingPermit {
            shared,
            model: Arc::clone(asked.model),
            state,
        }
    }

    /// Removes all items of the request from the queue, so that no further call goes out.
    pub fn cancel_all(&self) {
        // Dropped outside the lock: dropping wakes the tasks that wait.
        let waiters = self
            .shared
            .change(|state, _| state.remove_request(self.class, self.caller, self.request));
        drop(waiters);
    }

    /// Denies a permit to the items that were not called yet. Items that were called continue.
    pub fn reject_unstarted(&self) {
        let waiters = self
            .shared
            .change(|state, _| state.remove_unstarted(self.class, self.caller, self.request));
        waiters.into_iter().for_each(Waiter::reject);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.release_places_above(0);
    }
}

#[derive(Debug)]
enum QueueState {
    /// The result; `None` once it was returned.
    Resolved(Option<Result<Permit, Denied>>),
    Waiting(
        QueueTicket,
        oneshot::Receiver<Result<Box<GrantedCall>, Denied>>,
    ),
    /// The request has removed its items from the queue.
    Removed,
}

/// A place in the queue: a future of the permit, or of the reason why there is none.
///
/// # Cancel safety
/// Dropping it leaves the queue. A permit that was just granted is returned.
#[derive(Debug)]
pub struct PendingPermit {
    shared: Arc<Shared>,
    model: Arc<Model>,
    state: QueueState,
}

impl Future for PendingPermit {
    type Output = Result<Permit, Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = match &mut this.state {
            QueueState::Resolved(result) => result.take().unwrap_or(Err(Denied::NoUsableKey)),
            QueueState::Waiting(_, answered) => {
                let Ok(result) = ready!(Pin::new(answered).poll(cx)) else {
                    // The request is about to drop this future.
                    this.state = QueueState::Removed;
                    return Poll::Pending;
                };
                result.map(|call| Permit::new(call, Arc::clone(&this.shared)))
            }
            QueueState::Removed => return Poll::Pending,
        };
        this.state = QueueState::Resolved(None);
        Poll::Ready(result)
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        let QueueState::Waiting(ticket, answered) = &mut self.state else {
            return;
        };
        if self.shared.lock().stop_waiting(&self.model, *ticket) {
            // The items behind it may need less.
            self.shared.dispatch();
        } else if let Ok(Ok(call)) = answered.try_recv() {
            // Granted, but never polled since. Answers are sent under the lock, so none can arrive later.
            drop(Permit::new(call, Arc::clone(&self.shared)));
        }
    }
}
