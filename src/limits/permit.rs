//! The right to make one call, and the wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::api_key_limits::KeySet;
use super::model_limits::Model;
use super::provider_limits::HeldResources;
use super::scheduler::{self, EnterResult, Waiting};
use super::token_estimator::TokenEstimate;
use super::{Admission, CallReport, CallerId, Shared};

/// What a call was let out with.
#[derive(Debug)]
pub struct CallCharge {
    pub key: usize,
    pub model: Arc<Model>,
    pub caller: CallerId,
    pub guess: TokenEstimate,
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
    holds: Option<HeldResources>,
    stake: CallCharge,
    has_begun: bool,
    report: Option<CallReport>,
    shared: Arc<Shared>,
    _flying: Arc<()>,
}

impl Permit {
    pub(super) fn new(
        holds: HeldResources,
        stake: CallCharge,
        flying: Arc<()>,
        shared: Arc<Shared>,
    ) -> Self {
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
    pub fn release(mut self, report: CallReport) {
        self.0.report = Some(report);
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let report = self
            .report
            .take()
            .unwrap_or(scheduler::cancelled_report(self.has_begun));
        if self.has_begun {
            self.stake.model.record_usage(report.spent);
        }
        self.shared.finish(&self.stake, self.holds.take(), &report);
    }
}

/// How long an item will wait: for keys that its provider has paused, all its waits after a 429 together; and for a provider that
/// is down, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitBudget {
    paused: Duration,
    down: Duration,
}

impl WaitBudget {
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
    pub fn consume(&mut self, time: Duration) {
        self.paused = self.paused.saturating_sub(time);
    }
}

/// Why an item gets no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// All of the provider's keys are paused for longer than the item will wait.
    Paused { until: Instant },
    /// The model fails all the time, and is left alone for longer than the item will wait.
    CircuitOpen { until: Instant },
    /// The provider has refused the item every key.
    NoUsableKey,
    /// The caller's budget is used up until then.
    BudgetExhausted { until: Instant },
    /// The call would take more tokens than a key may use in a minute.
    TooLarge { needed: u64, allowed: u64 },
    /// Its request has sent home whoever has not been called yet.
    Cancelled,
}

/// At which end of its request's line an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    First,
    /// It has had its turn, and has to be called again: it is first again.
    Requeued,
}

/// What an item asks for.
#[derive(Debug, Clone, Copy)]
pub struct PermitRequest<'a> {
    pub model: &'a Arc<Model>,
    pub turn: Priority,
    pub patience: WaitBudget,
    /// What [`super::estimate::tokens`] says of its prompt; 0 where [`Lane::counts_tokens`] says no.
    pub guessed: u64,
    pub max_output: Option<u32>,
    /// The keys that the provider has refused it.
    pub refused: KeySet,
    /// Whether the item has not called this provider yet: retries are budgeted by such calls.
    pub is_first_try: bool,
}

impl Admission {
    /// Enters the line for all that a call needs, which is taken together; the future has it once it is this item's turn.
    /// Items that enter one after the other have their turns in that order.
    #[must_use = "dropping it leaves the line"]
    pub fn enter(&self, ask: &PermitRequest<'_>) -> PendingPermit {
        let shared = Arc::clone(&self.shared);
        let entered = shared.lock().enter(self, ask, Instant::now());
        let standing = match entered {
            EnterResult::Granted(holds, stake) => QueueState::Resolved(Some(Ok(Permit::new(
                holds,
                stake,
                Arc::clone(&self.flying),
                Arc::clone(&shared),
            )))),
            EnterResult::Denied(denied) => QueueState::Resolved(Some(Err(denied))),
            EnterResult::Waiting(ticket, answered) => {
                shared.dispatch();
                QueueState::Waiting(ticket, answered)
            }
        };
        PendingPermit {
            shared,
            model: Arc::clone(ask.model),
            standing,
        }
    }

    /// Gives up every place in line, so that nothing more of this request goes out.
    pub fn cancel_all(&self) {
        // Whoever still waits on them is told outside the lock.
        let waiters = self
            .shared
            .change(|state, _| state.remove_request(self.class, self.caller, self.request));
        drop(waiters);
    }

    /// Tells everyone who waits for the first turn that there will be none; those who have had one go on.
    pub fn reject_unstarted(&self) {
        let waiters = self
            .shared
            .change(|state, _| state.remove_unstarted(self.class, self.caller, self.request));
        waiters.into_iter().for_each(scheduler::Waiter::reject);
    }
}

#[derive(Debug)]
enum QueueState {
    /// `None` once the answer was taken.
    Resolved(Option<Result<Permit, Denied>>),
    Waiting(Waiting, oneshot::Receiver<Result<Permit, Denied>>),
}

/// A place in line; a future of the permit, or of why there is none.
///
/// # Cancel safety
/// Dropping it leaves the line; a permit that was just handed over goes back.
#[derive(Debug)]
pub struct PendingPermit {
    shared: Arc<Shared>,
    model: Arc<Model>,
    standing: QueueState,
}

impl Future for PendingPermit {
    type Output = Result<Permit, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = match &mut self.standing {
            QueueState::Resolved(told) => told.take().unwrap_or(Err(Denied::NoUsableKey)),
            QueueState::Waiting(_, answered) => match ready!(Pin::new(answered).poll(cx)) {
                Ok(told) => told,
                // Its request has left the line and is about to drop it.
                Err(_) => return Poll::Pending,
            },
        };
        self.standing = QueueState::Resolved(None);
        Poll::Ready(told)
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        if let QueueState::Waiting(ticket, _) = &self.standing {
            let has_left = self.shared.lock().stop_waiting(&self.model, *ticket);
            if has_left {
                // What stood behind it may need less.
                self.shared.dispatch();
            }
        }
    }
}
