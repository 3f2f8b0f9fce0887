//! Routing: the targets that one item may call, in order of preference, and its permit for the current one. Fallback is
//! immediate where another target is available; else the item waits for the target that is available first.
//!
//! Knows nothing of answers and schemas, nor of the retry policy that decides what a failed call means.

mod errors;

use std::time::{Duration, Instant};

pub use errors::{budget_exhausted, failure_detail, upstream_error};
use errors::{denial_error, exhausted_error, outage_error};

use super::prepared_request::PreparedRequest;
use super::retry_policy::fallback_condition;
use super::targets::Target;
use crate::provider::Failure;
use crate::types::{Code, Error, FallbackCondition};
use throttle::{
    Admission, CallerId, Denied, KeySet, Limits, OutageReason, PendingPermit, Permit,
    PermitRequest, Priority, WaitBudget,
};

/// Interval at which an item that waits for the end of an outage checks its other targets.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);

/// State of one target for this item.
#[derive(Debug, Clone, Copy, Default)]
struct TargetState {
    was_called: bool,
    /// Number of failed calls since the last success.
    failed: u32,
    /// True if the target is not called again.
    is_exhausted: bool,
    /// Earliest time at which the target is available; `None`: now.
    not_before: Option<Instant>,
    /// API keys that the provider refused.
    refused: KeySet,
}

/// Current target of an item, and the state of all its targets.
#[derive(Debug)]
pub struct RouteCursor<'a> {
    admission: &'a Admission,
    limits: &'a Limits,
    request: &'a PreparedRequest,
    /// Permit that was requested when the item entered the queue; used by the first [`RouteCursor::acquire`].
    pending: Option<PendingPermit>,
    /// Index of the current target: 0 is the first choice, the others are its fallbacks.
    current: usize,
    first: TargetState,
    fallback: Vec<TargetState>,
    wait_budget: WaitBudget,
    /// True if the item waits for the current target instead of switching to another.
    stays: bool,
    /// True if the provider answered the last call with a rate limit.
    was_paused: bool,
    /// Failure of the last call, and its error code if no target is left.
    last_failure: Option<(Code, Failure)>,
}

impl<'a> RouteCursor<'a> {
    pub fn new(
        admission: &'a Admission,
        limits: &'a Limits,
        request: &'a PreparedRequest,
        pending: Option<PendingPermit>,
    ) -> Self {
        Self {
            admission,
            limits,
            request,
            pending,
            current: 0,
            first: TargetState::default(),
            fallback: vec![TargetState::default(); request.fallback.len()],
            wait_budget: request.wait_budget,
            stays: !request.falls_back_on(FallbackCondition::Unavailable),
            was_paused: false,
            last_failure: None,
        }
    }

    /// Returns the caller whose item it is.
    pub fn caller(&self) -> CallerId {
        self.admission.caller()
    }

    /// Returns the index of the current target.
    pub const fn current_index(&self) -> usize {
        self.current
    }

    /// Returns the target of the next call.
    pub fn current(&self) -> &'a Target {
        self.request.target(self.current)
    }

    fn state(&self, index: usize) -> &TargetState {
        index
            .checked_sub(1)
            .and_then(|index| self.fallback.get(index))
            .unwrap_or(&self.first)
    }

    fn state_mut(&mut self, index: usize) -> &mut TargetState {
        index
            .checked_sub(1)
            .and_then(|index| self.fallback.get_mut(index))
            .unwrap_or(&mut self.first)
    }

    fn current_state(&mut self) -> &mut TargetState {
        self.state_mut(self.current)
    }

    /// Returns the targets that may still be called, in order of preference.
    fn usable_targets(&self) -> impl Iterator<Item = (usize, &TargetState)> {
        let states = std::iter::once(&self.first).chain(&self.fallback);
        states.enumerate().filter(|(_, state)| !state.is_exhausted)
    }

    /// Returns the first other target that is available now.
    fn fallback(&self) -> Option<usize> {
        let now = Instant::now();
        let mut available = self.usable_targets().filter(|(index, state)| {
            *index != self.current && state.not_before.is_none_or(|time| time <= now)
        });
        available.next().map(|(index, _)| index)
    }

    /// Returns the first other target that is available now, if an item may go there because the current one is not.
    fn fallback_if_unavailable(&self) -> Option<usize> {
        self.fallback()
            .filter(|_| self.request.falls_back_on(FallbackCondition::Unavailable))
    }

    /// Returns true if another target is available now, for the case that the current one is not.
    pub fn has_fallback(&self) -> bool {
        self.fallback_if_unavailable().is_some()
    }

    /// Switches to another target for good, because the current one cannot answer. Returns false if there is none, or if the
    /// request has no fallback for this condition.
    pub fn switch_for_good(&mut self, condition: FallbackCondition) -> bool {
        if !self.request.falls_back_on(condition) {
            return false;
        }
        let next = self.fallback();
        self.current_state().is_exhausted = true;
        let unavailable = || self.usable_targets().next().map(|(index, _)| index);
        let Some(next) = next.or_else(unavailable) else {
            return false;
        };
        self.current = next;
        true
    }

    /// Enters the queue of the current target.
    pub fn enqueue(
        &self,
        text: &str,
        output_limit: Option<u32>,
        priority: Priority,
    ) -> PendingPermit {
        let state = self.state(self.current);
        self.admission.enter(&PermitRequest {
            model: &self.current().endpoint.limits,
            priority,
            wait_budget: if self.stays {
                self.wait_budget
            } else {
                WaitBudget::NONE
            },
            text_tokens: if self.admission.counts_tokens() {
                self.request.estimated_tokens(text)
            } else {
                0
            },
            max_output: output_limit,
            refused: state.refused,
            is_first_call: !state.was_called,
        })
    }

    /// Waits for the permit of one call, to the first target that is available.
    ///
    /// # Errors
    /// If the wait would exceed the item's wait budget, or no target is left.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; a permit that was just granted goes to the next item. Targets that denied a
    /// permit stay marked as unavailable, so the next call of this method does not ask them again.
    pub async fn acquire(
        &mut self,
        text: &str,
        output_limit: Option<u32>,
        priority: Priority,
    ) -> Result<Permit, Error> {
        loop {
            let pending = match self.pending.take() {
                Some(pending) => pending,
                None => self.enqueue(text, output_limit, priority),
            };
            let waiting_since = Instant::now();
            let Some(granted) = self.granted(pending).await else {
                continue;
            };
            if std::mem::take(&mut self.was_paused) {
                self.wait_budget.consume(waiting_since.elapsed());
            }
            match granted {
                Ok(permit) => return Ok(permit),
                Err(denied) => self.switch_after_denial(denied)?,
            }
        }
    }

    /// Leaves the queue for a permit; one that was granted goes to the next item. [`acquire`](Self::acquire) enters it again.
    pub fn leave_queue(&mut self) {
        self.pending = None;
    }

    /// Waits for a permit of the current target. Returns `None` once another target is available during an outage, and
    /// switches to it.
    async fn granted(&mut self, mut pending: PendingPermit) -> Option<Result<Permit, Denied>> {
        if !self.stays || !self.wait_budget.covers_outage() || !self.has_other_targets() {
            return Some(pending.await);
        }
        loop {
            if let Ok(granted) = tokio::time::timeout(RECHECK_INTERVAL, &mut pending).await {
                return Some(granted);
            }
            let is_out = |index: usize| {
                let model = &self.request.target(index).endpoint.limits;
                self.limits.outage(model, self.caller()).is_some()
            };
            let other = self
                .fallback_if_unavailable()
                .filter(|other| is_out(self.current) && !is_out(*other));
            if let Some(other) = other {
                self.current = other;
                self.stays = false;
                return None;
            }
        }
    }

    fn has_other_targets(&self) -> bool {
        self.request.falls_back_on(FallbackCondition::Unavailable)
            && self.usable_targets().count() > 1
    }

    /// Records that a call goes out to the current target.
    pub fn record_call(&mut self) {
        self.current_state().was_called = true;
        self.stays = !self.request.falls_back_on(FallbackCondition::Unavailable);
    }

    /// Returns the condition of which a denial is a case.
    fn condition_of(&self, denied: Denied) -> FallbackCondition {
        match denied {
            Denied::TooLarge { .. } => FallbackCondition::TooLong,
            Denied::Outage { .. } => match self.outage_reason() {
                Some(OutageReason::UnknownModel) => FallbackCondition::UnknownModel,
                _ => FallbackCondition::Unavailable,
            },
            Denied::NoUsableKey => self
                .last_failure
                .as_ref()
                .map_or(FallbackCondition::Unavailable, |(_, failure)| {
                    fallback_condition(failure)
                }),
            _ => FallbackCondition::Unavailable,
        }
    }

    fn outage_reason(&self) -> Option<OutageReason> {
        let model = &self.current().endpoint.limits;
        let outage = self.limits.outage(model, self.caller())?;
        Some(outage.report.reason)
    }

    /// Switches to an available target; if there is none, to the one that is available first, and waits for it.
    fn switch_after_denial(&mut self, denied: Denied) -> Result<(), Error> {
        let falls_back = self.request.falls_back_on(self.condition_of(denied));
        match denied {
            Denied::BudgetExhausted { .. } | Denied::Cancelled => {
                return Err(self.denial_error(denied));
            }
            Denied::NoUsableKey | Denied::TooLarge { .. } => {
                self.current_state().is_exhausted = true;
            }
            Denied::Paused { until } | Denied::CircuitOpen { until } | Denied::Outage { until } => {
                self.current_state().not_before = Some(until);
            }
        }
        if let Some(next) = self.fallback().filter(|_| falls_back) {
            self.current = next;
            return Ok(());
        }
        let soonest = self
            .usable_targets()
            .filter(|(index, _)| falls_back || *index == self.current)
            .min_by_key(|(_, state)| state.not_before)
            .map(|(index, _)| index);
        match soonest {
            Some(soonest) if !self.stays => {
                (self.current, self.stays) = (soonest, true);
                Ok(())
            }
            _ => Err(self.denial_error(denied)),
        }
    }

    fn denial_error(&self, denied: Denied) -> Error {
        let endpoint = &self.current().endpoint;
        if let (Denied::Outage { .. }, Some(outage)) =
            (denied, self.limits.outage(&endpoint.limits, self.caller()))
        {
            return outage_error(endpoint, &outage);
        }
        denial_error(denied, &endpoint.provider_name, self.last_failure.as_ref())
    }

    /// Returns the error of an item if outages keep all targets from being called, and the item does not wait for their end.
    pub fn outage_error(&self) -> Option<Error> {
        if self.wait_budget.covers_outage() {
            return None;
        }
        let (endpoint, outage) = self.request.outage(self.limits, self.caller())?;
        Some(outage_error(endpoint, &outage))
    }

    /// Returns true if the item waits for the end of outages.
    pub const fn waits_for_outages(&self) -> bool {
        self.wait_budget.covers_outage()
    }

    /// Records that the provider refused an API key. Another key may work. If this is an outage, an item that waits for its end may use
    /// the key again.
    pub fn refuse_key(&mut self, key: usize, is_outage: bool, code: Code, failure: Failure) {
        if !(is_outage && self.waits_for_outages()) {
            self.current_state().refused.insert(key);
        }
        self.last_failure = Some((code, failure));
    }

    /// Records that the provider answered with a rate limit.
    pub fn pause(&mut self, failure: Failure) {
        self.was_paused = true;
        self.last_failure = Some((Code::UpstreamRateLimited, failure));
    }

    /// Records an answer of the current target.
    pub fn record_success(&mut self) {
        self.current_state().failed = 0;
    }

    /// Returns true if a failure of the next call would fail the item.
    pub fn is_last_call(&self, max_calls: u32) -> bool {
        let falls_back = self.request.falls_back_on(FallbackCondition::Unavailable);
        let failed = self
            .usable_targets()
            .find(|(index, _)| *index == self.current)
            .map_or(0, |(_, state)| state.failed);
        failed + 1 >= max_calls
            && (!falls_back
                || self
                    .usable_targets()
                    .all(|(index, _)| index == self.current))
    }

    /// Consumes wait budget for a delayed retry. Returns true if the wait was within the budget.
    pub fn consume_wait_budget(&mut self, wait: Duration) -> bool {
        let now = Instant::now();
        let is_covered = self.wait_budget.covers_pause(now, now + wait);
        self.wait_budget.consume(wait);
        is_covered
    }

    /// Takes a retry from the retry budget of the current target's provider.
    ///
    /// # Errors
    /// The time after which to ask again, if the budget is used up.
    pub fn withdraw_retry(&self) -> Result<(), Duration> {
        self.admission
            .withdraw_retry(self.current().endpoint.limits.pool())
    }

    /// Switches to another target because the current one is unavailable until then. Returns false if there is none.
    pub fn switch_to_fallback(&mut self, until: Instant) -> bool {
        let Some(next) = self.fallback_if_unavailable() else {
            return false;
        };
        self.current_state().not_before = Some(until);
        self.current = next;
        true
    }

    /// Records a failed call. Returns the number of failures if the current target is worth a retry after a backoff, or
    /// `None` if the cursor switched to another target.
    ///
    /// # Errors
    /// If this was the last retry of the last target.
    pub fn record_failure(
        &mut self,
        code: Code,
        failure: Failure,
        was_slow: bool,
        max_calls: u32,
    ) -> Result<Option<u32>, Error> {
        let next = self.fallback_if_unavailable();
        let state = self.current_state();
        state.failed += 1;
        let failed = state.failed;
        // A provider that timed out will probably time out again, and the remaining time is short.
        if failed < max_calls && !(was_slow && next.is_some()) {
            self.last_failure = Some((code, failure));
            return Ok(Some(failed));
        }
        if !self.switch_for_good(FallbackCondition::Unavailable) {
            let provider = &self.current().endpoint.provider_name;
            return Err(exhausted_error(code, provider, failed, &failure));
        }
        self.last_failure = Some((code, failure));
        Ok(None)
    }
}
