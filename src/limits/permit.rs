//! The right to make one call, and the wait for it.

use std::sync::Arc;
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

/// How long an item will wait for a key that its provider has paused, counted from the first pause that it met.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    max_wait: Duration,
    since: Option<Instant>,
}

impl Patience {
    #[must_use]
    pub const fn new(max_wait: Duration) -> Self {
        Self { max_wait, since: None }
    }

    /// Whether a pause until then is within it.
    pub fn covers(&mut self, now: Instant, until: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        until <= since + self.max_wait
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
    /// Waits for this item's turn, a free slot and a token, and takes all at once.
    ///
    /// # Errors
    /// [`Denied`] when the pool is paused for longer than `patience`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line; a permit that was just handed over goes back.
    pub async fn permit(&self, pool: PoolId, turn: Turn, patience: Patience) -> Result<Permit, Denied> {
        let now = Instant::now();
        if let Some(slots) = self.shared.lock().try_take(pool, now) {
            return Ok(Permit::new(slots, Arc::clone(&self.flying), Arc::clone(&self.shared)));
        }
        let place = match turn {
            Turn::New => Place::Back,
            Turn::Again => Place::Front,
        };
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter { patience, flying: Arc::downgrade(&self.flying), answer };
        let ticket = self.shared.lock().wait(pool, self.caller, self.request, place, waiter, now)?;
        let line = InLine { shared: &self.shared, pool, ticket };
        self.shared.dispatch();
        let answer = answered.await;
        drop(line);
        answer.unwrap_or(Err(Denied { until: now }))
    }
}

/// A place in line, given up on drop.
struct InLine<'a> {
    shared: &'a Arc<Shared>,
    pool: PoolId,
    ticket: Waiting,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.shared.lock().stop_waiting(self.pool, self.ticket);
    }
}
