//! The right to make one call, and the wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::fair::Place;
use super::state::{Slots, Waiter, Waiting};
use super::{Lane, PoolId, Shared};

/// The right to make one call: keep it until the answer's last byte, then drop it. Dropping gives the slot to the next.
#[derive(Debug)]
pub struct Permit {
    slots: Option<Slots>,
    shared: Arc<Shared>,
    _flying: Arc<()>,
}

impl Permit {
    pub(super) const fn new(slots: Slots, flying: Arc<()>, shared: Arc<Shared>) -> Self {
        Self { slots: Some(slots), shared, _flying: flying }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots = None;
        self.shared.dispatch();
    }
}

/// How long an item will wait for a key that its provider has paused, all its waits after a 429 together.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    left: Duration,
}

impl Patience {
    #[must_use]
    pub const fn new(max_wait: Duration) -> Self {
        Self { left: max_wait }
    }

    /// Whether a pause until then is within it.
    #[must_use]
    pub fn covers(self, now: Instant, until: Instant) -> bool {
        until.saturating_duration_since(now) <= self.left
    }

    /// The item has waited so long for its turn to come again.
    pub fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

/// The key is paused for longer than the item will wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// When the pause ends.
    pub until: Instant,
}

/// At which end of its request's line an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    New,
    /// It had its turn and the provider sent it back with a 429: it is first again.
    Again,
}

impl Lane {
    /// Enters the line for a call's slot and token, which are taken together; the future has them once it is this item's
    /// turn. Items that enter one after the other have their turns in that order.
    #[must_use = "dropping it leaves the line"]
    pub fn enter(&self, pool: PoolId, turn: Turn, patience: Patience) -> InLine {
        let shared = Arc::clone(&self.shared);
        let place = match turn {
            Turn::New => Place::Back,
            Turn::Again => Place::Front,
        };
        let standing = {
            let mut state = shared.lock();
            let now = Instant::now();
            if let Some(slots) = state.try_take(pool, now) {
                Standing::Told(Some(Ok(Permit::new(slots, Arc::clone(&self.flying), Arc::clone(&shared)))))
            } else {
                let (answer, answered) = oneshot::channel();
                let waiter = Waiter { patience, flying: Arc::downgrade(&self.flying), answer };
                match state.wait(pool, self.caller, self.request, place, waiter, now) {
                    Ok(ticket) => Standing::Waiting(ticket, answered),
                    Err(denied) => Standing::Told(Some(Err(denied))),
                }
            }
        };
        if matches!(standing, Standing::Waiting(..)) {
            shared.dispatch();
        }
        InLine { shared, pool, standing }
    }

    /// Gives up every place in line, so that nothing more of this request goes out.
    pub fn leave(&self) {
        // Whoever still waits on them is told outside the lock.
        let waiters = self.shared.lock().leave_lines(self.caller, self.request);
        drop(waiters);
    }
}

#[derive(Debug)]
enum Standing {
    /// `None` once the answer was taken.
    Told(Option<Result<Permit, Denied>>),
    Waiting(Waiting, oneshot::Receiver<Result<Permit, Denied>>),
}

/// A place in line; a future of the permit, or of [`Denied`] when the pool is paused for longer than the item will wait.
///
/// # Cancel safety
/// Dropping it leaves the line; a permit that was just handed over goes back.
#[derive(Debug)]
pub struct InLine {
    shared: Arc<Shared>,
    pool: PoolId,
    standing: Standing,
}

impl Future for InLine {
    type Output = Result<Permit, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = match &mut self.standing {
            Standing::Told(told) => told.take().unwrap_or_else(|| Err(Denied { until: Instant::now() })),
            Standing::Waiting(_, answered) => match ready!(Pin::new(answered).poll(cx)) {
                Ok(told) => told,
                // Its request has left the line and is about to drop it.
                Err(_) => return Poll::Pending,
            },
        };
        self.standing = Standing::Told(None);
        Poll::Ready(told)
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Standing::Waiting(ticket, _) = &self.standing {
            self.shared.lock().stop_waiting(self.pool, *ticket);
        }
    }
}
