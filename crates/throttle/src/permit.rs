//! The permit: the right to make one call. Dropping it at any moment gives everything back.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api_key_limits::KeySet;
use crate::model_limits::Model;
use crate::provider_limits::HeldResources;
use crate::token_estimator::TokenEstimate;
use crate::types::{CallReport, CallerId};

/// What a call was charged when it got its permit.
#[derive(Debug)]
pub struct CallCharge {
    /// Index of the provider key.
    pub key: usize,
    pub model: Arc<Model>,
    pub caller: CallerId,
    /// Tokens that were reserved.
    pub reserved: TokenEstimate,
    /// Estimate of the prompt's tokens from its text alone.
    pub text_tokens: u64,
    pub began: Instant,
}

/// Receiver of permits that end. Implemented by the owner of the limits' state.
pub trait Settle: Debug + Send + Sync {
    /// Settles a call: releases what it held, and corrects the reservation by the report.
    fn settle(
        self: Arc<Self>,
        charge: &CallCharge,
        held: Option<HeldResources>,
        report: &CallReport,
    );
}

/// The right to make one call. Keep it until the answer's last byte, then [`release`](Permit::release) it with the call's
/// report. Dropping it returns everything as well; what the call may have used by then stays charged.
#[derive(Debug)]
pub struct Permit(Box<Granted>);

/// Contents of a permit, on the heap: a waiting future has room for the handle only.
#[derive(Debug)]
struct Granted {
    held: Option<HeldResources>,
    charge: CallCharge,
    was_sent: bool,
    report: Option<CallReport>,
    owner: Arc<dyn Settle>,
    /// Counts the request's calls in flight.
    _in_flight: Arc<()>,
}

impl Permit {
    pub(crate) fn new(
        held: HeldResources,
        charge: CallCharge,
        in_flight: Arc<()>,
        owner: Arc<dyn Settle>,
    ) -> Self {
        Self(Box::new(Granted {
            held: Some(held),
            charge,
            was_sent: false,
            report: None,
            owner,
            _in_flight: in_flight,
        }))
    }

    /// Marks the call as sent: from here on the provider may work for it and charge it.
    pub fn begin(&mut self) {
        self.0.was_sent = true;
    }

    /// Returns the index of the provider key that the call uses.
    #[must_use]
    pub fn key(&self) -> usize {
        self.0.charge.key
    }

    /// Ends the call with its report. The slot goes to the next item, and the reservation is settled.
    pub fn release(mut self, report: CallReport) {
        self.0.report = Some(report);
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let report = self
            .report
            .take()
            .unwrap_or(CallReport::cancelled(self.was_sent));
        if self.was_sent {
            self.charge.model.record_usage(report.spent);
        }
        let owner = Arc::clone(&self.owner);
        owner.settle(&self.charge, self.held.take(), &report);
    }
}

/// How long an item waits: for provider keys that are paused (all its waits together), and for an open circuit breaker (each
/// time).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitBudget {
    paused: Duration,
    circuit_open: Duration,
}

impl WaitBudget {
    /// No waiting: the budget of an item that has a fallback.
    pub const NONE: Self = Self {
        paused: Duration::ZERO,
        circuit_open: Duration::ZERO,
    };

    #[must_use]
    pub const fn new(paused: Duration, circuit_open: Duration) -> Self {
        Self {
            paused,
            circuit_open,
        }
    }

    /// Returns true if a pause until `until` is within the budget.
    #[must_use]
    pub fn covers_pause(self, now: Instant, until: Instant) -> bool {
        until.saturating_duration_since(now) <= self.paused
    }

    /// Returns true if a circuit breaker that is open until `until` is within the budget.
    #[must_use]
    pub fn covers_open_circuit(self, now: Instant, until: Instant) -> bool {
        until.saturating_duration_since(now) <= self.circuit_open
    }

    /// Subtracts time that was spent waiting for a paused key.
    pub fn consume(&mut self, time: Duration) {
        self.paused = self.paused.saturating_sub(time);
    }
}

/// Reason why an item gets no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// All usable keys of the provider are paused for longer than the item waits.
    Paused { until: Instant },
    /// The model's circuit breaker is open for longer than the item waits.
    CircuitOpen { until: Instant },
    /// The provider has rejected every key for this item.
    NoUsableKey,
    /// The caller's budget is used up until then.
    BudgetExhausted { until: Instant },
    /// The call would take more tokens than a key may use in a minute.
    TooLarge { needed: u64, allowed: u64 },
    /// The request rejected its unstarted items.
    Cancelled,
}

/// End of the request's queue at which an item enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The item was not called yet: it enters at the back.
    First,
    /// The item was called and has to be called again: it enters at the front.
    Requeued,
}

/// A request for a permit.
#[derive(Debug, Clone, Copy)]
pub struct PermitRequest<'a> {
    pub model: &'a Arc<Model>,
    pub priority: Priority,
    pub wait_budget: WaitBudget,
    /// Result of [`crate::estimate_tokens`] for the prompt; 0 where `Admission::counts_tokens` returns false.
    pub text_tokens: u64,
    /// The call's limit of output tokens, if it has one.
    pub max_output: Option<u32>,
    /// Keys that the provider has rejected for this item.
    pub refused: KeySet,
    /// True if the item has not called this provider yet: the retry budget is a share of such calls.
    pub is_first_call: bool,
}
