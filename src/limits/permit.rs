//! The right to make one call, and the wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::estimate::Guess;
use super::key::KeySet;
use super::model::Model;
use super::pool::Holds;
use super::state::{self, Entered, Waiting};
use super::{CallerId, Lane, Report, Shared};

/// What a call was let out with.
#[derive(Debug)]
pub struct Stake {
    pub key: usize,
    pub model: Arc<Model>,
    pub caller: CallerId,
    pub guess: Guess,
    pub guessed: u64,
    pub began: Instant,
}

/// The right to make one call: keep it until the answer's last byte, then [`finish`](Permit::finish) it with what became of the
/// call. Dropping it gives everything back too; what the call may have used by then stays charged.
#[derive(Debug)]
pub struct Permit(Box<Granted>);

/// On the heap: who waits for it has room for the handle only.
#[derive(Debug)]
struct Granted {
    holds: Option<Holds>,
    stake: Stake,
    has_begun: bool,
    report: Option<Report>,
    shared: Arc<Shared>,
    _flying: Arc<()>,
}

impl Permit {
    pub(super) fn new(holds: Holds, stake: Stake, flying: Arc<()>, shared: Arc<Shared>) -> Self {
        Self(Box::new(Granted {
            holds: Some(holds),
            stake,
            has_begun: false,
            report: None,
            shared,
            _flying: flying,
        }))
    }

    /// The call goes out now: from here on it may be worked for, and charged.
    pub fn begin(&mut self) {
        self.0.has_begun = true;
    }

    /// The number of the key that the call goes out with.
    #[must_use]
    pub fn key(&self) -> usize {
        self.0.stake.key
    }

    /// The call has ended so. The slot goes to the next, and what was reserved is settled.
    pub fn finish(mut self, report: Report) {
        self.0.report = Some(report);
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let report = self.report.take().unwrap_or(state::left(self.has_begun));
        if self.has_begun {
            self.stake.model.count(report.spent);
        }
        self.shared.finish(&self.stake, self.holds.take(), &report);
    }
}

/// How long an item will wait: for keys that its provider has paused, all its waits after a 429 together; and for a provider that
/// is down, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    paused: Duration,
    down: Duration,
}

impl Patience {
    /// Of an item that has somewhere else to go.
    pub const NONE: Self = Self {
        paused: Duration::ZERO,
        down: Duration::ZERO,
    };

    #[must_use]
    pub const fn new(paused: Duration, down: Duration) -> Self {
        Self { paused, down }
    }

    /// Whether a pause until then is within it.
    #[must_use]
    pub fn covers_pause(self, now: Instant, until: Instant) -> bool {
        until.saturating_duration_since(now) <= self.paused
    }

    /// Whether it will wait until then for a provider that is down.
    #[must_use]
    pub fn covers_outage(self, now: Instant, until: Instant) -> bool {
        until.saturating_duration_since(now) <= self.down
    }

    /// The item has waited so long for a key that was paused.
    pub fn waited(&mut self, time: Duration) {
        self.paused = self.paused.saturating_sub(time);
    }
}

/// Why an item gets no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// All of the provider's keys are paused for longer than the item will wait.
    Paused { until: Instant },
    /// The model fails all the time, and is left alone for longer than the item will wait.
    Down { until: Instant },
    /// The provider has refused the item every key.
    NoKey,
    /// The caller's budget is used up until then.
    Broke { until: Instant },
    /// The call would take more tokens than a key may use in a minute.
    TooLarge { needed: u64, allowed: u64 },
    /// Its request has sent home whoever has not been called yet.
    Left,
}

/// At which end of its request's line an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    New,
    /// It has had its turn, and has to be called again: it is first again.
    Again,
}

/// What an item asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub model: &'a Arc<Model>,
    pub turn: Turn,
    pub patience: Patience,
    /// What [`super::estimate::tokens`] says of its prompt; 0 where [`Lane::counts_tokens`] says no.
    pub guessed: u64,
    pub max_output: Option<u32>,
    /// The keys that the provider has refused it.
    pub refused: KeySet,
    /// Whether the item has not called this provider yet: retries are budgeted by such calls.
    pub is_first_try: bool,
}

impl Lane {
    /// Enters the line for all that a call needs, which is taken together; the future has it once it is this item's turn.
    /// Items that enter one after the other have their turns in that order.
    #[must_use = "dropping it leaves the line"]
    pub fn enter(&self, ask: &Ask<'_>) -> InLine {
        let shared = Arc::clone(&self.shared);
        let entered = shared.lock().enter(self, ask, Instant::now());
        let standing = match entered {
            Entered::Granted(holds, stake) => Standing::Told(Some(Ok(Permit::new(
                holds,
                stake,
                Arc::clone(&self.flying),
                Arc::clone(&shared),
            )))),
            Entered::Denied(denied) => Standing::Told(Some(Err(denied))),
            Entered::Waiting(ticket, answered) => {
                shared.dispatch();
                Standing::Waiting(ticket, answered)
            }
        };
        InLine {
            shared,
            model: Arc::clone(ask.model),
            standing,
        }
    }

    /// Gives up every place in line, so that nothing more of this request goes out.
    pub fn leave(&self) {
        // Whoever still waits on them is told outside the lock.
        let waiters = self
            .shared
            .change(|state, _| state.leave_lines(self.class, self.caller, self.request));
        drop(waiters);
    }

    /// Tells everyone who waits for the first turn that there will be none; those who have had one go on.
    pub fn send_home(&self) {
        let waiters = self
            .shared
            .change(|state, _| state.leave_first_turns(self.class, self.caller, self.request));
        waiters.into_iter().for_each(state::Waiter::send_home);
    }
}

#[derive(Debug)]
enum Standing {
    /// `None` once the answer was taken.
    Told(Option<Result<Permit, Denied>>),
    Waiting(Waiting, oneshot::Receiver<Result<Permit, Denied>>),
}

/// A place in line; a future of the permit, or of why there is none.
///
/// # Cancel safety
/// Dropping it leaves the line; a permit that was just handed over goes back.
#[derive(Debug)]
pub struct InLine {
    shared: Arc<Shared>,
    model: Arc<Model>,
    standing: Standing,
}

impl InLine {
    /// The place of an item that has been told already.
    #[must_use]
    pub fn told(&self, told: Result<Permit, Denied>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            model: Arc::clone(&self.model),
            standing: Standing::Told(Some(told)),
        }
    }
}

impl Future for InLine {
    type Output = Result<Permit, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = match &mut self.standing {
            Standing::Told(told) => told.take().unwrap_or(Err(Denied::NoKey)),
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
            let has_left = self.shared.lock().stop_waiting(&self.model, *ticket);
            if has_left {
                // What stood behind it may need less.
                self.shared.dispatch();
            }
        }
    }
}
