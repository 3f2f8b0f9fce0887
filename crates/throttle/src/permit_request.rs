//! The request for a permit: how long its item waits, and why it may be denied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api_key_limits::KeySet;
use crate::model_limits::Model;

/// Time that an item waits: for paused provider keys (all its waits together), and for an open circuit breaker (each time);
/// and its patience during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitBudget {
    paused: Duration,
    circuit_open: Duration,
    outage: bool,
}

impl WaitBudget {
    /// No waiting: the budget of an item that has a fallback.
    pub const NONE: Self = Self {
        paused: Duration::ZERO,
        circuit_open: Duration::ZERO,
        outage: false,
    };

    /// Creates a budget of time for paused keys and of time for an open circuit breaker.
    #[must_use]
    pub const fn new(paused: Duration, circuit_open: Duration) -> Self {
        Self {
            paused,
            circuit_open,
            outage: false,
        }
    }

    /// Returns the budget of an item that waits for the end of outages, however long they last.
    #[must_use]
    pub const fn through_outages(self) -> Self {
        Self {
            outage: true,
            ..self
        }
    }

    /// Returns true if the item waits for the end of an outage.
    #[must_use]
    pub const fn covers_outage(self) -> bool {
        self.outage
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
    Paused {
        /// End of the first pause.
        until: Instant,
    },
    /// The model's circuit breaker is open for longer than the item waits.
    CircuitOpen {
        /// Time of the next probe.
        until: Instant,
    },
    /// The provider has rejected every key for this item.
    NoUsableKey,
    /// Every call to the model fails for a known reason (`Limits::outage`), and the item does not wait for the end of that.
    Outage {
        /// Time of the next probe.
        until: Instant,
    },
    /// The caller's budget is used up until then.
    BudgetExhausted {
        /// Next midnight, UTC.
        until: Instant,
    },
    /// The call would take more tokens than a key may use in a minute.
    TooLarge {
        /// Tokens of the prompt, and of the longest answer.
        needed: u64,
        /// Tokens per minute of the largest key.
        allowed: u64,
    },
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
    /// Model to call.
    pub model: &'a Arc<Model>,
    /// End of the queue at which the item enters.
    pub priority: Priority,
    /// Time that the item waits for a provider that is not available.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_an_item_has_waited_for_paused_keys_is_taken_from_its_budget() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut budget = WaitBudget::new(Duration::from_secs(9), Duration::from_secs(9));
        for left in [9, 5, 1, 0] {
            assert!(budget.covers_pause(now, after(left)));
            assert!(!budget.covers_pause(now, after(left + 1)));
            budget.consume(Duration::from_secs(4));
        }
        assert!(budget.covers_open_circuit(now, after(9)), "each time");
        assert!(!budget.covers_open_circuit(now, after(10)));
    }
}
